"""Dumps come in whole and once; their gaps are closed by the operator's word."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from scraping.dumps.importer import ImportConflict, import_dump
from scraping.dumps.lines import Filters
from scraping.models import DumpImport, Gap, RedditPost, Stream, Subreddit
from tests.factories import CREATED_UTC, PostData
from tests.processes import wait_until
from tests.scraping.dump_samples import command, ndjson, posts, readers, zstd

pytestmark = pytest.mark.django_db


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
        assert "closed 1 gap." in output.replace("\n", " ")
        assert "closed a part of 1 gap." in output.replace("\n", " ")

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
        assert "1 line was rejected" in output.replace("\n", " ")

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
