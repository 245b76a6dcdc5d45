"""The errors of Reddit's API. A request raises no others."""


class RedditError(Exception):
    """A request failed. `outcome` names the failure for sessions."""

    outcome: str = "error"


class Unauthorized(RedditError):
    """Reddit does not know the app: client id or secret are wrong, or it was disabled."""

    outcome = "unauthorized"


class Throttled(RedditError):
    """The app's budget is spent; `retry_after` is the seconds until Reddit answers again, if known."""

    outcome = "throttled"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(RedditError):
    """Reddit could not answer: server errors, network faults, no answer in time. Worth a retry."""

    outcome = "unavailable"


class DeadlineExceeded(Unavailable):
    """The request as a whole, including its retries, took longer than it may."""


class BadResponse(RedditError):
    """Reddit's answer does not have the form that the endpoint should return."""


class RequestRejected(RedditError):
    """Reddit refused the request itself (4xx): a bug or a setting, not a passing fault.

    `status` is HTTP's. For a post, 403 means that we may not read it, and 404 that it does not exist.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SubredditUnavailable(RedditError):
    """One subreddit cannot be read; `status` says why: private, banned, missing, …

    If `status` is `renamed`, `renamed_to` is the name to which Reddit redirected us.
    """

    def __init__(self, message: str, *, status: str, renamed_to: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.outcome = status
        self.renamed_to = renamed_to
