"""Every kind of fault, as it looks from a socket."""

import socket
import struct
import time
import urllib.parse

import pytest
import requests

PATH = "/r/python/new?limit=5&raw_json=1"


@pytest.fixture(autouse=True)
def clean(frozen):
    yield
    frozen.control("faults", method="DELETE")


@pytest.fixture
def fault(frozen):
    def add(kind, **others):
        return frozen.control("faults", {"kind": kind, "path": "^/r/python"} | others)

    return add


class Wire:
    """One connection, read byte by byte."""

    def __init__(self, api, path=PATH):
        address = urllib.parse.urlsplit(api.sim.url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=5)
        token = api.session.headers["Authorization"]
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
        )

    def read(self):
        """All bytes until the end of the stream."""
        received = b""
        while part := self.socket.recv(65_536):
            received += part
        return received

    def head(self):
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.socket.recv(1)
        return received


def length_of(head):
    return int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 451, 500, 502, 503, 520, 524])
def test_status(api, fault, status):
    fault("status", status=status)
    answer = api.raw("/r/python/new")
    assert answer.status_code == status
    has_rate = "x-ratelimit-used" in answer.headers
    assert has_rate == (status not in (401, 429, 451))
    assert ("retry-after" in answer.headers) == (status == 429)
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_status_with_a_body_and_headers_of_its_own(api, fault):
    fault("status", status=403, body={"reason": "odd"}, headers={"X-Odd": "1"}, retry_after="Wed")
    answer = api.raw("/r/python/new")
    assert answer.json() == {"reason": "odd"}
    assert (answer.headers["x-odd"], answer.headers["retry-after"]) == ("1", "Wed")
    api.sim.control("faults", method="DELETE")
    fault("status", status=302)
    assert "location" not in api.raw("/r/python/new").headers


def test_latency(api, fault):
    fault("latency", seconds=0.3)
    began = time.monotonic()
    assert api.raw("/r/python/new").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_drip(api, fault):
    plain = api.raw("/r/python/about").content
    fault("drip", bytes=len(plain) // 4 + 1, interval=0.05)
    wire = Wire(api, "/r/python/about?raw_json=1")
    assert length_of(wire.head()) == len(plain)
    began, arrivals, body = time.monotonic(), 0, b""
    while len(body) < len(plain):
        body += wire.socket.recv(65_536)
        arrivals += 1
    assert body == plain
    assert arrivals > 1
    assert time.monotonic() - began >= 0.1


def test_reset(api, fault):
    fault("reset")
    with pytest.raises(ConnectionResetError):
        Wire(api).read()
    with pytest.raises(requests.ConnectionError):
        api.raw("/r/python/new")
    assert api.raw("/r/berlin/new").status_code == 200
    latest = api.sim.control("requests?limit=2")["latest"]
    assert [entry["status"] for entry in latest] == [0, 200]


@pytest.mark.parametrize(("keep", "sent"), [(10, 10), (None, None), (0, 0)])
def test_truncated_body(api, fault, keep, sent):
    fault("truncate", **({} if keep is None else {"keep": keep}))
    head, _, body = Wire(api).read().partition(b"\r\n\r\n")
    declared = length_of(head)
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == (declared // 2 if sent is None else sent)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.raw("/r/python/new")


def test_truncated_chunked_body(api, fault):
    fault("truncate", chunked=True)
    received = Wire(api).read()
    assert b"transfer-encoding: chunked" in received
    assert not received.endswith(b"0\r\n\r\n")


def test_not_json(api, fault):
    fault("not_json")
    answer = api.raw("/r/python/new")
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["x-ratelimit-used"]


def test_empty(api, fault):
    fault("empty")
    answer = api.raw("/r/python/new")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("body", [None, "text", [], {"kind": "Listing", "data": {}}])
def test_body(api, fault, body):
    fault("body", body=body)
    answer = api.raw("/r/python/new")
    assert (answer.text if body == "text" else answer.json()) == body


@pytest.mark.parametrize(
    ("case", "name", "value"),
    [
        ("used_float", "used", "1.0"),
        ("reset_float", "reset", "300.5"),
        ("used_missing", "used", None),
        ("reset_missing", "reset", None),
        ("remaining_missing", "remaining", None),
        ("remaining_text", "remaining", "abc"),
        ("negative", "remaining", "-3"),
        ("exhausted", "remaining", "0.0"),
        ("absent", "used", None),
    ],
)
def test_rate_headers(api, fault, case, name, value):
    fault("rate_headers", case=case)
    answer = api.raw("/r/python/new")
    assert answer.status_code == 200
    assert answer.headers.get(f"x-ratelimit-{name}") == value


def test_rate_headers_of_ones_own(api, fault):
    fault("rate_headers", remaining="7.0", used=None)
    headers = api.raw("/r/python/new").headers
    assert headers["x-ratelimit-remaining"] == "7.0"
    assert "x-ratelimit-used" not in headers
    assert "x-ratelimit-reset" in headers


def test_oversize(api, fault):
    fault("oversize", items=2)
    page = api.page("/r/python/new", limit=100)
    assert len(page["children"]) == page["dist"] == 102
    names = [item["name"] for item in api.walk("/r/python/new")]
    assert len(names) == len(set(names))


def test_ads(api, fault):
    plain = api.names("/r/python/new", limit=20)
    fault("ads", items=2)
    children = [c["data"] for c in api.page("/r/python/new", limit=20)["children"]]
    ads = [item for item in children if "subreddit" not in item]
    assert len(ads) == 2
    assert all("subreddit_id" not in ad and ad["promoted"] for ad in ads)
    assert [item["name"] for item in children if "subreddit" in item] == plain


@pytest.mark.slow
def test_after_for_ever(api, fault):
    fault("alternate_after")
    seen, after = [], None
    for _ in range(6):
        page = api.page("/r/python/new", limit=100, **({"after": after} if after else {}))
        after = page["after"]
        assert page["children"]
        seen.append(after)
    assert None not in seen
    assert len(set(seen)) == 2


def test_the_token_endpoint_fails_too(api):
    api.sim.control("faults", {"kind": "status", "status": 503, "path": "access_token"})
    assert api.token({"grant_type": "client_credentials"}).status_code == 503
    api.sim.control("faults", method="DELETE")
    body = {"access_token": "x", "token_type": "bearer"}
    api.sim.control("faults", {"kind": "body", "body": body, "path": "access_token"})
    assert api.token({"grant_type": "client_credentials"}).json() == body


def test_tokens_of_one_client_can_fail(api):
    fault = {"kind": "status", "status": 401, "path": "access_token", "client": "unlucky"}
    api.sim.control("faults", fault)
    grant = {"grant_type": "client_credentials"}
    assert api.token(grant, ("unlucky", "x")).status_code == 401
    assert api.token(grant, ("lucky", "x")).status_code == 200


def codes(api, number):
    return [api.raw("/r/python/new", limit=1).status_code for _ in range(number)]


def test_which_requests_are_hit(api, fault):
    fault("status", status=503, skip=1, every=2, times=2)
    assert codes(api, 7) == [200, 503, 200, 503, 200, 200, 200]


def test_only_the_named_client_method_and_path(api, fault):
    fault("status", status=503, client="somebody-else")
    fault("status", status=503, method="POST")
    fault("status", status=503, path="^/r/berlin/")
    assert codes(api, 1) == [200]
    assert api.raw("/r/berlin/new").status_code == 503
    fault("status", status=502, client="tester", method="get")
    assert codes(api, 1) == [502]


def test_probability_repeats(api, fault):
    runs = []
    for _ in range(2):
        api.sim.control("faults", method="DELETE")
        fault("status", status=500, probability=0.5)
        runs.append(codes(api, 30))
    assert runs[0] == runs[1]
    assert 5 < runs[0].count(500) < 25


def test_several_faults_at_once(api, fault):
    fault("latency", seconds=0.1)
    fault("status", status=500)
    fault("truncate", keep=3)
    began = time.monotonic()
    received = Wire(api).read()
    assert time.monotonic() - began >= 0.1
    assert received.startswith(b"HTTP/1.1 500")
    assert len(received.partition(b"\r\n\r\n")[2]) == 3


def test_faults_are_listed_counted_and_removed(api, fault):
    first = fault("status", status=500, times=1)
    second = fault("latency", seconds=0.01)
    codes(api, 3)
    listed = {entry["id"]: entry for entry in api.sim.control("faults")["faults"]}
    assert (listed[first["id"]]["hit"], listed[second["id"]]["hit"]) == (1, 3)
    api.sim.control(f"faults/{second['id']}", method="DELETE")
    assert [entry["id"] for entry in api.sim.control("faults")["faults"]] == [first["id"]]
    with pytest.raises(ValueError, match="GET /control/faults"):
        api.sim.control("faults/99999", method="DELETE")


def test_a_client_that_hangs_up_does_no_harm(api, fault):
    fault("latency", seconds=0.2)
    wire = Wire(api)
    linger = struct.pack("ii", 1, 0)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    wire.socket.close()
    api.sim.control("faults", method="DELETE")
    assert codes(api, 2) == [200, 200]
