"""The process that reads a dump for `import_dump`: it decompresses, parses and packs.

One process keeps PostgreSQL busy while the reader prepares the next batch. The reader is Python with
only the modules that it needs, without Django and without a database connection. It receives its order
on standard input. Standard input stays open as long as the importing process lives, and the reader ends
when it closes. The reader answers through a pipe; a full pipe makes it wait until the importing process
takes its answers.
"""

import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scraping.content.binary_copy import CopyFormat
from scraping.dumps.files import Block, DamagedDump, DumpFileError, Sizes, read_blocks
from scraping.dumps.lines import Filters, LineReader, Reading

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = "from scraping.dumps.reader_process import answer; answer({})"


class ReaderFailed(Exception):
    """The reader process ended before the file did; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order of the reader process: what to read, and from where.

    `position` is the decompressed position to start at, and `line` lines lie before it.
    """

    path: Path
    filters: Filters
    post_types: dict[str, str]
    comment_types: dict[str, str]
    position: int = 0
    line: int = 0
    encoded: int = 0
    plain: int = 0
    purge_removed: bool = True
    sizes: Sizes = field(default_factory=Sizes)
    log_level: int = logging.WARNING


@dataclass(slots=True)
class Batch:
    """The result of reading a block of lines."""

    reading: Reading
    lines: int
    end: int
    """Decompressed bytes from the file's beginning to the end of the last line."""
    progress: int
    """Bytes of the file, as it lies on disk, that were read so far."""


class DumpReader:
    """Yields batches that another process makes; leaving the context ends the process."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._lines = order.line

    def __enter__(self) -> Self:
        receiving, sending = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(sending)],
                stdin=subprocess.PIPE,
                pass_fds=[sending],
                cwd=_ROOT,
            )
        except BaseException:
            os.close(receiving)
            raise
        finally:
            os.close(sending)
        self._stream = os.fdopen(receiving, "rb")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dump-receiver")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        # The receiving thread sees the end of the pipe and stops.
        self._pool.shutdown()
        self._stream.close()
        with suppress(BrokenPipeError):
            self._input.close()

    def begin(self) -> None:
        """Send the order to the reader process."""
        try:
            pickle.dump(self._order, self._input)
            self._input.flush()
        except BrokenPipeError as error:
            raise self._failure() from error

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; raises the errors of `read_blocks`, and `ReaderFailed`."""
        self.begin()
        future = self._pool.submit(pickle.load, self._stream)
        while True:
            try:
                answer = future.result()
            except (EOFError, pickle.UnpicklingError) as error:
                raise self._failure() from error
            if answer is None:
                return
            if isinstance(answer, Exception):
                raise answer
            self._lines += answer.lines
            future = self._pool.submit(pickle.load, self._stream)
            yield answer

    @property
    def pid(self) -> int:
        """The id of the reader process."""
        return self._process.pid

    @property
    def _input(self) -> Any:
        return self._process.stdin

    def _failure(self) -> ReaderFailed:
        status = self._process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return ReaderFailed(
            f"{self._order.path}: the process that reads the file {how} after line {self._lines:,}. Stored "
            "items stay. Run the same command again to continue the import."
        )


def answer(sending: int) -> None:
    """Carry out the order on standard input, in a process that does nothing else."""
    # At Ctrl-C the importing process decides when to end, and this process ends with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A batch's items have no reference cycles, which the collector would look for again and again.
    gc.disable()
    order = pickle.load(sys.stdin.buffer)  # noqa: S301  (of the process that started this one)
    logging.basicConfig(level=order.log_level, format="%(levelname)s %(name)s: %(message)s")
    threading.Thread(target=_end_with_the_importer, daemon=True).start()
    try:
        with os.fdopen(sending, "wb") as stream:
            for message in _answers(order):
                pickle.dump(message, stream, pickle.HIGHEST_PROTOCOL)
                stream.flush()
    except BrokenPipeError:
        return


def _end_with_the_importer() -> None:
    # Do not read sys.stdin: this thread would still hold its lock when the process ends normally.
    os.read(0, 1)
    os._exit(1)


def _answers(order: Order) -> Iterator[Batch | Exception | None]:
    line = order.line
    try:
        for batch in read_batches(order):
            line += batch.lines
            yield batch
            del batch
            gc.collect(0)
    except (DamagedDump, DumpFileError) as error:
        yield error
    except Exception:  # noqa: BLE001  (told where it can be seen)
        yield ReaderFailed(
            f"{order.path}: reading from line {line + 1:,} failed. The items before it are stored.\n"
            f"{traceback.format_exc()}"
        )
    else:
        yield None


def read_batches(order: Order) -> Iterator[Batch]:
    """Read in this process; raises the errors of `read_blocks`."""
    lines = LineReader(
        order.filters,
        posts=CopyFormat(order.post_types),
        comments=CopyFormat(order.comment_types),
        encoded=order.encoded,
        plain=order.plain,
        purge_removed=order.purge_removed,
    )
    for block in read_blocks(
        order.path, position=order.position, line=order.line, sizes=order.sizes
    ):
        yield Batch(_read(lines, block), len(block.lines), block.end, block.progress)


def _read(lines: LineReader, block: Block) -> Reading:
    reading = lines.read(block.lines, first_line=block.first_line)
    reading.rejects += [
        (number, "longer than any item", start) for number, start in block.too_long.items()
    ]
    return reading
