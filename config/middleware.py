"""Middleware of the web process: it answers probes and sets headers."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as DeadlineExceeded

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import NoReverseMatch, reverse

HEALTH_PATH = "/healthz"
DATABASE_SECONDS = 4
HEADER = "Content-Security-Policy"


class HealthMiddleware:
    """Answer `/healthz` with 200 while the database answers, else with 503.

    It stands before all other middleware, because a probe uses an address that is not in
    ALLOWED_HOSTS, and no TLS.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        # One thread: while a check hangs, no other check starts.
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the probe, or pass the request on."""
        if request.path != HEALTH_PATH:
            return self.get_response(request)
        problem = self.database_problem()
        body = {"status": "ok" if problem is None else "unavailable", "database": problem or "ok"}
        return JsonResponse(body, status=200 if problem is None else 503)

    def database_problem(self) -> str | None:
        """Return the problem of the database; None when it answers in time."""
        future = self.executor.submit(_query)
        try:
            future.result(timeout=DATABASE_SECONDS)
        except DeadlineExceeded:
            future.cancel()
            return f"no answer within {DATABASE_SECONDS} seconds"
        except Error as error:
            return type(error).__name__
        return None


class ContentSecurityPolicyMiddleware:
    """Set the content security policy of each page; the admin has a looser one (see the settings).

    A view that needs another policy sets the header itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = _header(settings.CONTENT_SECURITY_POLICY)
        self.admin_policy = _header(settings.ADMIN_CONTENT_SECURITY_POLICY)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the header to the response."""
        response = self.get_response(request)
        policy = self.admin_policy if _is_admin(request.path) else self.policy
        response.headers.setdefault(HEADER, policy)
        return response


def _header(policy: Mapping[str, str]) -> str:
    return "; ".join(f"{directive} {sources}" for directive, sources in policy.items())


def _is_admin(path: str) -> bool:
    try:
        return path.startswith(reverse("admin:index"))
    except NoReverseMatch:
        return False


def _query() -> None:
    """Run a query, on a connection of this thread, and close the connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
