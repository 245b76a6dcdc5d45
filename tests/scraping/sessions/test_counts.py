"""Counts of sessions read as a person would say them."""

from django.utils import translation

from scraping.models import ScrapeSession
from scraping.sessions import lifecycle
from scraping.sessions.counts import PHRASES, in_words


def test_one_and_many_differ():
    assert in_words({"posts_seen": 1, "requests": 1}) == "1 post, 1 request"
    assert in_words({"posts_seen": 2, "requests": 0}) == "2 posts, 0 requests"


def test_every_count_is_a_column_of_sessions():
    columns = {field.name for field in ScrapeSession._meta.fields}

    assert PHRASES.keys() <= columns


def test_what_is_stored_with_a_bot_is_english_in_every_language():
    session = ScrapeSession(posts_seen=1, comments_seen=2)

    with translation.override("de"):
        assert lifecycle.summary(session) == "1 post, 2 comments, 0 new, 0 matched"
