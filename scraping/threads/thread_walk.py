"""Walk one comment tree, request by request, and keep the branches that it must still ask for.

A walk can stop after any request, and another process can go on with it. The branches are in the
database, written in the transaction that stores the comments of the answer. The walk always ends,
whatever Reddit answers. It asks for an id again only if the answer that names the id again shows a
comment that the walk did not know. A walk that is not finished after `most_requests` is given up.

If Reddit does not return a comment by its id, the comment was deleted. An answer that shows nothing at
all is believed only if another kind of request for some of its ids does not return them either.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager

from django.utils import timezone

from scraping.models import CommentThread, RedditComment, ThreadBranch
from scraping.reddit.client import MORE_CHILDREN, RedditClient
from scraping.reddit.errors import BadResponse
from scraping.reddit.tree import TreeAnswer

# A walk may take one request for each reported comment, because each may be the reply to the one
# before. It may take this many more for comments that arrive meanwhile or that Reddit does not count.
REQUESTS_BESIDE = 100
# A walk keeps at most this many ids, so that no answer can fill the memory.
MOST_BRANCHES = 200_000
# If an answer shows nothing, this many of the requested ids are requested again in another way.
CONFIRMING = 3


class ThreadWalk:
    """The walk over a thread's tree: a new walk, or the continuation of an interrupted walk."""

    def __init__(self, thread: CommentThread) -> None:
        self.thread = thread
        self.ended = False
        # Whether the walk ended with ids that it will not ask for any more.
        self.given_up = False
        branches: dict[bool, dict[str, None]] = {False: {}, True: {}}
        if thread.walk_began_at is not None:
            for name, below in thread.branches.values_list("name", "below"):
                branches[below][name] = None
        # The ids to ask for, in the order in which answers named them.
        self._more: dict[str, None] = branches[False]
        self._below: dict[str, None] = branches[True]
        self._asked: list[str] = []
        self._asked_below = False
        # The ids that this process has seen and asked for. After an interruption both start empty,
        # which costs at most one request for each id that is named twice.
        self._seen: set[str] = set()
        self._known: set[tuple[str, bool]] = set()

    @property
    def waiting(self) -> int:
        """How many ids are still to be asked for."""
        return len(self._more) + len(self._below)

    @property
    def most_requests(self) -> int:
        """After how many requests the walk is given up."""
        return REQUESTS_BESIDE + max(0, self.thread.walk_reported)

    def fetch(
        self, client: RedditClient, *, turn: Callable[[], AbstractContextManager[object]]
    ) -> TreeAnswer:
        """Make the next request and return its answer. Nothing is recorded before `advance`.

        `turn` is held during requests that Reddit serves one at a time. Raises the client's errors,
        and `BadResponse` if an answer hides comments that exist.
        """
        post = self.thread.fullname.removeprefix("t3_")

        def below(name: str | None) -> TreeAnswer:
            return client.thread(post, below=name)

        def more(names: list[str]) -> TreeAnswer:
            with turn():
                return client.more_children(post, names)

        self._asked_below = not self._more
        if self._more:
            self._asked = list(self._more)[:MORE_CHILDREN]
            answer = more(self._asked)
        else:
            self._asked = list(self._below)[:1]
            answer = below(self._asked[0] if self._asked else None)
        if answer.shows_nothing:
            for name in self._asked[:CONFIRMING]:
                other = more([name]) if self._asked_below else below(name)
                if name in other.comment_ids:
                    raise BadResponse(
                        f"Reddit showed nothing of {len(self._asked)} comments, and then {name}."
                    )
        return answer

    def advance(self, answer: TreeAnswer, *, reported: int | None) -> None:
        """Record the branches that an answer leaves; called in the transaction that stores the answer.

        `reported` is the number of comments that Reddit reports for the post.
        """
        thread = self.thread
        if thread.walk_began_at is None:
            thread.walk_began_at = timezone.now()
            thread.walk_requests = thread.walk_lost = 0
            thread.walk_reported = reported or 0
        thread.walk_requests += 1
        self._forget_asked()
        self._remember(answer)
        if not self.waiting or thread.walk_requests >= self.most_requests:
            self._end()
        else:
            thread.save(
                update_fields=["walk_began_at", "walk_requests", "walk_reported", "walk_lost"]
            )

    def _forget_asked(self) -> None:
        waiting = self._below if self._asked_below else self._more
        for name in self._asked:
            del waiting[name]
            self._known.add((name, self._asked_below))
        if self._asked:
            self.thread.branches.filter(below=self._asked_below, name__in=self._asked).delete()

    def _remember(self, answer: TreeAnswer) -> None:
        shown = answer.comment_ids
        # A request for what hangs below a comment returns that comment, too. It is no news.
        news = shown - self._seen - (set(self._asked) if self._asked_below else set())
        self._seen |= shown
        more = self._new(
            (name for name in answer.more if name not in self._seen), self._more, False, news
        )
        below = self._new(answer.continued, self._below, True, news)
        ThreadBranch.objects.bulk_create(
            [
                ThreadBranch(thread=self.thread, name=name, below=is_below)
                for names, is_below in ((more, False), (below, True))
                for name in names
            ],
            batch_size=1_000,
            ignore_conflicts=True,
        )

    def _new(
        self, names: Iterable[str], waiting: dict[str, None], below: bool, news: Collection[str]
    ) -> list[str]:
        """Add names to the waiting ids, and return the added names; count as lost those left out."""
        added = []
        for name in names:
            if name in waiting:
                continue
            led_back = (name, below) in self._known and not news
            if led_back or self.waiting >= MOST_BRANCHES:
                self.thread.walk_lost += 1
                continue
            waiting[name] = None
            added.append(name)
        return added

    def _end(self) -> None:
        thread = self.thread
        self.ended = True
        self.given_up = self.waiting > 0
        thread.read_at = timezone.now()
        thread.read_reported = thread.walk_reported
        thread.read_stored = RedditComment.objects.filter(link_fullname=thread.fullname).count()
        thread.read_missing = thread.walk_lost + self.waiting
        thread.walk_began_at = None
        thread.branches.all().delete()
        thread.save()


def abandon(thread: CommentThread) -> None:
    """Forget a walk that no session will continue; the caller saves the thread."""
    thread.walk_began_at = None
    thread.branches.all().delete()
