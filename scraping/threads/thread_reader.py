"""Read comment trees in one session, within its limits of requests and time.

The requests go in the lane `refresh`. The comments of an answer and the branches that it leaves are
stored in one transaction, so the next session can go on after any end. `due_threads` decides which
threads are read, and when.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import monotonic

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from bots.models import BotConfig
from jobs import locks
from scraping.collecting.page_store import OnProgress, PageStore, Progress
from scraping.models import CommentThread, RedditComment, RedditPost
from scraping.reddit.client import PAGE_SIZE, Page, RedditClient
from scraping.reddit.errors import (
    BadResponse,
    RedditError,
    RequestRejected,
    Throttled,
    Unauthorized,
    Unavailable,
)
from scraping.reddit.parse import ParsedItem, ParsedPost
from scraping.reddit.tree import TreeAnswer
from scraping.threads import due_threads
from scraping.threads.thread_walk import ThreadWalk, abandon

logger = logging.getLogger(__name__)

# After this many failures in a row, a thread waits for its next regular look, if there is one.
MOST_FAILURES = 8

# A session goes on for this many seconds at most. It must end well within its task's time limit, and
# other runs need the worker.
SESSION_SECONDS = 600
# If Reddit is unavailable for this many threads in a row, the threads are not the cause.
FAILURES_IN_A_ROW = 3

# A worker waits this many seconds while other workers of the same app ask for morechildren.
TURN_SECONDS = 90

SUMMARY = "threads"


class ThreadReader:
    """Reads trees in one session. `progress` is correct at every moment, also after an exception.

    The caller lends the client and counts its requests in `progress`.
    """

    def __init__(
        self,
        bot: BotConfig,
        client: RedditClient,
        *,
        on_progress: OnProgress = lambda _: None,
        progress: Progress | None = None,
    ) -> None:
        """`on_progress` is called after each answer, when its items are committed."""
        self.progress = progress or Progress()
        self._bot = bot
        self._client = client
        self._on_progress = on_progress
        self._looked = self._read = self._left = 0
        self._store_page = PageStore(
            self.progress, bot_id=bot.pk, dry_run=False, after_page=on_progress
        )
        self._ends_at = monotonic() + SESSION_SECONDS

    def run(self) -> Progress:
        """Look at the due threads and read those that have grown.

        An error of one thread does not stop the others. Raises `Unauthorized` and `Throttled`, which
        concern all threads.
        """
        try:
            due_threads.enlist(self._bot)
            due = list(due_threads.due(self._bot)[: due_threads.MOST_THREADS])
            self._left = len(due)
            self._read_all(self._look(due))
        except RedditError as error:
            self._sum_up(error.outcome, str(error))
            if isinstance(error, Unauthorized | Throttled):
                raise
        else:
            reason = "the session's requests or its time are spent" if self._left else ""
            self._sum_up("gap" if self._left else "ok", reason)
        return self.progress

    def _sum_up(self, outcome: str, reason: str) -> None:
        told = [f"{self._looked} looked at, {self._read} read to their ends"]
        if self._left:
            told.append(f"{self._left} left for later")
        if reason:
            told.append(reason)
        self._note(SUMMARY, outcome, "; ".join(told))

    def _look(self, due: Sequence[CommentThread]) -> list[tuple[CommentThread, RedditPost]]:
        """Ask for the counts of the due threads' posts, and return the threads to read."""
        fresh = _posts(due)
        ask = [thread.fullname for thread in due if _is_stale(thread, fresh)]
        answered: set[str] = set()
        for start in range(0, len(ask), PAGE_SIZE):
            page = self._client.info(fullnames=ask[start : start + PAGE_SIZE])
            shown, _ = self._store_page(page)
            answered |= {item.fullname for item in shown}
        gone = set(ask) - answered
        posts = _posts(due)
        stored = _stored_comments(posts)
        now = timezone.now()
        to_read, settled, without_post = [], [], []
        for thread in due:
            post = posts.get(thread.fullname)
            if post is None:
                without_post.append(thread.pk)
            elif thread.fullname not in gone and (
                thread.walk_began_at is not None
                or due_threads.worth_reading(
                    reported=post.num_comments or 0,
                    stored=stored.get(post.pk, 0),
                    unreadable=thread.unreadable,
                )
            ):
                to_read.append((thread, post))
            else:
                thread.look_at, thread.looked_at = due_threads.next_look(post.created_at, now), now
                settled.append(thread)
        CommentThread.objects.bulk_update(settled, ["look_at", "looked_at"], batch_size=500)
        CommentThread.objects.filter(pk__in=without_post).delete()
        self._looked = len(due)
        self._left = len(to_read)
        return to_read

    def _read_all(self, chosen: Sequence[tuple[CommentThread, RedditPost]]) -> None:
        failures = 0
        for thread, post in chosen:
            if self._requests_left() <= 0 or monotonic() > self._ends_at:
                return
            try:
                self._read_one(thread, post)
                failures = 0
            except (Unauthorized, Throttled) as error:
                self._note(_label(post), error.outcome, str(error))
                raise
            except RedditError as error:
                self._failed(thread, post, error)
                failures = failures + 1 if isinstance(error, Unavailable) else 0
                if failures >= FAILURES_IN_A_ROW:
                    self._left -= 1
                    raise
            self._left -= 1

    def _read_one(self, thread: CommentThread, post: RedditPost) -> None:
        """Read a tree to its end, or as far as the limits of requests and time allow."""
        try:
            with locks.hold(f"comment-thread:{thread.fullname}"):
                thread.refresh_from_db()
                if thread.look_at is None or thread.look_at > timezone.now():
                    return  # another session has read it meanwhile
                self._walk(ThreadWalk(thread), post)
        except locks.LockHeld as held:
            self._note(_label(post), "ok", f"another session reads it: {held}")

    def _walk(self, walk: ThreadWalk, post: RedditPost) -> None:
        before = self._client.requests
        most = settings.REDDIT_THREAD_REQUESTS
        while not walk.ended:
            spent = self._client.requests - before
            if spent >= most or self._requests_left() <= 0 or monotonic() > self._ends_at:
                break
            answer = walk.fetch(self._client, turn=partial(_turn_of, self._bot.reddit_app_id))
            if answer.shows_nothing:
                _doubt(walk, post)
            self._store(walk, answer, post)
        self._settle(walk, post, requests=self._client.requests - before)

    def _settle(self, walk: ThreadWalk, post: RedditPost, *, requests: int) -> None:
        """Record how far the tree was read, and when it is looked at next."""
        thread, now = walk.thread, timezone.now()
        thread.looked_at, thread.failures = now, 0
        # A tree that is not finished goes to the end of the queue.
        thread.look_at = due_threads.next_look(post.created_at, now) if walk.ended else now
        thread.save(update_fields=["looked_at", "failures", "look_at"])
        stored = _stored_comments([post.pk]).get(post.pk, 0)
        told = f"{stored} comments stored of {thread.walk_reported} reported, {requests} requests"
        if walk.given_up:
            told += f"; given up after {thread.walk_requests} requests in all"
            told += f", {thread.read_missing} ids missing"
        elif not walk.ended:
            told += f"; at least {walk.waiting} comments missing, to be read later"
        elif thread.read_missing:
            told += f"; {thread.read_missing} ids were named again and again, and not given"
        whole = walk.ended and not thread.read_missing
        self._read += walk.ended and not walk.given_up
        self._note(_label(post), "ok" if whole else "gap", told)

    def _failed(self, thread: CommentThread, post: RedditPost, error: RedditError) -> None:
        """Record that a tree could not be read. Its walk is kept if the thread is looked at again."""
        now = timezone.now()
        outcome = error.outcome
        later = due_threads.next_look(post.created_at, now)
        thread.failures += 1
        if isinstance(error, RequestRejected):
            outcome = {403: "private", 404: "missing"}.get(error.status or 0, outcome)
        elif thread.failures < MOST_FAILURES:
            pause = min(
                due_threads.SHORTEST_PAUSE * 2 ** (thread.failures - 1), due_threads.LONGEST_PAUSE
            )
            later = now + pause
        if later is None:
            abandon(thread)
        thread.look_at, thread.looked_at = later, now
        thread.save(update_fields=["look_at", "looked_at", "failures", "walk_began_at"])
        logger.warning("%s: %s", _label(post), error)
        self._note(_label(post), outcome, str(error))
        self._on_progress(self.progress)

    def _store(self, walk: ThreadWalk, answer: TreeAnswer, post: RedditPost) -> None:
        """Store the comments of an answer and the branches that it leaves, in one transaction."""

        def advance(items: list[ParsedItem]) -> None:
            named = (item for item in items if item.fullname == post.pk)
            told = next((item for item in named if isinstance(item, ParsedPost)), post)
            walk.advance(answer, reported=told.num_comments)

        # Many answers show the post again; storing the first is enough.
        is_first = walk.thread.walk_began_at is None
        things = [*answer.posts, *answer.comments] if is_first else answer.comments
        self._store_page(Page(things, after=None), also=advance)

    def _requests_left(self) -> int:
        return settings.REDDIT_THREADS_SESSION_REQUESTS - self._client.requests

    def _note(self, label: str, outcome: str, detail: str) -> None:
        self.progress.outcomes[label] = {"outcome": outcome, "detail": detail}


def _doubt(walk: ThreadWalk, post: RedditPost) -> None:
    """Raise `BadResponse` if a tree shows none of its reported comments for the first time.

    The thread is then looked at again later. All comments may have been removed, because Reddit also
    counts removed comments. So a second answer that shows nothing is believed.
    """
    thread = walk.thread
    if thread.walk_began_at is None and post.num_comments and not thread.failures:
        raise BadResponse(f"Reddit shows none of {post.num_comments} comments; asked again later.")


@contextmanager
def _turn_of(app_id: int) -> Iterator[None]:
    """Wait for the app's turn: Reddit serves one morechildren of an app at a time, for all workers."""
    try:
        lock = locks.Lock(f"morechildren:{app_id}")
        lock.acquire(wait=TURN_SECONDS)
    except locks.LockHeld as held:
        raise Unavailable(f"Other workers took all turns for {TURN_SECONDS} s: {held}") from held
    with lock:
        yield


def _is_stale(thread: CommentThread, posts: dict[str, RedditPost]) -> bool:
    """Whether the post's stored count may be out of date and is needed to decide."""
    post = posts.get(thread.fullname)
    if post is None or thread.walk_began_at is not None:
        return False
    return (
        thread.looked_at is not None
        or post.first_seen_at < timezone.now() - due_threads.SHORTEST_PAUSE
    )


def _posts(of: Sequence[CommentThread]) -> dict[str, RedditPost]:
    rows = RedditPost.objects.select_related("subreddit").only(
        "fullname", "created_at", "first_seen_at", "num_comments", "subreddit__name"
    )
    return rows.in_bulk([thread.fullname for thread in of])


def _stored_comments(posts: Iterable[str]) -> dict[str, int]:
    """Return how many comments of each of these posts are stored."""
    counted = (
        RedditComment.objects.filter(link_fullname__in=list(posts))
        .values("link_fullname")
        .order_by()
        .annotate(number=Count("pk"))
    )
    rows = counted.values_list("link_fullname", "number")
    return {fullname: number for fullname, number in rows if fullname is not None}


def _label(post: RedditPost) -> str:
    where = f"r/{post.subreddit.name} " if post.subreddit else ""
    return f"{where}comments of {post.pk}"
