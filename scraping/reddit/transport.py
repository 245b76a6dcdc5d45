"""The HTTP below PRAW: every request ends in time, and no header reaches PRAW unchecked.

Four facts make this necessary, measured with PRAW 8.0.3 / prawcore 4.0.0. `timeout` on `Reddit` has no
effect on API calls. A body that drips in never times out. Malformed rate headers raise raw ValueErrors
and KeyErrors even on a 200. A spent budget makes PRAW sleep for minutes.
"""

import contextlib
import math
import re
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import requests
from prawcore.exceptions import RequestException
from prawcore.requestor import Requestor
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from scraping.reddit.errors import DeadlineExceeded, Throttled

RATE_HEADERS = ("x-ratelimit-remaining", "x-ratelimit-used", "x-ratelimit-reset")
# Requests for tokens: Reddit does not count them.
TOKEN_PATH = "/api/v1/access_token"  # noqa: S105  (a path)


# The kind of a request, by its path. Any other path is a listing of posts.
KINDS = (
    (re.compile(r"/api/v1/access_token$"), "token"),
    (re.compile(r"/api/info$"), "info"),
    (re.compile(r"/api/morechildren$"), "more"),
    (re.compile(r"^/comments/|/r/[^/]+/comments/[^/]+"), "tree"),
    (re.compile(r"/comments$"), "comments"),
    (re.compile(r"/search$"), "search"),
    (re.compile(r"/about$"), "about"),
)


def kind_of(path: str) -> str:
    """Return the kind of a request for this path, as sessions count it."""
    path = path.rstrip("/")
    return next((kind for pattern, kind in KINDS if pattern.search(path)), "listing")


# The status of an `Answer` if no answer came.
NO_ANSWER = 0


@dataclass(frozen=True)
class RateLimit:
    """The client id's budget according to an answer's headers; `reset` is in seconds."""

    remaining: float
    used: float
    reset: float
    # By this machine's monotonic clock.
    resets_at: float


@dataclass(frozen=True)
class Answer:
    """An answer, as far as it concerns the budget. `seconds` is from the request to the answer's end."""

    status: int
    seconds: float
    rate: RateLimit | None = None
    retry_after: float | None = None


class Permits(Protocol):
    """Decides when a request may be sent; implemented by `scraping.budget.app_budget.AppBudget`."""

    def take(self) -> Any:
        """Return a permit for one request, after a wait if need be; raise `Throttled` for too long a wait."""

    def answered(self, permit: Any, answer: Answer) -> None:
        """Record an answer; `permit` is None for a request that needed no permit."""


class _Alarm:
    """Cuts the connection that a thread waits for when the thread's time is up.

    A socket's own time-out starts anew with each byte, so a slow drip would block the thread for ever.
    """

    def __init__(self, seconds: float) -> None:
        self.socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Alarm":
        _current.alarm = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current.alarm = None

    def _cut(self) -> None:
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


class _Current(threading.local):
    alarm: _Alarm | None = None


_current = _Current()


class _WatchedHTTPConnection(HTTPConnection):
    """A connection that gives the alarm its socket before it waits for the answer."""

    # urllib3 overrides http.client's return type in the same way.
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        if _current.alarm is not None:
            _current.alarm.socket = self.sock
        return super().getresponse()


class _WatchedHTTPSConnection(_WatchedHTTPConnection, HTTPSConnection):
    pass


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


class _Response(requests.Response):
    """An answer that decodes JSON three times as fast."""

    def json(self, **kwargs: Any) -> Any:
        """Return the decoded body. Python's decoder reads what orjson refuses, such as lone surrogates."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return super().json(**kwargs)


class _WatchedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _WatchedHTTPPool,
            "https": _WatchedHTTPSPool,
        }

    def build_response(self, *args: Any) -> requests.Response:
        response = super().build_response(*args)
        response.__class__ = _Response
        return response


class DeadlineRequestor(Requestor):
    """A requestor whose requests end by a deadline that the client sets for a whole call.

    It hides the rate headers from PRAW and keeps them as `rate_limit`, because PRAW in one process must
    not decide when all processes may send.
    """

    def __init__(self, *, timeout: float, **kwargs: Any) -> None:
        super().__init__(timeout=timeout, session=requests.Session(), **kwargs)
        self._http.mount("http://", _WatchedAdapter())
        self._http.mount("https://", _WatchedAdapter())
        # The environment's proxies and .netrc must never see a bearer token.
        self._http.trust_env = False
        # By the monotonic clock; the client moves it before each call.
        self.deadline = time.monotonic() + timeout
        self.rate_limit: RateLimit | None = None
        self.permits: Permits | None = None
        self.requests_by_kind: Counter[str] = Counter()
        # Seconds spent waiting for permits.
        self.waited = 0.0

    # prawcore calls this with a method and a URL by position, and nothing else by position.
    def request(  # type: ignore[override]
        self, method: str, url: str, *, timeout: float | None = None, **kwargs: Any
    ) -> requests.Response:
        """Send one request; raise RequestException for PRAW's retries, or `DeadlineExceeded`.

        Waits for a permit first, unless the request is for a token. The wait is not the network's
        fault, so the deadline moves by it.
        """
        path = urlsplit(url).path
        counted = not path.endswith(TOKEN_PATH)
        permit = self._permit() if counted else None
        began = time.monotonic()
        remaining = self.deadline - began
        if remaining <= 0:
            raise DeadlineExceeded("No time is left for another try.")
        self.requests_by_kind[kind_of(path)] += 1
        try:
            with _Alarm(remaining):
                response = self._http.request(
                    method, url, timeout=min(self.timeout, remaining), **kwargs
                )
        except Exception as error:
            if self.permits is not None and permit is not None:
                self.permits.answered(permit, Answer(NO_ANSWER, time.monotonic() - began))
            if time.monotonic() >= self.deadline:
                raise DeadlineExceeded(f"No complete answer in time: {error}") from error
            raise RequestException(error, (method, url), kwargs) from error
        answer = self._take_headers(response, seconds=time.monotonic() - began)
        # The answer to a request for a token says nothing of the budget, unless it is a 429: then all
        # must wait.
        if self.permits is not None and (counted or response.status_code == 429):
            self.permits.answered(permit, answer)
        if time.monotonic() >= self.deadline:
            # A body without a length looks complete even if the alarm cut it off.
            raise DeadlineExceeded("No complete answer in time.")
        return response

    def _permit(self) -> Any:
        if self.deadline <= time.monotonic():
            raise DeadlineExceeded("No time is left for another try.")
        if self.permits is None:
            self._refuse_when_spent()
            return None
        began = time.monotonic()
        try:
            return self.permits.take()
        finally:
            waited = time.monotonic() - began
            self.waited += waited
            self.deadline += waited

    def _refuse_when_spent(self) -> None:
        """Raise `Throttled` if the last answer to this client says so: without permits we know no more."""
        if self.rate_limit is None or self.rate_limit.remaining >= 1:
            return
        wait = self.rate_limit.resets_at - time.monotonic()
        if wait > 0:
            raise Throttled(f"The budget is spent for {wait:.0f} s more.", retry_after=wait)

    def _take_headers(self, response: requests.Response, *, seconds: float) -> Answer:
        given = [response.headers.pop(name, "") for name in RATE_HEADERS]
        rate = None
        with contextlib.suppress(ValueError):  # absent or malformed headers tell nothing
            # "remaining" can be negative if more was sent than allowed.
            used, reset = _finite(given[1]), _finite(given[2])
            remaining = float(given[0])
            if not math.isfinite(remaining):
                raise ValueError(given[0])
            rate = RateLimit(remaining, used, reset, time.monotonic() + reset)
            self.rate_limit = rate
        retry_after = None
        if "retry-after" in response.headers:
            try:
                retry_after = _finite(response.headers["retry-after"])
            except ValueError:
                del response.headers["retry-after"]
        if response.is_redirect is False and response.status_code in (301, 302):
            # PRAW reads the target of every redirect without checking that it has one.
            response.headers["location"] = "/"
        return Answer(response.status_code, seconds, rate, retry_after)


def _finite(text: str) -> float:
    """Return the number; raise ValueError for a text that is no finite number of zero or more."""
    number = float(text)
    if number < 0 or not math.isfinite(number):
        raise ValueError(text)
    return number
