"""The plan of a session: what it is to collect, made before any request."""

from dataclasses import dataclass
from datetime import timedelta

from bots.models import LISTING_CAP, BotConfig
from scraping.models import Stream
from scraping.planning.demand import freshness_of


@dataclass(frozen=True)
class Plan:
    """What a session collects, and for which bot."""

    subreddits: tuple[str, ...]
    listing: str = BotConfig.Listing.NEW
    comments: bool = False
    search_query: str = ""
    item_limit: int = LISTING_CAP
    bot_id: int | None = None
    # Streams that were read within this time are fresh. None: the session insists.
    freshness: timedelta | None = None
    # The item limit holds even if other bots want more of the same streams.
    limited: bool = False
    # The streams to read, as pairs of lower-case name and kind; None: all kinds of all subreddits.
    only: frozenset[tuple[str, str]] | None = None

    @classmethod
    def of(cls, bot: BotConfig, *, item_limit: int | None = None, insist: bool = True) -> "Plan":
        """Return the plan of a bot; `item_limit` replaces the bot's own limit.

        With `insist`, the session also reads streams that are fresh enough for the bot.
        """
        return cls(
            subreddits=tuple(bot.subreddits),
            listing=bot.listing,
            comments=bot.comments == BotConfig.Comments.STREAM,
            search_query=bot.search_query,
            item_limit=item_limit or bot.item_limit,
            bot_id=bot.pk,
            freshness=None if insist else freshness_of(bot),
            limited=item_limit is not None,
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that the session reads, including sampled posts."""
        return (Stream.Kind.POSTS, Stream.Kind.COMMENTS) if self.comments else (Stream.Kind.POSTS,)

    @property
    def is_sample(self) -> bool:
        """Whether the posts are a sample, which is no stream."""
        return self.listing != BotConfig.Listing.NEW

    @property
    def stream_kinds(self) -> tuple[str, ...]:
        """The kinds that are read as streams, with every item."""
        return self.kinds[1:] if self.is_sample else self.kinds

    def names(self, kind: str) -> list[str]:
        """Return the subreddits of which the session reads this kind."""
        if self.only is None:
            return list(self.subreddits)
        return [name for name in self.subreddits if (name.lower(), kind) in self.only]

    @property
    def streams(self) -> list[tuple[str, str]]:
        """The subreddit and kind of each stream that is read with every item."""
        return [(name, kind) for kind in self.stream_kinds for name in self.names(kind)]
