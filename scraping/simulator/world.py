"""A world: everything that exists in the simulated Reddit, and what is known about it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from random import Random

from . import text
from .clock import VirtualClock
from .generate import HOUR, generate_hour
from .ids import subreddit_of
from .model import Comment, Item, Post, Subreddit, Truth, base36
from .pages import Pages
from .render import Renderer
from .roster import roster, stable_seed

_CREATED = attrgetter("created")


@dataclass(frozen=True, slots=True)
class User:
    """An account that writes."""

    index: int
    name: str
    id: str
    created: float
    suspended: bool


class World:
    """Subreddits with their posts and comments at the clock's present moment.

    Content is generated on demand: an hour is generated when a request first reaches its subreddit at
    or after that hour.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        clock: VirtualClock | None = None,
        subreddits: Iterable[Subreddit] = (),
        history_hours: float = 48.0,
        cache_bytes: int = 256 * 2**20,
    ) -> None:
        self.seed = seed
        self.clock = clock or VirtualClock()
        self.start = self.clock.now()
        self._first_hour = int((self.start - history_hours * HOUR) // HOUR)
        self.subreddits: dict[str, Subreddit] = {}
        self.moved: dict[str, Subreddit] = {}
        """Renamed subreddits by their former names."""
        self._by_index: dict[int, Subreddit] = {}
        self.index: dict[str, Item] = {}
        self.unindexed: set[str] = set()
        """Posts that still stand, but that searches do not find."""
        self.version = 0
        """Grows when something that cached views depend on changes, other than by time."""
        self._users: dict[int, User] = {}
        self._names: dict[str, int] = {}
        self.named_authors: dict[int, str] = {}
        self.deleted_authors: set[int] = set()
        self.pages = Pages(Renderer(self), capacity=cache_bytes)
        for sub in subreddits:
            self.add_subreddit(sub)
        # Fixed at the start, so that a later change of status does not change which posts were shared.
        self._shared_from = [sub for sub in self._by_index.values() if sub.status == "ok"]

    @classmethod
    def generated(
        cls,
        *,
        seed: int = 1,
        clock: VirtualClock | None = None,
        subreddits: int = 24,
        posts_per_hour: float = 6.0,
        comments_per_post: float = 5.0,
        history_hours: float = 48.0,
        cache_bytes: int = 256 * 2**20,
    ) -> "World":
        """Return a world that grows from a seed; rates are the mean over its subreddits."""
        clock = clock or VirtualClock()
        made = roster(
            seed=seed,
            count=subreddits,
            posts_per_hour=posts_per_hour,
            comments_per_post=comments_per_post,
            epoch=1_790_000_000,
        )
        return cls(
            seed=seed,
            clock=clock,
            subreddits=made,
            history_hours=history_hours,
            cache_bytes=cache_bytes,
        )

    def now(self) -> float:
        """Return the present virtual moment."""
        return self.clock.now()

    # Subreddits

    def add_subreddit(self, sub: Subreddit) -> None:
        """Add a subreddit under its name; requests may use any case."""
        self.subreddits[sub.name.lower()] = sub
        self._by_index[sub.index] = sub

    def rename(self, sub: Subreddit, name: str) -> None:
        """Give the subreddit another name; requests for the old name are redirected to it."""
        self.moved[sub.name.lower()] = sub
        del self.subreddits[sub.name.lower()]
        sub.name = name
        self.subreddits[name.lower()] = sub

    def subreddit(self, name: str) -> Subreddit | None:
        """Return the subreddit that has this name now; None if there is none."""
        return self.subreddits.get(name.lower())

    def next_index(self) -> int:
        """Return a number that no subreddit has."""
        return max(self._by_index, default=-1) + 1

    def sync(self, sub: Subreddit, now: float) -> None:
        """Generate the subreddit's content up to the present hour."""
        hour = int(now // HOUR)
        if sub.generated is None:
            sub.generated = self._first_hour - 1
        while sub.generated < hour:
            generate_hour(seed=self.seed, sub=sub, hour=sub.generated + 1, index=self.index)

    def sync_all(self, now: float) -> None:
        """Generate every subreddit's content up to the present hour."""
        for sub in self.subreddits.values():
            self.sync(sub, now)

    # Items

    def item(self, fullname: str, now: float) -> Item | None:
        """Return the item with this fullname, if it exists at this moment."""
        found = self.index.get(fullname)
        if found is None:
            kind, _, identifier = fullname.partition("_")
            if kind not in ("t1", "t3"):
                return None
            index = subreddit_of(kind, identifier)
            sub = None if index is None else self._by_index.get(index)
            if sub is None:
                return None
            self.sync(sub, now)
            found = self.index.get(fullname)
        if found is None or found.created > now or found.visible_from > now:
            return None
        return found

    def items(
        self,
        *,
        subreddit: str | None = None,
        kind: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[Truth]:
        """Yield the items that exist now, filtered by creation time: ``since`` <= created < ``until``.

        ``kind`` is ``t3`` (posts) or ``t1`` (comments). Items held back by a filter are included, in
        the state ``unpublished``.
        """
        now = self.now()
        if subreddit is None:
            subs = list(self.subreddits.values())
        else:
            found = self.subreddit(subreddit)
            subs = [] if found is None else [found]
        for sub in subs:
            self.sync(sub, now)
            groups: list[list[Item]] = []
            if kind in (None, "t3"):
                groups.append(list(sub.posts))
            if kind in (None, "t1"):
                groups.append(list(sub.comments))
            for group in groups:
                first = 0 if since is None else bisect_left(group, since, key=_CREATED)
                last = bisect_right(group, now, key=_CREATED)
                for item in group[first:last]:
                    if until is not None and item.created >= until:
                        break
                    yield self.truth(item)

    def truth(self, item: Item) -> Truth:
        """Return the facts about one item now."""
        now = self.now()
        link = parent = None
        if isinstance(item, Comment):
            link = item.post.fullname if item.post is not None else None
            parent = item.parent.fullname if item.parent is not None else link
        return Truth(
            fullname=item.fullname,
            kind=item.kind,
            subreddit=item.sub.name if item.sub is not None else None,
            created_utc=item.created,
            visible_from=item.visible_from,
            state=item.state(now),
            deleted_at=item.deleted_at if item.deleted_at <= now else None,
            removed_at=item.removed_at if item.removed_at <= now else None,
            edited_at=item.edited_at if item.edited_at <= now else None,
            link_id=link,
            parent_id=parent,
        )

    def touch(self, item: Item) -> None:
        """Tell the caches that a control request changed an item."""
        if item.sub is not None:
            item.sub.version += 1
        self.version += 1
        self.pages.forget_item(item)

    def changed(self) -> None:
        """Tell the caches that a control request changed the clock, a subreddit or an account."""
        self.version += 1
        self.pages.forget()

    # Users

    def author(self, index: int) -> User:
        """Return the account with this number."""
        user = self._users.get(index)
        if user is None:
            rng = Random(stable_seed(self.seed, "author", index))  # noqa: S311
            name = self.named_authors.get(index) or text.author_name(rng)
            if self._names.get(name.lower(), index) != index:
                name = f"{name[:14]}_{index:05d}"
            user = User(
                index=index,
                name=name,
                id=base36(36**4 + index * 31),
                created=float(int(1_200_000_000 + rng.random() * 500_000_000)),
                suspended=rng.random() < 0.01,
            )
            self._users[index] = user
            self._names[name.lower()] = index
        return user

    def author_gone(self, index: int) -> bool:
        """Whether the account was deleted."""
        return index in self.deleted_authors

    def set_account(self, index: int, status: str) -> User:
        """Suspend, delete or restore an account. The items of a deleted account stay, without its name."""
        user = replace(self.author(index), suspended=status == "suspended")
        self._users[index] = user
        if status == "deleted":
            self.deleted_authors.add(index)
        else:
            self.deleted_authors.discard(index)
        self.changed()
        return user

    def crosspost_parent(self, post: Post) -> Post | None:
        """Return the post that a crosspost shares: an older post of a subreddit that was open at first."""
        if not self._shared_from:
            return None
        sub = self._shared_from[post.seed % len(self._shared_from)]
        self.sync(sub, post.created)
        position = bisect_left(sub.posts, post.created - 600, key=_CREATED)
        parent = sub.posts[position - 1] if position else None
        return None if parent is None or parent.style == "crosspost" else parent


def open_subreddits(world: World) -> list[Subreddit]:
    """Return the open subreddits, of which r/all consists."""
    return [sub for sub in world.subreddits.values() if sub.status == "ok"]
