"""api/info, search, users and subreddits."""

import pytest


def test_info_gives_posts_comments_and_subreddits_in_order(api):
    post = api.page("/r/python/new", limit=1)["children"][0]["data"]
    comment = api.page("/r/python/comments", limit=1)["children"][0]["data"]
    wanted = [comment["name"], post["subreddit_id"], post["name"]]
    ids = ",".join([wanted[0], "t1_zzzzzz", *wanted[1:], "t3_0", "nonsense"])
    children = api.page("/api/info", id=ids)["children"]
    assert [child["data"]["name"] for child in children] == wanted
    assert [child["kind"] for child in children] == ["t1", "t5", "t3"]
    assert children[0]["data"]["replies"] == ""
    assert "link_title" not in children[0]["data"]


def test_info_looks_at_a_hundred_ids(api):
    names = [item["name"] for item in api.walk("/r/python/new")][:120]
    assert api.names("/api/info", id=",".join(names)) == names[:100]


def test_info_by_url(api):
    link = next(i for i in api.walk("/r/python/new") if not i["is_self"])
    assert link["name"] in api.names("/api/info", url=link["url"])
    assert api.names("/api/info", url="https://example.org/nowhere") == []


def test_info_finds_what_listings_no_longer_show(api):
    gone = [i for i in api.truth(subreddit="python") if i["state"] in ("deleted", "removed")]
    assert gone
    ids = [item["fullname"] for item in gone][:100]
    assert api.names("/api/info", id=",".join(ids)) == ids


def test_search_finds_exactly_the_posts_with_the_words(api):
    posts = api.walk("/r/AskScience/new")
    title = next(p["title"] for p in posts if len(p["title"].split()) > 4)
    word = title.split()[2].lower()
    found = api.walk("/r/AskScience/search", q=word, restrict_sr="on", sort="new")
    names = {item["name"] for item in found}

    def has(text):
        cleaned = "".join(c if c.isalnum() else " " for c in text.lower())
        return word in cleaned.split()

    assert word.isalnum()
    listed = {p["name"] for p in posts}
    assert names & listed == {p["name"] for p in posts if has(p["title"]) or has(p["selftext"])}
    # A search goes further down than the listing.
    oldest = min(p["created_utc"] for p in posts)
    beyond = [item for item in found if item["name"] not in listed]
    assert all(item["created_utc"] <= oldest for item in beyond)
    assert all(has(item["title"]) or has(item["selftext"]) for item in beyond)
    times = [item["created_utc"] for item in found]
    assert times == sorted(times, reverse=True)


def test_search_by_field_and_phrase(api):
    posts = api.walk("/r/python/new")
    post = next(p for p in posts if p["author"] != "[deleted]" and len(p["title"].split()) > 5)
    phrase = " ".join(post["title"].split()[1:3])

    def search(query):
        return [i["name"] for i in api.walk("/r/python/search", q=query, restrict_sr=1, t="all")]

    assert post["name"] in search(f'title:"{phrase}"')
    assert post["name"] in search(f"author:{post['author']}")
    assert set(search(f"author:{post['author']}")) == {
        p["name"] for p in posts if p["author"] == post["author"]
    }
    assert post["name"] not in search(f'"{phrase}" -author:{post["author"]}')
    assert set(search("self:yes")) == {p["name"] for p in posts if p["is_self"]}
    assert search("") == []
    assert search("wordthatisnowhere") == []


def test_search_without_restriction_looks_everywhere(api):
    query = {"q": "self:yes", "sort": "new", "t": "hour", "limit": 100}
    found = api.page("/r/python/search", **query)["children"]
    assert len({child["data"]["subreddit"] for child in found}) > 3
    assert api.page("/search", **query)["children"] == found


@pytest.mark.slow
def test_each_query_lists_a_thousand_of_all_that_exists(own):
    own.sim.control("subreddits", {"name": "busyplace", "status": "ok"})
    began = own.sim.control("")["now"]
    own.sim.control("clock", {"advance": 3_000})
    link = {"url": "https://example.org/"}
    post = {"subreddit": "busyplace", "title": "A post"}
    items = [
        {**post, "created_utc": began + number, **(link if number % 2 else {})}
        for number in range(2_300)
    ]
    own.sim.control("items", {"items": items})
    truth = {item["fullname"] for item in own.truth(subreddit="busyplace", kind="t3")}
    query = {"restrict_sr": 1, "sort": "new", "t": "all"}

    listed = own.walk("/r/busyplace/new")
    texts = own.walk("/r/busyplace/search", q="self:yes", **query)
    links = own.walk("/r/busyplace/search", q="self:no", **query)

    assert len(listed) == len(texts) == len(links) == 1_000
    assert {post["is_self"] for post in texts} == {True}
    assert {post["is_self"] for post in links} == {False}
    found = {post["name"] for post in texts + links}
    assert len(found) == 2_000
    assert found > {post["name"] for post in listed}
    assert found < truth
    times = [post["created_utc"] for post in links]
    assert times == sorted(times, reverse=True)
    assert len(own.walk("/r/busyplace/search", q="post", restrict_sr=1, sort="top")) == 1_000


def test_a_search_shows_what_has_come_been_edited_and_left_the_index(own):
    own.sim.control("subreddits", {"name": "quietplace", "status": "ok"})
    made = [
        own.sim.control("items", {"subreddit": "quietplace", "title": "A post", "selftext": word})
        for word in ("otter", "heron", "otter")
    ]
    first, second, third = (item["fullname"] for item in made)

    def search():
        query = {"q": "otter", "restrict_sr": 1, "sort": "new", "t": "all"}
        return {post["name"] for post in own.walk("/r/quietplace/search", **query)}

    assert search() == {first, third}
    own.sim.control(f"items/{second}", {"action": "edit", "selftext": "an otter"})
    assert search() == {first, second, third}
    own.sim.control(f"items/{first}", {"action": "unindex"})
    assert search() == {second, third}
    assert first in own.names("/r/quietplace/new")
    own.sim.control(f"items/{third}", {"action": "delete"})
    assert search() == {second}


def test_a_search_of_the_last_hour_forgets_what_is_older(own):
    own.sim.control("subreddits", {"name": "quietplace", "status": "ok"})
    name = own.sim.control("items", {"subreddit": "quietplace", "title": "A post"})["fullname"]
    query = {"q": "self:yes", "restrict_sr": 1, "sort": "new", "t": "hour"}

    assert own.names("/r/quietplace/search", **query) == [name]
    own.sim.control("clock", {"advance": 3_700})
    assert own.names("/r/quietplace/search", **query) == []


def test_user_listings_hold_what_the_user_wrote(api):
    comment = next(c for c in api.walk("/r/python/comments") if api.raw(f"/user/{c['author']}").ok)
    name = comment["author"]
    comments = api.walk(f"/user/{name.upper()}/comments")
    submitted = api.walk(f"/user/{name}/submitted")
    overview = api.walk(f"/user/{name}/overview")
    assert comment["name"] in {item["name"] for item in comments}
    assert {item["author"] for item in overview} == {name}
    assert len(overview) == len(comments) + len(submitted)
    times = [item["created_utc"] for item in overview]
    assert times == sorted(times, reverse=True)
    assert api.walk(f"/user/{name}") == overview
    about = api.get(f"/user/{name}/about")
    assert about["kind"] == "t2"
    assert about["data"]["name"] == name
    assert f"t2_{about['data']['id']}" == comment["author_fullname"]


def test_a_suspended_user_is_hardly_there(api):
    for comment in api.walk("/r/AskScience+python+berlin/comments"):
        if api.raw(f"/user/{comment['author']}").status_code == 403:
            about = api.get(f"/user/{comment['author']}/about")["data"]
            assert about["is_suspended"] is True
            assert "created_utc" not in about
            return
    pytest.fail("no suspended user among the newest authors")


def test_a_subreddit_tells_about_itself(api):
    about = api.get("/r/PYTHON/about/")
    assert about["kind"] == "t5"
    assert about["data"]["display_name"] == "python"
    post = api.page("/r/python/new", limit=1)["children"][0]["data"]
    assert about["data"]["name"] == post["subreddit_id"]
    assert about["data"]["subscribers"] == post["subreddit_subscribers"]
    assert api.get("/r/python+berlin/about")["kind"] == "t5"


def test_text_is_entity_encoded_unless_asked_otherwise(api):
    raw = api.page("/r/python/new", limit=100)["children"]
    title = next(c["data"] for c in raw if "<" in c["data"]["title"])
    plain = api.session.get(f"{api.sim.url}/api/info?id={title['name']}").json()
    encoded = plain["data"]["children"][0]["data"]["title"]
    assert "&lt;" in encoded
    assert "<" not in encoded
    assert encoded.replace("&lt;", "<").replace("&amp;", "&") == title["title"]
