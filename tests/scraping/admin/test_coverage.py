"""The pages of coverage: read-only, true to the figures, and as cheap for many as for few."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from scraping.models import Gap, Stream
from scraping.subreddits import ensure_streams
from tests.factories import SuperuserFactory

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
STREAMS = reverse("admin:scraping_stream_changelist")
GAPS = reverse("admin:scraping_gap_changelist")


@pytest.fixture
def admin(client):
    client.force_login(SuperuserFactory())
    return client


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def python(now):
    (stream,) = ensure_streams(["python"], "posts")
    Stream.objects.update(
        complete_since=now - 120 * HOUR, watermark=now, last_fetch_at=now, deep_read_at=now
    )
    return stream


def gap(stream, now, begins, ends, **fields):
    return Gap.objects.create(
        stream=stream, starts_at=now - begins * HOUR, ends_at=now - ends * HOUR,
        reason="listing_cap", **fields,
    )  # fmt: skip


def page(admin, url, **parameters):
    response = admin.get(url, parameters)
    assert response.status_code == 200
    return response.content.decode()


class TestStreams:
    def test_the_strip_tells_what_is_complete(self, admin, python, now):
        gap(python, now, 12, 6)

        shown = page(admin, STREAMS)

        assert "75.0 %" in shown
        assert 'aria-label="67.9 % of the last 7 days complete"' in shown
        for told in ("not collected yet", "100 % complete", "0.0 % complete"):
            assert told in shown
        assert f"{GAPS}?stream__id__exact={python.pk}&amp;state=open" in shown.replace(
            "&state", "&amp;state"
        )

    def test_many_take_as_many_queries_as_few(self, admin, python, now):
        def queries():
            with CaptureQueriesContext(
                connection,
            ) as captured:
                page(admin, STREAMS)
            return len(captured)

        gap(python, now, 12, 6)
        page(admin, STREAMS)
        few = queries()
        for stream in ensure_streams([f"sub{number}" for number in range(40)], "comments"):
            gap(stream, now, 12, 6)

        assert queries() == few

    @pytest.mark.parametrize(("choice", "shown"), [("open", "python"), ("none", "django")])
    def test_those_with_open_gaps_can_be_chosen(self, admin, python, now, choice, shown):
        ensure_streams(["django"], "posts")
        gap(python, now, 12, 6)

        names = {"r/python", "r/django"} & set(
            page(admin, STREAMS, gaps=choice).replace("<", " ").replace(">", " ").split()
        )

        assert names == {f"r/{shown}"}

    def test_a_streams_own_page_shows_it_larger(self, admin, python):
        shown = page(admin, reverse("admin:scraping_stream_change", args=[python.pk]))

        assert 'width="672" height="36"' in shown
        assert "Green hours are complete" in shown


class TestGaps:
    @pytest.fixture(autouse=True)
    def two(self, python, now):
        gap(python, now, 12, 6, unread_since=now - 11 * HOUR)
        gap(python, now, 30, 29, closed_at=now, closed_by="a deep walk")

    def test_open_and_closed_ones_are_told_apart(self, admin):
        everything = page(admin, GAPS)
        assert "6 h" in everything
        assert "Reddit lists no further back; unread since" in everything
        assert "a deep walk" in everything
        assert "a deep walk" not in page(admin, GAPS, state="open")
        assert "unread since" not in page(admin, GAPS, state="closed")

    def test_those_of_one_stream(self, admin, python):
        assert "unread since" in page(admin, GAPS, stream__id__exact=python.pk, state="open")

    def test_nobody_changes_them(self, admin):
        assert admin.get(reverse("admin:scraping_gap_add")).status_code == 403
        url = reverse("admin:scraping_gap_change", args=[Gap.objects.first().pk])
        assert admin.post(url, {"reason": "item_limit"}).status_code == 403
