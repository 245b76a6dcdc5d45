"""The client gives pages or errors that say what is the matter: nothing raw, nothing for ever."""

import json
import socket
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scraping.reddit.client import MAX_MERGED_CHARACTERS, MAX_MERGED_NAMES, Page, pack_names
from scraping.reddit.errors import (
    BadResponse,
    DeadlineExceeded,
    RedditError,
    RequestRejected,
    SubredditUnavailable,
    Throttled,
    Unauthorized,
    Unavailable,
)
from tests import needs
from tests.scraping.stub import stub_server

LISTING = {"kind": "Listing", "data": {"after": None, "children": []}}


@pytest.fixture
def client(reddit, client_of, no_pauses):
    return client_of(reddit.url)


@pytest.fixture
def stub():
    with stub_server() as stub:
        yield stub


def fullnames(page):
    return [thing["data"]["name"] for thing in page.things]


class TestPages:
    def test_a_listing_is_walked_by_its_cursors(self, client):
        first = client.listing(["python"], "new", limit=5)
        second = client.listing(["python"], "new", limit=5, after=first.after)

        assert len(first.things) == len(second.things) == 5
        assert not set(fullnames(first)) & set(fullnames(second))
        assert {thing["kind"] for thing in first.things} == {"t3"}

    def test_several_subreddits_come_in_one_request(self, client):
        page = client.listing(["python", "berlin"], "new", limit=100)

        names = {thing["data"]["subreddit"] for thing in page.things}
        assert names == {"python", "berlin"}
        assert client.requests == 2  # one of them for the token

    def test_comments_come_as_a_listing(self, client):
        page = client.listing(["python"], "comments", limit=5)

        assert {thing["kind"] for thing in page.things} == {"t1"}

    def test_a_listings_limit_is_reddits(self, client, reddit):
        client.listing(["python"], "new", limit=5_000)

        (query,) = [r["query"] for r in reddit.control("requests")["latest"] if "new" in r["path"]]
        assert "limit=100" in query
        assert "raw_json=1" in query

    def test_things_are_looked_up_by_fullname_and_name(self, client):
        names = fullnames(client.listing(["python"], "new", limit=3))

        assert set(fullnames(client.info(fullnames=names))) == set(names)
        (subreddit,) = client.info(subreddits=["PYTHON", "nosuchsubreddit"]).things
        assert subreddit["data"]["display_name"] == "python"

    def test_an_installed_app_has_no_secret(self, client_of, reddit):
        assert client_of(reddit.url, secret="").listing(["python"], "new", limit=1).things

    @pytest.mark.parametrize("kind", ["ads", "oversize", "alternate_after"])
    def test_odd_pages_are_pages(self, client, reddit, kind):
        reddit.control("faults", {"kind": kind})

        assert len(client.listing(["python"], "new", limit=3).things) >= 3


class TestStates:
    @pytest.mark.parametrize("status", ["private", "banned", "quarantined", "gated", "missing"])
    def test_what_cannot_be_read_says_why(self, client, reddit, status):
        reddit.control("subreddits", {"name": "python", "status": status})

        with pytest.raises(SubredditUnavailable, match=f"r/python is {status}") as refused:
            client.listing(["python"], "new")
        assert refused.value.status == refused.value.outcome == status

    def test_of_several_it_is_left_out_silently(self, client, reddit):
        reddit.control("subreddits", {"name": "python", "status": "private"})

        page = client.listing(["python", "berlin"], "new")

        assert {thing["data"]["subreddit"] for thing in page.things} == {"berlin"}


# What goes wrong -> what the client makes of it, and with how many requests at most.
RETRIED = (408, 500, 502, 503, 504, 520, 522)
FAULTS = [
    *[({"kind": "status", "status": status}, Unavailable, 3) for status in RETRIED],
    *[({"kind": "status", "status": s}, Unavailable, 1) for s in (501, 505, 507, 521, 524, 599)],
    ({"kind": "status", "status": 429}, Throttled, 1),
    ({"kind": "status", "status": 429, "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, Throttled, 1),
    ({"kind": "status", "status": 401}, Unauthorized, 6),
    ({"kind": "status", "status": 401, "headers": {"www-authenticate": "odd"}}, RedditError, 6),
    ({"kind": "status", "status": 403}, SubredditUnavailable, 1),
    ({"kind": "status", "status": 403, "headers": {"www-authenticate": "odd"}}, RedditError, 1),
    ({"kind": "status", "status": 403, "body": "<html>blocked</html>"}, SubredditUnavailable, 1),
    ({"kind": "status", "status": 404}, SubredditUnavailable, 1),
    *[
        ({"kind": "status", "status": status}, RequestRejected, 1)
        for status in (400, 402, 405, 406, 409, 410, 413, 414, 418, 422, 423, 451)
    ],
    *[({"kind": "status", "status": 400, "body": body}, RedditError, 1)
      for body in ({"error": 400}, [], "text", "", {"reason": "BAD", "fields": ["a", "b"]}, None)],
    ({"kind": "status", "status": 415, "body": "not json"}, RedditError, 1),
    *[({"kind": "status", "status": s}, RedditError, 1) for s in (205, 206, 300, 303, 304, 307, 308)],
    *[({"kind": "status", "status": s}, RedditError, 1) for s in (301, 302)],
    *[({"kind": "status", "status": s}, BadResponse, 1) for s in (201, 202, 204)],
    *[({"kind": "body", "body": body}, BadResponse, 1)
      for body in (None, "hi", 7, [], {}, {"data": None}, {"data": {"children": None}},
                   {"data": {"children": {}}}, [LISTING], {"kind": "Listing"})],
    ({"kind": "body", "body": "\ufeff{}"}, BadResponse, 1),
    ({"kind": "body", "body": "[" * 100_000}, BadResponse, 1),
    ({"kind": "body", "body": "9" * 10_000}, BadResponse, 1),
    ({"kind": "not_json"}, BadResponse, 1),
    ({"kind": "empty"}, BadResponse, 1),
    ({"kind": "truncate"}, RedditError, 3),
    ({"kind": "truncate", "chunked": True}, RedditError, 3),
    ({"kind": "truncate", "keep": 0}, RedditError, 3),
    ({"kind": "reset"}, Unavailable, 3),
]  # fmt: skip


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "error", "requests"), FAULTS, ids=lambda value: json.dumps(value)[:60]
        if isinstance(value, dict) else None,
    )  # fmt: skip
    def test_each_has_its_error(self, client, reddit, fault, error, requests):
        client.listing(["python"], "new", limit=1)
        before = client.requests
        reddit.control("faults", fault | {"path": "^/r/"})

        with pytest.raises(error) as raised:
            client.listing(["python"], "new")

        assert str(raised.value)
        assert "a secret" not in str(raised.value)
        assert client.requests - before <= requests
        reddit.control("faults", method="DELETE")
        assert client.listing(["python"], "new").things, "the client does not recover"

    @pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "reset"}])
    def test_a_passing_one_is_not_seen(self, client, reddit, fault):
        reddit.control("faults", fault | {"path": "^/r/", "times": 2})

        assert client.listing(["python"], "new").things

    def test_a_token_that_expired_is_replaced(self, client, reddit):
        client.listing(["python"], "new")
        reddit.control("tokens/expire", {})

        assert client.listing(["python"], "new").things

    @pytest.mark.parametrize(
        "case", ["used_float", "reset_float", "used_missing", "reset_missing", "remaining_missing",
                 "remaining_text", "absent"],
    )  # fmt: skip
    def test_no_rate_header_stops_a_page(self, client, reddit, case):
        reddit.control("faults", {"kind": "rate_headers", "case": case})

        for _ in range(2):
            assert client.listing(["python"], "new").things

    @pytest.mark.parametrize("case", ["exhausted", "negative"])
    def test_a_spent_budget_is_told_and_not_slept_away(self, client, reddit, case):
        reddit.control("faults", {"kind": "rate_headers", "case": case})
        assert client.listing(["python"], "new").things
        before = client.requests

        with pytest.raises(Throttled) as refused:
            client.listing(["python"], "new")

        assert 0 < refused.value.retry_after <= 30
        assert client.requests == before

    @pytest.mark.parametrize("header", ["0", "-1", "nan", "inf", "1e999", "", "soon"])
    def test_any_retry_after_is_taken(self, client, reddit, header):
        fault = {"kind": "status", "status": 429, "headers": {"retry-after": header}}
        reddit.control("faults", fault | {"path": "^/r/"})

        with pytest.raises(Throttled):
            client.listing(["python"], "new")

    def test_the_budget_that_reddit_enforces_is_told(self, client_of, no_pauses):
        from scraping.simulator.server import SimulatorServer

        with SimulatorServer(port=0, budget=2, window=600, subreddits=2) as server:
            client = client_of(server.url)
            for _ in range(2):
                client.listing(["python"], "new", limit=1)
            with pytest.raises(Throttled):
                client.listing(["python"], "new", limit=1)


class TestTokens:
    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [
            (401, {"message": "Unauthorized", "error": 401}, Unauthorized),
            (403, "", Unauthorized),
            (400, {"error": 400}, Unauthorized),
            (200, {"error": "invalid_grant"}, Unauthorized),
            (200, {"error": "unauthorized_client", "error_description": "x"}, Unauthorized),
            (429, {"message": "Too Many Requests", "error": 429}, Throttled),
            (500, "", Unavailable),
            (503, "<html>", Unavailable),
            (200, "<html>", BadResponse),
            (200, "", BadResponse),
            (200, [], BadResponse),
            (200, None, BadResponse),
            (200, {"access_token": "t"}, BadResponse),
            (200, {"access_token": None, "expires_in": "soon", "scope": ""}, BadResponse),
        ],
    )
    def test_each_refusal_has_its_error(self, stub, client_of, no_pauses, status, body, error):
        stub.says(status, {"content-type": "application/json"}, body, token=True)
        client = client_of(stub.url)

        with pytest.raises(error):
            client.listing(["python"], "new")

        assert client.requests <= 1

    def test_a_token_is_asked_for_once(self, stub, client_of):
        stub.says(200, {}, LISTING)
        client = client_of(stub.url)
        for _ in range(3):
            client.listing(["python"], "new")

        assert sum("access_token" in path for path in stub.requests) == 1

    @pytest.mark.parametrize(
        "value", [b"NaN", b"-Infinity", rb'"\ud800"', b"1" + b"0" * 400, b'"\xff"'], ids=repr
    )
    def test_json_that_is_not_quite_is_read(self, stub, client_of, value):
        body = b'{"data": {"after": null, "children": [{"kind": "t3", "data": %b}]}}' % value
        stub.says(200, {"content-type": "application/json; charset=UTF-8"}, body)
        assert len(client_of(stub.url).listing(["python"], "new").things) == 1

    def test_where_nobody_listens_there_is_no_answer(self, client_of, no_pauses):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        with pytest.raises(Unavailable):
            client_of(f"http://127.0.0.1:{port}").listing(["python"], "new")

    def test_proxies_of_the_environment_never_see_a_token(self, stub, client_of, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        stub.says(200, {}, LISTING)

        assert client_of(stub.url).listing(["python"], "new") == Page([], None)


class TestDeadlines:
    """However slowly an answer comes, the call ends; without them these tests take many minutes."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "drip", "bytes": 1, "interval": 0.2},
            {"kind": "latency", "seconds": 600},
            {"kind": "drip", "bytes": 1, "interval": 0.2, "path": "access_token"},
        ],
        ids=["drip", "silence", "dripping token"],
    )
    def test_a_call_ends_by_its_deadline(self, client_of, reddit, no_pauses, fault):
        reddit.control("faults", {"path": "^/r/"} | fault)
        client = client_of(reddit.url, timeout=1, deadline=2)
        began = time.monotonic()

        with pytest.raises(Unavailable):
            client.listing(["python"], "new")

        assert time.monotonic() - began < 60

    def test_a_drip_that_ends_with_the_connection_is_late_not_whole(self, client_of, no_pauses):
        """Cut at the deadline, an answer without a length looks complete."""
        body = json.dumps(LISTING).encode()
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            with dripping(server, body + b" " * 10_000), pytest.raises(DeadlineExceeded):
                client_of(url, timeout=1, deadline=1).listing(["python"], "new")


class dripping:  # noqa: N801  (reads as what it does)
    """Answer each connection with a token, then a body without a length, a byte at a time."""

    def __init__(self, server, body):
        from threading import Event, Thread

        self.server, self.body = server, body
        self.stop = Event()
        self.thread = Thread(target=self.serve)

    def __enter__(self):
        self.server.settimeout(0.1)
        self.thread.start()

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()

    def serve(self):
        while not self.stop.is_set():
            try:
                connection, _ = self.server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                if b"access_token" in connection.recv(65_536):
                    token = json.dumps({"access_token": "t", "expires_in": 9_999, "scope": "*"})
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                        % (len(token), token.encode())
                    )
                    continue
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                    for byte in self.body:
                        if self.stop.wait(0.05):
                            break
                        connection.sendall(bytes([byte]))
                except OSError:
                    continue


class TestAnything:
    STATUSES = st.sampled_from([200, 201, 204, 301, 302, 400, 401, 403, 404, 415, 429, 500, 503])
    HEADERS = st.dictionaries(
        st.sampled_from(
            ["location", "retry-after", "www-authenticate", "x-ratelimit-remaining",
             "x-ratelimit-used", "x-ratelimit-reset", "content-type"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
        max_size=3,
    )  # fmt: skip
    JSON = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "children", "after", "error", "reason", "fields", "message",
                             "explanation", "json", "errors"]), inner, max_size=3),
        max_leaves=8,
    )  # fmt: skip

    @pytest.mark.slow
    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(STATUSES, HEADERS, JSON | st.binary())
    def test_any_answer_is_a_page_or_an_error(
        self, stub, client_of, no_pauses, status, headers, body
    ):
        stub.says(status, headers, body)
        try:
            page = client_of(stub.url).listing(["python"], "new")
        except RedditError:
            return
        assert isinstance(page.things, list)


@needs.RECORDINGS.mark()
class TestRecorded:
    def test_every_recorded_error_has_its_error(self, stub, client_of, no_pauses, subtests):
        kinds = {401: Unauthorized, 429: Throttled, 408: Unavailable}
        recorded = json.loads((needs.RECORDINGS_FOLDER / "errors.json").read_bytes())
        for number, answer in enumerate(recorded):
            status = answer["status"]
            is_token = "access_token" in answer["uri"]
            stub.token = (
                200,
                {},
                json.dumps({"access_token": "t", "expires_in": 9, "scope": ""}).encode(),
            )
            stub.says(200, {}, LISTING)
            stub.says(status, answer["headers"], answer["body"], token=is_token)
            expected = kinds.get(status, Unavailable if status >= 500 else RedditError)
            if is_token and status < 429:
                expected = Unauthorized
            with (
                subtests.test(number=number, status=status, uri=answer["uri"]),
                pytest.raises(expected),
            ):
                client_of(stub.url).listing(["python"], "new")

        assert recorded


class TestPacking:
    @given(st.lists(st.text("abc", min_size=2, max_size=25), max_size=300))
    def test_every_name_is_in_one_pack_and_every_pack_fits(self, names):
        packs = pack_names(names)

        assert [name for pack in packs for name in pack] == names
        for pack in packs:
            assert 0 < len(pack) <= MAX_MERGED_NAMES
            assert len("+".join(pack)) <= MAX_MERGED_CHARACTERS

    def test_packs_are_the_fewest(self):
        assert len(pack_names(["ab"] * 100)) == 1
        assert len(pack_names(["ab"] * 101)) == 2
        assert len(pack_names(["a" * 25] * 76)) == 1  # 76 * 25 + 75 plus signs = 1,975
        assert len(pack_names(["a" * 25] * 77)) == 2
