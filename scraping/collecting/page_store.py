"""Store one page of things: parse item by item, store, match and count."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from scraping import intake
from scraping.intake import Taken
from scraping.reddit.client import Page
from scraping.reddit.parse import PARSERS, ParsedComment, ParsedItem, ParsedPost, ParseError

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """What a session has done so far. The fields have the names of the session's columns."""

    posts_seen: int = 0
    comments_seen: int = 0
    new: int = 0
    updated: int = 0
    rejected: int = 0
    # While the session runs, this counts the new matches that it stored itself. If it reads listings,
    # `lifecycle.finish` replaces the number by all matches of the bot since its last session.
    matched: int = 0
    requests: int = 0
    wait_seconds: float = 0.0
    gaps_opened: int = 0
    gaps_closed: int = 0
    requests_by_kind: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


class PageStore:
    """Stores pages, on behalf of a bot if there is one, and counts in `progress`."""

    def __init__(
        self,
        progress: Progress,
        *,
        bot_id: int | None,
        dry_run: bool,
        after_page: OnProgress,
    ) -> None:
        self._progress = progress
        self._bot_id = bot_id
        self._dry_run = dry_run
        self._after_page = after_page

    def __call__(
        self, page: Page, *, also: Callable[[list[ParsedItem]], None] | None = None
    ) -> tuple[list[ParsedItem], Taken]:
        """Parse one page and store it in one transaction; return its items and what became of them.

        `also` is called with the items, inside the transaction.
        """
        posts, comments = self._parse(page)
        items: list[ParsedItem] = [*posts, *comments]
        progress = self._progress
        if self._dry_run:
            self._count_seen(posts, comments)
            self._after_page(self._progress)
            # All items count as new, because a dry run shows what Reddit lists.
            return items, Taken(new={item.fullname for item in items})
        with transaction.atomic():
            result = intake.take_in(items, bot_id=self._bot_id)
            if also is not None:
                also(items)
        self._count_seen(posts, comments)
        progress.new += len(result.new)
        progress.updated += len(result.updated)
        progress.matched += sum(match.bot_id == self._bot_id for match in result.matches)
        self._after_page(self._progress)
        return items, result

    def _count_seen(self, posts: list[ParsedPost], comments: list[ParsedComment]) -> None:
        self._progress.posts_seen += len(posts)
        self._progress.comments_seen += len(comments)

    def _parse(self, page: Page) -> tuple[list[ParsedPost], list[ParsedComment]]:
        parsed: dict[str, list[Any]] = {"t3": [], "t1": []}
        for thing in page.things:
            kind = thing.get("kind") if isinstance(thing, dict) else None
            try:
                if kind not in PARSERS:
                    raise ParseError("?", f"kind: expected t1 or t3, got {kind!r}")
                parsed[kind].append(PARSERS[kind](thing.get("data")))
            except ParseError as error:
                self._progress.rejected += 1
                logger.warning("Item not stored: %s", error)
        return parsed["t3"], parsed["t1"]
