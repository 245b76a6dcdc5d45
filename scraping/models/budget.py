from datetime import datetime

from django.db import models
from django.utils import timezone

from bots.models import RedditApp


class RequestBudget(models.Model):
    """The rest of one app's requests, for all workers on all machines. Only `budget` writes it.

    A window is Reddit's window: it begins with the first request after the end of the previous window.
    All moments come from the database's clock, so that no worker's clock matters.
    """

    app = models.OneToOneField(
        RedditApp, primary_key=True, on_delete=models.CASCADE, related_name="budget"
    )
    window_number = models.BigIntegerField(
        default=0, help_text="Counts the windows: names the present one."
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    aligned = models.BooleanField(
        default=False, help_text="Whether the end is Reddit's word, or our guess before its answer."
    )
    quota = models.PositiveBigIntegerField(default=0, help_text="Requests in this window.")
    used = models.PositiveBigIntegerField(
        default=0, help_text="Of them, what we sent and what Reddit counted beside us."
    )
    granted = models.PositiveBigIntegerField(default=0, help_text="Permits of this window.")
    answered = models.PositiveBigIntegerField(default=0, help_text="Of those, how many came back.")
    reddit_limit = models.PositiveBigIntegerField(
        null=True, help_text="Requests in a window as Reddit's headers add up."
    )
    paused_until = models.DateTimeField(
        null=True, help_text="Reddit asked all of the app's requests to wait until then."
    )
    waiting = models.JSONField(
        default=dict, help_text="Who was last told to wait: name to lane and end (epoch seconds)."
    )

    class Meta:
        verbose_name = "request budget"

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
            return f"0 of {self.quota} used"
        return f"{self.used} of {self.quota} used, anew at {_clock(self.ends_at)}"

    @property
    def waiters(self) -> list[str]:
        """The bots and jobs that wait for a permit now, such as "My bot (backfill) until 12:03:10"."""
        now = timezone.now().timestamp()
        return [
            f"{name} ({entry['lane']}) until "
            f"{_clock(datetime.fromtimestamp(entry['until'], tz=timezone.get_current_timezone()))}"
            for name, entry in sorted(self.waiting.items(), key=lambda pair: pair[1]["until"])
            if entry["until"] > now
        ]

    @property
    def pause(self) -> str:
        """A text that says until when Reddit asked for a pause; "" without a pause."""
        if self.paused_until is None or self.paused_until <= timezone.now():
            return ""
        return f"paused by Reddit until {_clock(self.paused_until)}"


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%H:%M:%S}"
