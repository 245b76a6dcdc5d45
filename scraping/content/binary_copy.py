"""Rows in PostgreSQL's binary COPY format, built column by column.

The format needs no escaping, and neither Lurker nor the server parses text.
https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, repeat
from struct import Struct, error
from typing import Any

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
# Rows in a piece: few enough for the socket's buffer, so that we build the next piece while the server
# reads this piece.
ROWS_AT_A_TIME = 50

# PostgreSQL counts timestamps in microseconds from this moment.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EPOCH_MICROSECONDS = int(EPOCH.timestamp()) * 1_000_000
MICROSECOND = timedelta(microseconds=1)

_NULL = b"\xff\xff\xff\xff"
_BOOLEANS = {None: _NULL, True: b"\0\0\0\1\1", False: b"\0\0\0\1\0"}
_EMPTY_OBJECT = b"\0\0\0\3\1{}"
_INTEGER = Struct(">iq").pack
_REAL = Struct(">id").pack
_COUNT = Struct(">h").pack


class _Lengths(dict[int, bytes]):
    """The length prefixes of texts; for most texts, a lookup is quicker than making the prefix."""

    def __missing__(self, length: int) -> bytes:
        return length.to_bytes(4, "big")


_LENGTHS = _Lengths({length: length.to_bytes(4, "big") for length in range(4096)})

Values = Sequence[Any]
_Encoder = Callable[[Values], Sequence[bytes]]


def _texts(values: Values) -> Sequence[bytes]:
    return [
        _NULL if value is None else _LENGTHS[len(data := value.encode())] + data for value in values
    ]


def _booleans(values: Values) -> Sequence[bytes]:
    return [*map(_BOOLEANS.__getitem__, values)]


def _integers(values: Values) -> Sequence[bytes]:
    try:
        return [_NULL if value is None else _INTEGER(8, value) for value in values]
    except error as fault:
        raise OverflowError(f"an integer is out of range for bigint: {fault}") from fault


def _reals(values: Values) -> Sequence[bytes]:
    return [_NULL if value is None else _REAL(8, value) for value in values]


def _moments(values: Values) -> Sequence[bytes]:
    return [
        _NULL
        if value is None
        # Reddit's times are whole seconds: this path is quicker.
        else _INTEGER(8, int(value) * 1_000_000 - EPOCH_MICROSECONDS)
        if value.__class__ is float and value.is_integer()
        else _INTEGER(8, _microseconds(value))
        for value in values
    ]


def _microseconds(value: datetime | float) -> int:
    """Return the microseconds from PostgreSQL's epoch to a moment; a float is seconds since 1970."""
    if isinstance(value, float):
        value = datetime.fromtimestamp(value, UTC)
    # Not total_seconds(): a float holds no microseconds beyond the year 2255.
    return (value - EPOCH) // MICROSECOND


def _objects(values: Values) -> Sequence[bytes]:
    return [_object(value) if value else _EMPTY_OBJECT for value in values]


def _object(value: dict[str, Any]) -> bytes:
    # orjson would refuse integers beyond 64 bits; jsonb takes any integer. The byte 1 is jsonb's
    # version.
    data = json.dumps(value, ensure_ascii=False).encode()
    return (len(data) + 1).to_bytes(4, "big") + b"\1" + data


_ENCODERS: dict[str, _Encoder] = {
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
    """The encoders of rows, chosen by the columns' types; types are Django's names of field types.

    Raises KeyError for an unknown type.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self._encoders = {column: _ENCODERS[name] for column, name in types.items()}

    def pack(self, columns: Mapping[str, Values]) -> list[bytes]:
        """Return the encoded fields of each row in these columns.

        This is quickest for about a hundred rows, because the processor's cache holds all their values.
        """
        parts: list[Iterable[bytes]] = []
        encoded: dict[tuple[_Encoder, int], Sequence[bytes]] = {}
        nulls = b""
        for column, values in columns.items():
            if values[0] is None and values.count(None) == len(values):
                nulls += _NULL
                continue
            if nulls:
                parts.append(repeat(nulls, len(values)))
                nulls = b""
            # For items of a dump, two columns may share one list of moments: encode it once.
            what = self._encoders[column], id(values)
            if what not in encoded:
                encoded[what] = self._encoders[column](values)
            parts.append(encoded[what])
        if nulls:
            parts.append(repeat(nulls, len(values)))
        return [*map(b"".join, zip(*parts, strict=True))]

    def field(self, column: str, value: Any) -> bytes:
        """Encode one field."""
        return b"".join(self._encoders[column]([value]))


class CopySource:
    """Rows as a file object for psycopg2's `copy_expert`, which reads it to its end.

    A row is a pair: its start, made by `start`, and the rest of its fields. The server takes the rows
    piece by piece. An iterator that makes each row only then keeps two processors busy.
    """

    def __init__(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        self._pieces = _pieces(iter(rows))

    @staticmethod
    def start(fields: bytes, *, columns: int) -> bytes:
        """Return the start of a row with `columns` columns; `fields` are its first fields, encoded."""
        return _COUNT(columns) + fields

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, whatever `size` says; empty bytes at the end."""
        return next(self._pieces, b"")


def _pieces(rows: Iterator[tuple[bytes, bytes]]) -> Iterator[bytes]:
    yield SIGNATURE
    while piece := b"".join(chain.from_iterable(islice(rows, ROWS_AT_A_TIME))):
        yield piece
    yield END
