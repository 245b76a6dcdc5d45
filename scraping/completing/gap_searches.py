"""Gap searches: search for the posts in gaps that deep walks left and listings no longer reach.

`/r/NAME/search` lists about 1,000 results of each query. The query `self:yes` finds text posts and
`self:no` all other posts, so both together go further down than `/new` does. Reddit's index is neither
complete nor up to date. So a search proves something only if it shows the posts that are known.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypedDict

from django.db import transaction
from django.db.models import F, Prefetch, Q, QuerySet
from django.utils import timezone

from bots import refusals
from bots.models import LISTING_CAP, RedditApp
from jobs import locks
from scraping.collecting.guard import guarded
from scraping.collecting.outcomes import Outcomes
from scraping.collecting.page_store import PageStore, Progress
from scraping.completing import deep_reader
from scraping.completing.deep_reader import PAGES_OF_A_STREAM
from scraping.coverage import gaps
from scraping.coverage.walk import KNOWN_ITEMS, End, walk
from scraping.intake import Taken
from scraping.models import Gap, RedditPost, ScrapeSession, Stream
from scraping.planning import demand
from scraping.reddit.client import PAGE_SIZE, Page, RedditClient
from scraping.reddit.errors import (
    BadResponse,
)
from scraping.reddit.parse import ParsedItem
from scraping.sessions import lifecycle

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import WithAnnotations

logger = logging.getLogger(__name__)

# Every post is found by one of these queries.
QUERIES = ("self:yes", "self:no")
# Without `include_over_18`, Reddit may silently leave out posts that are marked as adult.
PARAMETERS = {"restrict_sr": "1", "sort": "new", "t": "all", "include_over_18": "on"}
# At most this many streams in one run, for each app. The two queries of a stream take at most 32
# requests.
STREAMS = 10
# This many known posts next above a gap, and as many next below it, must be among the results.
NEIGHBOURS = 100
# At most this many known posts are loaded: more than both queries can show.
MOST_KNOWN = 4 * LISTING_CAP

LOCK = "search-gaps:{app_id}"
BY = "a search"


@dataclass
class GapSearch:
    """The counts of a run for one app: streams due and searched, gaps, new items, requests.

    `ended_early` says why the run ended early; empty if it did not.
    """

    due: int = 0
    searched: int = 0
    gaps_closed: int = 0
    gaps_left: int = 0
    new: int = 0
    requests: int = 0
    ended_early: str = ""


@dataclass(frozen=True)
class Known:
    """A stored post that still stands on Reddit, as far as we know."""

    fullname: str
    created_at: datetime


@dataclass(frozen=True)
class Found:
    """The results of one query: the posts, and how far down they reach.

    At least three posts are as old as `reached` or older; None if the query showed fewer posts.
    """

    fullnames: frozenset[str]
    reached: datetime | None


@dataclass(frozen=True)
class Verdict:
    """What a search proves about a gap.

    With a `reason` it proves nothing. Otherwise the gap is read, unless a `missing` post still stands.
    """

    reason: str = ""
    missing: frozenset[str] = frozenset()


def search_gaps(
    app: RedditApp, *, on_page: Callable[[Progress], None] = lambda _: None
) -> GapSearch:
    """Search for the posts in gaps of streams that the app's bots want, and return the counts.

    No request is made when there is no such gap, when Reddit refuses the app, or when another process
    holds the app's lock for gap searches. Each gap is searched once, and again only after an error.
    """
    if not refusals.may_try(app):
        return GapSearch(ended_early="Reddit refuses the app's credentials")
    lock = LOCK.format(app_id=app.pk)
    try:
        with locks.hold(lock):
            streams = list(due_streams(app)[:STREAMS])
            if not streams:
                return GapSearch()
            session = lifecycle.start_without_bot(
                f"Search for gaps of {app.name}", trigger=ScrapeSession.Trigger.BACKFILL, lock=lock
            )
            return _search(app, streams, session, on_page)
    except locks.LockHeld as held:
        return GapSearch(ended_early=str(held))


def _search(
    app: RedditApp,
    streams: "Sequence[WithAnnotations[Stream, OpenGaps]]",
    session: ScrapeSession,
    on_page: Callable[[Progress], None],
) -> GapSearch:
    result = GapSearch(due=len(streams))

    def work(client: RedditClient, store: PageStore, progress: Progress) -> None:
        _Searcher(client, store, progress, result).run(streams)

    progress = deep_reader.in_session(app, session, work, name="gap search", on_page=on_page)
    result.ended_early = session.error
    result.new, result.requests = progress.new, progress.requests
    logger.info("Gap search of app %s: %s", app, asdict(result))
    return result


class OpenGaps(TypedDict):
    """The attribute that `due_streams` adds to each stream."""

    gaps_to_search: list[Gap]


def due_streams(app: RedditApp) -> "QuerySet[WithAnnotations[Stream, OpenGaps]]":
    """Return the streams of posts that the app's bots want, with unsearched gaps that deep walks left.

    The gaps are in `gaps_to_search`. The streams come in random order, so that a stream whose search
    always fails does not keep the others from their turn.
    """
    names = [wanted.subreddit for wanted in demand.demands(app) if wanted.kind == Stream.Kind.POSTS]
    # These are gaps that a deep walk has met and not closed. A gap below the border of retention is
    # not searched, because its posts would not be stored again.
    beyond_reach = Gap.objects.filter(
        Q(stream__subreddit__content_since=None)
        | Q(ends_at__gt=F("stream__subreddit__content_since")),
        closed_at=None,
        searched_at=None,
        found_at__lte=F("stream__deep_read_at"),
    )
    return (
        Stream.objects.readable()
        .named(names)
        .filter(kind=Stream.Kind.POSTS, pk__in=beyond_reach.values("stream"))
        .select_related("subreddit")
        .prefetch_related(Prefetch("gaps", queryset=beyond_reach, to_attr="gaps_to_search"))
        .order_by("?")
    )


class _Searcher:
    """Searches stream by stream, and records the result of each stream in one transaction."""

    def __init__(
        self, client: RedditClient, store: PageStore, progress: Progress, result: GapSearch
    ) -> None:
        self._client = client
        self._store = store
        self._progress = progress
        self._outcomes = Outcomes(progress.outcomes)
        self._result = result

    def run(self, streams: "Iterable[WithAnnotations[Stream, OpenGaps]]") -> None:
        """Search the gaps of each stream; an error of one stream does not stop the others.

        Raises `Unauthorized` and `Throttled`, which concern all streams.
        """
        for stream in streams:
            with guarded([stream], self._outcomes, self._progress):
                self._search(stream, stream.gaps_to_search)

    def _search(self, stream: Stream, wanted: Sequence[Gap]) -> None:
        # Load the known posts first: posts that the search itself stores prove nothing.
        known = _known(stream)
        bottom = min(gap.starts_at for gap in wanted)
        found = [self._walk(stream, query, bottom) for query in QUERIES]
        verdicts = {gap.pk: judge(gap, known, found) for gap in wanted}
        reasons = self._reasons(verdicts)
        covers = [
            gaps.Cover(stream.pk, gap.starts_at, gap.ends_at)
            for gap in wanted
            if not reasons[gap.pk]
        ]
        with transaction.atomic():
            closed = gaps.close(covers, by=BY).total_closed
            Gap.objects.filter(pk__in=list(reasons)).update(searched_at=timezone.now())
        left = [reason for reason in reasons.values() if reason]
        self._progress.gaps_closed += closed
        self._result.searched += 1
        self._result.gaps_closed += closed
        self._result.gaps_left += len(left)
        detail = f"{closed} gaps closed"
        if left:
            detail += f", {len(left)} left: {'; '.join(sorted(set(left)))}"
        self._outcomes.note(stream, "gap" if left else "ok", detail)

    def _walk(self, stream: Stream, query: str, bottom: datetime) -> Found:
        name = stream.subreddit.name
        fullnames: set[str] = set()

        parameters = {"q": query, **PARAMETERS}

        def fetch(cursor: str | None) -> Page:
            return self._client.listing([name], "search", after=cursor, params=parameters)

        def store(page: Page) -> tuple[list[ParsedItem], Taken]:
            items, result = self._store(page)
            fullnames.update(item.fullname for item in items)
            return items, result

        seen = walk(
            fetch,
            store,
            floor=None,
            bottom=bottom,
            item_limit=PAGES_OF_A_STREAM * PAGE_SIZE,
            alone=True,
        )
        if seen.end == End.BROKEN_LISTING:
            raise BadResponse(f"The results of “{query}” led back to themselves.")
        own = seen.by_subreddit.get(name.lower())
        # Several posts must be this old, as in walks: one post out of order does not prove the depth.
        moments = sorted(own.moments) if own else []
        reached = moments[KNOWN_ITEMS - 1] if len(moments) >= KNOWN_ITEMS else None
        return Found(frozenset(fullnames), reached)

    def _reasons(self, verdicts: Mapping[int, Verdict]) -> dict[int, str]:
        """Return why each gap stays open; the reason is empty for a gap that can be closed.

        A known post that is missing from the results may have been removed since. One request asks
        Reddit about up to 100 such posts.
        """
        missing = sorted(frozenset().union(*(verdict.missing for verdict in verdicts.values())))
        ended: set[str] = set()
        if missing:
            items, _ = self._store(self._client.info(fullnames=missing[:PAGE_SIZE]))
            # A post that the answer leaves out does not count as removed.
            ended = {item.fullname for item in items if item.removal}
        return {
            key: verdict.reason
            or ("known posts are not among the results" if verdict.missing - ended else "")
            for key, verdict in verdicts.items()
        }


def judge(gap: Gap, known: Sequence[Known], found: Sequence[Found]) -> Verdict:
    """Compare the results of all queries with the known posts, and return what they prove about a gap.

    Each query must reach below the gap's start and show several known posts from around the gap. A
    query that Reddit does not understand, or whose results it cut off, proves nothing. `known` is
    sorted, the newest first.
    """
    reached = [one.reached for one in found]
    floor = max(filter(None, reached), default=None)
    if floor is None or None in reached or floor >= gap.starts_at:
        return Verdict("the results end above its start")
    above = [post for post in known if post.created_at >= gap.ends_at][-NEIGHBOURS:]
    inside = [post for post in known if gap.starts_at <= post.created_at < gap.ends_at]
    # A query may not have shown all posts of the moment that it reached, so that moment is left out.
    below = [post for post in known if floor < post.created_at < gap.starts_at][:NEIGHBOURS]
    around = {post.fullname for post in (*above, *below)}
    if any(len(around & one.fullnames) < KNOWN_ITEMS for one in found):
        return Verdict("too few posts around it are known")
    shown = frozenset().union(*(one.fullnames for one in found))
    return Verdict(missing=frozenset(around.union(post.fullname for post in inside) - shown))


def _known(stream: Stream) -> list[Known]:
    posts = RedditPost.objects.filter(subreddit=stream.subreddit_id, removal="")
    newest = posts.order_by("-created_at").values_list("fullname", "created_at")[:MOST_KNOWN]
    return [Known(*row) for row in newest]
