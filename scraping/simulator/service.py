"""The endpoints of the Reddit API: from parameters to answers, without HTTP."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import about
from .bylines import Bylines
from .errors import Answer, content, error, missing, moved, unavailable
from .listings import CAP, PERIODS, Page, View, Views, page, rank
from .model import Comment, Item, Post, Subreddit
from .pages import dumps, listing
from .render import Renderer
from .search import Searches
from .trees import more_children, tree
from .world import World, open_subreddits

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{1,20}|u_[A-Za-z0-9_-]{1,23}|reddit\.com")
_SORTS = ("new", "hot", "rising", "top", "controversial")
_DEFAULT_LIMIT, _MOST = 25, 100
_MOST_IDS = 100

Params = Mapping[str, str]


@dataclass(slots=True)
class Effects:
    """The effects of injected faults on a listing that is otherwise good."""

    oversize: int = 0
    """The number of items beyond the limit."""
    ads: int = 0
    """The number of announcement items, which lack `subreddit` and `subreddit_id`."""
    alternate_after: bool = False
    """Whether `after` never ends: pages lead back and forth between two cursors."""


NO_EFFECTS = Effects()


def _limit(params: Params) -> int:
    try:
        wanted = int(params.get("limit", ""))
    except ValueError:
        return _DEFAULT_LIMIT
    return min(max(wanted, 1), _MOST)


def _number(params: Params, name: str) -> int | None:
    try:
        return int(params[name])
    except (KeyError, ValueError):
        return None


class Reddit:
    """Answers API requests from a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._views = Views(world)
        self._bylines = Bylines(world)
        self._renderer = Renderer(world)
        self._searches = Searches(world, self._renderer)

    # Subreddit names

    def _members(self, names: str) -> list[Subreddit] | Answer:
        """Return the open subreddits that ``a+b`` names, or the answer if a single one cannot be read."""
        wanted = list(dict.fromkeys(filter(None, names.lower().split("+"))))
        if any(name in ("all", "popular") for name in wanted):
            return open_subreddits(self.world)
        if len(wanted) == 1:
            name = names.strip("+")
            if not _NAME.fullmatch(name):
                return error(404)
            sub = self.world.subreddit(name)
            if sub is None:
                there = self.world.moved.get(name.lower())
                return missing(name) if there is None else moved(there)
            return unavailable(sub) or [sub]
        if not wanted:
            return error(404)
        found = (self.world.subreddit(name) for name in wanted)
        return [sub for sub in found if sub is not None and sub.status == "ok"]

    # Listings

    def listing(
        self, names: str, where: str, params: Params, effects: Effects = NO_EFFECTS
    ) -> Answer:
        """Answer ``/r/a+b/{new,hot,rising,top,controversial,comments}``."""
        members = self._members(names)
        if isinstance(members, Answer):
            return members
        now = self.world.now()
        kind, sort = ("t1", "new") if where == "comments" else ("t3", where)
        period = params.get("t", "day") if sort in ("top", "controversial") else "all"
        views = [
            self._views.get(sub, kind=kind, sort=sort, period=period, now=now) for sub in members
        ]
        pinned: list[Item] = []
        if sort == "hot" and "after" not in params and "before" not in params and len(members) == 1:
            pinned = [post for post in members[0].posts[:500] if post.stickied and post.listed(now)]
        return self._answer(views, sort, params, now, effects=effects, pinned=pinned)

    def _anchor(self, params: Params, name: str, now: float) -> Item | bool | None:
        """Return the item that a cursor names; None without a cursor; False if it is unknown."""
        fullname = params.get(name)
        if not fullname:
            return None
        return self.world.item(fullname, now) or False

    def _answer(
        self,
        views: Sequence[View],
        sort: str,
        params: Params,
        now: float,
        *,
        effects: Effects = NO_EFFECTS,
        pinned: Sequence[Item] = (),
    ) -> Answer:
        after = self._anchor(params, "after", now)
        before = self._anchor(params, "before", now)
        limit = _limit(params) + effects.oversize
        if after is False or before is False:
            # Nothing stands behind a cursor to an item that never existed [2017].
            result = Page([], after=None, before=None)
        else:
            result = page(
                views,
                sort=sort,
                limit=limit,
                after=after if isinstance(after, Item) else None,
                before=before if isinstance(before, Item) else None,
                now=now,
            )
        pages = self.world.pages
        shown = [*pinned, *(item for item in result.items if item not in pinned)]
        things = [pages.thing(item, now) for item in shown]
        for position in range(effects.ads):
            things.insert(position * 7, _ad(position, now))
        next_page = result.after
        if effects.alternate_after and result.items:
            first = page(views, sort=sort, limit=2, now=now).items
            names = [item.fullname for item in first]
            next_page = names[-1] if params.get("after") == names[0] else names[0]
        return content(listing(things, after=next_page, before=result.before, dist=len(things)))

    def search(self, names: str, params: Params, effects: Effects = NO_EFFECTS) -> Answer:
        """Answer ``/r/SUB/search`` and ``/search``: posts only."""
        everywhere = params.get("restrict_sr", "").lower() not in ("1", "true", "on", "yes")
        members = self._members("all" if everywhere else names)
        if isinstance(members, Answer):
            return members
        now = self.world.now()
        sort = {"relevance": "top", "": "top", "comments": "comments"}.get(
            params.get("sort", ""), params.get("sort", "")
        )
        sort = sort if sort in (*_SORTS, "comments") else "top"
        query, period = params.get("q", ""), params.get("t", "all")
        views = [
            self._searches.get(sub, query=query, sort=sort, period=period, now=now)
            for sub in members
        ]
        return self._answer(views, sort, params, now, effects=effects)

    def _sorted(self, items: Sequence[Item], sort: str, now: float) -> View:
        ranked = sorted(((rank(item, sort, now), item) for item in items), key=lambda pair: pair[0])
        return View(as_of=now, ranked=ranked[:CAP])

    # One thing

    def about(self, names: str) -> Answer:
        """Answer ``/r/SUB/about``; for ``a+b``, describe the first open subreddit."""
        members = self._members(names)
        if isinstance(members, Answer):
            return members
        if not members:
            return error(404)
        return content(dumps({"kind": "t5", "data": about.subreddit(members[0])}))

    def comments(self, post_id: str, comment_id: str | None, params: Params) -> Answer:
        """Answer ``/comments/{id}`` and ``/comments/{id}/_/{cid}``."""
        now = self.world.now()
        post = self.world.item(f"t3_{post_id.lower()}", now)
        if not isinstance(post, Post):
            return error(404)
        refusal = None if post.sub is None else unavailable(post.sub)
        if refusal is not None:
            return refusal
        focus: Comment | None = None
        if comment_id:
            found = self.world.item(f"t1_{comment_id.lower()}", now)
            if not isinstance(found, Comment) or found.post is not post:
                # Reddit shows the post without any comment.
                empty = b"[%b,%b]" % (
                    listing((self.world.pages.post_page(post, now),), dist=1),
                    listing(()),
                )
                return content(empty)
            focus = found
        body = tree(
            self.world.pages,
            post,
            now=now,
            limit=_number(params, "limit"),
            sort=params.get("sort", "confidence"),
            depth=_number(params, "depth"),
            focus=focus,
            context=min(max(_number(params, "context") or 0, 0), 8) if focus else 0,
        )
        return content(body)

    def morechildren(self, params: Params) -> Answer:
        """Answer ``/api/morechildren``: see `trees.more_children`."""
        now = self.world.now()
        post = self.world.item(params.get("link_id", ""), now)
        wanted = [part.strip() for part in params.get("children", "").lower().split(",")]
        if not isinstance(post, Post) or not any(wanted):
            return error(404 if any(wanted) else 400)
        things = more_children(
            self.world.pages, post, wanted, now=now, sort=params.get("sort", "confidence")
        )
        return content(b'{"json":{"errors":[],"data":{"things":[%b]}}}' % b",".join(things))

    def info(self, params: Params) -> Answer:
        """Answer ``/api/info`` by fullnames, subreddit names or a URL; unknown things are left out.

        It looks at 100 ids at most. Missing and banned subreddits are left out.
        """
        now = self.world.now()
        pages = self.world.pages
        things: list[bytes] = []
        if "id" in params:
            for fullname in params["id"].split(",")[:_MOST_IDS]:
                name = fullname.strip().lower()
                if name.startswith("t5_"):
                    subs = self.world.subreddits.values()
                    things.extend(self._described(sub for sub in subs if sub.fullname == name))
                    continue
                item = self.world.item(name, now)
                if item is not None and _readable(item):
                    things.append(pages.bare(item, now))
        elif "sr_name" in params:
            names = [name.strip().lower() for name in params["sr_name"].split(",")][:_MOST_IDS]
            for name in dict.fromkeys(names):
                sub = self.world.subreddit(name)
                if sub is not None:
                    things.extend(self._described([sub]))
        elif "url" in params:
            things.extend(self._with_url(params["url"], now))
        return content(listing(things, dist=len(things)))

    @staticmethod
    def _described(subs: Iterable[Subreddit]) -> list[bytes]:
        return [
            dumps({"kind": "t5", "data": about.subreddit(sub)})
            for sub in subs
            if sub.status not in ("missing", "banned")
        ]

    def _with_url(self, url: str, now: float) -> list[bytes]:
        found: list[bytes] = []
        for sub in open_subreddits(self.world):
            view = self._views.get(sub, kind="t3", sort="new", period="all", now=now)
            found.extend(
                self.world.pages.thing(item, now)
                for item in view.all(now)
                if isinstance(item, Post) and self._renderer.post(item, now)[0].get("url") == url
            )
        return found[:_MOST]

    # Users

    def author_number(self, name: str) -> int | None:
        """Return the number of the account with this name, if the account has written anything."""
        return self._bylines.number(name, self.world.now())

    def user(self, name: str, where: str, params: Params, effects: Effects = NO_EFFECTS) -> Answer:
        """Answer ``/user/NAME/{submitted,comments,overview,about}``."""
        now = self.world.now()
        number = self._bylines.number(name, now)
        if number is None or number in self.world.deleted_authors:
            return error(404)
        account = self.world.author(number)
        kind = {"submitted": "t3", "comments": "t1"}.get(where)
        written = self._bylines.items(number, kind, now)
        if where == "about":
            return content(dumps({"kind": "t2", "data": about.user(account, written, now)}))
        if account.suspended:
            return error(403)
        sort = params.get("sort", "new")
        sort = sort if sort in _SORTS else "new"
        if sort in ("top", "controversial"):
            oldest = now - PERIODS.get(params.get("t", "all"), PERIODS["all"])
            written = [item for item in written if item.created >= oldest]
        open_items = [item for item in written if _readable(item)]
        view = self._sorted(open_items, sort, now)
        return self._answer([view], sort, params, now, effects=effects)

    def me(self, name: str | None) -> Answer:
        """Answer ``/api/v1/me``: the user of the password grant, or 403 without a user."""
        if name is None:
            return error(403)
        return content(dumps({"name": name, "id": "sim", "is_suspended": False}))


def _readable(item: Item) -> bool:
    return item.sub is None or item.sub.status == "ok"


def _ad(position: int, now: float) -> bytes:
    """Return an announcement among the posts: it has neither subreddit nor subreddit_id."""
    identifier = f"ad{position}x"
    return dumps(
        {
            "kind": "t3",
            "data": {
                "id": identifier,
                "name": f"t3_{identifier}",
                "title": "Sponsored: a better kettle",
                "author": "kettle_company",
                "created": float(int(now)),
                "created_utc": float(int(now)),
                "domain": "example.com",
                "downs": 0,
                "edited": False,
                "is_self": False,
                "num_comments": 0,
                "over_18": False,
                "permalink": f"/comments/{identifier}/sponsored/",
                "promoted": True,
                "score": 0,
                "selftext": "",
                "ups": 0,
                "url": "https://example.com/kettle",
            },
        }
    )
