"""Collection for tests: a session of a bot, what came of it, and what Reddit lists that it should store."""

from scraping.models import RedditPost
from scraping.sessions import services

HOUR = 3600


def run(bot, **options):
    return services.scrape_bot(bot.pk, trigger="manual", **options)


def outcomes(session):
    return {stream: outcome["outcome"] for stream, outcome in session.outcomes.items()}


def bot_summary(bot):
    bot.refresh_from_db()
    return bot.last_session_summary


def listed(reddit, name, kind="t3"):
    """Fullnames of what Reddit lists of a subreddit, by the simulator's own account."""
    items = reddit.control(f"truth?subreddit={name}&kind={kind}")["items"]
    return {item["fullname"] for item in items if item["state"] == "live"}


def stored(name, model=RedditPost):
    rows = model.objects.filter(subreddit__name__iexact=name)
    return set(rows.values_list("fullname", flat=True))


def advance(reddit, seconds):
    reddit.control("clock", {"advance": seconds})


def fill(reddit, *names, number, each=30):
    """Write posts to these subreddits in turn, so many seconds apart; the clock moves with them."""
    began = reddit.control("")["now"]
    advance(reddit, number * each)
    items = [
        {
            "subreddit": names[index % len(names)],
            "title": f"Post {index}",
            "created_utc": began + index * each,
        }
        for index in range(number)
    ]
    reddit.control("items", {"items": items})


def close(reddit, name, status):
    reddit.control("subreddits", {"name": name, "status": status})


def after_page(number, act):
    """A watcher of a session's progress that acts after so many pages."""
    pages = 0

    def watch(progress):
        nonlocal pages
        pages += 1
        if pages == number:
            act()

    return watch
