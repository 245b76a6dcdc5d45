"""Ids of generated items: unique without a register, and each id tells its subreddit.

Post ids grow with time, as on Reddit. Comment ids do not: they are spread over the whole range of eight
characters, so that a client that sorts by them fails here as it would on Reddit.
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
"""The number of comment ids that each subreddit has."""


def post_number(created: float, subreddit: int, attempt: int) -> int:
    """Return the number of a post; increase ``attempt`` until the number is free in its subreddit."""
    return (int(max(created - _POST_EPOCH, 0)) * 4 + attempt) * _SUBREDDITS + subreddit


def comment_number(serial: int, subreddit: int) -> int:
    """Return the number of the comment with this serial (below COMMENT_SERIALS) in its subreddit."""
    return ((subreddit * _COMMENTS + serial) * _SPREAD) % _RANGE


def subreddit_of(kind: str, identifier: str) -> int | None:
    """Return the index of the subreddit to which an id of this scheme would belong."""
    if not _ID.fullmatch(identifier):
        return None
    number = int(identifier, 36)
    if kind == "t3":
        return number % _SUBREDDITS
    return (number * _GATHER) % _RANGE // _COMMENTS if number < _RANGE else None
