"""What a dump tells never takes the place of what is better known."""

import pytest

from scraping.content.upsert import ingest_comments, ingest_posts
from scraping.dumps.importer import import_dump
from scraping.models import RedditComment, RedditPost, Subreddit
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import row_versions
from tests.factories import CREATED_UTC, CommentData
from tests.scraping.dump_samples import RETRIEVED, posts

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


class TestWhatIsKnown:
    def stored(self):
        return RedditPost.objects.get()

    def test_reddits_own_word_is_not_overwritten_and_gaps_in_it_are_filled(self, dump):
        ingest_posts([parse_post(posts(1, score=50, without=["domain"], edited=False)[0])])
        data = posts(1, score=1, title="Older", edited=CREATED_UTC + 5, retrieved_on=RETRIEVED)

        import_dump(dump(*data))

        stored = self.stored()
        assert (stored.score, stored.title, stored.domain) == (50, "A title", "self.python")
        assert (stored.edited, stored.edited_at) == (False, None)
        assert stored.retrieved_at is None

    def test_a_later_dump_counts_more_than_an_earlier_one_in_any_order(self, dump):
        for name, moment in (("a", 2), ("b", 3), ("c", 1)):
            data = posts(1, score=moment, retrieved_on=RETRIEVED + moment)
            import_dump(dump(*data, name=name))

        assert self.stored().score == 3
        assert self.stored().retrieved_at.timestamp() == RETRIEVED + 3

    def test_within_a_file_too(self, dump):
        import_dump(
            dump(
                *posts(1, score=5, retrieved_utc=RETRIEVED + 5), *posts(1, score=4, retrieved_on=4)
            )
        )

        assert self.stored().score == 5

    def test_a_second_retrieval_is_when_the_values_were_read(self, dump):
        import_dump(
            dump(*posts(1, retrieved_on=RETRIEVED, _meta={"retrieved_2nd_on": RETRIEVED + 9}))
        )

        assert self.stored().retrieved_at.timestamp() == RETRIEVED + 9

    def test_reddit_confirms_what_a_dump_told(self, dump):
        path = dump(*posts(1, retrieved_on=RETRIEVED))
        import_dump(path)
        ingest_posts([parse_post(posts(1)[0])])
        import_dump(dump(*posts(1, score=99, retrieved_on=RETRIEVED + 9), name="later"))

        assert self.stored().retrieved_at is None
        assert self.stored().score == 7

    def test_the_same_file_again_writes_no_row_version(self, dump):
        path = dump(*posts(1, 2, retrieved_on=RETRIEVED), CommentData(number=3))
        import_dump(path)
        before = row_versions("scraping_redditpost", "fullname")

        report = import_dump(path, restart=True)

        assert row_versions("scraping_redditpost", "fullname") == before
        assert report.record.unchanged == 3

    @pytest.mark.parametrize("removal", ["deleted", "moderator"])
    def test_what_is_gone_does_not_come_back(self, dump, removal):
        gone = posts(1, removed_by_category=removal, selftext="[removed]", author="[deleted]",
                     without=["author_fullname", "url"])[0]  # fmt: skip
        ingest_posts([parse_post(gone)])
        before = row_versions("scraping_redditpost", "fullname")

        import_dump(dump(*posts(1, retrieved_on=RETRIEVED)))

        assert row_versions("scraping_redditpost", "fullname") == before
        assert self.stored().selftext in ("[deleted]", "[removed]")
        assert self.stored().url is None

    def test_not_even_out_of_a_later_dump(self, dump):
        gone = posts(1, removed_by_category="deleted", selftext="[deleted]", author="[deleted]")
        import_dump(dump(*gone, name="a"))
        import_dump(dump(*posts(1, retrieved_on=RETRIEVED), name="b"))

        assert self.stored().selftext == "[deleted]"

    def test_a_later_dump_tells_that_it_is_gone(self, dump):
        import_dump(dump(*posts(1, retrieved_on=RETRIEVED), name="a"))
        gone = posts(1, removed_by_category="deleted", selftext="[deleted]", author="[deleted]",
                     without=["author_fullname"], retrieved_on=RETRIEVED + 1)  # fmt: skip
        import_dump(dump(*gone, name="b"))

        assert (self.stored().removal, self.stored().author_fullname) == ("deleted", "")

    def test_an_item_that_its_makers_saw_go_is_stored_empty(self, dump):
        report = import_dump(
            dump(
                *posts(1, _meta={"removal_type": "deleted", "was_deleted_later": True}),
                *posts(2, _meta={"was_deleted_later": True}),
                *posts(3, _meta={"removal_type": "moderator", "was_deleted_later": True}),
            )
        )

        assert report.record.deleted == 3
        rows = RedditPost.objects.order_by("fullname")
        assert [row.removal for row in rows] == ["deleted", "deleted", "removed"]
        assert {(row.title, row.url, row.author) for row in rows} == {
            ("[deleted]", None, "[deleted]"),
            ("[removed]", None, "[deleted]"),
        }

    def test_what_moderators_removed_is_kept_where_the_setting_says_so(self, dump, settings):
        settings.REMOVED_CONTENT = "keep"
        report = import_dump(
            dump(
                *posts(1, _meta={"removal_type": "moderator"}),
                *posts(2, _meta={"removal_type": "copyright_takedown"}),
            )
        )

        assert report.record.deleted == 1
        rows = RedditPost.objects.order_by("fullname")
        assert [(row.removal, row.title) for row in rows] == [
            ("removed", "A title"),
            ("removed", "[removed]"),
        ]

    def test_what_was_purged_stays_away(self, dump, monkeypatch):
        monkeypatch.setattr(
            "scraping.intake.purged_fullnames", lambda names: {"t3_zz0001"} & set(names)
        )
        report = import_dump(dump(*posts(1, 2)))

        assert self.stored().fullname == "t3_zz0002"
        assert report.record.deleted == 1

    def test_known_items_after_many_new_ones_are_known(self, dump, small_blocks):
        ingest_posts([parse_post(data) for data in posts(10, 11, 15)])
        before = row_versions("scraping_redditpost", "fullname")

        report = import_dump(dump(*posts(*range(20), without=["domain"])))

        after = row_versions("scraping_redditpost", "fullname")
        assert (report.record.new, report.record.unchanged) == (17, 3)
        assert len(after) == 20
        assert {name: after[name] for name in before} == before

    def test_comments_as_well(self, dump):
        ingest_comments([parse_comment(CommentData(number=1, score=50))])
        import_dump(dump(CommentData(number=1, score=1, retrieved_on=RETRIEVED)))

        assert RedditComment.objects.get().score == 50

    def test_an_old_name_does_not_pass_to_an_old_subreddit(self, dump):
        Subreddit.objects.create(name="python", reddit_id="t5_new")
        import_dump(dump(*posts(1, subreddit_id="t5_old")))

        assert Subreddit.objects.get().reddit_id == "t5_new"
