"""Whatever door an item comes through, the same is stored, matched, planned, purged and receipted."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from scraping import intake
from scraping.collecting.page_store import PageStore, Progress
from scraping.content import check_plan
from scraping.content.upsert import COMMENTS, POSTS
from scraping.dumps.importer import import_dump
from scraping.dumps.lines import Filters, LineReader
from scraping.models import (
    BotItem,
    DeletionReceipt,
    ItemCheck,
    PostScore,
    RedditComment,
    RedditPost,
)
from scraping.reddit.client import Page
from scraping.verifying.recheck import Checked, Recheck
from tests.factories import CREATED_UTC, BotFactory, CommentData, PostData

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.fromtimestamp(CREATED_UTC, UTC) + timedelta(days=1)
FIRST, LATER = CREATED_UTC + 1_000, CREATED_UTC + 2_000

DELETED = {"author": "[deleted]", "author_fullname": None}


@dataclass
class Kind:
    """An item as it is stored first and as it comes then, and what must be there afterwards."""

    comes: dict
    first: dict | None = None
    terms: list | None = None
    removal: str = ""
    receipts: list = field(default_factory=list)
    checked: bool = True
    author: str = "someone"
    only: str = ""


TEXT = {"text": "a tabby"}
KINDS = {
    "new": Kind(TEXT, terms=["tabby"]),
    "new, of no interest": Kind({"text": "a dog"}),
    "unchanged": Kind(TEXT, first=TEXT, terms=["tabby"]),
    "a new score": Kind(TEXT | {"score": 99}, first=TEXT, terms=["tabby"]),
    "an edit brings a term in": Kind(TEXT, first={"text": "a dog"}, terms=["tabby"]),
    "an edit takes the term out": Kind({"text": "a dog"}, first=TEXT),
    "an edit brings another term": Kind(
        {"text": "a tabby that purrs"}, first=TEXT, terms=["tabby", "purrs"]
    ),
    "approved later": Kind(
        TEXT, first={"text": "[removed]", **DELETED}, terms=["tabby"], removal=""
    ),
    "deleted": Kind(
        {"text": "[deleted]", **DELETED},
        first=TEXT,
        terms=[],
        removal="deleted",
        receipts=["deleted"],
        checked=False,
        author="[deleted]",
    ),
    "deleted at first sight": Kind(
        {"text": "[deleted]", **DELETED}, removal="deleted", checked=False, author="[deleted]"
    ),
    "removed": Kind(
        {"text": "[removed]", **DELETED},
        first=TEXT,
        terms=[],
        removal="removed",
        receipts=["removed"],
        author="[deleted]",
    ),
    "taken down": Kind(
        {"text": "a tabby", "removed_by_category": "copyright_takedown"},
        first=TEXT,
        terms=[],
        removal="removed",
        receipts=["removed"],
        author="[deleted]",
        only="post",
    ),
    "taken down at first sight": Kind(
        {"text": "a tabby", "removed_by_category": "copyright_takedown"},
        removal="removed",
        checked=False,
        author="[deleted]",
        only="post",
    ),
    "of an account that was deleted": Kind(
        TEXT | DELETED, first=TEXT, terms=["tabby"], receipts=["account"], author="[deleted]"
    ),
}


def data(item, values):
    """Reddit's data of a post or comment with this text and author."""
    values = {"author": "someone", "author_fullname": "t2_someone", "score": 5} | values
    text = values.pop("text")
    if item == "post":
        return PostData(number=1, title="A pet", selftext=text, **values)
    return CommentData(number=1, body=text, **values)


def thing(item, values):
    return {"kind": "t3" if item == "post" else "t1", "data": data(item, values)}


def packed(item, values):
    reader = LineReader(Filters(), posts=POSTS.format, comments=COMMENTS.format)
    line = json.dumps(data(item, values) | {"retrieved_on": FIRST}).encode()
    return reader.read([line], first_line=1)


def listing(item, values, dump):
    PageStore(Progress(), bot_id=None, dry_run=False, after_page=lambda _: None)(
        Page([thing(item, values)], None)
    )


def recheck(item, values, dump):
    class Client:
        def info(self, *, fullnames):
            return Page([thing(item, values)], None)

    checks = check_plan.due(refresh=False, before=NOW + timedelta(days=9), subreddits=None, limit=9)
    assert len(checks) == 1
    Recheck(Client(), None, Checked())._ask(checks, lambda: NOW)


def dumped(item, values, dump):
    import_dump(dump(data(item, values) | {"retrieved_on": LATER}, name="later"))
    check_plan.enrol_new(now=NOW)  # as the job does every two minutes


DOORS = {"listing": listing, "recheck": recheck, "dump": dumped}


@pytest.fixture
def bots():
    """Two bots that look for words, one of them elsewhere; one that takes everything elsewhere."""
    BotFactory(subreddits=["Berlin"], include_terms=["tabby"])
    BotFactory(subreddits=["Berlin"])
    return [
        BotFactory(subreddits=["Python"], include_terms=["tabby", "purrs"]),
        BotFactory(subreddits=["python"], include_terms=["purrs", "tabby"]),
    ]


def combinations():
    """Each kind through each door, but for what a door never meets."""
    for name, kind in KINDS.items():
        for item in ["post", "comment"]:
            for door in DOORS:
                looked_up = kind.first is not None and kind.first["text"] != "[removed]"
                if kind.only in ("", item) and (door != "recheck" or looked_up):
                    yield pytest.param(name, item, door, id=f"{name}-{item}-{door}")


@pytest.mark.parametrize(("name", "item", "door"), combinations())
def test_the_same_whatever_the_door(name, item, door, bots, dump):
    kind = KINDS[name]
    if kind.first is not None:
        first = packed(item, kind.first)
        intake.take_in_dump(first.posts, first.comments, now=NOW)
        check_plan.enrol_new(now=NOW)
    DOORS[door](item, dict(kind.comes), dump)

    model = RedditPost if item == "post" else RedditComment
    stored = model.objects.get()
    text = stored.selftext if item == "post" else stored.body
    purged = kind.removal != ""
    assert (stored.removal, stored.author) == (kind.removal, kind.author)
    assert text == {"": kind.comes["text"]}.get(kind.removal, f"[{kind.removal}]")
    assert stored.score is None if purged else stored.score == kind.comes.get("score", 5)
    matches = {match.bot_id: match.matched_terms for match in BotItem.objects.all()}
    if kind.terms is None:
        assert matches == {}
    else:
        assert {bot: sorted(terms) for bot, terms in matches.items()} == {
            bot.pk: sorted(kind.terms) for bot in bots
        }
    assert list(DeletionReceipt.objects.values_list("reason", flat=True)) == kind.receipts
    assert ItemCheck.objects.exists() is kind.checked


def test_a_dumps_removal_does_not_count_against_reddits_own_word(bots, dump):
    listing("post", dict(TEXT), dump)

    dumped("post", {"text": "a tabby", "removed_by_category": "copyright_takedown"}, dump)

    assert RedditPost.objects.get().removal == ""
    assert BotItem.objects.count() == 2
    assert not DeletionReceipt.objects.exists()


def test_an_authors_deletion_counts_whoever_tells_of_it(bots, dump):
    listing("post", dict(TEXT), dump)

    dumped("post", {"text": "a tabby", "_meta": {"removal_type": "deleted"}}, dump)

    stored = RedditPost.objects.get()
    assert (stored.removal, stored.selftext, stored.author) == ("deleted", "[deleted]", "[deleted]")
    assert DeletionReceipt.objects.get().reason == "deleted"


@pytest.mark.parametrize("door", ["listing", "dump"])
def test_a_match_that_somebody_was_told_of_stays_as_history(door, bots, dump):
    first = packed("post", dict(TEXT))
    intake.take_in_dump(first.posts, first.comments, now=NOW)
    told, untold = BotItem.objects.order_by("pk")
    BotItem.objects.filter(pk=told.pk).update(notified_at=NOW)

    DOORS[door]("post", {"text": "a dog"}, dump)

    (left,) = BotItem.objects.all()
    assert (left.pk, left.state, left.matched_terms) == (told.pk, "lapsed", [])

    listing("post", {"text": "a tabby again"}, dump)

    assert BotItem.objects.get(pk=told.pk).state == "matched"
    assert BotItem.objects.get(pk=told.pk).matched_terms == ["tabby"]
    assert BotItem.objects.filter(bot=untold.bot).count() == 1


def test_an_answer_that_lacks_the_text_ends_no_match(bots, dump):
    listing("post", dict(TEXT), dump)
    values = data("post", {"text": "a tabby", "score": 50})
    del values["selftext"]

    PageStore(Progress(), bot_id=None, dry_run=False, after_page=lambda _: None)(
        Page([{"kind": "t3", "data": values}], None)
    )

    assert RedditPost.objects.get().score == 50
    assert BotItem.objects.count() == 2


def test_the_history_of_a_post_begins_with_its_row(bots, dump):
    listing("post", TEXT | {"score": 5}, dump)

    assert PostScore.objects.get().score == 5
