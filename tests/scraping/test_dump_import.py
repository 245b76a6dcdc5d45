"""Dumps come in whole, once, and never over what is better known."""

import gzip
import io
import json
import os
import signal
from datetime import UTC, datetime, timedelta

import psutil
import pytest
import zstandard
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from scraping import dump_files
from scraping.dump_files import DamagedDump, DumpFileError, read_blocks
from scraping.dump_import import ImportConflict, import_dump
from scraping.dump_lines import Filters
from scraping.dump_reader import DumpReader, Order, ReaderFailed
from scraping.ingest import COMMENTS, POSTS, ingest_comments, ingest_posts
from scraping.models import DumpImport, Gap, RedditComment, RedditPost, Stream, Subreddit
from scraping.reddit.parse import parse_comment, parse_post
from tests.database import row_versions
from tests.factories import CREATED_UTC, CommentData, PostData
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

RETRIEVED = CREATED_UTC + 100_000


def ndjson(*items):
    return b"".join(
        (item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in items
    )


def posts(*numbers, without=(), **changes):
    made = [PostData(number=number, **changes) for number in numbers]
    return [{key: value for key, value in data.items() if key not in without} for data in made]


@pytest.fixture
def dump(tmp_path):
    """Writes a dump of the given lines, each an object or bytes; returns its path."""

    def write(*items, name="RS_2026-01", data=None):
        path = tmp_path / name
        path.write_bytes(ndjson(*items) if data is None else data)
        return path

    return write


@pytest.fixture
def small_blocks(monkeypatch):
    """A block of a line or two, so that a file of some lines has many batches."""
    monkeypatch.setattr(dump_files, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(dump_files, "PIECE", 100)


def command(*arguments):
    """The exit code of the command and what it printed."""
    output, errors = io.StringIO(), io.StringIO()
    try:
        call_command("import_dump", *map(str, arguments), stdout=output, stderr=errors)
    except SystemExit as end:
        return end.code, output.getvalue() + errors.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, output.getvalue() + errors.getvalue()


def zstd(data, window_log=None):
    if window_log is None:
        return zstandard.compress(data)
    parameters = zstandard.ZstdCompressionParameters(
        window_log=window_log, enable_ldm=True, compression_level=1
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(data) + compressor.flush()


SKIPPABLE = b"\x5a\x2a\x4d\x18\x04\x00\x00\x00skip"
FORMS = {
    "plain": lambda first, second: first + second,
    "gzip": lambda first, second: gzip.compress(first + second),
    "gzip, two members": lambda first, second: gzip.compress(first) + gzip.compress(second),
    "gzip, padded": lambda first, second: gzip.compress(first + second) + bytes(700_000),
    "zstd": lambda first, second: zstd(first + second),
    "zstd, two frames": lambda first, second: zstd(first) + SKIPPABLE + zstd(second),
    "zstd, skippable frame first": lambda first, second: SKIPPABLE + zstd(first + second),
    "zstd, window of 2 GiB": lambda first, second: zstd(first + second, window_log=31),
}


class TestFiles:
    @pytest.mark.parametrize("form", FORMS)
    def test_any_form_is_told_by_its_content(self, dump, form):
        first, second = ndjson(*posts(1, 2)), ndjson(*posts(3), CommentData(number=4))
        # Cut within a line: members and frames know nothing of lines.
        data = FORMS[form](first[:-20], first[-20:] + second)

        report = import_dump(dump(data=data, name="dump.txt"))

        assert (report.record.posts, report.record.comments, report.damage) == (3, 1, "")
        assert (RedditPost.objects.count(), RedditComment.objects.count()) == (3, 1)

    @given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30),
           st.booleans(), st.integers(1, 200), st.integers(1, 60), st.data())  # fmt: skip
    def test_lines_come_as_they_are_from_any_position(
        self, tmp_path_factory, lines, ended, block, piece, data
    ):
        text = b"\n".join(lines) + (b"\n" if ended and lines else b"")
        expected = text.split(b"\n")[:-1] if text.endswith(b"\n") else text.split(b"\n")
        expected = expected if text else []
        path = tmp_path_factory.mktemp("dump") / "dump"
        path.write_bytes(data.draw(st.sampled_from([bytes, gzip.compress, zstd]))(text))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dump_files, "BLOCK_BYTES", block)
            patch.setattr(dump_files, "PIECE", piece)
            blocks = list(read_blocks(path))
            assert [line for block in blocks for line in block.lines] == expected
            if blocks:
                cut = data.draw(st.sampled_from(blocks))
                done = cut.first_line + len(cut.lines) - 1
                rest = list(read_blocks(path, position=cut.end, line=done))
                assert [line for block in rest for line in block.lines] == expected[done:]
                assert all(block.first_line > done for block in rest)

    @pytest.mark.parametrize("compress", [gzip.compress, zstd])
    @pytest.mark.parametrize("cut", [1, 100, 2000])
    def test_a_file_that_is_cut_off_says_so_and_keeps_what_was_read(
        self, dump, compress, cut, monkeypatch
    ):
        monkeypatch.setattr(dump_files, "BLOCK_BYTES", 10_000)
        lines = [
            PostData(number=number, selftext=f"{number * 7919 % 9973}" * 9)
            for number in range(3000)
        ]
        path = dump(data=compress(ndjson(*lines))[:-cut], name="dump")

        code, output = command(path)

        stored = RedditPost.objects.count()
        record = DumpImport.objects.get()
        assert code == 1
        assert "cut off" in output
        assert record.state == "truncated"
        assert 0 < stored == record.lines <= 3000

    def test_damage_in_the_middle_is_told(self, dump):
        data = bytearray(gzip.compress(ndjson(*posts(*range(300)))))
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        with pytest.raises(DamagedDump, match=r"damaged|cut off"):
            list(read_blocks(dump(data=bytes(data))))

    def test_a_line_beyond_all_measure_costs_itself(self, dump, monkeypatch):
        monkeypatch.setattr(dump_files, "MAX_LINE_BYTES", 5000)
        monkeypatch.setattr(dump_files, "BLOCK_BYTES", 1000)
        monkeypatch.setattr(dump_files, "PIECE", 700)
        long = json.dumps(posts(2, selftext="x" * 40_000)[0]).encode()
        path = dump(*posts(1), long, *posts(3))

        report = import_dump(path)

        assert set(RedditPost.objects.values_list("fullname", flat=True)) == {
            "t3_zz0001",
            "t3_zz0003",
        }
        reject = json.loads(report.rejects.read_text())
        assert reject["line"] == 2
        assert "longer" in reject["reason"]

    def test_a_folder_cannot_be_read(self, tmp_path):
        with pytest.raises(DumpFileError, match="Check the path"):
            import_dump(tmp_path)


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
        assert "only counted" in " ".join(output.split())

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


class TestFilters:
    def test_subreddits_in_any_case(self, dump):
        path = dump(*posts(1, subreddit="Python"), *posts(2, subreddit="django"))

        assert command(path, "--subreddit", "pYTHON")[0] == 0
        assert RedditPost.objects.get().fullname == "t3_zz0001"
        assert DumpImport.objects.get().filtered == 1

    def test_times(self, dump):
        path = dump(*posts(0, 3600, 7200))
        start = datetime.fromtimestamp(CREATED_UTC, UTC)

        command(
            path,
            *("--since", (start + timedelta(hours=1)).isoformat()),
            *("--until", (start + timedelta(hours=2)).isoformat()),
        )

        assert RedditPost.objects.get().fullname == "t3_zz3600"

    def test_another_choice_of_the_same_file_is_another_import(self, dump):
        path = dump(*posts(1, subreddit="python"), *posts(2, subreddit="django"))
        command(path, "--subreddit", "python")
        command(path, "--subreddit", "django")

        assert RedditPost.objects.count() == 2
        assert DumpImport.objects.count() == 2


class TestTheCommand:
    def test_a_dry_run_stores_nothing(self, dump):
        path = dump(*posts(1, 2), b"broken")

        code, output = command(path, "--dry-run")

        assert code == 0
        assert "nothing was stored" in output
        assert not RedditPost.objects.exists()
        assert not DumpImport.objects.exists()
        assert not Subreddit.objects.exists()
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_a_finished_import_is_not_done_again_unless_asked(self, dump):
        path = dump(*posts(1, 2))
        command(path)
        RedditPost.objects.all().delete()

        assert "was imported before" in " ".join(command(path)[1].split())
        assert RedditPost.objects.count() == 0
        assert command(path, "--restart")[0] == 0
        assert RedditPost.objects.count() == 2

    @pytest.mark.parametrize(
        "arguments",
        [["nowhere"], ["{}", "--since", "yesterday"], ["{}", "--subreddit", "not a name"],
         ["{}", "--since", "2020-02-01", "--until", "2020-01-01"],
         ["{}", "--complete", "2020-02-01", "2020-01-01"]],
    )  # fmt: skip
    def test_bad_arguments_are_told(self, dump, arguments):
        path = str(dump(*posts(1)))
        try:
            code, _ = command(*[argument.replace("{}", path) for argument in arguments])
        except SystemExit as end:
            code = end.code
        assert code in (1, 2)
        assert not RedditPost.objects.exists()

    def test_two_at_once_do_not_count_twice(self, dump, small_blocks):
        path = dump(*posts(*range(20)))

        def interfere(record, progress):
            DumpImport.objects.update(position=1)

        with pytest.raises(ImportConflict, match="another process"):
            import_dump(path, on_progress=interfere)


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

    def test_an_item_whose_makers_saw_its_author_delete_it_is_not_stored(self, dump):
        report = import_dump(
            dump(
                *posts(1, _meta={"removal_type": "deleted", "was_deleted_later": True}),
                *posts(2, _meta={"was_deleted_later": True}),
                *posts(3, _meta={"removal_type": "moderator", "was_deleted_later": True}),
            )
        )

        assert report.record.withheld == 2
        assert (self.stored().fullname, self.stored().removal) == ("t3_zz0003", "removed")

    def test_what_was_purged_stays_away(self, dump, monkeypatch):
        monkeypatch.setattr(
            "scraping.dump_import.purged_fullnames", lambda names: {"t3_zz0001"} & set(names)
        )
        report = import_dump(dump(*posts(1, 2)))

        assert self.stored().fullname == "t3_zz0002"
        assert report.record.withheld == 1

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


class TestGaps:
    DAY = datetime(2026, 1, 15, tzinfo=UTC)

    @pytest.fixture
    def gap(self):
        def make(name="python", kind="posts", hour=10):
            subreddit = Subreddit.objects.get_or_create(name=name)[0]
            stream = Stream.objects.get_or_create(subreddit=subreddit, kind=kind)[0]
            starts_at = self.DAY + timedelta(hours=hour)
            return Gap.objects.create(
                stream=stream, starts_at=starts_at, ends_at=starts_at + timedelta(hours=4),
                reason="listing_cap",
            )  # fmt: skip

        return make

    def closed(self):
        return set(Gap.objects.exclude(closed_at=None).values_list("pk", flat=True))

    def test_none_is_closed_without_the_operators_word(self, dump, gap):
        gap()
        import_dump(dump(*posts(1)))

        assert self.closed() == set()

    def test_what_the_declared_span_holds_is_closed(self, dump, gap):
        covered = gap("Python")
        later = gap("Python", hour=22)
        gap("Python", kind="comments")
        gap("django")
        path = dump(*posts(1))

        code, output = command(path, "--complete", "2026-01-15", "2026-01-16")

        assert code == 0
        by_start = {gap.starts_at: gap for gap in Gap.objects.exclude(closed_at=None)}
        assert set(by_start) == {covered.starts_at, later.starts_at}
        assert by_start[covered.starts_at].pk == covered.pk
        assert path.name in by_start[covered.starts_at].closed_by
        later.refresh_from_db()
        midnight = self.DAY + timedelta(days=1)
        assert (later.starts_at, later.closed_at) == (midnight, None)
        assert by_start[midnight - timedelta(hours=2)].ends_at == midnight
        assert "closed 1 gaps" in output.replace("\n", " ")
        assert "closed a part of 1 gaps" in output.replace("\n", " ")

    def test_a_named_subreddit_may_be_silent(self, dump, gap):
        silent = gap("django")
        import_dump(
            dump(*posts(1)), filters=Filters(frozenset({"python", "django"})),
            complete=(self.DAY, self.DAY + timedelta(days=1)),
        )  # fmt: skip

        assert self.closed() == {silent.pk}

    def test_rejected_lines_may_hold_what_is_missing(self, dump, gap):
        gap()
        _, output = command(dump(*posts(1), b"broken"), "--complete", "2026-01-15", "2026-01-16")

        assert self.closed() == set()
        assert "1 lines were rejected" in output.replace("\n", " ")

    def test_times_that_were_left_out_are_not_covered(self, dump, gap):
        gap(hour=6)
        import_dump(
            dump(*posts(1)), filters=Filters(since=self.DAY + timedelta(hours=11)),
            complete=(self.DAY, self.DAY + timedelta(days=1)),
        )  # fmt: skip

        assert self.closed() == set()

    def test_a_file_that_is_cut_off_closes_none(self, dump, gap):
        gap()
        path = dump(data=gzip.compress(ndjson(*posts(*range(300))))[:-8])
        import_dump(path, complete=(self.DAY, self.DAY + timedelta(days=1)))

        assert self.closed() == set()


@pytest.mark.slow
@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
def test_a_killed_import_goes_on_and_stores_everything_once(processes, dump, compress):
    lines = [PostData(number=number, title=f"Post {number}") for number in range(30_000)]
    for number in range(0, 30_000, 1000):
        lines[number] = b"broken %d" % number
    path = dump(data=compress(ndjson(*lines)), name="dump")

    process = processes.start("-m", "django", "import_dump", str(path))
    wait_until(lambda: DumpImport.objects.filter(position__gt=0).exists(), what="a first commit")
    process.kill()
    halfway = DumpImport.objects.get()
    stored = RedditPost.objects.count()

    assert halfway.state == "running"
    assert 0 < stored == halfway.new < 29_970
    report = import_dump(path)

    assert report.damage == ""
    assert RedditPost.objects.count() == 29_970 == report.record.new
    assert report.record.lines == 30_000
    assert (report.record.unchanged, report.record.updated) == (0, 0)
    rejects = [json.loads(line)["line"] for line in report.rejects.open()]
    assert rejects == list(range(1, 30_000, 1000))


def test_a_batch_that_fails_leaves_nothing_and_goes_on_later(dump, small_blocks, monkeypatch):
    path = dump(*posts(*range(20)), b"broken", *posts(*range(20, 40)), b"broken too")
    seen = []

    def stop(record, progress):
        seen.append(RedditPost.objects.count())
        if len(seen) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dump(path, on_progress=stop)
    # As if it had been killed after it wrote a reject and before its commit.
    rejects = path.with_name(f"{path.name}.rejects.ndjson")
    if rejects.exists():
        with rejects.open("ab") as stream:
            stream.write(b'{"line": 0}\n')
    before = seen[-1]
    report = import_dump(path)

    assert 0 < before < 40 == RedditPost.objects.count()
    assert report.record.new == 40
    assert [json.loads(line)["line"] for line in rejects.open()] == [21, 42]
    assert readers(psutil.Process()) == []


def readers(process):
    """The processes that read for this one."""
    return [
        child
        for child in process.children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "dump_reader" in " ".join(child.cmdline())
    ]


class TestTheReadingProcess:
    @pytest.fixture
    def long_dump(self, dump, monkeypatch):
        """More lines than what lies ready between the two processes."""
        monkeypatch.setattr(dump_files, "BLOCK_BYTES", 20_000)
        monkeypatch.setattr(dump_files, "PIECE", 10_000)
        return dump(*posts(*range(3000)))

    def test_one_that_is_killed_is_told_and_the_import_goes_on_later(self, long_dump):
        def kill(record, progress):
            for reader in readers(psutil.Process()):
                reader.kill()

        with pytest.raises(ReaderFailed, match=r"killed by signal 9 after line \d+") as failure:
            import_dump(long_dump, on_progress=kill)
        halfway = DumpImport.objects.get()

        assert f"after line {halfway.lines:,}." in str(failure.value)
        assert 0 < halfway.lines == RedditPost.objects.count() < 3000
        report = import_dump(long_dump)
        assert RedditPost.objects.count() == report.record.new == report.record.lines == 3000

    def test_the_command_says_so(self, long_dump, monkeypatch):
        monkeypatch.setattr("sys.executable", "/bin/false")

        code, output = command(long_dump)

        assert code == 1
        assert "ended with status 1 after line 0" in " ".join(output.split())

    def test_its_faults_arrive_with_the_line(self, long_dump):
        types = {name: kind for name, kind in POSTS.types.items() if name != "title"}
        order = Order(long_dump, Filters(), types, COMMENTS.types, line=41)

        with (
            pytest.raises(ReaderFailed, match=r"(?s)from line 42 .*KeyError: 'title'"),
            DumpReader(order) as batches,
        ):
            list(batches)

    def test_it_ends_with_whoever_started_it_even_while_it_has_nothing_to_send(self, tmp_path):
        os.mkfifo(tmp_path / "silent")
        order = Order(tmp_path / "silent", Filters(), POSTS.types, COMMENTS.types)
        with DumpReader(order) as batches:
            batches.begin()
            reader = psutil.Process(batches.pid)
            batches._input.close()
            assert reader.wait(20) != -signal.SIGKILL

    @pytest.mark.slow
    @pytest.mark.parametrize("end", ["SIGKILL to the importer alone", "Ctrl-C"])
    def test_none_is_left_by_an_importer_that_ends(self, processes, dump, end):
        path = dump(*posts(*range(9999)), *[CommentData(number=n) for n in range(9999)])
        importer = processes.start("-m", "django", "import_dump", str(path))
        wait_until(lambda: DumpImport.objects.filter(position__gt=0).exists(), what="a commit")
        left = readers(psutil.Process(importer.pid))
        if end == "Ctrl-C":
            os.killpg(importer.pid, signal.SIGINT)
        else:
            importer.send(signal.SIGKILL)

        assert importer.wait() != 0
        wait_until(lambda: not any(map(is_alive, left)), what="the end of the reader")
        assert "dump_reader.py" not in importer.output.partition("Traceback")[0]
        report = import_dump(path)
        assert RedditPost.objects.count() == 9999 == RedditComment.objects.count()
        assert report.record.new == 19_998


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
