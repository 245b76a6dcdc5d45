import json

import pytest

WHERE = ("new", "hot", "comments", "about", "search")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("TeamBackroom", 403, "private"),
        ("forbiddenfarm", 404, "banned"),
        ("FringeTheories", 403, "quarantined"),
        ("HarshFootage", 403, "gated"),
    ],
)
def test_closed_subreddits_say_why(api, where, name, status, reason):
    answer = api.raw(f"/r/{name}/{where}", q="x", restrict_sr=1)
    assert answer.status_code == status
    body = answer.json()
    message = {403: "Forbidden", 404: "Not Found"}[status]
    assert (body["reason"], body["message"], body["error"]) == (reason, message, status)
    assert "x-ratelimit-remaining" in answer.headers


def test_a_quarantine_brings_its_warning(api):
    body = api.raw("/r/FringeTheories/new").json()
    assert body["quarantine_message"]
    assert body["quarantine_message_html"].startswith("<!-- SC_OFF -->")


def test_a_missing_subreddit_redirects_to_the_search(api):
    answer = api.raw("/r/NoSuchPlace/new")
    assert answer.status_code == 302
    assert answer.headers["location"] == "/subreddits/search?q=NoSuchPlace"


@pytest.mark.parametrize("name", ["x", "-bad", "way_too_long_to_be_a_subreddit", "sp ace"])
def test_an_invalid_name_is_not_found(api, name):
    answer = api.raw(f"/r/{name}/new")
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found", "error": 404})


def test_a_sum_drops_what_is_closed_without_a_word(api):
    names = "python+TeamBackroom+ForbiddenFarm+FringeTheories+HarshFootage+NoSuchPlace"
    assert api.names(f"/r/{names}/new", limit=100) == api.names("/r/python/new", limit=100)
    closed = api.page("/r/TeamBackroom+NoSuchPlace/new")
    assert (closed["children"], closed["after"], closed["dist"]) == ([], None, 0)


def test_probing_tells_the_members_apart(api):
    names = "python,teambackroom,ForbiddenFarm,FringeTheories,NoSuchPlace"
    found = {
        child["data"]["display_name"]: child["data"]
        for child in api.page("/api/info", sr_name=names)["children"]
    }
    assert set(found) == {"python", "TeamBackroom", "FringeTheories"}
    assert found["TeamBackroom"]["subreddit_type"] == "private"
    assert found["FringeTheories"]["quarantine"] is True


def test_a_subreddit_closes_and_opens(own, sim):
    before = own.names("/r/python/new")
    for status, code in (("private", 403), ("banned", 404), ("missing", 302), ("gated", 403)):
        sim.control("subreddits", {"name": "PYTHON", "status": status})
        assert own.raw("/r/python/new").status_code == code
        assert own.names("/r/python+berlin/new") == own.names("/r/berlin/new")
    post = before[0].removeprefix("t3_")
    assert own.raw(f"/comments/{post}").status_code == 403
    sim.control("subreddits", {"name": "python", "status": "ok"})
    assert own.names("/r/python/new") == before


def test_without_a_token_nothing(api):
    answer = api.session.get(f"{api.sim.url}/r/python/new", headers={"Authorization": ""})
    assert answer.status_code == 401


def test_unknown_paths_are_not_found(api):
    assert api.raw("/r/python/wiki/index").status_code == 404
    assert api.raw("/comments/zzzzzz").status_code == 404
    assert api.raw("/user/nobody_of_that_name/about").status_code == 404


def test_statuses_equal_the_recorded_ones(api, reference):
    recorded = json.loads((reference / "errors.json").read_text())

    def find(status, needle):
        return next(e for e in recorded if e["status"] == status and needle in json.dumps(e))

    quarantine = api.raw("/r/FringeTheories/top").json()
    assert set(quarantine) == set(find(403, "quarantined")["body"])
    plain = find(404, '"message": "Not Found", "error": 404')["body"]
    assert api.raw("/r/-/new").json() == plain
    unauthorized = find(401, '"message": "Unauthorized"')
    answer = api.session.get(f"{api.sim.url}/r/python/new", headers={"Authorization": "bearer x"})
    assert answer.json() == unauthorized["body"]
    for name in ("www-authenticate", "content-type", "content-length"):
        assert answer.headers[name] == unauthorized["headers"][name]


def test_a_renamed_subreddit_redirects_to_its_new_name(own):
    before = own.names("/r/python/new", limit=100)
    own.sim.control("subreddits", {"name": "python", "status": "ok", "renamed_to": "snakes"})

    answer = own.raw("/r/Python/new")
    assert (answer.status_code, answer.headers["location"]) == (302, "/r/snakes/")
    assert own.names("/r/snakes/new", limit=100) == before
    shown = own.page("/api/info", sr_name="python,snakes")["children"]
    assert [child["data"]["display_name"] for child in shown] == ["snakes"]
