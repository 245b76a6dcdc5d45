"""Instances for tests: rows of our own, and Reddit's things as the API sends them."""

from dataclasses import fields

import factory
from factory.django import DjangoModelFactory

from accounts.models import User
from bots.models import BotConfig, RedditApp
from scraping.content.rows import NO_COLUMNS, PackedItems
from scraping.content.upsert import COMMENTS, POSTS
from scraping.reddit.parse import ParsedPost

PASSWORD = "correct horse battery staple"
# 2026-01-15 12:00:00 UTC
CREATED_UTC = 1_768_478_400


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.org")
    is_staff = True

    @classmethod
    def _create(cls, model_class, *args, **fields):
        return model_class.objects.create_user(password=PASSWORD, **fields)


class SuperuserFactory(UserFactory):
    is_superuser = True


class RedditAppFactory(DjangoModelFactory):
    class Meta:
        model = RedditApp

    owner = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"App {n}")
    service = RedditApp.Service.SIMULATOR
    client_id = factory.Sequence(lambda n: f"client{n}")
    client_secret = "a secret"
    user_agent = "linux:org.example.lurker:1.0 (by /u/someone)"


class BotFactory(DjangoModelFactory):
    class Meta:
        model = BotConfig

    owner = factory.SubFactory(UserFactory)
    reddit_app = factory.SubFactory(RedditAppFactory, owner=factory.SelfAttribute("..owner"))
    name = factory.Sequence(lambda n: f"Bot {n}")
    subreddits = factory.LazyFunction(lambda: ["python"])


class ThingData(factory.DictFactory):
    """The `data` of a thing, with the keys that every endpoint sends."""

    class Params:
        number = factory.Sequence(int)

    author = "someone"
    author_fullname = "t2_abc"
    subreddit = "python"
    subreddit_id = "t5_2qh0y"
    created_utc = factory.LazyAttribute(lambda thing: float(CREATED_UTC + thing.number))
    edited = False
    score = 7
    distinguished = None
    stickied = False
    locked = False
    archived = False


class PostData(ThingData):
    id = factory.LazyAttribute(lambda post: f"zz{post.number:04d}")
    name = factory.LazyAttribute(lambda post: f"t3_{post.id}")
    title = "A title"
    selftext = "A text"
    url = "https://www.reddit.com/r/python/comments/zz/a_title/"
    domain = "self.python"
    permalink = "/r/python/comments/zz/a_title/"
    num_comments = 3
    upvote_ratio = 0.97
    over_18 = False
    spoiler = False
    is_self = True
    hide_score = False


class CommentData(ThingData):
    id = factory.LazyAttribute(lambda comment: f"yy{comment.number:04d}")
    name = factory.LazyAttribute(lambda comment: f"t1_{comment.id}")
    body = "A comment"
    link_id = "t3_zz0001"
    parent_id = "t3_zz0001"
    score_hidden = False
    permalink = "/r/python/comments/zz/a_title/yy/"


def packed(item, retrieved_at):
    """A parsed item as an import packs it, read by a dump at that time."""
    table = POSTS if isinstance(item, ParsedPost) else COMMENTS
    columns = {column.name: [getattr(item, column.name)] for column in fields(item)}
    columns["retrieved_at"] = [retrieved_at]
    names = tuple(name for name in columns if name not in NO_COLUMNS)
    rows = table.format.pack({name: columns[name] for name in names})
    subreddits = {item.subreddit: item.subreddit_fullname} if item.subreddit else {}
    return PackedItems(names, [item.fullname], [item.subreddit], rows, subreddits)
