"""What a session is to collect, before anything is asked."""

from dataclasses import dataclass
from datetime import timedelta

from bots.models import LISTING_CAP, BotConfig
from scraping.models import Stream
from scraping.planning.demand import freshness_of


@dataclass(frozen=True)
class Plan:
    """What to collect, and for whom."""

    subreddits: tuple[str, ...]
    listing: str = BotConfig.Listing.NEW
    comments: bool = False
    search_query: str = ""
    item_limit: int = LISTING_CAP
    bot_id: int | None = None
    # What was read within this time is fresh. None: all is read that was not read just now.
    freshness: timedelta | None = None
    # The limit of items is an order, whatever other bots want of the same streams.
    limited: bool = False
    # Where not all kinds of all the subreddits are wanted: names in lower case, and kinds.
    only: frozenset[tuple[str, str]] | None = None

    @classmethod
    def of(cls, bot: BotConfig, *, item_limit: int | None = None, insist: bool = True) -> "Plan":
        """What the bot is set to collect, with another limit of items where one is given.

        Unless it is to `insist`, what is fresh enough for the bot is not read again.
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
        """The kinds that are read, sampled posts among them."""
        return (Stream.Kind.POSTS, Stream.Kind.COMMENTS) if self.comments else (Stream.Kind.POSTS,)

    @property
    def is_sample(self) -> bool:
        """Whether its posts are a sample, which is no stream."""
        return self.listing != BotConfig.Listing.NEW

    @property
    def stream_kinds(self) -> tuple[str, ...]:
        """The kinds of which every item is wanted."""
        return self.kinds[1:] if self.is_sample else self.kinds

    def names(self, kind: str) -> list[str]:
        """The subreddits of which this kind is wanted."""
        if self.only is None:
            return list(self.subreddits)
        return [name for name in self.subreddits if (name.lower(), kind) in self.only]

    @property
    def streams(self) -> list[tuple[str, str]]:
        """Subreddit and kind of each stream of which every item is wanted."""
        return [(name, kind) for kind in self.stream_kinds for name in self.names(kind)]
