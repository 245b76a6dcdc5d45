"""The HTTP face of a simulator: a Starlette application."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .auth import Token, Tokens, basic
from .budget import Budget, Standing
from .config import SimulatorConfig
from .delivery import deliver
from .errors import WITHOUT_RATE_HEADERS, Answer, error, too_many_requests, unauthorized
from .faults import Faults, Plan
from .journal import Entry, Journal
from .pages import escape_entities
from .service import Effects, Reddit
from .world import World

_MORECHILDREN_SECONDS = 0.02
"""Seconds that morechildren takes; meanwhile, a second request with the same token is refused."""
_NO_PLAN = Plan()


class Simulator:
    """One simulated Reddit: its world and what it remembers about its clients."""

    def __init__(self, config: SimulatorConfig, world: World) -> None:
        self.config = config
        self.world = world
        self.reddit = Reddit(world)
        self.tokens = Tokens(
            clients=dict(pair.split(":", 1) for pair in config.clients),
            users=dict(pair.split(":", 1) for pair in config.users),
            refresh_tokens=frozenset(config.refresh_tokens) or None,
            lifetime=config.token_lifetime,
        )
        self.budget = Budget(config.budget, window=config.window)
        self.faults = Faults(config.seed)
        self.journal = Journal()
        # A renamed subreddit stays the same object under another name.
        self._statuses = [(sub, sub.status) for sub in world.subreddits.values()]
        self.expanding: set[str] = set()
        """Tokens that have a morechildren request under way."""

    def plan(self, method: str, path: str, client: str | None) -> Plan:
        """Return what injected faults do to a request."""
        return self.faults.plan(method, path, client) if self.faults.active else _NO_PLAN

    def reset(self) -> None:
        """Forget faults, requests and budgets; subreddits get back their statuses from the start."""
        self.faults.clear()
        self.journal.reset()
        self.budget.reset()
        for subreddit, status in self._statuses:
            subreddit.status = status
        self.world.changed()


@dataclass(frozen=True, slots=True)
class Call:
    """An API request that has passed token and budget."""

    simulator: Simulator
    path: dict[str, str]
    params: dict[str, str]
    token: Token
    effects: Effects

    @property
    def reddit(self) -> Reddit:
        """The Reddit that answers the call."""
        return self.simulator.reddit


Handler = Callable[[Call], Answer | Awaitable[Answer]]


class Application:
    """Ignores trailing slashes and ``.json``, then hands over to Starlette's routes."""

    def __init__(self, simulator: Simulator, more_routes: Sequence[Route] = ()) -> None:
        self.simulator = simulator
        # The API's last route takes every path, so the other routes stand before it.
        self._inner: ASGIApp = Starlette(routes=[*more_routes, *_routes(simulator)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = scope["path"].rstrip("/").removesuffix(".json").rstrip("/")
            scope["path"] = path or "/"
        try:
            await self._inner(scope, receive, send)
        except ClientDisconnect:
            return
        except Exception:
            # uvicorn logs nothing, because a cancelled drip would look like a failure. So print the
            # error here.
            traceback.print_exc()
            raise


async def _parameters(request: Request) -> dict[str, str]:
    """Return query and form body together, as Reddit reads them."""
    pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if request.method == "POST":
        pairs += parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return dict(pairs)


def _endpoint(
    simulator: Simulator, kind: str, handler: Handler
) -> Callable[[Request], Awaitable[Response]]:
    """Make an API endpoint: it checks token, budget and faults, then calls the handler."""

    async def endpoint(request: Request) -> Response:
        token = simulator.tokens.check(request.headers.get("authorization"))
        client = None if token is None else token.client_id
        plan = simulator.plan(request.method, request.scope["path"], client)
        if token is None:
            return _finish(simulator, request, kind, client, unauthorized(), plan)
        standing = simulator.budget.spend(token.client_id)
        if not standing.allowed:
            refusal = too_many_requests(standing.reset)
            return _finish(simulator, request, kind, client, refusal, plan)
        delay = simulator.config.latency + plan.delay
        if delay:
            await asyncio.sleep(delay)
        if plan.answer is not None:
            answer = plan.answer
        else:
            params = await _parameters(request)
            call = Call(simulator, request.path_params, params, token, plan.effects)
            handled = handler(call)
            answer = handled if isinstance(handled, Answer) else await handled
            if answer.status == 200 and params.get("raw_json") != "1":
                answer.body = escape_entities(answer.body)
        return _finish(simulator, request, kind, client, answer, plan, standing)

    return endpoint


def _token_endpoint(simulator: Simulator) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        authorization = request.headers.get("authorization")
        credentials = basic(authorization)
        client = None if credentials is None else credentials[0]
        plan = simulator.plan(request.method, request.scope["path"], client)
        if plan.delay:
            await asyncio.sleep(plan.delay)
        try:
            form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        except ClientDisconnect:
            return Response()
        answer = plan.answer
        if answer is None:
            answer = simulator.tokens.grant(authorization, form)
        return _finish(simulator, request, "token", client, answer, plan)

    return endpoint


def _finish(
    simulator: Simulator,
    request: Request,
    kind: str,
    client: str | None,
    answer: Answer,
    plan: Plan,
    standing: Standing | None = None,
) -> Response:
    """Record the request, and turn the answer into a response with its rate headers."""
    fault = plan.delivery
    simulator.journal.note(
        Entry(
            at=simulator.world.now(),
            client=client,
            method=request.method,
            path=request.scope["path"],
            query=request.scope["query_string"].decode("latin-1"),
            kind=kind,
            status=0 if fault is not None and fault.kind == "reset" else answer.status,
        )
    )
    response = Response(
        answer.body,
        status_code=answer.status,
        headers=answer.headers | {"content-type": answer.content_type},
    )
    if standing is not None and answer.status not in WITHOUT_RATE_HEADERS:
        rate = standing.headers() | plan.rate
        response.raw_headers += [
            (f"x-ratelimit-{name}".encode(), value.encode("latin-1"))
            for name, value in rate.items()
            if value is not None
        ]
    return deliver(response, fault)


def _listing(where: str) -> Handler:
    return lambda call: call.reddit.listing(call.path["names"], where, call.params, call.effects)


def _user(where: str) -> Handler:
    return lambda call: call.reddit.user(call.path["name"], where, call.params, call.effects)


def _front(where: str) -> Handler:
    """Handle the front page, which is r/all for a client without subscriptions."""
    return lambda call: call.reddit.listing("all", where, call.params, call.effects)


def _search(call: Call) -> Answer:
    return call.reddit.search(call.path.get("names", "all"), call.params, call.effects)


def _comments(call: Call) -> Answer:
    return call.reddit.comments(call.path["post"], call.path.get("comment"), call.params)


async def _morechildren(call: Call) -> Answer:
    expanding, value = call.simulator.expanding, call.token.value
    if value in expanding:
        return too_many_requests(1)
    expanding.add(value)
    try:
        await asyncio.sleep(_MORECHILDREN_SECONDS)
        return call.reddit.morechildren(call.params)
    finally:
        expanding.discard(value)


def _routes(simulator: Simulator) -> list[Route]:
    def api(path: str, kind: str, handler: Handler, *methods: str) -> Route:
        return Route(path, _endpoint(simulator, kind, handler), methods=list(methods or ("GET",)))

    listings = [
        api(f"/r/{{names}}/{where}", where, _listing(where))
        for where in ("new", "hot", "rising", "top", "controversial", "comments")
    ]
    front = [
        api(f"/{where}", where, _front(where))
        for where in ("new", "hot", "rising", "top", "controversial")
    ]
    trees = [
        api(prefix + rest, "tree", _comments)
        for prefix in ("/comments/{post}", "/r/{names}/comments/{post}")
        for rest in ("", "/{slug}", "/{slug}/{comment}")
    ]
    users = [
        api(f"/user/{{name}}{path}", "user", _user(where))
        for path, where in (
            ("", "overview"),
            ("/overview", "overview"),
            ("/submitted", "submitted"),
            ("/comments", "comments"),
            ("/about", "about"),
        )
    ]
    every_method = ("GET", "POST", "PUT", "DELETE", "PATCH")
    return [
        Route("/api/v1/access_token", _token_endpoint(simulator), methods=["POST"]),
        *listings,
        *front,
        api("/api/info", "info", lambda call: call.reddit.info(call.params)),
        api("/api/morechildren", "morechildren", _morechildren, "GET", "POST"),
        *trees,
        api("/r/{names}/search", "search", _search),
        api("/search", "search", _search),
        api("/r/{names}/about", "about", lambda call: call.reddit.about(call.path["names"])),
        api("/r/{names}", "hot", _listing("hot")),
        *users,
        api("/api/v1/me", "me", lambda call: call.reddit.me(call.token.user)),
        api("/{rest:path}", "unknown", lambda _: error(404), *every_method),
    ]
