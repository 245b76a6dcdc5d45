from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from bots import services


class Command(BaseCommand):
    """Heals drift between bots and their schedules."""

    help = (
        "Make the schedules of bots what the bots say: create missing ones, correct drifted ones, "
        "remove those whose bot is gone. No other schedule is touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The dry run."""
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and do not"
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        """Reconcile, and print each change."""
        changes = services.reconcile_schedules(dry_run=dry_run)
        for verb in ("created", "updated", "removed"):
            for name in getattr(changes, verb):
                self.stdout.write(f"{'would be ' if dry_run else ''}{verb}: {name}")
        if not changes:
            self.stdout.write(self.style.SUCCESS("Nothing to do: every bot's schedule is right."))
