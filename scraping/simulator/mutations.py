"""Changes that control requests make to a world: new items, and changes to existing items."""

from bisect import insort
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from .faults import BadInput, take
from .generate import AUTHORS, HOUR
from .ids import COMMENT_SERIALS, comment_number, post_number
from .model import STATUSES, Comment, Item, Post, Subreddit
from .roster import MOST_SUBREDDITS, stable_seed
from .world import World

_BY_AGE = attrgetter("created", "number")
_NUMBER = (int, float)
ACTIONS = ("delete", "remove", "approve", "edit", "score", "unindex")
_REMOVERS = ("moderator", "reddit", "automod_filtered", "author", "copyright_takedown")


def set_status(world: World, data: Mapping[str, Any]) -> Subreddit:
    """Open, close or rename a subreddit; an unknown name makes a new, empty subreddit."""
    name = take(data, "name", str, None, "give the subreddit's name")
    status = take(data, "status", str, None, f"give one of {', '.join(STATUSES)}")
    if not name:
        raise BadInput("name", name, "give the subreddit's name")
    if status not in STATUSES:
        raise BadInput("status", status, f"give one of {', '.join(STATUSES)}")
    sub = world.subreddit(name)
    if sub is None:
        index = world.next_index()
        if index >= MOST_SUBREDDITS + 24:
            raise BadInput("name", name, "the world is full: change a subreddit that exists")
        # No content is generated for it: it holds only items that control requests add.
        sub = Subreddit(
            name=name, index=index, id=f"{stable_seed(name) % 10**6}", created=world.now()
        )
        sub.title = name
        world.add_subreddit(sub)
    sub.status = status
    sub.version += 1
    renamed_to = take(data, "renamed_to", str, "", "give the new name")
    if renamed_to:
        if world.subreddit(renamed_to) is not None:
            raise BadInput("renamed_to", renamed_to, "give a name that no subreddit has")
        world.rename(sub, renamed_to)
    world.changed()
    return sub


def add_item(world: World, data: Mapping[str, Any]) -> Item:
    """Add a comment if there is a `link_id` or `parent_id`, else a post.

    ``created_utc`` lies in the past for an item that was held back and is approved now.
    """
    now = world.now()
    created = take(data, "created_utc", _NUMBER, now, "give seconds since the epoch")
    if created > now:
        raise BadInput("created_utc", created, f"give a time up to now, {now:.0f}")
    fields = take(data, "fields", dict, {}, "give an object of API fields")
    author = _author(world, data)
    if "link_id" in data or "parent_id" in data:
        item: Item = _comment(world, data, float(int(created)), author, now)
    else:
        item = _post(world, data, float(int(created)), author, now)
    item.visible_from = now
    shown = {key: data[key] for key in ("title", "selftext", "url", "body") if key in data}
    item.fields = shown | fields or None
    if isinstance(item, Post):
        item.style = "link" if "url" in shown else "self"
    item.final_score = 1
    world.touch(item)
    return item


def _author(world: World, data: Mapping[str, Any]) -> int:
    name = take(data, "author", str, None, "give a user name")
    if name is None:
        return stable_seed(world.seed, len(world.index)) % AUTHORS
    for number, known in world.named_authors.items():
        if known.lower() == name.lower():
            return number
    number = AUTHORS * 10 + len(world.named_authors)
    world.named_authors[number] = name
    return number


def _subreddit(world: World, name: object) -> Subreddit:
    sub = world.subreddit(name) if isinstance(name, str) else None
    if sub is None:
        raise BadInput("subreddit", name, "give a subreddit of this world, or make it first")
    return sub


def _post(world: World, data: Mapping[str, Any], created: float, author: int, now: float) -> Post:
    sub = _subreddit(world, data.get("subreddit"))
    world.sync(sub, now)
    attempt = 0
    post = Post(
        sub=sub,
        number=post_number(created, sub.index, 0),
        created=created,
        author=author,
        seed=stable_seed(world.seed, sub.name, created, len(sub.posts)) >> 16,
    )
    while post.fullname in world.index:
        attempt += 1
        post.renumber(post_number(created, sub.index, attempt))
    world.index[post.fullname] = post
    insort(sub.posts, post, key=_BY_AGE)
    return post


def _comment(
    world: World, data: Mapping[str, Any], created: float, author: int, now: float
) -> Comment:
    parent_name = data.get("parent_id", data.get("link_id"))
    above = world.item(parent_name, now) if isinstance(parent_name, str) else None
    post = above.post if isinstance(above, Comment) else above
    if not isinstance(post, Post) or post.sub is None:
        raise BadInput("parent_id", parent_name, "give the fullname of a post or comment")
    if data.get("link_id", post.fullname) != post.fullname:
        raise BadInput("link_id", data["link_id"], f"the parent's post is {post.fullname}")
    sub = post.sub
    parent = above if isinstance(above, Comment) else None
    created = max(created, (parent or post).created + (1.0 if parent else 0.0))
    for attempt in range(1000):
        serial = stable_seed(world.seed, parent_name, created, attempt) % COMMENT_SERIALS
        number = comment_number(serial, sub.index)
        comment = Comment(
            post=post,
            parent=None,
            sub=sub,
            number=number,
            created=created,
            author=author,
            seed=serial,
        )
        if comment.fullname not in world.index:
            break
    if parent is not None:
        comment.attach(parent)
    world.index[comment.fullname] = comment
    insort(post.comments, comment, key=_BY_AGE)
    if sub.generated is not None and int(created) // HOUR <= sub.generated:
        insort(sub.comments, comment, key=_BY_AGE)
    else:
        sub.pending.setdefault(int(created) // HOUR, []).append(comment)
    return comment


def change_item(world: World, fullname: str, data: Mapping[str, Any]) -> Item:
    """Delete, remove, approve, edit or score an item, or hide it from searches, now."""
    now = world.now()
    world.item(fullname, now)  # generates the item's hour
    item = world.index.get(fullname)
    if item is None:
        raise BadInput("fullname", fullname, "give the fullname of an item of this world")
    match data.get("action"):
        case "delete":
            item.schedule_end(deleted_at=now, removed_at=item.removed_at)
        case "remove":
            by = take(data, "by", str, "moderator", f"give one of {', '.join(_REMOVERS)}")
            if by not in _REMOVERS:
                raise BadInput("by", by, f"give one of {', '.join(_REMOVERS)}")
            item.removed_by = by
            item.schedule_end(deleted_at=item.deleted_at, removed_at=now)
        case "approve":
            item.schedule_end()
            item.visible_from = min(item.visible_from, now)
        case "edit":
            fields = take(data, "fields", dict, {}, "give an object of API fields")
            shown = {key: data[key] for key in ("selftext", "body") if key in data}
            # The HTML of a new text is made anew, unless the request gives it, too.
            stale = {f"{key}_html" for key in shown}
            kept = {key: old for key, old in (item.fields or {}).items() if key not in stale}
            item.fields = kept | shown | fields
            item.edited_at = float(int(now))
        case "score":
            points = take(data, "score", int, None, "give a whole number")
            if points is None:
                raise BadInput("score", None, "give a whole number")
            item.fields = (item.fields or {}) | {"score": points, "ups": points}
        case "unindex":
            if not isinstance(item, Post):
                raise BadInput("fullname", fullname, "give a post: searches find no comments")
            world.unindexed.add(fullname)
        case action:
            raise BadInput("action", action, f"give one of {', '.join(ACTIONS)}")
    world.touch(item)
    return item
