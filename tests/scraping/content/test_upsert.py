"""A page is stored once, whole and as it was; what is known is never lost to what is not said."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scraping.content.upsert import COMMENTS, POSTS, ingest_comments, ingest_posts
from scraping.models import RedditComment, RedditPost, Subreddit
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import row_versions, sessions_waiting_for_locks
from tests.factories import CommentData, PostData
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

THEN = datetime(2026, 1, 20, 12, tzinfo=UTC)


def posts(*numbers, without=(), **changes):
    made = [PostData(number=number, **changes) for number in numbers]
    return [
        parse_post({key: value for key, value in data.items() if key not in without})
        for data in made
    ]


def comments(*numbers, **changes):
    return [parse_comment(CommentData(number=number, **changes)) for number in numbers]


def versions(model=RedditPost):
    return row_versions(model._meta.db_table, "fullname")


class TestAPage:
    def test_new_items_are_told_from_changed_and_unchanged_ones(self):
        ingest_posts(posts(1, 2, 3))

        result = ingest_posts(posts(2) + posts(3, score=8) + posts(4, 5))

        assert result.new == {"t3_zz0004", "t3_zz0005"}
        assert result.updated == {"t3_zz0003"}
        assert result.unchanged == 1
        assert RedditPost.objects.count() == 5

    def test_the_same_page_twice_writes_no_row_version(self):
        ingest_posts(posts(1, 2, 3, poll_data={"options": [1, 2.5, None]}, upvote_ratio=0.1))
        ingest_comments(comments(1, 2, 3))
        before = versions(), versions(RedditComment)

        again = ingest_posts(
            posts(1, 2, 3, poll_data={"options": [1, 2.5, None]}, upvote_ratio=0.1)
        )
        ingest_comments(comments(1, 2, 3))

        assert (again.new, again.updated, again.unchanged) == (set(), set(), 3)
        assert (versions(), versions(RedditComment)) == before

    def test_an_empty_page_is_nothing(self):
        result = ingest_posts([])

        assert (result.new, result.updated, result.unchanged) == (set(), set(), 0)

    def test_an_item_that_a_page_holds_twice_is_stored_once_and_the_later_stands(self):
        result = ingest_posts(posts(1, score=1) + posts(1, score=2))

        assert result.new == {"t3_zz0001"}
        assert RedditPost.objects.get().score == 2

    def test_it_is_stored_whole_or_not_at_all(self):
        broken = posts(2)
        broken[0].score = 2**70

        with pytest.raises(Exception, match="out of range"), transaction.atomic():
            ingest_posts(posts(1) + broken)

        assert not RedditPost.objects.exists()

    def test_two_pages_in_one_transaction_do_not_mix(self):
        with transaction.atomic():
            first = ingest_posts(posts(1, 2))
            second = ingest_posts(posts(3))

        assert (len(first.new), len(second.new)) == (2, 1)

    def test_the_moments_are_kept(self):
        ingest_posts(posts(1, 2), now=THEN)
        ingest_posts(posts(1, score=8) + posts(2), now=THEN + timedelta(hours=1))

        changed, same = RedditPost.objects.order_by("fullname")
        assert changed.first_seen_at == same.first_seen_at == THEN
        assert changed.refreshed_at == THEN + timedelta(hours=1)
        assert same.refreshed_at == THEN


class TestWhatIsKnown:
    @pytest.mark.parametrize(
        "key", ["selftext", "author", "score", "over_18", "subreddit", "distinguished", "edited",
                "permalink", "author_fullname", "upvote_ratio"],
    )  # fmt: skip
    def test_absence_does_not_overwrite_it(self, key):
        ingest_posts(posts(1, edited=1_768_480_000))
        before = versions()

        result = ingest_posts(posts(1, edited=1_768_480_000, without=[key, f"{key}_id"]))

        assert result.updated == set()
        assert versions() == before

    def test_an_explicit_null_empties_a_text(self):
        ingest_posts(posts(1, link_flair_text="News", distinguished="moderator"))

        result = ingest_posts(posts(1, link_flair_text=None, distinguished=None))

        assert result.updated == {"t3_zz0001"}
        stored = RedditPost.objects.get()
        assert (stored.link_flair_text, stored.distinguished) == ("", "")

    def test_false_and_zero_are_values(self):
        ingest_posts(posts(1, over_18=True, score=5))
        ingest_posts(posts(1, over_18=False, score=0))

        stored = RedditPost.objects.get()
        assert (stored.over_18, stored.score) == (False, 0)

    def test_structured_fields_are_merged_key_by_key(self):
        ingest_posts(posts(1, poll_data={"a": 1}, gallery_data={"b": 2}))
        ingest_posts(posts(1, poll_data={"a": 3}))

        assert RedditPost.objects.get().extra == {"poll_data": {"a": 3}, "gallery_data": {"b": 2}}

    def test_integers_of_any_size_are_stored_in_them(self):
        ingest_posts(posts(1, poll_data={"huge": 10**30}))

        assert RedditPost.objects.get().extra == {"poll_data": {"huge": 10**30}}

    def test_edited_without_a_time_keeps_a_known_time(self):
        ingest_posts(posts(1, edited=1_768_480_000))
        ingest_posts(posts(1, edited=True))

        stored = RedditPost.objects.get()
        assert (stored.edited, stored.edited_at.timestamp()) == (True, 1_768_480_000)

    def test_not_edited_takes_the_time_back(self):
        ingest_posts(posts(1, edited=1_768_480_000))
        ingest_posts(posts(1, edited=False))

        stored = RedditPost.objects.get()
        assert (stored.edited, stored.edited_at) == (False, None)

    def test_a_deletion_takes_the_account_with_it(self):
        ingest_comments(comments(1))
        deleted = CommentData(number=1, author="[deleted]", body="[deleted]")
        del deleted["author_fullname"]
        ingest_comments([parse_comment(deleted)])

        stored = RedditComment.objects.get()
        assert (stored.author, stored.author_fullname) == ("[deleted]", "")
        assert stored.removal == "deleted"

    def test_a_deletion_that_is_taken_back_stands_again(self):
        ingest_posts(posts(1, removed_by_category="moderator"))
        ingest_posts(posts(1, removed_by_category=None))

        assert RedditPost.objects.get().removal == ""


class TestSubreddits:
    def test_one_row_in_whatever_case_it_is_named(self):
        ingest_posts(posts(1, subreddit="Python") + posts(2, subreddit="pYTHON"))
        ingest_comments(comments(1, subreddit="PYTHON"))

        assert Subreddit.objects.count() == 1
        assert Subreddit.objects.get().reddit_id == "t5_2qh0y"

    def test_an_ad_belongs_to_none(self):
        ingest_posts(posts(1, without=["subreddit", "subreddit_id"]))

        assert RedditPost.objects.get().subreddit is None
        assert not Subreddit.objects.exists()


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


class TestText:
    @pytest.mark.slow
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(TEXTS, TEXTS | st.none(), TEXTS)
    def test_any_text_comes_back_as_it_went(self, db, title, selftext, key):
        with transaction.atomic():
            ingest_posts(posts(1, title=title, selftext=selftext, poll_data={key: title}))
            stored = RedditPost.objects.get()
            transaction.set_rollback(True)

        assert stored.title == title
        assert stored.selftext == (selftext or "")
        assert stored.extra == {"poll_data": {key: title}}

    @pytest.mark.parametrize(
        "text", ["\\N", "\\.", "\\\\", "a\tb\nc\rd\be\ff\vg", "\\t", "\x7f\x80\u2028", "\\x41\\101"]
    )
    def test_what_copy_reads_as_something_else_does_too(self, text):
        ingest_posts(posts(1, title=text))

        assert RedditPost.objects.get().title == text

    def test_the_longest_texts_of_reddit_fit(self):
        ingest_posts(posts(1, title="ü" * 27_719, selftext="x" * 428_999, url="h" * 511_885))
        ingest_comments(comments(1, body="€" * 432_872))

        assert len(RedditComment.objects.get().body) == 432_872


@pytest.mark.django_db(transaction=True)
class TestTwoWriters:
    """Each in a connection of its own, as workers are."""

    def run(self, *writers):
        faults = []

        def run(writer):
            try:
                writer()
            except Exception as error:  # noqa: BLE001  (told by the test)
                faults.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=[writer]) for writer in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        return faults

    @pytest.mark.slow
    def test_the_same_page_is_stored_once(self):
        start = threading.Barrier(4)
        new = []

        def write(order):
            start.wait()
            for first in range(0, 400, 100):
                numbers = list(range(first, first + 100))[::order]
                new.extend(ingest_posts(posts(*numbers, score=7)).new)
                ingest_posts(posts(*numbers, score=order))

        faults = self.run(*[lambda order=order: write(order) for order in (1, -1, 1, -1)])

        assert faults == []
        assert RedditPost.objects.count() == 400
        assert sorted(new) == sorted({f"t3_zz{number:04d}" for number in range(400)})

    def test_they_take_rows_in_one_order(self):
        """One holds the first row of a page; the other, coming with the page turned round, waits
        for it before it holds any other. Had it the last row by then, they could deadlock."""
        ingest_posts(posts(1, 2, 3))
        with transaction.atomic():
            RedditPost.objects.select_for_update().get(fullname="t3_zz0001")
            other = threading.Thread(
                target=lambda: self.run(lambda: ingest_posts(posts(3, 2, 1, score=8)))
            )
            other.start()
            wait_until(
                lambda: sessions_waiting_for_locks() == 1, what="the other waits for the first row"
            )
            RedditPost.objects.select_for_update(nowait=True).get(fullname="t3_zz0003")
        other.join(60)

        assert set(RedditPost.objects.values_list("score", flat=True)) == {8}

    def test_what_the_other_wrote_meanwhile_is_not_overwritten_by_absence(self):
        ingest_posts(posts(2))  # so that they meet at the post, not at its subreddit
        with transaction.atomic():
            ingest_posts(posts(1, author="someone", poll_data={"a": 1}))
            second = posts(1, without=["author"], gallery_data={"b": 2})
            other = threading.Thread(target=lambda: self.run(lambda: ingest_posts(second)))
            other.start()
            wait_until(
                lambda: sessions_waiting_for_locks() == 1, what="the other waits for the commit"
            )
        other.join(60)

        stored = RedditPost.objects.get(fullname="t3_zz0001")
        assert stored.author == "someone"
        assert stored.extra == {"poll_data": {"a": 1}, "gallery_data": {"b": 2}}


def test_every_column_of_an_item_is_stored():
    """A field that parse reads and no column takes, or the reverse, would be lost silently."""
    for table, model in ((POSTS, RedditPost), (COMMENTS, RedditComment)):
        stored = {field.column for field in model._meta.fields}
        assert set(table.columns) == stored - {"first_seen_at", "refreshed_at", "retrieved_at"}
