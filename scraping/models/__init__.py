from scraping.models.budget import RequestBudget
from scraping.models.content import BotItem, Content, RedditComment, RedditPost
from scraping.models.imports import DumpImport
from scraping.models.sessions import STATUS_COLOURS, ScrapeSession
from scraping.models.streams import Gap, Stream, Subreddit

__all__ = [
    "STATUS_COLOURS",
    "BotItem",
    "Content",
    "DumpImport",
    "Gap",
    "RedditComment",
    "RedditPost",
    "RequestBudget",
    "ScrapeSession",
    "Stream",
    "Subreddit",
]
