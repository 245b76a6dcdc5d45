"""What a job takes is read from its signature, and what does not fit is named."""

import enum
from typing import Literal

import pytest
from django.core.exceptions import ValidationError
from django_celery_beat.models import IntervalSchedule

from jobs import registry
from jobs.admin.schedules import PeriodicTaskForm
from jobs.errors import InvalidJob, UnknownJob
from jobs.parameters import Parameters
from jobs.runs import requests as runs
from jobs.task import Job, job
from tests.jobs import worker_jobs  # noqa: F401 - registers its jobs


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def sample(
    bot_id: int,
    ratio: float = 1,
    mode: Literal["fast", "slow"] = "fast",
    colour: Colour = Colour.RED,
    names: list[str] | None = None,
    dry: bool = False,
) -> None:
    """A function of all types."""


PARAMETERS = Parameters.of(sample)


def faults(kwargs, parameters=PARAMETERS):
    with pytest.raises(ValidationError) as refused:
        parameters.validate(kwargs)
    return refused.value.messages


def test_names_types_and_defaults_come_from_the_signature():
    assert list(PARAMETERS.by_name) == ["bot_id", "ratio", "mode", "colour", "names", "dry"]
    assert [p.name for p in PARAMETERS.by_name.values() if p.required] == ["bot_id"]
    assert PARAMETERS.complete({"bot_id": 3})["colour"] == "red"
    assert PARAMETERS.by_name["names"].kind == "a list, or null"


def test_what_fits_is_returned_as_json_carries_it():
    given = {"bot_id": 3, "ratio": 2, "mode": "slow", "colour": Colour.BLUE, "names": None}

    assert PARAMETERS.validate(given) == given | {"ratio": 2.0, "colour": "blue"}
    assert PARAMETERS.to_python({"colour": "blue"}) == {"colour": Colour.BLUE}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"bot_id": "3"}, "bot_id: '3' is not a whole number. Give a whole number."),
        ({"bot_id": True}, "bot_id: True is not a whole number. Give a whole number."),
        ({"bot_id": 3.0}, "bot_id: 3.0 is not a whole number. Give a whole number."),
        ({"bot_id": None}, "bot_id: None is not a whole number. Give a whole number."),
        ({"bot_id": 3, "dry": 1}, "dry: 1 is not true or false. Give true or false."),
        (
            {"bot_id": 3, "mode": "quick"},
            "mode: 'quick' is not one of 'fast', 'slow'. Give one of 'fast', 'slow'.",
        ),
        ({"bot_id": 3, "names": "a"}, "names: 'a' is not a list, or null. Give a list, or null."),
        ({}, "bot_id: the argument is missing. Give a whole number."),
        (
            {"bot_id": 3, "bot": 4},
            "bot: the job has no such parameter. Its parameters are bot_id, ratio, mode, colour, names, dry.",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_value_and_the_remedy(kwargs, message):
    assert faults(kwargs) == [message]


def test_all_faults_are_told_at_once():
    assert len(faults({"ratio": "x", "colour": "green", "y": 1})) == 4


def test_positional_arguments_get_their_names():
    assert PARAMETERS.bind([3, 0.5], {"dry": True}) == {"bot_id": 3, "ratio": 0.5, "dry": True}
    with pytest.raises(ValidationError, match="is given twice"):
        PARAMETERS.bind([3], {"bot_id": 4})
    with pytest.raises(ValidationError, match="7 positional arguments are too many"):
        PARAMETERS.bind(list(range(7)), {})


def without_type(bot_id):
    """No annotation."""


def with_set(ids: set) -> None:
    """Not in JSON."""


def with_stars(*ids: int) -> None:
    """Not by name."""


def with_wrong_default(bot_id: int = "x") -> None:
    """A default that would not be taken."""


@pytest.mark.parametrize("function", [without_type, with_set, with_stars, with_wrong_default])
def test_a_signature_that_no_message_could_carry_is_refused_at_import(function):
    with pytest.raises(InvalidJob, match=function.__name__):
        job(name="tests.refused", queue="default")(function)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "Refused"},
        {"lock": "{bot_id}"},
        {"lock": "jobs:process:{bot_id}"},
        {"lock": "bot:{other}"},
        {"soft_time_limit": 10, "time_limit": 10},
        {"retry_on": ("ValueError",)},
    ],
)
def test_a_declaration_that_could_not_work_is_refused_at_import(options):
    with pytest.raises(InvalidJob):
        job(**{"name": "tests.refused", "queue": "default"} | options)(sample)


@job(name="tests.locked_by_text", queue="default", lock="by-text:{first}:{second}")
def locked_by_text(first: str, second: str = "z") -> None:
    """Its lock is made of text."""


def test_a_lock_s_key_is_never_another_s_whatever_the_text():
    keys = {
        locked_by_text.lock_key({"first": first, "second": second})
        for first, second in [("1:2", "3"), ("1", "2:3"), ("1", "2%3A3"), ("{second}", "3")]
    }

    assert len(keys) == 4
    assert locked_by_text.lock_key({"first": "a"}) == "by-text:a:z"


def test_the_key_of_a_bot_is_the_one_that_the_command_holds():
    from scraping.sessions import lifecycle
    from scraping.tasks import scrape_bot

    assert scrape_bot.lock_key({"bot_id": 4}) == lifecycle.lock_key(4) == "scrape-bot:4"
    with pytest.raises(ValidationError, match=r"bot_id: '1:2' is not a whole number"):
        scrape_bot.lock_key({"bot_id": "1:2"})


def test_the_registry_is_what_celery_has_registered():
    jobs = registry.all_jobs()

    assert {"jobs.sweep", "jobs.delete_old_runs", "scraping.scrape_bot"} <= jobs.keys()
    assert all(isinstance(task, Job) for task in jobs.values())
    assert "celery.backend_cleanup" not in jobs
    assert jobs["scraping.scrape_bot"].title == "Scrape a bot's subreddits"


def test_a_run_of_an_unknown_task_or_with_wrong_arguments_cannot_be_asked_for():
    with pytest.raises(UnknownJob, match=r"No task is called 'tests\.nothing'"):
        runs.request_run("tests.nothing", {}, trigger="manual")
    with pytest.raises(ValidationError, match="name: the argument is missing"):
        runs.request_run("tests.mark", {}, trigger="manual")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"task": "tests.nothing"}, "task", "No task is called 'tests.nothing'."),
        (
            {"kwargs": '{"nam": "x"}'},
            "kwargs",
            "nam: the job has no such parameter. Its parameters are name.",
        ),
        ({"kwargs": '{"name": 3}'}, "kwargs", "name: 3 is not text. Give text."),
        (
            {"args": "[1]"},
            "kwargs",
            "name: the argument is given twice, by position and by name. Give it once.",
        ),
    ],
)
def test_a_schedule_that_could_not_run_cannot_be_saved(values, field, message):
    every, _ = IntervalSchedule.objects.get_or_create(every=5, period="minutes")
    good = {
        "name": "a schedule",
        "task": "tests.mark",
        "interval": every.pk,
        "args": "[]",
        "kwargs": '{"name": "x"}',
        "enabled": True,
        "headers": "{}",
    }
    assert PeriodicTaskForm(good).is_valid(), PeriodicTaskForm(good).errors

    form = PeriodicTaskForm(good | values)

    assert not form.is_valid()
    assert message in " ".join(form.errors[field])
