"""A small world for tests: one subreddit of the simulator, a bot that collects it, one clock for both."""

from datetime import UTC, datetime, timedelta

from scraping.content import check_plan
from scraping.sessions import services
from scraping.verifying import recheck
from tests.factories import BotFactory

HOUR = timedelta(hours=1)


class World:
    """The simulator, a bot that collects from it, and one clock for both."""

    def __init__(self, reddit, **bot):
        self.reddit = reddit
        self.bot = BotFactory(subreddits=["Quiet"], comments="stream", **bot)
        reddit.control("subreddits", {"name": "Quiet", "status": "ok"})

    def now(self):
        return datetime.fromtimestamp(self.reddit.control("")["now"], tz=UTC)

    def advance(self, hours):
        self.reddit.control("clock", {"advance": hours * 3600})

    def post(self, **fields):
        shown = {"hide_score": False} | fields.pop("fields", {})
        given = {"subreddit": "Quiet", "title": "A cat", "fields": shown} | fields
        return self.reddit.control("items", given)["fullname"]

    def comment(self, post, **fields):
        return self.reddit.control("items", {"link_id": post, "body": "Meow", **fields})["fullname"]

    def change(self, fullname, action, **fields):
        self.reddit.control(f"items/{fullname}", {"action": action, **fields})

    def collect(self):
        session = services.scrape_bot(self.bot.pk, trigger="manual")
        check_plan.enrol_new(now=self.now())
        return session

    def check(self, **options):
        return recheck.check_items(clock=self.now, **options)
