"""Early reads: streams that would outrun Reddit's listings, and the apps that can read them."""

from django.utils import timezone

from bots.models import BotConfig, RedditApp
from scraping.models import Stream, Subreddit
from scraping.planning.demand import demands


def apps_to_read_early() -> list[int]:
    """Return the ids of apps whose bots want a stream that must be read by now."""
    overflowing = Stream.objects.filter(poll_by__lte=timezone.now())
    if not overflowing.exists():
        return []
    apps = RedditApp.objects.filter(pk__in=BotConfig.objects.scheduled().values("reddit_app"))
    return [app.pk for app in apps if not app.is_refused and overflowing_streams(app)]


def overflowing_streams(app: RedditApp) -> list[Stream]:
    """Return the readable streams that the app's bots want and that must be read by now (`poll_by`)."""
    wanted = {demand.key for demand in demands(app)}
    streams = Stream.objects.filter(
        poll_by__lte=timezone.now(), subreddit__status=Subreddit.Status.OK
    ).select_related("subreddit")
    return [stream for stream in streams if (stream.subreddit.name.lower(), stream.kind) in wanted]
