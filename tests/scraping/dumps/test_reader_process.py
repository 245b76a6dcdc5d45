"""The process that reads for an import: its end is told, and it ends with the importer."""

import os
import signal

import psutil
import pytest

from scraping.content.upsert import COMMENTS, POSTS
from scraping.dumps import files
from scraping.dumps.importer import import_dump
from scraping.dumps.lines import Filters
from scraping.dumps.reader_process import DumpReader, Order, ReaderFailed
from scraping.models import DumpImport, RedditComment, RedditPost
from tests.factories import CommentData
from tests.processes import wait_until
from tests.scraping.dump_samples import command, posts, readers

pytestmark = pytest.mark.django_db


class TestTheReadingProcess:
    @pytest.fixture
    def long_dump(self, dump, monkeypatch):
        """More lines than what lies ready between the two processes."""
        monkeypatch.setattr(files, "BLOCK_BYTES", 20_000)
        monkeypatch.setattr(files, "PIECE", 10_000)
        return dump(*posts(*range(3000)))

    @pytest.mark.slow
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
        assert "reader_process.py" not in importer.output.partition("Traceback")[0]
        report = import_dump(path)
        assert RedditPost.objects.count() == 9999 == RedditComment.objects.count()
        assert report.record.new == 19_998


def is_alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
