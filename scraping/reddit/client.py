"""A read-only client of Reddit's API that returns plain dicts and raises `RedditError`s.

It uses PRAW's raw path (`Reddit.request`), which provides authentication, token refresh and retries. It
never builds PRAW's objects: they lose a page to one odd item, and take three times as long.
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
# Ids in one morechildren request. If a request has more, Reddit silently leaves some of them out.
MORE_CHILDREN = 100
# The number of comments that we ask for in one request for a tree; Reddit shows about 500.
TREE_SIZE = 2048
# Limits of merged listings: Reddit takes more names, but answers get slow and URLs are cut.
MAX_MERGED_NAMES = 100
MAX_MERGED_CHARACTERS = 2_000

# Raw exceptions that PRAW and prawcore raise for answers that they do not expect.
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

# A request's parameters, in PRAW's form.
Query = dict[str, str | int]


@dataclass(frozen=True)
class Credentials:
    """The values that one app needs to call the API. `secret` is empty for an installed app."""

    client_id: str
    secret: str = field(repr=False)
    user_agent: str
    reddit_url: str
    oauth_url: str


@dataclass(frozen=True)
class Page:
    """One page of a listing: its things, unchecked, and the cursor of the next page."""

    things: list[Any]
    after: str | None


class RedditClient:
    """Calls the API as one app. Not thread-safe: each thread needs its own client."""

    def __init__(self, credentials: Credentials, *, timeout: float, deadline: float) -> None:
        """Limit each wait for the network to `timeout` seconds, a call with its retries to `deadline`."""
        self._deadline = deadline
        self._reddit = praw.Reddit(
            client_id=credentials.client_id,
            # PRAW takes a secret of None to mean "installed app".
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
        """Reset the counts, and ask `permits` before each request.

        Without `permits`, requests are sent until an answer says that the budget is spent.
        """
        self._requestor.permits = permits
        self._requestor.requests_by_kind.clear()
        self._requestor.waited = 0.0

    @property
    def requests(self) -> int:
        """The number of HTTP requests that were sent, including tokens and retries."""
        return self._requestor.requests_by_kind.total()

    @property
    def requests_by_kind(self) -> dict[str, int]:
        """The number of requests by kind: listing, comments, search, info, about, tree, more, token."""
        return dict(self._requestor.requests_by_kind)

    @property
    def waited(self) -> float:
        """The seconds that were spent waiting for permits."""
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
        single subreddit that cannot be read. From a merged listing, Reddit silently leaves out such
        members.
        """
        query: Query = {"limit": str(min(limit, PAGE_SIZE)), **(params or {})}
        if after:
            query["after"] = after
        return self._page(
            self._call("GET", f"r/{'+'.join(subreddits)}/{listing}", query, subreddits)
        )

    def info(self, *, fullnames: Sequence[str] = (), subreddits: Sequence[str] = ()) -> Page:
        """Look up to 100 things by fullname, or subreddits by name. Unknown things are left out."""
        query: Query = (
            {"id": ",".join(fullnames)} if fullnames else {"sr_name": ",".join(subreddits)}
        )
        return self._page(self._call("GET", "api/info", query))

    def thread(self, post: str, *, below: str | None = None) -> TreeAnswer:
        """Fetch a post and its comment tree, or only the part of the tree `below` a comment.

        `post` and `below` are ids without their kind. Beyond about ten levels or 500 comments, the answer
        names the comments that it leaves out. Raises `RequestRejected` if the post does not exist, or if
        we may not read it.
        """
        path = f"comments/{post}/_/{below}" if below else f"comments/{post}"
        query: Query = {"limit": str(TREE_SIZE), "sort": "confidence"}
        return read_tree(self._call("GET", path, query))

    def more_children(self, post: str, comments: Sequence[str]) -> TreeAnswer:
        """Fetch up to 100 comments of a post, by their ids, with the comments below them.

        Often the answer has fewer comments than requested, and `more` names the others. Reddit serves
        one such request of a user at a time, and answers a second request with 429.
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
                # By now `permits` knows how long to wait, and raises `Throttled` if that is too long.
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
            # JSONDecodeError is such an exception: the token endpoint answered with something other
            # than JSON.
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
    """Return the error that a refused request means. A status about one subreddit is its state."""
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
    # Reddit does not always give the reason. Then 403 stands for private, 404 for banned.
    return {403: "private", 404: "banned"}.get(status)


def _redirected_to(status: int, asked: str, response: requests.Response) -> str:
    """Return the other subreddit to which Reddit redirects a request for this one; "" if none."""
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
    """Split names into the fewest runs, each short enough for one merged request."""
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
