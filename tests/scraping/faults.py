"""Every fault of the simulator's control endpoint, for the tests that put each of them at each step."""

from contextlib import contextmanager

from scraping.budget import clients
from scraping.simulator.faults import RATE_CASES

NO_THINGS = [None, 7, "t3", [], {}, {"kind": "t3"}, {"kind": "t9", "data": {}}]
STATUSES = (400, 401, 403, 404, 408, 409, 500, 501, 502, 503, 504, 520, 521, 522, 524)


def body(content):
    """An answer of this JSON."""
    return {"kind": "body", "body": content}


def listing(children):
    """A listing of these things."""
    return {"kind": "Listing", "data": {"after": None, "children": children}}


def more_children(things):
    """An answer of `/api/morechildren` with these things."""
    return {"json": {"errors": [], "data": {"things": things}}}


# Seconds after which a spent budget is full again, and a refused client may ask again: long enough to
# be waited for, which is what is tested, and no longer.
SOON = 0.1

# What may come in place of any answer.
ANSWERS = {
    **{f"HTTP {status}": {"kind": "status", "status": status} for status in STATUSES},
    "HTTP 429": {"kind": "status", "status": 429, "retry_after": str(SOON)},
    "HTTP 302": {"kind": "status", "status": 302, "headers": {"location": "/somewhere"}},
    "JSON null": body(None),
    "a list": body([]),
    "an object": body({"message": "no listing"}),
    "no children": body({"kind": "Listing", "data": {"children": None}}),
    "an empty listing": body({"kind": "Listing", "data": {"children": []}}),
    "things of no shape": body(listing(NO_THINGS)),
    "latency": {"kind": "latency", "seconds": 5},
    "drip": {"kind": "drip", "bytes": 1, "interval": 0.1},
    "reset": {"kind": "reset"},
    "truncate": {"kind": "truncate"},
    "truncate, chunked": {"kind": "truncate", "chunked": True},
    "not_json": {"kind": "not_json"},
    "empty": {"kind": "empty"},
    **{f"rate headers: {case}": {"kind": "rate_headers", "case": case} for case in RATE_CASES},
    **{
        f"rate headers: {case}": {
            "kind": "rate_headers",
            "remaining": remaining,
            "used": used,
            "reset": str(SOON),
        }
        for case, remaining, used in (("negative", "-3", "603"), ("exhausted", "0.0", "600"))
    },
    "oversize": {"kind": "oversize", "items": 1},
    "ads": {"kind": "ads", "items": 3},
    "alternate_after": {"kind": "alternate_after"},
}

# What looks like an answer about a comment tree, and shows nothing.
ANSWERS_OF_TREES = {
    "no post, no comments": body([listing([]), listing([])]),
    "no comments": body([listing([{"kind": "t3", "data": {"id": "x"}}]), listing([])]),
    "a tree of no shape": body([listing([{"kind": "t3", "data": {}}]), listing(NO_THINGS)]),
    "no more children": body(more_children([])),
    "more children of no shape": body(more_children(NO_THINGS)),
    "errors": body({"json": {"errors": [["TOO_MUCH", "of it", "children"]]}}),
}


@contextmanager
def hurry_with(answer, settings):
    """Give up soon on an answer that is slow on purpose, and only on such a one."""
    patience = settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS
    if answer["kind"] in ("latency", "drip"):
        settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS = 0.5, 1
        clients.close_all()
    yield
    settings.REDDIT_TIMEOUT_SECONDS, settings.REDDIT_DEADLINE_SECONDS = patience
    clients.close_all()


def hits(reddit):
    """How often the faults in force were met."""
    return sum(fault["hit"] for fault in reddit.control("faults")["faults"])
