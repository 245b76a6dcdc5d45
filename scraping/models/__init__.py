from scraping.models.batches import ScrapeBatch
from scraping.models.budget import RequestBudget
from scraping.models.checks import ItemCheck
from scraping.models.content import BotItem, Content, RedditComment, RedditPost, item_model
from scraping.models.deletion import DeletionReceipt
from scraping.models.imports import DumpImport
from scraping.models.scores import PostScore
from scraping.models.sessions import STATUS_COLOURS, ScrapeSession
from scraping.models.streams import Gap, Stream, Subreddit
from scraping.models.threads import CommentThread, ThreadBranch

__all__ = [
    "STATUS_COLOURS",
    "BotItem",
    "CommentThread",
    "Content",
    "DeletionReceipt",
    "DumpImport",
    "Gap",
    "ItemCheck",
    "PostScore",
    "RedditComment",
    "RedditPost",
    "RequestBudget",
    "ScrapeBatch",
    "ScrapeSession",
    "Stream",
    "Subreddit",
    "ThreadBranch",
    "item_model",
]
