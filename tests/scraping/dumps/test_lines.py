"""What the lines of dumps hold, and the ways in which their texts are written."""

import json

import pytest

from scraping.dumps.importer import import_dump
from scraping.models import DumpImport, RedditComment, RedditPost
from tests.factories import CREATED_UTC, CommentData, PostData
from tests.scraping.dump_samples import command, ndjson, posts

pytestmark = pytest.mark.django_db


class TestLines:
    def test_bad_lines_are_kept_apart_with_their_reasons(self, dump, small_blocks):
        path = dump(
            *posts(1), b"{broken", b"[1]", b"", b'{"body": "no id"}', b'{"a": 1}', b"\xff\xfe",
            *posts(2),
        )  # fmt: skip

        code, output = command(path)

        rejects = [
            json.loads(line) for line in (path.parent / f"{path.name}.rejects.ndjson").open()
        ]
        assert code == 0
        assert [reject["line"] for reject in rejects] == [2, 3, 5, 6, 7]
        assert all(reject["reason"] for reject in rejects)
        assert rejects[0]["text"] == "{broken"
        assert RedditPost.objects.count() == 2
        assert DumpImport.objects.get().rejected == 5
        assert "rejects.ndjson" in output.replace("\n", "")

    def test_a_reject_file_that_cannot_be_written_stops_nothing(self, dump):
        path = dump(*posts(1), b"broken", *posts(2))
        path.with_name(f"{path.name}.rejects.ndjson").mkdir()

        code, output = command(path)

        assert code == 0
        assert RedditPost.objects.count() == 2
        assert "only counts rejected lines" in " ".join(output.split())

    def test_a_reason_that_quotes_what_cannot_be_written_is_written(self, dump):
        line = json.dumps(PostData(number=1, created_utc="\ud83d")).encode()
        report = import_dump(dump(line))

        assert "created_utc" in json.loads(report.rejects.read_text())["reason"]

    def test_what_is_rejected_is_cut_to_a_sane_length(self, dump):
        report = import_dump(dump(b'{"x": "' + b"y" * 100_000))

        assert len(report.rejects.read_bytes()) < 5000

    def test_comments_without_a_name_and_times_as_text_are_taken(self, dump):
        comment = CommentData(number=1, created_utc=str(CREATED_UTC))
        del comment["name"]
        import_dump(dump(comment, *posts(2, without=["name"], created_utc=str(CREATED_UTC))))

        assert RedditComment.objects.get().fullname == "t1_yy0001"
        assert RedditPost.objects.get().created_at.timestamp() == CREATED_UTC

    def test_an_item_whose_name_is_null_is_known_by_its_id(self, dump):
        comment = CommentData(number=1, name=None)
        import_dump(dump(comment, *posts(2, name=None)))

        assert RedditComment.objects.get().fullname == "t1_yy0001"
        assert RedditPost.objects.get().fullname == "t3_zz0002"

    def test_unicode_comes_as_it_is_and_what_postgresql_refuses_is_replaced(self, dump):
        title = "Grüße 👩‍👩‍👧 \u202e\u2028 \\N \\. \t"
        data = PostData(number=1, title=title, selftext="a\0b")
        odd = json.dumps(data).replace('"A', '"\\ud800 A')
        nan = json.dumps(PostData(number=2, upvote_ratio=float("nan"), selftext="\ud83d"))
        import_dump(dump(odd.encode(), nan.encode()))

        first, second = RedditPost.objects.order_by("fullname")
        assert first.title == title
        assert first.selftext == "a\ufffdb"
        assert (second.upvote_ratio, second.selftext) == (None, "\ufffd")

    def test_a_byte_order_mark_and_carriage_returns_do_no_harm(self, dump):
        data = b"\xef\xbb\xbf" + ndjson(*posts(1, 2)).replace(b"\n", b"\r\n")
        report = import_dump(dump(data=data))

        assert (report.record.posts, report.record.rejected) == (2, 0)


class TestEntities:
    def test_texts_of_a_file_with_entities_alone_are_decoded(self, dump):
        import_dump(
            dump(
                *posts(1, title="&lt;b&gt; &amp;quot;", url="https://x.org/?a=1&amp;b=2"),
                *posts(2, title="a &amp; b", gallery_data={"items": [{"caption": "you &amp; me"}]}),
                CommentData(number=3, body="&gt; quoted"),
            )
        )

        first, second = RedditPost.objects.order_by("fullname")
        # What an author wrote as an entity stays one.
        assert first.title == "<b> &quot;"
        assert second.extra == {"gallery_data": {"items": [{"caption": "you & me"}]}}
        assert first.url == "https://x.org/?a=1&b=2"
        assert RedditComment.objects.get().body == "> quoted"

    def test_texts_of_a_file_with_bare_characters_are_not(self, dump):
        import_dump(
            dump(
                *posts(1, url="https://x.org/?a=1&b=2"), *posts(2, title="1 < 2"),
                *posts(3, title="How do I write &amp; in HTML?"),
            )
        )  # fmt: skip

        assert RedditPost.objects.get(fullname="t3_zz0003").title == "How do I write &amp; in HTML?"

    def test_a_mixed_file_is_decoded_line_by_line(self, dump):
        encoded = posts(*range(5), title="a &amp; b")
        import_dump(dump(*encoded, *posts(9, title="<b> is &lt;b&gt;")))

        titles = set(RedditPost.objects.values_list("title", flat=True))
        assert titles == {"a & b", "<b> is &lt;b&gt;"}

    @pytest.mark.parametrize(
        ("first", "others", "is_decoded"),
        [
            ("a &amp; b", ["1 < 2"] * 150, False),
            ("1 < 2", ["a &amp; b"] * 150, True),
        ],
    )
    def test_what_the_whole_batch_shows_decides_for_its_first_lines_too(
        self, dump, first, others, is_decoded
    ):
        titles = [first, *others, "c &amp; d"]
        lines = [PostData(number=number, title=title) for number, title in enumerate(titles)]
        import_dump(dump(*lines))

        stored = [*RedditPost.objects.order_by("created_at").values_list("title", flat=True)]
        assert stored == [title.replace("&amp;", "&") if is_decoded else title for title in titles]
