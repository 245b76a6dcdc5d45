"""Read dumps of Reddit as streams of NDJSON: plain, gzip or zstd, recognised by content, not by name.

The public dumps are zstd files with a window of up to two gigabytes, in one frame or several. Mirrors
offer them as gzip files of several members. Reading takes a few megabytes of memory. A zstd file also
needs its whole window in memory, because its format demands it.
"""

import hashlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import zstandard
from isal import isal_zlib

HEAD_BYTES = 1 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# A frame that decompressors skip: 0x184D2A50 to 0x184D2A5F, little-endian (RFC 8878, 3.1.2).
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
GZIP_MAGIC = b"\x1f\x8b"
MAX_WINDOW = 1 << 31

# Bytes read at a time. A zstd block of a few bytes can expand to 128 KiB, so its input is small.
ZSTD_INPUT = 1 << 13
INPUT = 1 << 18
PIECE = 1 << 20

# Decompressed bytes in a block, unless a single line is longer.
BLOCK_BYTES = 4 << 20
# The longest text of Reddit has 512 kB, and a line has a few texts. A longer line is no item.
MAX_LINE_BYTES = 16 << 20
KEPT_OF_LONG_LINES = 4096


@dataclass(frozen=True, slots=True)
class Sizes:
    """Limits of what is in memory at a time, in bytes of decompressed text."""

    piece: int = field(default_factory=lambda: PIECE)
    block: int = field(default_factory=lambda: BLOCK_BYTES)
    line: int = field(default_factory=lambda: MAX_LINE_BYTES)


class DumpFileError(Exception):
    """The file cannot be read at all; the message names the file and the remedy."""


class DamagedDump(Exception):
    """The file is cut off or damaged from here on; everything before was returned."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """The identity of a file, to tell it from another file of the same name."""

    path: str
    size: int
    head_digest: str


@dataclass(slots=True)
class Block:
    """Some whole lines, in the order of the file, without their line ends."""

    lines: list[bytes]
    first_line: int
    """The number of the first line, counted from 1."""
    end: int
    """Decompressed bytes from the file's beginning to the end of the last line."""
    progress: int
    """Bytes of the file, as it lies on disk, that were read so far."""
    too_long: dict[int, bytes]
    """The beginnings of lines beyond `MAX_LINE_BYTES`, by line number; in `lines` they are empty."""


def identify(path: Path) -> FileIdentity:
    """Identify a file by path, size and a digest of its beginning; raises `DumpFileError`."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            size = stream.seek(0, 2)
    except OSError as error:
        raise _unreadable(path, error) from error
    return FileIdentity(str(path.resolve()), size, hashlib.sha256(head).hexdigest())


def read_blocks(
    path: Path, *, position: int = 0, line: int = 0, sizes: Sizes | None = None
) -> Iterator[Block]:
    """Yield blocks of whole lines from a decompressed position on; `line` lines lie before it.

    Raises `DamagedDump` after the last line that can be read, and `DumpFileError` if the file cannot be
    opened or read. A compressed file is always decompressed from its beginning.
    """
    try:
        with path.open("rb") as stream:
            yield from _Lines(stream, position, line, sizes or Sizes()).blocks()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DumpFileError:
    return DumpFileError(
        f"{path}: {error.strerror or error}. Check the path and the permissions of the file."
    )


class _Lines:
    """Cuts decompressed bytes into blocks of lines."""

    def __init__(self, stream: BinaryIO, position: int, line: int, sizes: Sizes) -> None:
        self._stream = stream
        self._sizes = sizes
        self._skip = position
        self._end = position
        self._line = line
        self._too_long: dict[int, bytes] = {}

    def blocks(self) -> Iterator[Block]:
        damage = None
        pending: list[bytes] = []
        size = 0
        pieces = self._pieces_from_position()
        while True:
            try:
                piece = next(pieces, None)
            except DamagedDump as error:
                damage, piece = error, None
            if piece is None:
                break
            pending.append(piece)
            size += len(piece)
            if size < self._sizes.block or (b"\n" not in piece and size < self._sizes.line):
                continue
            data = b"".join(pending)
            whole = data.rfind(b"\n") + 1
            if whole:
                yield self._block(data[:whole])
                pending, size = [data[whole:]], len(data) - whole
            else:
                rest = yield from self._long_line(data, pieces)
                pending, size = [rest], len(rest)
        last = b"".join(pending)
        if damage:
            # The last line is not whole: it is treated as if it were not there.
            whole = last.rfind(b"\n") + 1
            if whole:
                yield self._block(last[:whole])
            raise damage
        if last:
            yield self._block(last)

    def _block(self, data: bytes) -> Block:
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return self._made(lines, len(data), {})

    def _made(self, lines: list[bytes], size: int, too_long: dict[int, bytes]) -> Block:
        first = self._line + 1
        self._line += len(lines)
        self._end += size
        return Block(lines, first, self._end, self._stream.tell(), too_long)

    def _long_line(self, start: bytes, pieces: Iterator[bytes]) -> Generator[Block, None, bytes]:
        """Skip a line without holding it in memory; returns the bytes that follow it."""
        size = len(start)
        for piece in pieces:
            end = piece.find(b"\n") + 1
            size += end or len(piece)
            if end:
                rest = piece[end:]
                break
        else:
            rest = b""
        kept = {self._line + 1: start[:KEPT_OF_LONG_LINES]}
        yield self._made([b""], size, kept)
        return rest

    def _pieces_from_position(self) -> Iterator[bytes]:
        head = self._stream.read(4)
        self._stream.seek(0)
        if head == ZSTD_MAGIC or head[1:] == ZSTD_SKIPPABLE:
            pieces = _unzstd(self._stream)
        elif head[:2] == GZIP_MAGIC:
            pieces = _gunzip(self._stream, self._sizes.piece)
        else:
            self._stream.seek(self._skip)
            yield from iter(lambda: self._stream.read(self._sizes.piece), b"")
            return
        skip = self._skip
        for piece in _ahead(pieces):
            if skip >= len(piece):
                skip -= len(piece)
            else:
                yield piece[skip:]
                skip = 0


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same pieces, but decompress the next piece in a thread while the caller works."""
    with ThreadPoolExecutor(1, thread_name_prefix="decompressor") as pool:
        future = pool.submit(next, pieces, None)
        while (piece := future.result()) is not None:
            future = pool.submit(next, pieces, None)
            yield piece


def _gunzip(stream: BinaryIO, size: int) -> Iterator[bytes]:
    data = stream.read(INPUT)
    while data:
        member = isal_zlib.decompressobj(wbits=31)
        is_over = False
        while not is_over:
            if not data:
                raise DamagedDump("the gzip file is cut off")
            try:
                piece = member.decompress(data, size)
            # isal's annotation takes the class for an instance.
            except isal_zlib.error as error:  # type: ignore[misc]
                raise DamagedDump(f"the gzip file is damaged: {error}") from error
            if piece:
                yield piece
            is_over = member.eof
            data = member.unconsumed_tail or (b"" if is_over else stream.read(INPUT))
        # Another member may follow, or zeros that fill a block of a tape.
        data = member.unused_data.lstrip(b"\0")
        while not data and (more := stream.read(INPUT)):
            data = more.lstrip(b"\0")


def _unzstd(stream: BinaryIO) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    data = stream.read(ZSTD_INPUT)
    while data:
        frame = decompressor.decompressobj()
        is_over = False
        while not is_over:
            if not data:
                raise DamagedDump("the zstd file is cut off in the middle of a frame")
            try:
                piece = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise DamagedDump(f"the zstd file is damaged: {error}") from error
            if piece:
                yield piece
            is_over = frame.eof
            data = b"" if is_over else stream.read(ZSTD_INPUT)
        data = frame.unused_data or stream.read(ZSTD_INPUT)
