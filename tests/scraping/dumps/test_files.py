"""A dump is told by its content, read from any position, and says where it is damaged."""

import gzip
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scraping.dumps import files
from scraping.dumps.files import DamagedDump, DumpFileError, read_blocks
from scraping.dumps.importer import import_dump
from scraping.models import DumpImport, RedditComment, RedditPost
from tests.factories import CommentData, PostData
from tests.scraping.dump_samples import command, ndjson, posts, zstd

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


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
        # A file that begins like a compressed one is read as one.
        assume(not text.startswith((files.ZSTD_MAGIC, files.GZIP_MAGIC)))
        assume(text[1:4] != files.ZSTD_SKIPPABLE)
        expected = text.split(b"\n")[:-1] if text.endswith(b"\n") else text.split(b"\n")
        expected = expected if text else []
        path = tmp_path_factory.mktemp("dump") / "dump"
        path.write_bytes(data.draw(st.sampled_from([bytes, gzip.compress, zstd]))(text))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "BLOCK_BYTES", block)
            patch.setattr(files, "PIECE", piece)
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
        monkeypatch.setattr(files, "BLOCK_BYTES", 10_000)
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
        monkeypatch.setattr(files, "MAX_LINE_BYTES", 5000)
        monkeypatch.setattr(files, "BLOCK_BYTES", 1000)
        monkeypatch.setattr(files, "PIECE", 700)
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
