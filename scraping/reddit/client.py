"""A read-only client of Reddit's API: plain dicts in, `RedditError`s out.

It uses PRAW's raw path (`Reddit.request`), which gives authentication, token refresh and retries;
PRAW's objects are never built: they lose a page to one odd item, and take three times as long.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import praw
import prawcore
import requests
from praw.exceptions import PRAWException
from prawcore.exceptions import PrawcoreException, RequestException, ResponseException

from scraping.reddit.errors import (
    BadResponse,
    RedditError,
    RequestRejected,
    SubredditUnavailable,
    Throttled,
    Unauthorized,
    Unavailable,
)
from scraping.reddit.transport import DeadlineRequestor, Permits
from scraping.reddit.tree import TreeAnswer, read_more_children, read_tree

# Reddit clamps `limit` to this.
PAGE_SIZE = 100
# Ids of one morechildren: of more, Reddit's answers leave some out without a word.
MORE_CHILDREN = 100
# The most comments of a tree that Reddit is asked to show at once; it shows about 500.
TREE_SIZE = 2048
# Merged listings: Reddit takes more, but answers get slow and URLs are cut.
MAX_MERGED_NAMES = 100
MAX_MERGED_CHARACTERS = 2_000

# What leaks raw out of PRAW and prawcore for answers they do not expect.
RAW_LEAKS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)

SUBREDDIT_PATH = re.compile(r"/r/([A-Za-z0-9_.-]{2,25})(?:/|$)")
FORBIDDEN_REASONS = ("private", "quarantined", "gated", "banned")

# A request's parameters, as PRAW takes them.
Query = dict[str, str | int]


@dataclass(frozen=True)
class Credentials:
    """How to speak to the API as one app. `secret` is empty for an installed app."""

    client_id: str
    secret: str = field(repr=False)
    user_agent: str
    reddit_url: str
    oauth_url: str


@dataclass(frozen=True)
class Page:
    """One page of a listing: its things as Reddit sent them, unchecked, and the cursor to the next."""

    things: list[Any]
    after: str | None


class RedditClient:
    """Calls the API as one app. Not thread-safe: one per thread."""

    def __init__(self, credentials: Credentials, *, timeout: float, deadline: float) -> None:
        """`timeout` bounds each wait for the network, `deadline` each call with its retries, in seconds."""
        self._deadline = deadline
        self._reddit = praw.Reddit(
            client_id=credentials.client_id,
            # PRAW's way to say "installed app" is a secret of None.
            client_secret=credentials.secret or None,
            user_agent=credentials.user_agent,
            reddit_url=credentials.reddit_url,
            oauth_url=credentials.oauth_url,
            requestor_class=DeadlineRequestor,
            requestor_kwargs={"timeout": timeout},
            check_for_updates=False,
            check_for_async=False,
        )
        # PRAW's code leaves its `_core` without an annotation.
        core: Any = self._reddit._core
        self._requestor: DeadlineRequestor = core.requestor

    def begin(self, permits: Permits | None) -> None:
        """Count from zero, and ask `permits` before each request; None: send when asked to."""
        self._requestor.permits = permits
        self._requestor.requests_by_kind.clear()
        self._requestor.waited = 0.0

    @property
    def requests(self) -> int:
        """How many HTTP requests were sent, those for tokens and retries included."""
        return self._requestor.requests_by_kind.total()

    @property
    def requests_by_kind(self) -> dict[str, int]:
        """The same by what was asked for: listing, comments, search, info, about, tree, more, token."""
        return dict(self._requestor.requests_by_kind)

    @property
    def waited(self) -> float:
        """Seconds that were spent waiting for permits."""
        return self._requestor.waited

    def listing(
        self,
        subreddits: Sequence[str],
        listing: str,
        *,
        after: str | None = None,
        limit: int = PAGE_SIZE,
        params: Mapping[str, str] | None = None,
    ) -> Page:
        """Fetch one page of `r/a+b+c/<listing>`.

        `listing` is new, hot, rising, top, search or comments. Raises `SubredditUnavailable` for a
        single subreddit that cannot be read; of several, Reddit leaves such members out silently.
        """
        query: Query = {"limit": str(min(limit, PAGE_SIZE)), **(params or {})}
        if after:
            query["after"] = after
        return self._page(
            self._call("GET", f"r/{'+'.join(subreddits)}/{listing}", query, subreddits)
        )

    def info(self, *, fullnames: Sequence[str] = (), subreddits: Sequence[str] = ()) -> Page:
        """Look up to 100 things by fullname, or subreddits by name. Unknown ones are left out."""
        query: Query = (
            {"id": ",".join(fullnames)} if fullnames else {"sr_name": ",".join(subreddits)}
        )
        return self._page(self._call("GET", "api/info", query))

    def thread(self, post: str, *, below: str | None = None) -> TreeAnswer:
        """Fetch a post and its comment tree; or of the tree, only what is `below` a comment.

        Both are ids without their kind. Below about ten levels and 500 comments the answer names
        what it leaves out. Raises `RequestRejected` for a post that is not there, or not for us.
        """
        path = f"comments/{post}/_/{below}" if below else f"comments/{post}"
        query: Query = {"limit": str(TREE_SIZE), "sort": "confidence"}
        return read_tree(self._call("GET", path, query))

    def more_children(self, post: str, comments: Sequence[str]) -> TreeAnswer:
        """Fetch up to 100 comments of a post, by their ids, with what hangs below them.

        Often fewer come than were asked for, and `more` names others. Reddit serves one such call
        of a user at a time, and answers a second one with 429.
        """
        if not 1 <= len(comments) <= MORE_CHILDREN:
            raise ValueError(
                f"{len(comments)} ids for one morechildren; give 1 to {MORE_CHILDREN}."
            )
        form = {
            "api_type": "json",
            "link_id": f"t3_{post}",
            "children": ",".join(comments),
            "sort": "confidence",
        }
        return read_more_children(self._call("POST", "api/morechildren", {}, data=form))

    def close(self) -> None:
        """Close the connections."""
        self._requestor.close()

    def _call(
        self,
        method: str,
        path: str,
        params: Query,
        subreddits: Sequence[str] = (),
        *,
        data: dict[str, str] | None = None,
    ) -> Any:
        self._requestor.deadline = time.monotonic() + self._deadline
        try:
            try:
                return self._reddit.request(method=method, path=path, params=params, data=data)
            except prawcore.exceptions.TooManyRequests:
                if self._requestor.permits is None:
                    raise
                # The permits know by now how long to wait, and refuse if that is too long.
                return self._reddit.request(method=method, path=path, params=params, data=data)
        except RedditError:
            raise
        except prawcore.exceptions.OAuthException as error:
            raise Unauthorized(
                f"Reddit refused a token: {error}. Check the app's secret."
            ) from error
        except ResponseException as error:
            raise _from_response(error.response, subreddits) from error
        except RequestException as error:
            raise Unavailable(f"No answer from Reddit: {error.original_exception}") from error
        except requests.exceptions.RequestException as error:
            # A JSONDecodeError is one of these: the token endpoint answered with something else.
            raise BadResponse(f"Not JSON: {error}") from error
        except (PrawcoreException, PRAWException, *RAW_LEAKS) as error:
            raise self._from_leak(error) from error

    @staticmethod
    def _from_leak(error: Exception) -> RedditError:
        if isinstance(error, KeyError) and error.args in [(401,), ("reddit",)]:
            return Unauthorized("Reddit answered 401 without saying why. Check the app's secret.")
        return BadResponse(f"An answer that PRAW cannot read: {type(error).__name__}: {error}")

    @staticmethod
    def _page(body: Any) -> Page:
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("children"), list):
            raise BadResponse(f"Expected a listing, got {_excerpt(body)}")
        after = data.get("after")
        return Page(data["children"], after if isinstance(after, str) and after else None)


def _from_response(response: requests.Response, subreddits: Sequence[str]) -> RedditError:
    """Name what a refused request means. A status that is about one subreddit is its state."""
    status, reason = response.status_code, _reason(response)
    about = f"HTTP {status}" + (f" ({reason})" if reason else "")
    if "/api/v1/access_token" in (response.url or ""):
        return _from_token_response(response, about)
    if status == 401:
        return Unauthorized(f"{about}: Reddit does not accept the app's token.")
    if status == 429:
        return _throttled(response, about)
    if status >= 500 or status == 408:
        return Unavailable(f"{about}: Reddit could not answer.")
    if status < 300:
        return BadResponse(f"{about}, with a body that is no JSON: {_excerpt(response.text)}")
    state = _subreddit_state(status, reason, response) if len(subreddits) == 1 else None
    if state:
        return SubredditUnavailable(f"r/{subreddits[0]} is {state}: {about}.", status=state)
    if len(subreddits) == 1 and (name := _redirected_to(status, subreddits[0], response)):
        return SubredditUnavailable(
            f"r/{subreddits[0]} is renamed: {about}, redirected to r/{name}.",
            status="renamed",
            renamed_to=name,
        )
    if 300 <= status < 400:
        return BadResponse(f"{about}: redirected to {response.headers.get('location', 'nowhere')}")
    return RequestRejected(f"{about}: Reddit refused the request.", status=status)


def _from_token_response(response: requests.Response, about: str) -> RedditError:
    status = response.status_code
    if status == 429:
        return _throttled(response, about)
    if status >= 500:
        return Unavailable(f"{about}: Reddit gave no token.")
    return Unauthorized(f"{about}: Reddit gave no token. Check the app's client id and secret.")


def _throttled(response: requests.Response, about: str) -> Throttled:
    wait = response.headers.get("retry-after")
    return Throttled(
        f"{about}: the app's budget is spent.", retry_after=float(wait) if wait else None
    )


def _subreddit_state(status: int, reason: str, response: requests.Response) -> str | None:
    if status in (403, 404) and reason in FORBIDDEN_REASONS:
        return reason
    if status in (301, 302) and "/subreddits/search" in response.headers.get("location", ""):
        return "missing"
    # Reddit does not always give the reason: 403 stands for private, 404 for banned.
    return {403: "private", 404: "banned"}.get(status)


def _redirected_to(status: int, asked: str, response: requests.Response) -> str:
    """The other subreddit to which Reddit sends whoever asks for this one; empty if to none."""
    path = urlsplit(response.headers.get("location", "")).path
    found = SUBREDDIT_PATH.match(path) if 300 <= status < 400 else None
    return found[1] if found and found[1].lower() != asked.lower() else ""


def _reason(response: requests.Response) -> str:
    try:
        body = response.json()
    except (RecursionError, ValueError):
        return ""
    reason = body.get("reason") if isinstance(body, dict) else None
    return reason if isinstance(reason, str) else ""


def _excerpt(body: Any) -> str:
    text = repr(body)
    return text if len(text) <= 200 else f"{text[:200]}…"


def pack_names(names: Sequence[str]) -> list[list[str]]:
    """Split names into the fewest runs that one merged request each may carry."""
    packs: list[list[str]] = []
    length = 0
    for name in names:
        if (
            not packs
            or len(packs[-1]) == MAX_MERGED_NAMES
            or length + 1 + len(name) > MAX_MERGED_CHARACTERS
        ):
            packs.append([])
            length = -1
        packs[-1].append(name)
        length += 1 + len(name)
    return packs
