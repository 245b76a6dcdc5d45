from scraping.models.batches import ScrapeBatch
from scraping.models.budget import RequestBudget
from scraping.models.content import BotItem, Content, RedditComment, RedditPost
from scraping.models.imports import DumpImport
from scraping.models.sessions import STATUS_COLOURS, ScrapeSession
from scraping.models.streams import Gap, Stream, Subreddit
from scraping.models.threads import CommentThread, ThreadBranch

__all__ = [
    "STATUS_COLOURS",
    "BotItem",
    "CommentThread",
    "Content",
    "DumpImport",
    "Gap",
    "RedditComment",
    "RedditPost",
    "RequestBudget",
    "ScrapeBatch",
    "ScrapeSession",
    "Stream",
    "Subreddit",
    "ThreadBranch",
]
