"""A tick, and the list of schedules, cost a few statements, however many schedules there are."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from jobs.beat import firing
from tests.jobs.conftest import TASK, interval, schedule

pytestmark = pytest.mark.slow


def due_rows(count):
    second = interval(3600)
    rows = [
        PeriodicTask(
            name=f"due {number}",
            task=TASK,
            interval=second,
            last_run_at=timezone.now() - timedelta(seconds=3600 + number % 60),
        )
        for number in range(count)
    ]
    PeriodicTask.objects.bulk_create(rows)


def test_all_that_is_due_goes_out_in_one_tick(beat):
    due_rows(1_200)
    beat.tick()
    assert TaskResult.objects.count() == 1_200
    assert PeriodicTask.objects.filter(total_run_count=1).count() == 1_200


@pytest.mark.parametrize("count", [1, 500])
def test_500_cost_as_many_statements_as_one(beat, count, django_assert_num_queries):
    """The look, the update, the runs; a test's transaction adds a savepoint. Stock: 6,000."""
    beat.tick()
    due_rows(count)
    beat.resync()
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(seconds=3601))
    beat.scheduler._resync_at = 0.0
    beat.scheduler._look()
    with django_assert_num_queries(5):
        beat.tick()
    assert TaskResult.objects.count() == 2 * count


def test_an_idle_tick_is_one_small_query(beat, django_assert_num_queries):
    schedule()
    beat.tick()
    with django_assert_num_queries(1):
        beat.tick()


def test_an_edit_is_seen_at_the_next_tick_and_reads_one_row(beat, django_assert_num_queries):
    due_rows(300)
    beat.resync()
    row = PeriodicTask.objects.get(name="due 7")
    row.expire_seconds = 17
    row.save()
    before = beat.knows()
    # The stamp, the four timing tables, the blocks, the versions of one, the row.
    with django_assert_num_queries(5):
        beat.tick()
    after = beat.knows()
    assert after["due 7"].expire_seconds == 17
    assert [name for name in before if after[name] is not before[name]] == ["due 7"]
    assert after["due 7"].due == before["due 7"].due


def test_counting_unfinished_runs_reads_their_index_alone(beat):
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO django_celery_results_taskresult
                (task_id, periodic_task_name, status, content_type, content_encoding,
                 date_created, date_done, meta)
            SELECT 'old-' || n, 'hourly', 'SUCCESS', 'application/json', 'utf-8', now(), now(), '{}'
            FROM generate_series(1, 20000) AS n
            """
        )
        cursor.execute("ANALYZE django_celery_results_taskresult")
        cursor.execute(f"EXPLAIN {firing.COUNT_UNFINISHED}", [["hourly"]])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "jobs_unfinished_runs" in plan


def test_the_list_of_schedules_reads_policies_with_them(
    no_schedules, admin_client, django_assert_max_num_queries
):
    for number in range(30):
        schedule(f"listed {number}", policy={"jitter_seconds": 60})
    with django_assert_max_num_queries(12):
        assert admin_client.get("/admin/django_celery_beat/periodictask/").status_code == 200
