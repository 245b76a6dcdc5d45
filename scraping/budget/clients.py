"""API clients, kept by each thread of a worker, so that one token serves all sessions of an app."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from bots.models import RedditApp
from scraping.reddit.client import Credentials, RedditClient
from scraping.reddit.errors import Unauthorized
from scraping.reddit.transport import Permits

# The number of apps whose clients a thread keeps: each client holds a connection or two.
KEPT = 8


class _Kept(threading.local):
    def __init__(self) -> None:
        self.clients: OrderedDict[Credentials, RedditClient] = OrderedDict()


_kept = _Kept()


@contextmanager
def client_for(app: RedditApp, *, permits: Permits | None) -> Iterator[RedditClient]:
    """Lend a client of the app for the block; its counts begin at zero.

    If this thread has kept a client with the same credentials, it is used again, with its token. The
    client's address is a setting, never a value of the app.
    """
    credentials = _credentials(app)
    client = _kept.clients.pop(credentials, None) or RedditClient(
        credentials,
        timeout=settings.REDDIT_TIMEOUT_SECONDS,
        deadline=settings.REDDIT_DEADLINE_SECONDS,
    )
    client.begin(permits)
    try:
        yield client
    except Unauthorized:
        client.close()  # its token was refused: the next session asks for another token
        raise
    except BaseException:
        _keep(credentials, client)
        raise
    else:
        _keep(credentials, client)


def close_all() -> None:
    """Close the clients that this thread keeps."""
    while _kept.clients:
        _kept.clients.popitem()[1].close()


def _keep(credentials: Credentials, client: RedditClient) -> None:
    client.begin(None)
    replaced = _kept.clients.pop(credentials, None)  # two clients were lent at the same time
    if replaced is not None:
        replaced.close()
    _kept.clients[credentials] = client
    while len(_kept.clients) > KEPT:
        _kept.clients.popitem(last=False)[1].close()


def _credentials(app: RedditApp) -> Credentials:
    simulated = app.service == RedditApp.Service.SIMULATOR
    return Credentials(
        client_id=app.client_id,
        secret=app.client_secret,
        user_agent=app.user_agent,
        reddit_url=settings.SIMULATOR_URL if simulated else settings.REDDIT_URL,
        oauth_url=settings.SIMULATOR_URL if simulated else settings.REDDIT_OAUTH_URL,
    )
