from scraping.models.content import BotItem, Content, RedditComment, RedditPost
from scraping.models.sessions import ScrapeSession
from scraping.models.streams import Gap, Stream, Subreddit

__all__ = [
    "BotItem",
    "Content",
    "Gap",
    "RedditComment",
    "RedditPost",
    "ScrapeSession",
    "Stream",
    "Subreddit",
]
