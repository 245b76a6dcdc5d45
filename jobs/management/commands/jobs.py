from typing import Any

from django.utils.translation import gettext as _

from jobs import registry
from jobs.management.output import RowsCommand


class Command(RowsCommand):
    """Lists the registered jobs."""

    help = _("List all jobs with their parameters.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the jobs."""
        rows = [
            {
                "name": name,
                "title": _(job.title),
                "queue": job.queue_name,
                "parameters": ", ".join(
                    f"{p.name}: {p.kind}{'' if p.required else f' = {p.default!r}'}"
                    for p in job.parameters.by_name.values()
                ),
                "lock": job.lock,
                "seconds": job.time_limit,
            }
            for name, job in registry.all_jobs().items()
        ]
        self.show(rows, as_json=options["json"], empty=_("No job is registered."))
