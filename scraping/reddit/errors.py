"""What can go wrong with Reddit's API. Nothing else leaves the client."""


class RedditError(Exception):
    """A request that did not give what it was made for. `outcome` names it for sessions."""

    outcome: str = "error"


class Unauthorized(RedditError):
    """Reddit does not know the app: client id or secret are wrong, or it was disabled."""

    outcome = "unauthorized"


class Throttled(RedditError):
    """The app's budget is spent; `retry_after` seconds until Reddit answers again, where known."""

    outcome = "throttled"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(RedditError):
    """Reddit could not answer: server errors, network faults, no answer in time. Worth a retry."""

    outcome = "unavailable"


class DeadlineExceeded(Unavailable):
    """The request as a whole, retries included, took longer than it may."""


class BadResponse(RedditError):
    """Reddit answered with something that is not what the endpoint gives."""


class RequestRejected(RedditError):
    """Reddit refused the request as such (4xx): a bug or a setting, not a passing fault.

    `status` is HTTP's. Of one post, 403 says that it is not for us, and 404 that it is not there.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SubredditUnavailable(RedditError):
    """One subreddit that cannot be read; `status` says why: private, banned, missing, …

    Of one that is `renamed`, `renamed_to` is the name to which Reddit sent us.
    """

    def __init__(self, message: str, *, status: str, renamed_to: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.outcome = status
        self.renamed_to = renamed_to
