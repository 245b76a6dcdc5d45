"""Ids of generated items: unique without a register, and telling which subreddit they are from.

Post ids grow with time, as Reddit's do. Comment ids do not: they are spread over the whole range
of eight characters, so that a client which orders by them fails here as it would there.
"""

import re

_ID = re.compile(r"[1-9a-z][0-9a-z]{0,9}")
_SUBREDDITS = 1024
_POST_EPOCH = 1_500_000_000
_RANGE = 36**8
_SPREAD = 1_181_783_497_277  # any number without a common factor with 36**8 spreads the ids
_GATHER = pow(_SPREAD, -1, _RANGE)
_COMMENTS = _RANGE // _SUBREDDITS

COMMENT_SERIALS = _COMMENTS
"""How many comment ids each subreddit has."""


def post_number(created: float, subreddit: int, attempt: int) -> int:
    """The number of a post; raise ``attempt`` until the number is free in its subreddit."""
    return (int(max(created - _POST_EPOCH, 0)) * 4 + attempt) * _SUBREDDITS + subreddit


def comment_number(serial: int, subreddit: int) -> int:
    """The number of the comment with this serial (below COMMENT_SERIALS) in its subreddit."""
    return ((subreddit * _COMMENTS + serial) * _SPREAD) % _RANGE


def subreddit_of(kind: str, identifier: str) -> int | None:
    """Which subreddit (by index) an id would belong to, had this scheme made it."""
    if not _ID.fullmatch(identifier):
        return None
    number = int(identifier, 36)
    if kind == "t3":
        return number % _SUBREDDITS
    return (number * _GATHER) % _RANGE // _COMMENTS if number < _RANGE else None
