"""The control endpoint: how tests and demonstrations change a simulated Reddit.

It answers only requests from this machine, and needs no token. A request that it cannot obey is
answered with 400 and ``{"error": {"field", "value", "remedy"}}``.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import mutations
from .app import Simulator
from .faults import BadInput, take
from .model import ACCOUNT_STATUSES, Item
from .pages import dumps

_NUMBER = (int, float)
_JSON = "application/json"

Action = Callable[[Simulator, Request, Mapping[str, Any]], Any]


def _local(request: Request) -> bool:
    if request.client is None:
        return False
    address = ipaddress.ip_address(request.client.host)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _reply(value: Any, status: int = 200) -> Response:
    return Response(dumps(value), status_code=status, media_type=_JSON)


def _refuse(field: str, value: object, remedy: str, status: int = 400) -> Response:
    shown = {"field": field, "value": repr(value), "remedy": remedy}
    return _reply({"error": shown}, status)


async def _payload(request: Request) -> Mapping[str, Any]:
    body = await request.body()
    if not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError as problem:
        raise BadInput("body", body[:80].decode(errors="replace"), "send JSON") from problem
    if not isinstance(value, dict):
        raise BadInput("body", value, "send a JSON object")
    return value


def _endpoint(simulator: Simulator, action: Action) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not _local(request):
            return _refuse("client", request.client, "ask from the machine it runs on", 403)
        try:
            return _reply(action(simulator, request, await _payload(request)))
        except BadInput as refused:
            return _refuse(refused.field, refused.value, refused.remedy)

    return endpoint


def _only(data: Mapping[str, Any], *names: str) -> None:
    for name in data:
        if name not in names:
            raise BadInput(name, data[name], f"this request has only: {', '.join(names)}")


def _state(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    world = simulator.world
    return {
        "now": world.now(),
        "speed": world.clock.speed,
        "subreddits": {sub.name: sub.status for sub in world.subreddits.values()},
        "faults": len(simulator.faults.active),
        "budget": {"requests": simulator.budget.requests, "window": simulator.budget.window},
        "used": simulator.budget.used(),
    }


def _clock(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    _only(data, "advance", "set", "speed", "freeze")
    clock = simulator.world.clock
    remedy = "give seconds"
    advance = take(data, "advance", _NUMBER, None, remedy)
    moment = take(data, "set", _NUMBER, None, "give seconds since the epoch")
    speed = take(data, "speed", _NUMBER, None, "give virtual seconds per second, 0 or more")
    if speed is not None and speed < 0:
        raise BadInput("speed", speed, "give virtual seconds per second, 0 or more")
    if take(data, "freeze", bool, False, "give true or false"):
        clock.set_speed(0.0)
    if moment is not None:
        clock.set(float(moment))
    if advance is not None:
        clock.advance(float(advance))
    if speed is not None:
        clock.set_speed(float(speed))
    if moment is not None or (advance is not None and advance < 0):
        simulator.world.changed()
    return {"now": clock.now(), "speed": clock.speed}


def _query_number(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text in (None, ""):
        return None
    try:
        return float(text)
    except ValueError as problem:
        raise BadInput(name, text, "give seconds since the epoch") from problem


def _truth(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    kind = request.query_params.get("kind") or None
    if kind not in (None, "t1", "t3"):
        raise BadInput("kind", kind, "give t3 (posts) or t1 (comments), or leave out")
    name = request.query_params.get("subreddit") or None
    if name is not None and simulator.world.subreddit(name) is None:
        raise BadInput("subreddit", name, "give a subreddit of this world, or leave out")
    items = simulator.world.items(
        subreddit=name,
        kind=kind,
        since=_query_number(request, "since"),
        until=_query_number(request, "until"),
    )
    return {"now": simulator.world.now(), "items": [asdict(item) for item in items]}


def _requests(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    limit = _query_number(request, "limit")
    return simulator.journal.describe(100 if limit is None else max(0, int(limit)))


def _reset(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    simulator.reset()
    return {"reset": True}


def _faults(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    return {"faults": [fault.describe() for fault in simulator.faults.active.values()]}


def _add_fault(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    return simulator.faults.add(data).describe()


def _clear_faults(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    simulator.faults.clear()
    return {"faults": []}


def _remove_fault(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    identifier = request.path_params["id"]
    if not simulator.faults.remove(identifier):
        raise BadInput("id", identifier, "give the id of a fault in force: GET /control/faults")
    return {"removed": identifier}


def _expire(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    _only(data, "client")
    client = take(data, "client", str, None, "give a client id, or leave out for all")
    return {"expired": simulator.tokens.expire(client)}


def _subreddit(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    _only(data, "name", "status", "renamed_to")
    sub = mutations.set_status(simulator.world, data)
    return {"name": sub.name, "status": sub.status, "fullname": sub.fullname}


def _account(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    _only(data, "name", "status")
    name = take(data, "name", str, "", "give a user's name")
    status = data.get("status")
    if status not in ACCOUNT_STATUSES:
        raise BadInput("status", status, f"give one of {', '.join(ACCOUNT_STATUSES)}")
    number = simulator.reddit.author_number(name)
    if number is None:
        raise BadInput("name", name, "give the name of somebody who has written something")
    user = simulator.world.set_account(number, status)
    return {"name": user.name, "status": status, "fullname": f"t2_{user.id}"}


def _shown(simulator: Simulator, item: Item) -> dict[str, Any]:
    return asdict(simulator.world.truth(item))


def _add_items(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    """Add one item, or a list of items. If an item of the list is refused, the items before it stay."""
    if "items" not in data:
        return _add_item(simulator, data)
    _only(data, "items")
    remedy = "give a list of objects"
    items = take(data, "items", list, [], remedy)
    for item in items:
        if not isinstance(item, dict):
            raise BadInput("items", item, remedy)
    return {"items": [_add_item(simulator, item) for item in items]}


def _add_item(simulator: Simulator, data: Mapping[str, Any]) -> dict[str, Any]:
    _only(
        data,
        *("subreddit", "link_id", "parent_id", "author", "created_utc", "fields"),
        *("title", "selftext", "url", "body"),
    )
    return _shown(simulator, mutations.add_item(simulator.world, data))


def _change_item(simulator: Simulator, request: Request, data: Mapping[str, Any]) -> Any:
    _only(data, "action", "by", "fields", "selftext", "body", "score")
    name = request.path_params["fullname"]
    return _shown(simulator, mutations.change_item(simulator.world, name, data))


def control_routes(simulator: Simulator) -> list[Route]:
    """Return the routes below /control."""
    table: tuple[tuple[str, str, Action], ...] = (
        ("GET", "", _state),
        ("GET", "/truth", _truth),
        ("GET", "/requests", _requests),
        ("POST", "/reset", _reset),
        ("GET", "/faults", _faults),
        ("POST", "/faults", _add_fault),
        ("DELETE", "/faults", _clear_faults),
        ("DELETE", "/faults/{id:int}", _remove_fault),
        ("POST", "/clock", _clock),
        ("POST", "/tokens/expire", _expire),
        ("POST", "/subreddits", _subreddit),
        ("POST", "/users", _account),
        ("POST", "/items", _add_items),
        ("POST", "/items/{fullname}", _change_item),
    )
    return [
        Route(f"/control{path}", _endpoint(simulator, action), methods=[method])
        for method, path, action in table
    ]
