"""Rows in PostgreSQL's binary COPY format, built column by column.

Nothing is escaped and nothing has to be read back from text, by us or by the server.
https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from struct import Struct, error
from typing import Any

from django.db.models import Field

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
# So many rows are in memory as bytes at a time.
ROWS_AT_A_TIME = 5_000

# PostgreSQL counts microseconds from here.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_NULL = b"\xff\xff\xff\xff"
_BOOLEANS = {None: _NULL, True: b"\0\0\0\1\1", False: b"\0\0\0\1\0"}
_EMPTY_OBJECT = b"\0\0\0\3\1{}"
_INTEGER = Struct(">iq").pack
_REAL = Struct(">id").pack
_COUNT = Struct(">h").pack

Values = Sequence[Any]


def _texts(values: Values) -> Iterable[bytes]:
    return [
        _NULL if value is None else len(data := value.encode()).to_bytes(4, "big") + data
        for value in values
    ]


def _booleans(values: Values) -> Iterable[bytes]:
    return map(_BOOLEANS.__getitem__, values)


def _integers(values: Values) -> Iterable[bytes]:
    try:
        return [_NULL if value is None else _INTEGER(8, value) for value in values]
    except error as fault:
        raise OverflowError(f"an integer is out of range for bigint: {fault}") from fault


def _reals(values: Values) -> Iterable[bytes]:
    return [_NULL if value is None else _REAL(8, value) for value in values]


def _moments(values: Values) -> Iterable[bytes]:
    return [_NULL if value is None else _moment(value) for value in values]


def _moment(value: datetime) -> bytes:
    since = value - EPOCH
    # Not total_seconds(): a float holds no microseconds beyond the year 2255.
    return _INTEGER(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _objects(values: Values) -> Iterable[bytes]:
    return [_object(value) if value else _EMPTY_OBJECT for value in values]


def _object(value: dict[str, Any]) -> bytes:
    # Not orjson, which refuses integers beyond 64 bits; jsonb takes any. The 1 is its version.
    data = json.dumps(value, ensure_ascii=False).encode()
    return (len(data) + 1).to_bytes(4, "big") + b"\1" + data


_ENCODERS: dict[str, Callable[[Values], Iterable[bytes]]] = {
    "TextField": _texts,
    "CharField": _texts,
    "BooleanField": _booleans,
    "BigIntegerField": _integers,
    "ForeignKey": _integers,
    "FloatField": _reals,
    "DateTimeField": _moments,
    "JSONField": _objects,
}


class CopyFormat:
    """How rows of given columns are written; raises KeyError for a type of field it does not know."""

    def __init__(self, columns: Sequence[Field]) -> None:
        self._encoders = [_ENCODERS[column.get_internal_type()] for column in columns]
        self._count = _COUNT(len(columns))

    def packed(self, rows: Iterable[Sequence[Any]], common: Sequence[Any] = ()) -> "CopySource":
        """What COPY reads: rows of the first columns' values, each followed by the common ones."""
        own = len(self._encoders) - len(common)
        tail = b"".join(
            field
            for encode, value in zip(self._encoders[own:], common, strict=True)
            for field in encode([value])
        )
        return CopySource(self._pieces(iter(rows), tail))

    def _pieces(self, rows: Iterator[Sequence[Any]], tail: bytes) -> Iterator[bytes]:
        head = SIGNATURE
        while some := list(islice(rows, ROWS_AT_A_TIME)):
            yield head + self._pack(some, tail)
            head = b""
        yield head + END

    def _pack(self, rows: list[Sequence[Any]], tail: bytes) -> bytes:
        # Many columns are empty in all of the rows: what stands in for them is put together once,
        # and repeated for as long as there are rows.
        parts: list[Iterable[bytes]] = []
        constant = self._count
        for encode, values in zip(self._encoders, zip(*rows, strict=True), strict=False):
            if values.count(None) == len(values):
                constant += _NULL
            else:
                if constant:
                    parts.append(repeat(constant, len(rows)))
                    constant = b""
                parts.append(encode(values))
        if constant or tail:
            parts.append(repeat(constant + tail, len(rows)))
        return b"".join(chain.from_iterable(zip(*parts, strict=True)))


class CopySource:
    """A file as psycopg2's `copy_expert` wants it: it takes as many bytes as it is given."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever the size that was asked for; nothing at the end."""
        return next(self._pieces, b"")
