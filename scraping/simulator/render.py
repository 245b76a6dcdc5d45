"""Items as the JSON objects of the Reddit API, with the key sets recorded in 2025 and 2026."""

import json
from functools import lru_cache
from random import Random
from typing import Any, Protocol
from uuid import UUID

from . import media as media_fields
from . import templates, text
from .drift import HIDDEN_SECONDS, next_change, num_comments, score
from .model import Comment, Item, Post, Subreddit
from .roster import stable_seed

WRONG_BY = 8 * 3600
"""`created` is Reddit's local time mistaken for UTC; only `created_utc` is right."""
_SITE = "https://www.reddit.com"


class Author(Protocol):
    """The data of a user that rendering needs."""

    @property
    def name(self) -> str: ...

    @property
    def id(self) -> str: ...


class Authors(Protocol):
    """Finds users and, for crossposts, the post that was shared."""

    def author(self, index: int) -> Author: ...

    def author_gone(self, index: int) -> bool: ...

    def crosspost_parent(self, post: Post) -> Post | None: ...


def _random(item: Item) -> Random:
    return Random(item.seed)  # noqa: S311


def _language(item: Item, rng: Random) -> text.Language:
    languages = item.sub.languages if item.sub is not None else ("en",)
    return text.LANGUAGES[rng.choice(languages)]


def heading(post: Post) -> str:
    """Return the post's title; it never changes."""
    if post.heading is None:
        given = (post.fields or {}).get("title")
        rng = _random(post)
        post.heading = str(given) if given is not None else text.title(rng, _language(post, rng))
    return post.heading


def post_path(post: Post) -> str:
    """Return the permalink, without the host."""
    name = post.sub.name if post.sub is not None else "all"
    given = (post.fields or {}).get("permalink")
    return str(given) if given else f"/r/{name}/comments/{post.id}/{text.slug(heading(post))}/"


@lru_cache(maxsize=4096)
def _template(subreddit: str, label: str) -> str:
    return str(UUID(int=stable_seed(subreddit, label) << 64 | stable_seed(label, subreddit)))


class Renderer:
    """Turns items into their API objects, each with the moment until which the object stays right."""

    def __init__(self, authors: Authors) -> None:
        self._authors = authors

    def anonymous(self, item: Item) -> bool:
        """Whether the account behind the item has been deleted."""
        return self._authors.author_gone(item.author)

    def author_fields(self, item: Item, *, gone: bool) -> dict[str, Any]:
        """Return the fields of the author. A deleted author's keys are absent, not null."""
        given = item.fields or {}
        if gone or given.get("author") == "[deleted]" or self._authors.author_gone(item.author):
            return {"author": "[deleted]"}
        author = self._authors.author(item.author)
        return {
            "author": author.name,
            "author_fullname": f"t2_{author.id}",
            "author_flair_richtext": [],
            "author_flair_type": "text",
            "author_patreon_flair": False,
            "author_premium": item.author % 17 == 0,
        }

    def post(self, post: Post, now: float) -> tuple[dict[str, Any], float]:
        """Return a post as listings show it."""
        if post.raw is not None:
            return self._recorded(post, now)
        sub = post.sub
        assert sub is not None  # noqa: S101 - only recorded items lack one
        state = post.state(now)
        points, score_until = score(post, now)
        comments, comments_until = num_comments(post, now)
        until = min(score_until, comments_until, next_change(post, now))
        data = dict(templates.POST)
        data.update(self.author_fields(post, gone=state == "deleted"))
        data.update(self._place(sub))
        path = post_path(post)
        data.update(
            id=post.id,
            name=post.fullname,
            title=heading(post),
            permalink=path,
            created=post.created + WRONG_BY,
            created_utc=post.created,
            edited=post.edited_at if post.edited_at <= now else False,
            score=points,
            ups=points,
            upvote_ratio=round(0.55 + (post.seed % 45) / 100, 2),
            num_comments=comments,
            hide_score=sub.hide_scores and now < post.created + HIDDEN_SECONDS,
            over_18=sub.over_18,
            quarantine=sub.status == "quarantined",
            subreddit_subscribers=sub.subscribers,
            stickied=post.stickied,
        )
        if post.flair >= 0 and sub.flairs:
            label = sub.flairs[post.flair % len(sub.flairs)]
            data.update(
                link_flair_text=label,
                link_flair_richtext=[{"e": "text", "t": label}],
                link_flair_type="richtext",
                link_flair_css_class="",
                link_flair_background_color="#ff4500",
                link_flair_text_color="light",
                link_flair_template_id=_template(sub.name, label),
            )
        self._content(post, data, path, now)
        if post.fields:
            data.update(post.fields)
            if "selftext" in post.fields and "selftext_html" not in post.fields:
                given = str(post.fields["selftext"])
                data["selftext_html"] = text.to_html(given, wrapped=True) if given else None
        if state in ("deleted", "removed"):
            self._gone_post(post, data, state)
        return data, until

    def _place(self, sub: Subreddit) -> dict[str, Any]:
        kind = "private" if sub.status == "private" else "public"
        return {
            "subreddit": sub.name,
            "subreddit_id": sub.fullname,
            "subreddit_name_prefixed": f"r/{sub.name}",
            "subreddit_type": kind,
        }

    def _content(self, post: Post, data: dict[str, Any], path: str, now: float) -> None:
        rng = _random(post)
        language = _language(post, rng)
        text.title(rng, language)  # the title is drawn first: the body follows from the same seed
        media = f"{post.seed:012x}z"
        is_self = post.style == "self"
        body = text.body(rng, language, paragraphs=rng.randint(0, 4)) if is_self else ""
        if body and post.edited_at <= now:
            body += "\n\nEdit: " + text.body(rng, language, paragraphs=1)
        data.update(
            is_self=is_self,
            is_video=post.style == "video",
            is_reddit_media_domain=post.style in ("image", "video"),
            selftext=body,
            selftext_html=text.to_html(body, wrapped=True) if body else None,
            domain=f"self.{data['subreddit']}",
            url=_SITE + path,
            thumbnail="self" if is_self else "default",
        )
        if is_self:
            return
        parent = self._authors.crosspost_parent(post) if post.style == "crosspost" else None
        if parent is not None:
            shared, _ = self.post(parent, now)
            shared.pop("crosspost_parent_list", None)
            data.update(
                crosspost_parent=parent.fullname,
                crosspost_parent_list=[shared],
                domain="reddit.com",
            )
            data["url"] = _SITE + post_path(parent)
        elif post.style == "gallery":
            data.update(media_fields.gallery(post, media), domain="reddit.com")
            data["url"] = f"{_SITE}/gallery/{post.id}"
        elif post.style == "image":
            data.update(post_hint="image", domain="i.redd.it", url=f"https://i.redd.it/{media}.jpg")
        elif post.style == "video":
            video = media_fields.video(media)
            data.update(media=video, secure_media=video, post_hint="hosted:video")
            data.update(domain="v.redd.it", url=f"https://v.redd.it/{media}")
        else:
            site = f"news{post.seed % 40}.example.org"
            data.update(post_hint="link", domain=site, url=f"https://{site}/{media}?utm=a&ref=b")
        data["url_overridden_by_dest"] = data["url"]
        if post.style in ("image", "link", "video"):
            data["preview"] = media_fields.preview(post, media)
            data.update(
                thumbnail=media_fields.signed(media, 140, post.seed),
                thumbnail_height=78,
                thumbnail_width=140,
            )

    def _gone_post(self, post: Post, data: dict[str, Any], state: str) -> None:
        data.update(is_crosspostable=False, is_robot_indexable=False, thumbnail="default")
        for key in ("preview", "media_metadata", "gallery_data", "is_gallery", "post_hint"):
            data.pop(key, None)
        data.update(media=None, secure_media=None)
        if state == "deleted":
            data.update(author="[deleted]", removed_by_category="deleted")
            forget_author(data)
            marker = "[deleted]"
        else:
            data["removed_by_category"] = post.removed_by
            marker = "[removed]"
            if post.removed_by == "reddit":
                data["title"] = "[ Removed by Reddit ]"
        if data.get("is_self") or state == "deleted":
            data["selftext"] = marker
            data["selftext_html"] = text.to_html(marker, wrapped=True)

    def comment(self, comment: Comment, now: float) -> tuple[dict[str, Any], float]:
        """Return a comment without the fields that depend on its place (depth, replies, its post)."""
        if comment.raw is not None:
            return self._recorded(comment, now)
        sub, post = comment.sub, comment.post
        assert sub is not None  # noqa: S101 - only recorded items lack one
        assert post is not None  # noqa: S101 - only recorded items lack one
        state = comment.state(now)
        points, until = score(comment, now)
        until = min(until, next_change(comment, now))
        hidden = sub.hide_scores and now < comment.created + HIDDEN_SECONDS
        gone = state in ("deleted", "removed")
        data = dict(templates.COMMENT)
        data.update(self.author_fields(comment, gone=gone))
        data.update(self._place(sub))
        rng = _random(comment)
        language = _language(comment, rng)
        body = text.body(rng, language, paragraphs=1 + (rng.random() < 0.15))
        if comment.edited_at <= now:
            body += "\n\nEdit: " + text.sentence(rng, language, shortest=3, longest=9)
        parent = comment.parent
        data.update(
            id=comment.id,
            name=comment.fullname,
            link_id=post.fullname,
            parent_id=parent.fullname if parent is not None else post.fullname,
            permalink=f"{post_path(post)}{comment.id}/",
            created=comment.created + WRONG_BY,
            created_utc=comment.created,
            edited=comment.edited_at if comment.edited_at <= now else False,
            score=1 if hidden else points,
            ups=1 if hidden else points,
            score_hidden=hidden,
            is_submitter=comment.author == post.author,
            body=body,
        )
        if comment.fields:
            data.update(comment.fields)
            if hidden and "score" in comment.fields and "score_hidden" not in comment.fields:
                data["score_hidden"] = False
            data["ups"] = data["score"]
        if gone:
            marker = "[deleted]" if state == "deleted" else "[removed]"
            data.update(body=marker, collapsed=True, collapsed_reason_code="DELETED")
            data["author"] = "[deleted]"
            forget_author(data)
        elif points < -4:
            data.update(collapsed=True, collapsed_reason="comment score below threshold")
            data["collapsed_reason_code"] = "LOW_SCORE"
        if "body_html" not in data or gone:
            data["body_html"] = text.to_html(data["body"], wrapped=False)
        return data, until

    def link_fields(self, post: Post, now: float) -> tuple[dict[str, Any], float]:
        """Return the fields of a post that its comments have in listings."""
        data, until = self.post(post, now)
        return {
            "link_title": data.get("title"),
            "link_url": data.get("url"),
            "link_author": data.get("author"),
            "link_permalink": _SITE + post_path(post),
            "num_comments": data.get("num_comments"),
            "over_18": data.get("over_18"),
            "quarantine": data.get("quarantine", False),
        }, until

    def _recorded(self, item: Item, now: float) -> tuple[dict[str, Any], float]:
        """Return a loaded item with the changes that control requests made to it."""
        assert item.raw is not None  # noqa: S101 - the callers ask
        data: dict[str, Any] = json.loads(item.raw)
        if item.fields:
            data.update(item.fields)
        if item.edited_at <= now:
            data["edited"] = item.edited_at
        if self._authors.author_gone(item.author):
            data["author"] = "[deleted]"
            forget_author(data)
        state = item.state(now)
        if state in ("deleted", "removed"):
            if isinstance(item, Post):
                self._gone_post(item, data, state)
            else:
                marker = f"[{state}]"
                data.update(body=marker, body_html=text.to_html(marker, wrapped=False))
                data["author"] = "[deleted]"
                forget_author(data)
        return data, next_change(item, now)


def forget_author(data: dict[str, Any]) -> None:
    """Remove the keys that Reddit leaves out if the author is gone."""
    for key in (
        "author_fullname",
        "author_flair_richtext",
        "author_flair_type",
        "author_patreon_flair",
        "author_premium",
        "author_cakeday",
    ):
        data.pop(key, None)
