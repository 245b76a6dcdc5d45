from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from accounts.models import User
from bots import demo


class Command(BaseCommand):
    """Saves demonstration bots that collect from the bundled simulator."""

    help = _(
        "Save a Reddit app for the simulator and three demonstration bots, as the admin does. A "
        "second call resets the app and the bots to their original settings."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the owner, the interval and the subreddits."""
        parser.add_argument(
            "--owner",
            metavar="E-MAIL",
            help=_("the owner of the bots (default: the first superuser)"),
        )
        parser.add_argument(
            "--every",
            type=int,
            default=60,
            metavar="SECONDS",
            help=_("the interval of the bots (default: 60)"),
        )
        parser.add_argument(
            "--subreddits",
            nargs="+",
            metavar="NAME",
            help=_("watch these subreddits instead; they are dealt out to the three bots"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Save the bots and print each with its subreddits and interval."""
        owners = User.objects.filter(is_superuser=True).order_by("pk")
        if options["owner"]:
            owners = User.objects.filter(email__iexact=options["owner"])
        owner = owners.first()
        if owner is None:
            told = (
                _("--owner: there is no user “%(email)s”.") % {"email": options["owner"]}
                if options["owner"]
                else _("--owner: there is no superuser.")
            )
            remedy = _("Create a superuser: ./manage.py createsuperuser")
            raise CommandError(f"{told} {remedy}", returncode=2)
        every = timedelta(seconds=options["every"])
        try:
            bots = demo.seed(owner, every=every, subreddits=options["subreddits"])
        except ValidationError as error:
            faults = "\n".join(
                f"{name}: {' '.join(told)}" for name, told in error.message_dict.items()
            )
            raise CommandError(faults, returncode=2) from error
        for bot in bots:
            self.stdout.write(f"{bot.name}: {', '.join(bot.subreddits)}, {bot.timing}")
