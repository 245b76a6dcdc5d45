"""The HTTP face of a simulator: a Starlette application."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .auth import Token, Tokens
from .budget import Budget
from .config import SimulatorConfig
from .errors import WITHOUT_RATE_HEADERS, Answer, error, too_many_requests, unauthorized
from .pages import escape_entities
from .service import Reddit
from .world import World

_MORECHILDREN_SECONDS = 0.02
"""How long morechildren takes: a second one of the same token meanwhile is refused."""

Handler = Callable[["Simulator", Request, dict[str, str], Token], Awaitable[Answer] | Answer]


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
        self.expanding: set[str] = set()
        """Tokens that have a morechildren request under way."""


async def _parameters(request: Request) -> dict[str, str]:
    """Query and form body together, as Reddit reads them."""
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    if request.method == "POST":
        pairs += parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True)
    return dict(pairs)


class Application:
    """Ignores trailing slashes and ``.json``, then hands over to Starlette's routes."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._inner: ASGIApp = Starlette(routes=_routes(simulator))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = scope["path"].rstrip("/").removesuffix(".json").rstrip("/")
            scope["path"] = path or "/"
        await self._inner(scope, receive, send)


def _endpoint(simulator: Simulator, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """An API endpoint: token, budget, then the handler."""

    async def endpoint(request: Request) -> Response:
        token = simulator.tokens.check(request.headers.get("authorization"))
        if token is None:
            return _response(unauthorized())
        standing = simulator.budget.spend(token.client_id)
        if not standing.allowed:
            return _response(too_many_requests(standing.reset))
        if simulator.config.latency:
            await asyncio.sleep(simulator.config.latency)
        params = await _parameters(request)
        answer = handler(simulator, request, params, token)
        if not isinstance(answer, Answer):
            answer = await answer
        if params.get("raw_json") != "1" and answer.status == 200:
            answer.body = escape_entities(answer.body)
        return _response(answer, standing.headers())

    return endpoint


def _response(answer: Answer, rate_headers: list[tuple[bytes, bytes]] | None = None) -> Response:
    response = Response(
        answer.body,
        status_code=answer.status,
        headers=answer.headers | {"content-type": answer.content_type},
    )
    if rate_headers and answer.status not in WITHOUT_RATE_HEADERS:
        response.raw_headers += rate_headers
    return response


def _listing(where: str) -> Handler:
    def handle(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
        return sim.reddit.listing(request.path_params["names"], where, params)

    return handle


def _search(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
    return sim.reddit.search(request.path_params.get("names", "all"), params)


def _about(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
    return sim.reddit.about(request.path_params["names"])


def _comments(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
    parts = request.path_params
    return sim.reddit.comments(parts["post"], parts.get("comment"), params)


async def _morechildren(
    sim: Simulator, request: Request, params: dict[str, str], token: Token
) -> Answer:
    if token.value in sim.expanding:
        return too_many_requests(1)
    sim.expanding.add(token.value)
    try:
        await asyncio.sleep(_MORECHILDREN_SECONDS)
        return sim.reddit.morechildren(params)
    finally:
        sim.expanding.discard(token.value)


def _info(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
    return sim.reddit.info(params)


def _user(where: str) -> Handler:
    def handle(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
        return sim.reddit.user(request.path_params["name"], where, params)

    return handle


def _me(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
    return sim.reddit.me(token.user)


def _not_found(sim: Simulator, request: Request, params: dict[str, str], token: Token) -> Answer:
    return error(404)


def _routes(simulator: Simulator) -> list[Route]:
    async def access_token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        return _response(simulator.tokens.grant(request.headers.get("authorization"), form))

    def api(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, _endpoint(simulator, handler), methods=list(methods or ("GET",)))

    listings: list[Any] = [
        api(f"/r/{{names}}/{where}", _listing(where))
        for where in ("new", "hot", "rising", "top", "controversial", "comments")
    ]
    trees = [
        api(prefix + rest, _comments)
        for prefix in ("/comments/{post}", "/r/{names}/comments/{post}")
        for rest in ("", "/{slug}", "/{slug}/{comment}")
    ]
    users = [
        api(f"/user/{{name}}{path}", _user(where))
        for path, where in (
            ("", "overview"),
            ("/overview", "overview"),
            ("/submitted", "submitted"),
            ("/comments", "comments"),
            ("/about", "about"),
        )
    ]
    return [
        Route("/api/v1/access_token", access_token, methods=["POST"]),
        *listings,
        api("/api/info", _info),
        api("/api/morechildren", _morechildren, "GET", "POST"),
        *trees,
        api("/r/{names}/search", _search),
        api("/search", _search),
        api("/r/{names}/about", _about),
        api("/r/{names}", _listing("hot")),
        *users,
        api("/api/v1/me", _me),
        api("/{rest:path}", _not_found, "GET", "POST", "PUT", "DELETE", "PATCH"),
    ]
