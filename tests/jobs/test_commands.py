"""The commands of jobs print what there is, for eyes and for programs."""

import io
import json
from datetime import timedelta

import pytest
from celery import states
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from jobs.runs import store
from jobs.runs.store import RunRequest
from jobs.schedules import services as schedules
from jobs.schedules.services import ScheduleSpec

pytestmark = pytest.mark.django_db(transaction=True)

JOB = "scraping.scrape_bot"


def said(*arguments):
    output = io.StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def rows(*arguments):
    return json.loads(said(*arguments, "--json"))


def test_jobs_lists_what_is_registered_with_its_parameters():
    found = {row["name"]: row for row in rows("jobs")}
    assert found[JOB]["queue"] == "scraping"
    assert "bot_id: a whole number" in found[JOB]["parameters"]
    assert found[JOB]["lock"] == "scrape-bot:{bot_id}"
    assert JOB in said("jobs")


def test_runs_can_be_narrowed():
    for status, name in ((states.FAILURE, "a.job"), (states.SUCCESS, "b.job")):
        run = RunRequest(name, {}, "default", "manual", notes={"reason": f"of {name}"})
        store.record([run])
        TaskResult.objects.filter(task_id=run.task_id).update(status=status)

    assert [(row["job"], row["reason"]) for row in rows("runs", "--failed")] == [
        ("a.job", "of a.job")
    ]
    assert [row["job"] for row in rows("runs", "--job", "b.job")] == ["b.job"]
    assert len(rows("runs")) == 2
    assert len(rows("runs", "--limit", "1")) == 1
    assert "No run found." in said("runs", "--schedule", "none")


def test_run_records_a_run(broker):
    (row,) = rows("run", JOB, "--param", "bot_id=7", "--param", "trigger=manual")

    run = TaskResult.objects.get(task_id=row["task_id"])
    assert json.loads(run.task_kwargs) == {"bot_id": 7, "trigger": "manual"}
    assert json.loads(run.meta)["trigger"] == "command"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["no.such.job"], "no.such.job"),
        ([JOB], "bot_id: the argument is missing"),
        ([JOB, "--param", "bot_id=seven"], "bot_id: 'seven' is not a whole number"),
        ([JOB, "--param", "bot_id"], "NAME=VALUE"),
        ([JOB, "--param", "bot_id=7", "--param", "colour=red"], "colour"),
    ],
)
def test_run_refuses_what_cannot_run(arguments, fault):
    with pytest.raises(CommandError, match=fault) as refused:
        said("run", *arguments)
    assert refused.value.returncode == 2
    assert not TaskResult.objects.exists()


@pytest.mark.slow
def test_run_waits_for_the_end(processes):
    processes.worker(queues="default,cleanup")
    (row,) = rows("run", "scraping.close_interrupted_sessions", "--wait", "--timeout", "30")
    assert (row["state"], row["result"]) == ("SUCCESS", "0")


def test_run_says_when_it_did_not_end_in_time(broker):
    with pytest.raises(SystemExit) as ended:
        said("run", "scraping.close_interrupted_sessions", "--wait", "--timeout", "0")
    assert ended.value.code == 1


def test_schedules_and_their_next_run():
    schedules.upsert(
        [
            ScheduleSpec("on", JOB, {"bot_id": 1}, queue="scraping", every=timedelta(hours=1)),
            ScheduleSpec(
                "off", JOB, {"bot_id": 2}, queue="scraping", crontab="0 9 * * *", enabled=False
            ),
        ]
    )
    found = {row["name"]: row for row in rows("schedules")}
    assert found["on"]["next_run"]
    assert found["off"]["next_run"] is None
    assert [row["name"] for row in rows("schedules", "--disabled")] == ["off"]


def test_why_prints_causes_and_remedies():
    (row,) = rows("why", "nothing")
    assert row["cause"] == "There is no schedule named “nothing”."
    assert "list of ./manage.py schedules" in row["remedy"]


def test_pause_resume_and_run_now(broker):
    schedules.upsert(
        [ScheduleSpec("one", JOB, {"bot_id": 1}, queue="scraping", every=timedelta(hours=1))]
    )
    assert schedules.pause(["one", "none"]) == 1
    assert schedules.pause(["one"]) == 0
    assert not PeriodicTask.objects.get(name="one").enabled
    assert schedules.resume(["one"]) == 1
    run = schedules.run_now("one")
    row = TaskResult.objects.get(task_id=run.task_id)
    assert (row.task_name, row.periodic_task_name) == (JOB, "one")
    assert json.loads(row.task_kwargs) == {"bot_id": 1}
