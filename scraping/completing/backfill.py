"""Backfill a bot's streams: read what Reddit still lists of them, back to a day the operator names."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Exists, OuterRef

from bots.models import BotConfig
from jobs import locks
from scraping.collecting.page_store import Progress
from scraping.completing import deep_reader
from scraping.completing.deep_reader import DeepReader, Depth, Reading, StreamOutcome
from scraping.coverage import gaps
from scraping.coverage.walk import End
from scraping.models import Gap, ScrapeSession, Stream
from scraping.planning.demand import wanted_kinds
from scraping.sessions import lifecycle
from scraping.subreddits import ensure_streams

LOCK = "backfill-bot:{bot_id}"
# A backfill has no next run, so it waits for the budget instead of ending. For one request it waits a
# whole window and this many seconds; after that, the app has no budget for it.
SLACK_SECONDS = 30


class NothingToBackfill(Exception):
    """The backfill cannot run; the message says why."""


@dataclass(frozen=True)
class _Backfill:
    bot: BotConfig
    since: datetime

    @property
    def by(self) -> str:
        return f"backfill of bot “{self.bot.name}”"

    def read(self, reader: DeepReader) -> None:
        """Read the bot's streams that are not complete since that day."""
        depths = []
        for kind in wanted_kinds(self.bot):
            streams = ensure_streams(self.bot.subreddits, kind)
            done = self._done(streams)
            for stream in streams:
                if stream.pk in done:
                    since = f"complete since {stream.complete_since:%Y-%m-%d %H:%M}"
                    reader.outcomes.note(stream, "ok", since)
                else:
                    bottom = min(filter(None, (self.since, stream.watermark)))
                    depths.append(Depth(stream, bottom))
        reader.read(depths)

    def _done(self, streams: list[Stream]) -> set[int]:
        """Return the ids of the streams that are complete since that day, without an open gap."""
        holes = Gap.objects.filter(stream=OuterRef("pk"), closed_at=None, ends_at__gt=self.since)
        done = Stream.objects.filter(
            pk__in=[stream.pk for stream in streams], complete_since__lte=self.since
        )
        return set(done.exclude(Exists(holes)).values_list("pk", flat=True))

    def tell(self, reading: Reading) -> StreamOutcome:
        """Record what the walk did not reach; return the outcome of the stream."""
        stream = reading.depth.stream
        ended = reading.walk.end == End.LISTING_END and not reading.ended_early
        if reading.is_done and ended and reading.since:
            # Reddit shows nothing older.
            gaps.close([gaps.Cover(stream.pk, self.since, reading.since + gaps.SECOND)], by=self.by)
            if reading.since > self.since:
                return StreamOutcome("ok", f"its listing begins at {reading.since:%Y-%m-%d %H:%M}")
        if reading.ended_early and not reading.is_done:
            return StreamOutcome("error", "Reddit's listing ended above items of it that are known")
        if reading.since is None:
            return StreamOutcome("empty", "nothing in it")
        if reading.is_done:
            return StreamOutcome("ok", f"complete since {self.since:%Y-%m-%d %H:%M}")
        unread = None
        if reading.cut_off:
            unread = gaps.record_unread(stream, self.since, reason=Gap.Reason.LISTING_CAP)
        why = Gap.Reason.LISTING_CAP.label if reading.cut_off else "the listing broke off"
        return StreamOutcome(
            "gap",
            f"reached {reading.since:%Y-%m-%d %H:%M}: {why}; what was written from "
            f"{self.since:%Y-%m-%d %H:%M} to then remains, as far as it is not stored",
            gaps_opened=1 if unread else 0,
        )


def backfill_bot(
    bot: BotConfig, since: datetime, *, on_page: Callable[[Progress], None] = lambda _: None
) -> ScrapeSession:
    """Read what Reddit still lists of the bot's streams back to `since`, and return the session.

    The backfill runs beside the bot's ordinary sessions, in the lowest lane, and waits for the app's
    budget. If it is killed, run it again: it does not read streams that are complete since then.
    Raises `NothingToBackfill` if the bot takes samples only or another backfill of it runs.
    """
    if not wanted_kinds(bot):
        raise NothingToBackfill(
            f"bot “{bot}” takes samples only ({bot.get_listing_display()}): there is nothing to be "
            "complete of. Set its listing to New, or its comments to the stream."
        )
    lock = LOCK.format(bot_id=bot.pk)
    backfill = _Backfill(bot, since)
    try:
        with locks.hold(lock):
            session = lifecycle.start_backfill(bot, lock=lock)
            deep_reader.run(
                bot.reddit_app,
                session,
                backfill.read,
                by=backfill.by,
                name=f"backfill of {bot.name}",
                on_reading=backfill.tell,
                on_page=on_page,
                longest_wait=settings.REDDIT_BUDGET_WINDOW_SECONDS + SLACK_SECONDS,
            )
    except locks.LockHeld as held:
        raise NothingToBackfill(str(held)) from held
    return session
