from datetime import datetime

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bots.models import RedditApp


class RequestBudget(models.Model):
    """The rest of one app's requests, for all workers on all machines. Only `budget` writes it.

    A window is Reddit's window: it begins with the first request after the end of the previous window.
    All moments come from the database's clock, so that no worker's clock matters.
    """

    app = models.OneToOneField(
        RedditApp,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="budget",
        verbose_name=_("Reddit app"),
    )
    window_number = models.BigIntegerField(
        _("number of the window"),
        default=0,
        help_text=_("Lurker counts the windows of the app. This is the present window."),
    )
    starts_at = models.DateTimeField(_("starts at"))
    ends_at = models.DateTimeField(_("ends at"))
    aligned = models.BooleanField(
        _("end told by Reddit"),
        default=False,
        help_text=_("Whether Reddit told the end of the window. Until its first answer, we guess."),
    )
    quota = models.PositiveBigIntegerField(
        _("quota"), default=0, help_text=_("The requests that the app may send in this window.")
    )
    used = models.PositiveBigIntegerField(
        _("used"),
        default=0,
        help_text=_(
            "The requests of this window that Lurker sent, and the requests of other programs that "
            "Reddit counted."
        ),
    )
    granted = models.PositiveBigIntegerField(
        _("permits"), default=0, help_text=_("The permits that were given in this window.")
    )
    answered = models.PositiveBigIntegerField(
        _("answered"), default=0, help_text=_("The permits whose requests Reddit has answered.")
    )
    reddit_limit = models.PositiveBigIntegerField(
        _("Reddit's limit"),
        null=True,
        help_text=_("The requests in a window, as the headers of Reddit's answers say."),
    )
    paused_until = models.DateTimeField(
        _("paused until"),
        null=True,
        help_text=_("Reddit asked that the app send no request until this time."),
    )
    waiting = models.JSONField(
        _("waiting"),
        default=dict,
        help_text=_(
            "The bots and jobs that last had to wait: by name, the lane and the end of the wait in "
            "epoch seconds."
        ),
    )

    class Meta:
        verbose_name = _("request budget")
        verbose_name_plural = _("request budgets")

    def __str__(self) -> str:
        return self.usage

    @property
    def is_open(self) -> bool:
        """Whether the window still runs; the usage of a window that has ended means nothing."""
        return timezone.now() < self.ends_at

    @property
    def usage(self) -> str:
        """Requests used of the present window, such as "62 of 1000 used"."""
        if not self.is_open:
            return gettext("0 of %(quota)s used") % {"quota": self.quota}
        return gettext("%(used)s of %(quota)s used; the next window starts at %(time)s") % {
            "used": self.used,
            "quota": self.quota,
            "time": _clock(self.ends_at),
        }

    @property
    def waiters(self) -> list[str]:
        """The bots and jobs that wait for a permit now, such as "My bot (backfill) until 12:03:10"."""
        now = timezone.now().timestamp()
        return [
            gettext("%(name)s (%(lane)s) until %(time)s")
            % {
                "name": name,
                "lane": entry["lane"],
                "time": _clock(
                    datetime.fromtimestamp(entry["until"], tz=timezone.get_current_timezone())
                ),
            }
            for name, entry in sorted(self.waiting.items(), key=lambda pair: pair[1]["until"])
            if entry["until"] > now
        ]

    @property
    def pause(self) -> str:
        """A text that says until when Reddit asked for a pause; "" without a pause."""
        if self.paused_until is None or self.paused_until <= timezone.now():
            return ""
        return gettext("paused by Reddit until %(time)s") % {"time": _clock(self.paused_until)}


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M:%S}"
