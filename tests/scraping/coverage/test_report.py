"""The figures of coverage say what is proven, no more and no less."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from scraping.coverage import report
from scraping.coverage.report import complete_spans, coverage_of, share, shares_by_hour, with_gaps
from scraping.models import Gap, Stream
from scraping.subreddits import ensure_streams

NOW = datetime(2026, 1, 20, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
UNTIL = NOW.replace(minute=0) + HOUR


class TestAgainstMinutes:
    """A minute is complete when it was read and lies in no gap: counted one by one."""

    minutes = st.integers(0, 5 * 60)
    span = st.tuples(minutes, st.integers(1, 120)).map(lambda pair: (pair[0], sum(pair)))

    @given(since=st.none() | minutes, until=st.none() | minutes, gaps=st.lists(span, max_size=5))
    def test_shares_by_hour(self, since, until, gaps):
        first = UNTIL - 5 * HOUR

        def moment(minute):
            return None if minute is None else first + minute * MINUTE

        spans = complete_spans(
            moment(since), moment(until), [(moment(a), moment(b)) for a, b in gaps]
        )

        def complete(minute):
            if since is None or until is None or not since <= minute < until:
                return False
            return not any(a <= minute < b for a, b in gaps)

        counted = [
            sum(complete(hour * 60 + minute) for minute in range(60)) / 60 for hour in range(5)
        ]
        assert shares_by_hour(spans, UNTIL, 5) == pytest.approx(counted)
        assert share(spans, first, UNTIL) == pytest.approx(sum(counted) / 5)
        assert all(a < b for a, b in spans)
        assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


def stream(name="python", kind="posts", **fields):
    (made,) = ensure_streams([name], kind)
    Stream.objects.filter(pk=made.pk).update(**fields)
    return made


def gap(of, begins, ends, **fields):
    return Gap.objects.create(
        stream=of, starts_at=NOW - begins * HOUR, ends_at=NOW - ends * HOUR,
        reason="listing_cap", **fields,
    )  # fmt: skip


def figures(name="python", now=NOW):
    return coverage_of(with_gaps(report.streams_of([name]), now=now).get(), now=now)


@pytest.mark.django_db
class TestFigures:
    def test_of_a_stream_that_is_complete(self):
        stream(complete_since=NOW - 900 * HOUR, watermark=NOW - HOUR, last_fetch_at=NOW)

        found = figures()

        assert (found.day, found.week, found.open_gaps) == (1, 1, 0)
        assert found.hours == (1.0,) * 168
        assert found.hours_before == 0
        assert found.read_until == NOW

    def test_open_gaps_are_not_complete_and_closed_ones_are(self):
        of = stream(complete_since=NOW - 900 * HOUR, watermark=NOW, last_fetch_at=NOW)
        gap(of, 10, 4)
        gap(of, 40, 30, closed_at=NOW, closed_by="an import")
        gap(of, 800, 700)

        found = figures()

        assert found.open_gaps == 2
        assert found.day == 0.75
        assert found.week == pytest.approx(1 - 6 / 168)
        # The last hour is the one that runs: a gap from 02:30 to 08:30 is in the hours before it.
        assert found.hours[-11:-3] == (0.5, 0, 0, 0, 0, 0, 0.5, 1)

    def test_a_quiet_stream_is_complete_as_long_as_it_is_read(self):
        stream(
            complete_since=NOW - 900 * HOUR, watermark=NOW - 100 * HOUR,
            last_fetch_at=NOW - 6 * HOUR,
        )  # fmt: skip

        found = figures()

        assert found.day == 0.75
        assert found.read_until == NOW - 6 * HOUR

    def test_minutes_since_the_last_read_are_no_hole(self):
        stream(
            complete_since=NOW - 900 * HOUR, watermark=NOW - HOUR, last_fetch_at=NOW - 40 * MINUTE
        )  # fmt: skip

        found = figures()

        assert (found.day, found.week, found.hours[-1]) == (1, 1, 1)
        assert found.hours_until == UNTIL - HOUR

    def test_what_was_before_it_was_collected_is_told_apart(self):
        stream(complete_since=NOW - 84 * HOUR, watermark=NOW, last_fetch_at=NOW)

        found = figures()

        assert found.week == 0.5
        assert found.hours_before == 83
        assert found.hours[82:85] == (0, 0.5, 1)

    def test_one_that_was_never_read_has_none(self):
        stream()

        found = figures()

        assert (found.day, found.week, found.hours_before) == (0, 0, 168)
        assert found.read_until is None

    def test_a_clock_that_is_ahead_completes_nothing_that_is_to_come(self):
        stream(complete_since=NOW - 900 * HOUR, watermark=NOW + HOUR, last_fetch_at=NOW)

        assert figures().read_until == NOW
        assert figures().day == 1

    def test_any_number_takes_two_statements(self, django_assert_num_queries):
        for number in range(20):
            of = stream(f"sub{number}", last_fetch_at=NOW)
            gap(of, 10, 4)
        with django_assert_num_queries(2):
            found = [coverage_of(each, now=NOW) for each in with_gaps(report.streams_of([]))]
        assert len(found) == 20


def command(*arguments):
    out = StringIO()
    call_command("coverage", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.django_db
class TestCommand:
    @pytest.fixture(autouse=True)
    def streams(self):
        now = timezone.now()
        of = stream(
            "Python", complete_since=now - 900 * HOUR, watermark=now, last_fetch_at=now
        )  # fmt: skip
        stream("django", complete_since=now - 12 * HOUR, watermark=now, last_fetch_at=now)
        Gap.objects.create(
            stream=of, starts_at=now - 18 * HOUR, ends_at=now - 12 * HOUR, reason="item_limit",
            unread_since=now - 17 * HOUR,
        )  # fmt: skip

    def test_it_tells_the_figures(self):
        rows = json.loads(command("--json"))

        by_stream = {row["stream"]: row for row in rows}
        django, python = by_stream.pop("r/django posts"), by_stream.pop("r/Python posts")
        assert not by_stream
        assert python["share_24h"] == pytest.approx(0.75, abs=0.01)
        assert django["share_24h"] == pytest.approx(0.5, abs=0.01)
        assert (python["open_gaps"], django["open_gaps"]) == (1, 0)
        assert "0.75" in command()

    def test_of_the_subreddits_that_are_named(self):
        rows = json.loads(command("r/PYTHON", "--json"))

        assert [row["stream"] for row in rows] == ["r/Python posts"]

    def test_it_lists_gaps_with_their_reasons(self):
        (row,) = json.loads(command("--gaps", "--json"))

        assert row["stream"] == "r/Python posts"
        assert row["hours"] == 6
        assert row["why"].startswith("The bot's limit of items was reached; unread since 20")
        assert command("django", "--gaps").strip() == "No open gap."

    def test_a_name_that_was_never_collected_is_an_error(self):
        with pytest.raises(SystemExit) as end:
            command("nosuchplace")
        assert end.value.code == 1

    def test_a_name_that_is_none_is_refused(self):
        with pytest.raises(CommandError, match="SUBREDDIT") as end:
            command("no such place!")
        assert end.value.returncode == 2
