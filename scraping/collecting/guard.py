"""Errors of Reddit's as outcomes of the streams that were read."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from scraping.collecting import availability
from scraping.collecting.outcomes import Outcomes
from scraping.collecting.page_store import Progress
from scraping.models import Stream
from scraping.reddit.errors import RedditError, SubredditUnavailable, Throttled, Unauthorized

logger = logging.getLogger(__name__)


def never(name: str) -> bool:
    """Answer that no walk of the session has shown the subreddit."""
    return False


@contextmanager
def guarded(
    streams: Sequence[Stream],
    outcomes: Outcomes,
    progress: Progress,
    *,
    concerned: Sequence[Stream] | None = None,
    was_shown: Callable[[str], bool] = never,
    dry_run: bool = False,
) -> Iterator[None]:
    """Record an error that occurs while streams are read as the outcome of each stream `concerned`.

    `concerned` is all streams by default. A subreddit that cannot be read is remembered, unless this is a
    dry run, and the gaps that this opens are counted; `was_shown` tells whether a walk has shown the
    subreddit a moment ago. Raises `Unauthorized` and `Throttled`, which concern a session as a whole.
    """
    try:
        yield
    except (Unauthorized, Throttled):
        raise
    except RedditError as error:
        if isinstance(error, SubredditUnavailable):
            # Only a listing of a single subreddit is answered in this way.
            if not dry_run:
                name = streams[0].subreddit.name
                progress.gaps_opened += availability.record(name, error, was_shown=was_shown(name))
        else:
            names = "+".join(stream.subreddit.name for stream in streams)
            logger.warning("r/%s %s: %s", names, streams[0].kind, error)
        outcomes.failed(streams if concerned is None else concerned, error)
