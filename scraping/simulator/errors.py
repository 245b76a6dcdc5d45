"""Answers other than content: statuses, headers and bodies as recorded from Reddit."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .model import Subreddit
from .text import to_html

JSON = "application/json; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
WWW_AUTHENTICATE = 'Bearer realm="reddit", error="invalid_token"'
WITHOUT_RATE_HEADERS = frozenset({401, 429, 451})

_MESSAGES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(slots=True)
class Answer:
    """An HTTP answer, before the rate headers are added."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def content(body: bytes) -> Answer:
    """Return an answer with a page of JSON."""
    return Answer(200, body)


def spaced(status: int, value: dict[str, Any]) -> Answer:
    """Return JSON with spaces, as in Reddit's small answers, so that its length is as recorded."""
    return Answer(status, json.dumps(value).encode())


def error(status: int, **fields: Any) -> Answer:
    """Return ``{"message": ..., "error": <status>}``, with further fields before."""
    message = _MESSAGES.get(status, "Error")
    return spaced(status, {**fields, "message": message, "error": status})


def unauthorized() -> Answer:
    """Return the answer to a token that is missing, unknown or expired."""
    answer = error(401)
    answer.headers["www-authenticate"] = WWW_AUTHENTICATE
    return answer


def too_many_requests(retry_after: int) -> Answer:
    """Return the answer for a spent budget: a page of HTML."""
    page = f"""
<!doctype html>
<html>
  <head>
    <title>Too Many Requests</title>
  </head>
  <body>
    <h1>whoa there, pardner!</h1>
    <p>This client sends more requests than its share.</p>
    <p>please wait {retry_after} second(s) and try again.</p>
  </body>
</html>
"""
    return Answer(429, page.encode(), HTML, {"retry-after": str(retry_after)})


def missing(name: str) -> Answer:
    """Return the answer for a valid name that no subreddit has: a redirect to Reddit's search."""
    location = f"/subreddits/search?q={quote(name)}"
    return Answer(302, b"", HTML, {"location": location})


def moved(sub: Subreddit) -> Answer:
    """Return the answer for a subreddit that has another name now: a redirect to it."""
    return Answer(302, b"", HTML, {"location": f"/r/{sub.name}/"})


def _warning(sub: Subreddit) -> str:
    return f"r/{sub.name} holds content that many readers find doubtful. [Why?](/help/warnings)"


def unavailable(sub: Subreddit) -> Answer | None:
    """Return the answer of a single subreddit that is not open; None if it is open."""
    match sub.status:
        case "ok":
            return None
        case "missing":
            return missing(sub.name)
        case "banned":
            return error(404, reason="banned")
        case "quarantined":
            warning = _warning(sub)
            return error(
                403,
                reason="quarantined",
                quarantine_message_html=to_html(warning, wrapped=True),
                quarantine_message=warning,
            )
        case "gated":
            warning = _warning(sub)
            return error(
                403,
                reason="gated",
                interstitial_warning_message_html=to_html(warning, wrapped=True),
                interstitial_warning_message=warning,
            )
        case _:
            return error(403, reason=sub.status)
