"""Import dumps batch by batch; each batch is committed together with the position in the file.

After a kill, the import continues with the line after the last committed line. While a batch is stored,
another process reads and parses the next batch, so that neither waits for the other. Memory holds three
batches, whatever the file's length.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scraping import intake
from scraping.content.rows import PackedItems
from scraping.content.upsert import COMMENTS, POSTS, Table
from scraping.coverage import gaps
from scraping.dumps.files import DamagedDump, FileIdentity, identify
from scraping.dumps.lines import Filters, Reading
from scraping.dumps.reader_process import Batch, DumpReader, Order
from scraping.models import DumpImport, Gap, Stream
from scraping.reddit.fields import clean_text

logger = logging.getLogger(__name__)

KEPT_OF_REJECTED_LINES = 4096

OnProgress = Callable[[DumpImport, int], None]


class ImportConflict(Exception):
    """Another process imports the same file."""


@dataclass(slots=True)
class ImportReport:
    """How an import ended. `record` is not saved after a dry run."""

    record: DumpImport
    rejects: Path
    damage: str = ""
    rejects_fault: str = ""
    """Why rejected lines could not be written and were only counted."""
    was_finished: bool = False
    """The file had been imported before, so nothing was read."""
    closed: gaps.ClosedGaps = field(default_factory=gaps.ClosedGaps)
    """The parts of open gaps that the import closed."""
    gaps_left: str = ""
    """Why gaps in the declared span stay open."""


def import_dump(
    path: Path,
    *,
    filters: Filters = Filters(),  # noqa: B008  (frozen)
    complete: tuple[datetime, datetime] | None = None,
    dry_run: bool = False,
    restart: bool = False,
    on_progress: OnProgress = lambda record, progress: None,
) -> ImportReport:
    """Import one file. Continue where an earlier import of the file stopped, unless `restart`.

    `complete` is a declaration by the operator: the file holds every item of its subreddits and kind
    from the first moment to the second. It closes gaps, see `close_gaps`. `on_progress` is called after
    each batch, with the bytes of the file that are read. Raises `DumpFileError` for a file that cannot
    be read, `ReaderFailed` and `ImportConflict`. Damage to the file is in the report.
    """
    identity = identify(path)
    record = _record(identity, filters, dry_run=dry_run, restart=restart)
    report = ImportReport(record, _rejects_path(path))
    if record.state == DumpImport.State.FINISHED:
        report.was_finished = True
    else:
        writer = _DryRun(record) if dry_run else _Writer(record, report.rejects)
        try:
            with DumpReader(_order(record, filters)) as batches:
                for batch in batches:
                    writer.store(batch)
                    on_progress(record, batch.progress)
        except DamagedDump as damage:
            report.damage = str(damage)
        finally:
            writer.close()
        report.rejects_fault = writer.rejects_fault
        if not dry_run:
            _end(record, damaged=bool(report.damage))
    if complete and not dry_run and not report.damage:
        report.closed, report.gaps_left = close_gaps(record, filters, complete)
    return report


def close_gaps(
    record: DumpImport, filters: Filters, complete: tuple[datetime, datetime]
) -> tuple[gaps.ClosedGaps, str]:
    """Close the parts of gaps that a finished import covers.

    Returns the closed parts and, if nothing may be closed, the reason. A dump does not say what it
    lacks, so only a declared span closes gaps: the parts that lie in the span and within the filters'
    times. Only gaps of certain streams close: the file has items of the stream, or the filters name its
    subreddit. If lines were rejected, nothing is closed, because those lines may hold missing items.
    """
    if record.rejected:
        return gaps.ClosedGaps(), (
            ngettext(
                "%(number)s line was rejected and may hold a missing item. Mend the line in the file, "
                "and import the file with --restart.",
                "%(number)s lines were rejected and may hold missing items. Mend the lines in the "
                "file, and import the file with --restart.",
                record.rejected,
            )
            % {"number": f"{record.rejected:,}"}
        )
    start = max(filter(None, (complete[0], filters.since)))
    end = min(filter(None, (complete[1], filters.until)))
    kinds = {
        kind
        for kind, count in (
            (Stream.Kind.POSTS, record.posts),
            (Stream.Kind.COMMENTS, record.comments),
        )
        if count
    }
    seen = set(record.seen_streams) | {
        _stream_key(name, kind) for name in filters.subreddits for kind in kinds
    }
    names = {key.rpartition("/")[0] for key in seen}
    streams = Stream.objects.named(names)
    covers = [
        gaps.Cover(key, start, end)
        for key, name, kind in streams.values_list("pk", "subreddit__name", "kind")
        if _stream_key(name.lower(), kind) in seen
    ]
    by = (
        f"import of {record.path}, declared complete from {complete[0]:%Y-%m-%d %H:%M} to "
        f"{complete[1]:%Y-%m-%d %H:%M} UTC"
    )
    return gaps.close(covers, by=by), ""


def _streams_with_gaps() -> set[str]:
    """Return the keys of streams with open gaps: items of these streams close gaps of a declared span."""
    pairs = Gap.objects.filter(closed_at=None).values_list(
        "stream__subreddit__name", "stream__kind"
    )
    return {_stream_key(name.lower(), kind) for name, kind in pairs.order_by().distinct()}


def _stream_key(lower_name: str, kind: str) -> str:
    return f"{lower_name}/{kind}"


def _rejects_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejects.ndjson")


def _record(
    identity: FileIdentity, filters: Filters, *, dry_run: bool, restart: bool
) -> DumpImport:
    keys: dict[str, Any] = {
        "path": identity.path,
        "size": identity.size,
        "head_digest": identity.head_digest,
        "filters": filters.as_json(),
    }
    if dry_run:
        return DumpImport(**keys)
    if restart:
        DumpImport.objects.filter(**keys).delete()
    return DumpImport.objects.get_or_create(**keys)[0]


def _end(record: DumpImport, *, damaged: bool) -> None:
    record.state = DumpImport.State.TRUNCATED if damaged else DumpImport.State.FINISHED
    record.finished_at = timezone.now()
    record.save(update_fields=["state", "finished_at", "updated_at"])


def _order(record: DumpImport, filters: Filters) -> Order:
    return Order(
        path=Path(record.path),
        filters=filters,
        post_types=POSTS.types,
        comment_types=COMMENTS.types,
        position=record.position,
        line=record.lines,
        encoded=record.encoded_items,
        plain=record.plain_items,
        purge_removed=settings.REMOVED_CONTENT == "purge",
        log_level=logger.getEffectiveLevel(),
    )


class _DryRun:
    """Counts batches and stores nothing."""

    rejects_fault = ""

    def __init__(self, record: DumpImport) -> None:
        self.record = record

    def store(self, batch: Batch) -> None:
        """Count a batch."""
        _count(self.record, batch)

    def close(self) -> None:
        """Do nothing, because no file is open."""


class _Writer:
    """Stores batches, and writes their rejected lines to a file."""

    def __init__(self, record: DumpImport, rejects: Path) -> None:
        self.record = record
        self._rejects = _RejectFile(rejects, keep=record.reject_bytes)
        self._streams_with_gaps = _streams_with_gaps()
        # Tables whose items were all new so far, and tables with at least one item that was not new.
        self._presumed_new: set[Table] = set()
        self._partly_known: set[Table] = set()

    def store(self, batch: Batch) -> None:
        """Store a batch together with the position after it. Raises `ImportConflict`."""
        record, reading = self.record, batch.reading
        before = record.position
        with transaction.atomic():
            self._see(Stream.Kind.POSTS, reading.posts)
            self._see(Stream.Kind.COMMENTS, reading.comments)
            self._take_in(reading)
            _count(record, batch)
            record.reject_bytes = self._rejects.write(reading.rejects)
            self._move(before)

    @property
    def rejects_fault(self) -> str:
        """Why the reject file could not be written; empty if there was no fault."""
        return self._rejects.fault

    def close(self) -> None:
        """Close the reject file."""
        self._rejects.close()

    def _move(self, before: int) -> None:
        """Save the record if it still stands where this process left it; else raise `ImportConflict`."""
        record = self.record
        record.updated_at = timezone.now()
        values = {
            field.attname: getattr(record, field.attname)
            for field in record._meta.fields
            if not field.primary_key
        }
        if not DumpImport.objects.filter(pk=record.pk, position=before).update(**values):
            raise ImportConflict(
                _(
                    "%(path)s: another process imports the file, or the record of this import was "
                    "deleted. Committed items stay. Run the command again when the other process has "
                    "ended."
                )
                % {"path": record.path}
            )

    def _see(self, kind: str, items: PackedItems) -> None:
        if self._streams_with_gaps:
            names = {name.lower() for name in items.subreddit_fullnames}
            seen = self._streams_with_gaps & {_stream_key(name, kind) for name in names}
            if not seen <= set(self.record.seen_streams):
                self.record.seen_streams = sorted(seen.union(self.record.seen_streams))

    def _take_in(self, reading: Reading) -> None:
        taken = intake.take_in_dump(reading.posts, reading.comments, presume_new=self._presumed_new)
        for table, items in ((POSTS, reading.posts), (COMMENTS, reading.comments)):
            # If all items of a table were new so far, the rest of the file is most likely new, too.
            names = set(items.fullnames)
            if not names <= taken.new:
                self._presumed_new.discard(table)
                self._partly_known.add(table)
            elif names and table not in self._partly_known:
                self._presumed_new.add(table)
        self.record.new += len(taken.new)
        self.record.updated += len(taken.updated)
        self.record.unchanged += taken.unchanged
        self.record.deleted += len(taken.purged)


def _count(record: DumpImport, batch: Batch) -> None:
    reading = batch.reading
    record.position = batch.end
    record.lines += batch.lines
    record.posts += reading.post_lines
    record.comments += reading.comment_lines
    record.filtered += reading.filtered
    record.deleted += reading.deleted
    record.rejected += len(reading.rejects)
    record.encoded_items += reading.encoded
    record.plain_items += reading.plain


class _RejectFile:
    """The file beside the dump with its rejected lines, each with its number and the reason.

    Lines are written before their batch is committed. If an import was killed, the next import cuts off
    the lines that were written and not committed.
    """

    def __init__(self, path: Path, *, keep: int) -> None:
        self._path = path
        self._length = keep
        self._stream: BinaryIO | None = None
        self.fault = ""
        try:
            if keep and path.exists() and path.stat().st_size >= keep:
                with path.open("r+b") as stream:
                    stream.truncate(keep)
            else:
                self._length = 0
                path.unlink(missing_ok=True)
        except OSError as error:
            self._fail(error)

    def write(self, rejects: list[tuple[int, str, bytes]]) -> int:
        """Append lines; return the file's length."""
        if rejects and not self.fault:
            data = b"".join(_reject_line(*reject) for reject in rejects)
            try:
                if self._stream is None:
                    self._stream = self._path.open("ab")
                self._stream.write(data)
                self._stream.flush()
                self._length += len(data)
            except OSError as error:
                self._fail(error)
        return self._length

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def _fail(self, error: OSError) -> None:
        # Neither bad lines nor a folder that cannot be written stop an import.
        self.fault = _(
            "%(path)s: %(error)s. The import only counts rejected lines. To see the lines, copy "
            "the dump to a folder that can be written, and import it with --restart."
        ) % {"path": self._path, "error": error.strerror or error}


def _reject_line(number: int, reason: str, text: bytes) -> bytes:
    cut = text[:KEPT_OF_REJECTED_LINES].decode(errors="replace")
    reject = {"line": number, "reason": reason[:KEPT_OF_REJECTED_LINES], "text": cut}
    return orjson.dumps(_storable(reject), option=orjson.OPT_APPEND_NEWLINE)


def _storable(reject: dict[str, Any]) -> dict[str, Any]:
    # A reason can quote a lone surrogate, which orjson refuses.
    return {
        key: clean_text(value) if isinstance(value, str) else value for key, value in reject.items()
    }
