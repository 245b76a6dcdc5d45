"""The choices of a bot's fields, with their labels."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext


class Listing(models.TextChoices):
    """The source of posts. Only `new` can be complete; the others are samples."""

    NEW = "new", _("New: every post")
    HOT = "hot", _("Hot: a sample")
    TOP = "top", _("Top of the day: a sample")
    RISING = "rising", _("Rising: a sample")
    SEARCH = "search", _("Search: what Reddit finds")


class Comments(models.TextChoices):
    """The comments that the bot collects."""

    NONE = "none", _("None")
    STREAM = "stream", _("Every new comment of the subreddits")
    THREADS = "threads", _("Full trees of matched posts")


class MatchIn(models.TextChoices):
    """The parts of an item in which the bot looks for terms."""

    TITLE = "title", _("Title")
    BODY = "body", _("Body")
    URL = "url", _("URL")
    AUTHOR = "author", _("Author")
    FLAIR = "flair", _("Flair")


class Schedule(models.TextChoices):
    """The kind of a bot's schedule."""

    INTERVAL = "interval", _("Interval")
    CRONTAB = "crontab", _("Crontab")


class Period(models.TextChoices):
    """Units of an interval."""

    SECONDS = "seconds", _("seconds")
    MINUTES = "minutes", _("minutes")
    HOURS = "hours", _("hours")
    DAYS = "days", _("days")


class PauseCause(models.TextChoices):
    """Why a bot failed so often that it was paused."""

    CLOSED = "closed", _("None of its subreddits can be read")
    ERRORS = "errors", _("Errors")


def interval_in_words(every: int, period: str) -> str:
    """Return an interval in words; `period` is a `Period`."""
    words = {
        Period.SECONDS: ngettext("every second", "every %(count)d seconds", every),
        Period.MINUTES: ngettext("every minute", "every %(count)d minutes", every),
        Period.HOURS: ngettext("every hour", "every %(count)d hours", every),
        Period.DAYS: ngettext("every day", "every %(count)d days", every),
    }
    return words[Period(period)] % {"count": every}
