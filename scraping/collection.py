"""One session's work: read each stream to known ground, store, match, and say what came of it.

The task, the command and the admin's "run now" all end here.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import transaction

from bots.models import LISTING_CAP, BotConfig
from scraping import ledger, matching
from scraping.ingest import IngestResult, ingest_comments, ingest_posts
from scraping.models import Stream, Subreddit
from scraping.reddit.client import Page, RedditClient, pack_names
from scraping.reddit.errors import RedditError, SubredditUnavailable, Throttled, Unauthorized
from scraping.reddit.parse import PARSERS, ParsedComment, ParsedItem, ParsedPost, ParseError
from scraping.subreddits import ensure_streams, find_streams
from scraping.walks import Walk, floor_below, walk

logger = logging.getLogger(__name__)

Status = Subreddit.Status


@dataclass(frozen=True)
class Plan:
    """What to collect, and for whom."""

    subreddits: tuple[str, ...]
    listing: str = BotConfig.Listing.NEW
    comments: bool = False
    search_query: str = ""
    item_limit: int = LISTING_CAP
    bot_id: int | None = None

    @classmethod
    def of(cls, bot: BotConfig, *, item_limit: int | None = None) -> "Plan":
        """What the bot is set to collect, with another limit of items where one is given."""
        return cls(
            subreddits=tuple(bot.subreddits),
            listing=bot.listing,
            comments=bot.comments == BotConfig.Comments.STREAM,
            search_query=bot.search_query,
            item_limit=item_limit or bot.item_limit,
            bot_id=bot.pk,
        )


@dataclass
class Progress:
    """What a session has done so far. Named as the session's columns are."""

    posts_seen: int = 0
    comments_seen: int = 0
    new: int = 0
    updated: int = 0
    rejected: int = 0
    matched: int = 0
    requests: int = 0
    wait_seconds: float = 0.0
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)


class Collector:
    """Carries a plan out. `progress` is true at every moment, also after an exception."""

    def __init__(
        self,
        plan: Plan,
        client: RedditClient,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """`on_progress` is called after each page; a dry run reads and stores nothing.

        The caller who gives `progress` has it also when the collector raises.
        """
        self.progress = progress or Progress()
        self._plan = plan
        self._client = client
        self._on_progress = on_progress
        self._dry_run = dry_run

    def run(self) -> Progress:
        """Collect everything that the plan names; a stream at fault costs no other.

        Raises `Unauthorized` and `Throttled`, which concern all streams: those that were not read
        have the error as their outcome.
        """
        kinds = [Stream.Kind.POSTS] + ([Stream.Kind.COMMENTS] if self._plan.comments else [])
        try:
            for kind in kinds:
                if kind == Stream.Kind.POSTS and self._plan.listing != BotConfig.Listing.NEW:
                    self._sample()
                else:
                    self._collect(kind)
        except (Unauthorized, Throttled) as error:
            told = {label.lower() for label in self.progress.outcomes}
            for kind in kinds:
                for name in self._plan.subreddits:
                    if _label(name, kind).lower() not in told:
                        self._note(name, kind, error.outcome, str(error))
            raise
        finally:
            self._count_requests()
        return self.progress

    def _count_requests(self) -> None:
        self.progress.requests = self._client.requests
        self.progress.wait_seconds = self._client.waited

    def _collect(self, kind: str) -> None:
        """Read streams of which every item is wanted."""
        streams = []
        find = find_streams if self._dry_run else ensure_streams
        for stream in find(self._plan.subreddits, kind):
            subreddit = stream.subreddit
            if subreddit.status in (Status.OK, Status.UNKNOWN) or ledger.probe_is_due(subreddit):
                streams.append(stream)
            else:
                self._note(
                    subreddit.name, kind, subreddit.status, f"asked at {subreddit.probed_at:%H:%M}"
                )
        # A stream without a watermark is read to its listing's end: apart, so that it does not
        # drag the others down with it.
        self._walk_packed([stream for stream in streams if stream.watermark], kind)
        self._walk_packed([stream for stream in streams if not stream.watermark], kind)

    def _walk_packed(self, streams: Sequence[Stream], kind: str) -> None:
        by_name = {stream.subreddit.name: stream for stream in streams}
        for names in pack_names(list(by_name)):
            self._guarded(names, kind, partial(self._walk, [by_name[name] for name in names]))

    def _walk(self, streams: Sequence[Stream]) -> None:
        kind = streams[0].kind
        names = [stream.subreddit.name for stream in streams]
        result = walk(
            lambda cursor: self._client.listing(names, _listing(kind), after=cursor),
            lambda page: self._store(page),
            floor=floor_below([stream.watermark for stream in streams]),
            item_limit=self._plan.item_limit * len(streams),
        )
        silent = self._silent([stream.subreddit for stream in streams], kind, result)
        readable = [stream for stream in streams if stream.subreddit.name not in silent]
        gaps = {}
        if not self._dry_run:
            gaps = {gap.stream_id: gap for gap in ledger.record_walk(readable, result)}
            ledger.record_readable(name for name in names if name.lower() in result.by_subreddit)
        for stream in readable:
            self._note_walk(stream, result, gaps.get(stream.pk))

    def _note_walk(self, stream: Stream, result: Walk, gap: Any) -> None:
        name = stream.subreddit.name
        if gap:
            detail = (
                f"{gap.get_reason_display()}: {gap.starts_at:%Y-%m-%d %H:%M} to {gap.ends_at:%H:%M}"
            )
            self._note(name, stream.kind, "gap", detail)
        else:
            seen = result.by_subreddit.get(name.lower())
            self._note(
                name, stream.kind, "ok" if seen else "empty", f"{seen.items if seen else 0} seen"
            )

    def _silent(self, subreddits: Sequence[Subreddit], kind: str, result: Walk) -> set[str]:
        """Return the members that cannot be read, which a merged listing leaves out silently.

        Only those of whom nothing was seen are asked about, and a known one once an hour.
        """
        suspects = [
            subreddit
            for subreddit in subreddits
            if subreddit.name.lower() not in result.by_subreddit
            and (subreddit.status != Status.OK or ledger.probe_is_due(subreddit))
        ]
        if len(subreddits) == 1:
            return set()  # A single subreddit that cannot be read says so itself.
        unreadable = set()
        for subreddit in self._unseen(suspects):
            try:
                self._client.listing([subreddit.name], "new", limit=1)
            except SubredditUnavailable as error:
                unreadable.add(subreddit.name)
                self._unavailable(subreddit.name, kind, error)
            else:
                self._record_status(subreddit.name, Status.OK)
        return unreadable

    def _unseen(self, suspects: Sequence[Subreddit]) -> list[Subreddit]:
        """Those of whom not even a listing of them alone shows a post; the others can be read.

        Such a listing shows most quiet subreddits at once. /api/info would need fewer calls, but
        shows gated ones as if they could be read.
        """
        unseen = {subreddit.name.lower(): subreddit for subreddit in suspects}
        while len(unseen) > 1:
            page = self._client.listing([subreddit.name for subreddit in unseen.values()], "new")
            shown = unseen.keys() & {_subreddit_of(thing) for thing in page.things}
            if not shown:
                break
            for name in shown:
                self._record_status(unseen.pop(name).name, Status.OK)
        return list(unseen.values())

    def _sample(self) -> None:
        """Read listings that promise no completeness: hot, top, rising, search."""
        plan = self._plan
        params = {}
        if plan.listing == BotConfig.Listing.SEARCH:
            params = {"q": plan.search_query, "restrict_sr": "1", "sort": "new", "t": "all"}
        for names in pack_names(plan.subreddits):
            self._guarded(names, Stream.Kind.POSTS, partial(self._sample_pack, names, params))

    def _sample_pack(self, names: Sequence[str], params: dict[str, str]) -> None:
        result = walk(
            lambda cursor: self._client.listing(names, self._plan.listing, after=cursor, **params),
            lambda page: self._store(page),
            floor=None,
            item_limit=self._plan.item_limit,
        )
        kind = Stream.Kind.POSTS
        find = find_streams if self._dry_run else ensure_streams
        subreddits = [stream.subreddit for stream in find(names, kind)]
        silent = self._silent(subreddits, kind, result)
        for name in (subreddit.name for subreddit in subreddits):
            seen = result.by_subreddit.get(name.lower())
            if name not in silent:
                outcome = "ok" if seen else "empty"
                self._note(name, kind, outcome, f"{seen.items if seen else 0} sampled")

    def _guarded(self, names: Sequence[str], kind: str, read: Callable[[], None]) -> None:
        """Turn what goes wrong with some streams into their outcomes."""
        try:
            read()
        except (Unauthorized, Throttled):
            raise
        except SubredditUnavailable as error:
            self._unavailable(names[0], kind, error)
        except RedditError as error:
            logger.warning("r/%s %s: %s", "+".join(names), kind, error)
            for name in names:
                self._note(name, kind, error.outcome, str(error))
        finally:
            self._count_requests()
            self._on_progress(self.progress)

    def _unavailable(self, name: str, kind: str, error: SubredditUnavailable) -> None:
        self._record_status(name, error.status)
        self._note(name, kind, error.outcome, str(error))

    def _record_status(self, name: str, status: str) -> None:
        if not self._dry_run:
            ledger.record_status(name, status)

    def _note(self, name: str, kind: str, outcome: str, detail: str) -> None:
        self.progress.outcomes[_label(name, kind)] = _outcome(outcome, detail)

    def _store(self, page: Page) -> tuple[list[ParsedItem], IngestResult]:
        """Parse, ingest and match one page, all of it or nothing."""
        posts, comments = self._parse(page)
        items: list[ParsedItem] = [*posts, *comments]
        progress = self.progress
        progress.posts_seen += len(posts)
        progress.comments_seen += len(comments)
        if self._dry_run:
            self._count_requests()
            self._on_progress(progress)
            # As if nothing were known: a dry run shows what Reddit lists.
            return items, IngestResult(new={item.fullname for item in items})
        with transaction.atomic():
            result = ingest_posts(posts)
            of_comments = ingest_comments(comments)
            result.new |= of_comments.new
            result.updated |= of_comments.updated
            matches = self._match(items, result)
        progress.new += len(result.new)
        progress.updated += len(result.updated)
        progress.matched += sum(match.bot_id == self._plan.bot_id for match in matches)
        self._count_requests()
        self._on_progress(progress)
        return items, result

    def _parse(self, page: Page) -> tuple[list[ParsedPost], list[ParsedComment]]:
        parsed: dict[str, list[Any]] = {"t3": [], "t1": []}
        for thing in page.things:
            kind = thing.get("kind") if isinstance(thing, dict) else None
            try:
                if kind not in PARSERS:
                    raise ParseError("?", f"kind: expected t1 or t3, got {kind!r}")
                parsed[kind].append(PARSERS[kind](thing.get("data")))
            except ParseError as error:
                self.progress.rejected += 1
                logger.warning("Item not stored: %s", error)
        return parsed["t3"], parsed["t1"]

    def _match(self, items: list[ParsedItem], result: IngestResult) -> list[matching.Match]:
        """Match new items for every bot that watches, and known ones for the session's own bot."""
        return matching.store_matches(
            match
            for match in matching.find(items)
            if match.fullname in result.new or match.bot_id == self._plan.bot_id
        )


def _subreddit_of(thing: Any) -> str:
    data = thing.get("data") if isinstance(thing, dict) else None
    name = data.get("subreddit") if isinstance(data, dict) else None
    return name.lower() if isinstance(name, str) else ""


def _listing(kind: str) -> str:
    return "comments" if kind == Stream.Kind.COMMENTS else "new"


def _label(name: str, kind: str) -> str:
    return f"r/{name} {kind}"


def _outcome(outcome: str, detail: str) -> dict[str, str]:
    return {"outcome": outcome, "detail": detail}
