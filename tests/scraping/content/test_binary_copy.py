"""What is packed comes out of PostgreSQL as it was."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from scraping.content.binary_copy import ROWS_AT_A_TIME, CopyFormat, CopySource

# By the name of a Django field: PostgreSQL's type, and values.
TYPES = {
    "TextField": ("text", st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    "BooleanField": ("boolean", st.booleans()),
    "BigIntegerField": ("bigint", st.integers(-(2**63), 2**63 - 1)),
    "FloatField": ("double precision", st.floats(allow_nan=False)),
    "DateTimeField": (
        "timestamptz",
        st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
    ),
    "JSONField": (
        "jsonb",
        st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
            st.integers() | st.booleans() | st.none(),
            max_size=3,
        ),
    ),
}
FORMAT = CopyFormat({name: name for name in TYPES} | {"row": "BigIntegerField"})


def stored(columns):
    """Copies rows into a table of their own and reads them back."""
    names = ", ".join(f'"{name}"' for name in columns)
    kinds = ", ".join(f'"{name}" {TYPES[name][0]}' for name in columns)
    rows = FORMAT.pack(columns)
    start = FORMAT.field("row", 7)
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE TEMP TABLE copied ("row" bigint, {kinds})')
        cursor.copy_expert(
            f'COPY copied ("row", {names}) FROM STDIN (FORMAT binary)',
            CopySource((CopySource.start(start, columns=len(columns) + 1), row) for row in rows),
        )
        cursor.execute(f"SELECT {names} FROM copied ORDER BY ctid")
        found = cursor.fetchall()
        cursor.execute("DROP TABLE copied")
    return [*zip(*found, strict=True)]


class TestAnyValues(TestCase):
    @pytest.mark.slow
    @given(data=st.data())
    def test_any_values(self, data):
        count = data.draw(st.integers(1, 4))
        columns = {
            name: data.draw(st.lists(values | st.none(), min_size=count, max_size=count))
            for name, (_, values) in TYPES.items()
            if name != "JSONField"
        }

        assert stored(columns) == [tuple(values) for values in columns.values()]

    @pytest.mark.slow
    @given(values=st.lists(TYPES["JSONField"][1], min_size=1, max_size=4))
    def test_any_objects(self, values):
        assert [json.loads(text) for text in stored({"JSONField": values})[0]] == values


@pytest.mark.django_db
def test_moments_may_be_seconds_and_one_list_may_serve_two_columns():
    seconds = [1_768_478_400.0, 1_768_478_400.0078125, 0.5, None]
    moments = [None if value is None else datetime.fromtimestamp(value, UTC) for value in seconds]

    assert stored({"DateTimeField": seconds}) == [tuple(moments)]
    assert FORMAT.pack({"DateTimeField": seconds}) == FORMAT.pack({"DateTimeField": moments})


@pytest.mark.django_db
def test_more_rows_than_a_piece_holds():
    values = [*range(2 * ROWS_AT_A_TIME + 1)]

    assert stored({"BigIntegerField": values}) == [tuple(values)]


def test_an_integer_that_does_not_fit_is_told():
    with pytest.raises(OverflowError, match="out of range for bigint"):
        FORMAT.pack({"BigIntegerField": [2**63]})


def test_a_type_that_is_not_known_is_told():
    with pytest.raises(KeyError):
        CopyFormat({"column": "PointField"})


@pytest.mark.parametrize("delta", [timedelta(microseconds=1), timedelta(days=365_000)])
def test_no_microsecond_is_lost(delta):
    moment = datetime(2000, 1, 1, tzinfo=UTC) + delta

    assert FORMAT.field("DateTimeField", moment)[4:] == (
        delta // timedelta(microseconds=1)
    ).to_bytes(8, "big")
