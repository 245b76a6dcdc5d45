import json
import time
from typing import Any

from celery import states
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django_celery_results.models import TaskResult

from jobs import registry
from jobs.errors import UnknownJob
from jobs.job import Job
from jobs.management.output import BAD_ARGUMENTS, RowsCommand
from jobs.runs import requests as runs
from jobs.runs.transitions import FINAL_STATES

POLL_SECONDS = 0.2


class Command(RowsCommand):
    """Requests one run of a job."""

    help = _(
        "Request a run of a job. The exit code is 2 for wrong arguments. With --wait, the exit code "
        "is 0 if the run succeeds, and 1 if it does not succeed within --timeout seconds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the job, its parameters and the waiting options."""
        super().add_arguments(parser)
        parser.add_argument(
            "job", metavar="JOB", help=_("the name of the job; ./manage.py jobs lists all jobs")
        )
        parser.add_argument(
            "--param",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=_("an argument of the job; repeat the option for more arguments"),
        )
        parser.add_argument("--wait", action="store_true", help=_("wait until the run has ended"))
        parser.add_argument(
            "--timeout",
            type=float,
            default=600,
            metavar="SECONDS",
            help=_("how long --wait waits (default: 600)"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Request the run, and wait for its end if asked to."""
        try:
            job = registry.find(options["job"])
            kwargs = dict(_parameter(job, text) for text in options["param"])
            run = runs.request_run(options["job"], kwargs, trigger="command")
        except UnknownJob as error:
            raise CommandError(str(error), returncode=BAD_ARGUMENTS) from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=BAD_ARGUMENTS) from error
        row = TaskResult.objects.get(task_id=run.task_id)
        deadline = time.monotonic() + options["timeout"]
        while options["wait"] and row.status not in FINAL_STATES and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            row.refresh_from_db()
        told = {
            "task_id": row.task_id,
            "job": row.task_name,
            "state": row.status,
            "result": row.result,
            "reason": json.loads(row.meta or "{}").get("reason"),
        }
        self.show([told], as_json=options["json"])
        if options["wait"] and row.status != states.SUCCESS:
            raise SystemExit(1)


def _parameter(job: Any, text: str) -> tuple[str, Any]:
    """Read NAME=VALUE: the value is text for a text parameter, and JSON for any other."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ValidationError(
            _("--param: “%(text)s” has no name or no value. Write NAME=VALUE.") % {"text": text}
        )
    known = job.parameters.by_name.get(name) if isinstance(job, Job) else None
    if known is not None and known.json_type is str and not (known.optional and value == "null"):
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        # Not JSON: the check of the parameter names what it accepts.
        return name, value
