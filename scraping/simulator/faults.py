"""Faults on request: what goes wrong, for which requests, and how often."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from .errors import HTML, JSON, Answer, error, too_many_requests, unauthorized
from .pages import dumps
from .service import Effects

RATE_CASES: dict[str, dict[str, str | None]] = {
    "used_float": {"used": "1.0"},
    "reset_float": {"reset": "300.5"},
    "used_missing": {"used": None},
    "reset_missing": {"reset": None},
    "remaining_missing": {"remaining": None},
    "remaining_text": {"remaining": "abc"},
    "negative": {"remaining": "-3", "used": "603", "reset": "1"},
    "exhausted": {"remaining": "0.0", "used": "1000", "reset": "30"},
    "absent": {"remaining": None, "used": None, "reset": None},
}
"""Odd rate headers with which PRAW was probed; None leaves a header out."""

KINDS = (
    "status",
    "body",
    "latency",
    "drip",
    "reset",
    "truncate",
    "not_json",
    "empty",
    "rate_headers",
    "oversize",
    "ads",
    "alternate_after",
)
_NOT_JSON = (
    "<!doctype html><html><body><h1>Our CDN was unable to reach our servers</h1></body></html>"
)


class BadInput(ValueError):
    """A control request that cannot be obeyed: the field, the value that it held, and the remedy."""

    def __init__(self, field_name: str, value: object, remedy: str) -> None:
        super().__init__(f"{field_name}: {value!r}: {remedy}")
        self.field, self.value, self.remedy = field_name, value, remedy


def take(data: Mapping[str, Any], name: str, kind: Any, default: Any, remedy: str) -> Any:
    """Return a field of a control request, of the right type, or the default. Raises BadInput."""
    value = data.get(name, default)
    if value is default:
        return default
    # In Python, a bool is an int, too. In JSON, it is no number.
    if isinstance(value, bool) and kind is not bool:
        raise BadInput(name, value, remedy)
    if not isinstance(value, kind):
        raise BadInput(name, value, remedy)
    return value


@dataclass(slots=True)
class Fault:
    """One fault, and the requests that it hits."""

    id: int
    kind: str
    parameters: dict[str, Any]
    path: str = ""
    """A regular expression that must be found in the path, which begins with a slash."""
    method: str | None = None
    client: str | None = None
    skip: int = 0
    """The number of matching requests that are spared first."""
    every: int = 1
    """After the spared requests, one in this many is hit."""
    times: int | None = None
    """The number of requests that are hit in all; None: no limit."""
    probability: float = 1.0
    matched: int = 0
    hit: int = 0

    def describe(self) -> dict[str, Any]:
        """Return the fault for the control endpoint."""
        return {
            "id": self.id,
            "kind": self.kind,
            **self.parameters,
            "path": self.path,
            "method": self.method,
            "client": self.client,
            "skip": self.skip,
            "every": self.every,
            "times": self.times,
            "probability": self.probability,
            "matched": self.matched,
            "hit": self.hit,
        }


@dataclass(slots=True)
class Plan:
    """The effects of all faults on one request."""

    delay: float = 0.0
    answer: Answer | None = None
    """The answer that replaces the real answer."""
    effects: Effects = field(default_factory=Effects)
    rate: dict[str, str | None] = field(default_factory=dict)
    delivery: Fault | None = None
    """How the answer is sent: drip, reset or truncate."""


_NUMBER = (int, float)
_COMMON = frozenset({"kind", "path", "method", "client", "skip", "every", "times", "probability"})
_PARAMETERS: dict[str, frozenset[str]] = {
    "status": frozenset({"status", "body", "headers", "retry_after"}),
    "body": frozenset({"body", "content_type"}),
    "latency": frozenset({"seconds"}),
    "drip": frozenset({"bytes", "interval"}),
    "truncate": frozenset({"keep", "chunked"}),
    "not_json": frozenset({"body"}),
    "rate_headers": frozenset({"case", "remaining", "used", "reset"}),
    "oversize": frozenset({"items"}),
    "ads": frozenset({"items"}),
}


class Faults:
    """The faults in force. They have a seed, so that probabilities repeat from run to run."""

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._ids = count(1)
        self._random = Random(seed)  # noqa: S311
        self.active: dict[int, Fault] = {}

    def add(self, data: Mapping[str, Any]) -> Fault:
        """Put a fault in force. Raises BadInput."""
        kind = data.get("kind")
        if kind not in KINDS:
            raise BadInput("kind", kind, f"give one of {', '.join(KINDS)}")
        allowed = _COMMON | _PARAMETERS.get(kind, frozenset())
        for name in data:
            if name not in allowed:
                known = ", ".join(sorted(allowed - {"kind"}))
                raise BadInput(name, data[name], f"a {kind} fault has only: {known}")
        path = take(data, "path", str, "", "give a regular expression")
        try:
            re.compile(path)
        except re.error as problem:
            raise BadInput("path", path, f"no regular expression: {problem}") from problem
        skip = take(data, "skip", int, 0, "give a whole number of requests")
        every = take(data, "every", int, 1, "give a whole number of at least 1")
        if every < 1:
            raise BadInput("every", every, "give a whole number of at least 1")
        times = take(data, "times", int, None, "give a whole number of at least 1, or leave out")
        if times is not None and times < 1:
            raise BadInput("times", times, "give a whole number of at least 1, or leave out")
        probability = take(data, "probability", _NUMBER, 1.0, "give a number from 0 to 1")
        if not 0 <= probability <= 1:
            raise BadInput("probability", probability, "give a number from 0 to 1")
        method = take(data, "method", str, None, "give GET or POST, or leave out")
        fault = Fault(
            id=next(self._ids),
            kind=kind,
            parameters=_parameters(kind, data),
            path=path,
            method=None if method is None else method.upper(),
            client=take(data, "client", str, None, "give a client id, or leave out"),
            skip=skip,
            every=every,
            times=times,
            probability=probability,
        )
        self.active[fault.id] = fault
        return fault

    def remove(self, identifier: int) -> bool:
        """End one fault; return False if it is not in force."""
        return self.active.pop(identifier, None) is not None

    def clear(self) -> None:
        """End all faults."""
        self.active.clear()
        self._random.seed(self._seed)

    def plan(self, method: str, path: str, client: str | None) -> Plan:
        """Return what happens to this request; count it for the faults that match."""
        plan = Plan()
        for fault in list(self.active.values()):
            if self._hits(fault, method, path, client):
                _apply(fault, plan)
        return plan

    def _hits(self, fault: Fault, method: str, path: str, client: str | None) -> bool:
        if fault.method not in (None, method) or fault.client not in (None, client):
            return False
        if not re.search(fault.path, path):
            return False
        if fault.times is not None and fault.hit >= fault.times:
            return False
        fault.matched += 1
        position = fault.matched - fault.skip - 1
        if position < 0 or position % fault.every:
            return False
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        fault.hit += 1
        return True


def _parameters(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    match kind:
        case "status":
            status = take(data, "status", int, 0, "give an HTTP status of 200 to 599")
            if not 200 <= status <= 599:
                raise BadInput("status", data.get("status"), "give an HTTP status of 200 to 599")
            chosen["status"] = status
            if "body" in data:
                chosen["body"] = data["body"]
            if "retry_after" in data:
                remedy = "give seconds or a date as text"
                chosen["retry_after"] = take(data, "retry_after", (int, str), None, remedy)
            chosen["headers"] = take(data, "headers", dict, {}, "give an object of texts")
            for name, value in chosen["headers"].items():
                if not isinstance(value, str):
                    raise BadInput(f"headers.{name}", value, "give a text")
        case "body":
            if "body" not in data:
                raise BadInput("body", None, "give a text, or JSON to be sent as such")
            chosen["body"] = data["body"]
            chosen["content_type"] = take(data, "content_type", str, JSON, "give a text")
        case "not_json":
            chosen["body"] = take(data, "body", str, _NOT_JSON, "give a text")
        case "latency":
            chosen["seconds"] = _positive(data, "seconds", 1.0)
        case "drip":
            chosen["bytes"] = max(1, int(_positive(data, "bytes", 1)))
            chosen["interval"] = _positive(data, "interval", 0.5)
        case "truncate":
            remedy = "give a number of bytes, or leave out for half"
            chosen["keep"] = take(data, "keep", int, None, remedy)
            chosen["chunked"] = take(data, "chunked", bool, False, "give true or false")
        case "rate_headers":
            case = take(data, "case", str, None, f"give one of {', '.join(RATE_CASES)}")
            if case is not None and case not in RATE_CASES:
                raise BadInput("case", case, f"give one of {', '.join(RATE_CASES)}")
            chosen["set"] = dict(RATE_CASES.get(case or "", {}))
            for name in ("remaining", "used", "reset"):
                if name in data:
                    remedy = "give a text, or null to leave the header out"
                    chosen["set"][name] = take(data, name, (str, type(None)), "", remedy)
        case "oversize" | "ads":
            chosen["items"] = take(data, "items", int, 1, "give a whole number")
    return chosen


def _positive(data: Mapping[str, Any], name: str, default: float) -> float:
    value: float = take(data, name, _NUMBER, default, "give a number above 0")
    if not 0 < value < 86_400:
        raise BadInput(name, value, "give a number above 0")
    return value


def _apply(fault: Fault, plan: Plan) -> None:
    parameters = fault.parameters
    match fault.kind:
        case "latency":
            plan.delay += parameters["seconds"]
        case "status":
            plan.answer = _status(parameters)
        case "body":
            body = parameters["body"]
            plan.answer = Answer(
                200,
                body.encode() if isinstance(body, str) else dumps(body),
                parameters["content_type"],
            )
        case "not_json":
            plan.answer = Answer(200, parameters["body"].encode(), HTML)
        case "empty":
            plan.answer = Answer(200, b"")
        case "rate_headers":
            plan.rate.update(parameters["set"])
        case "oversize":
            plan.effects.oversize += parameters["items"]
        case "ads":
            plan.effects.ads += parameters["items"]
        case "alternate_after":
            plan.effects.alternate_after = True
        case _:
            plan.delivery = fault


def _status(parameters: Mapping[str, Any]) -> Answer:
    """Return the recorded answer of a status, unless the fault brings its own body."""
    status = parameters["status"]
    wait = parameters.get("retry_after")
    if status == 401:
        answer = unauthorized()
    elif status == 429:
        answer = too_many_requests(4)
    elif status in (400, 403, 404, 409) or status == 500:
        answer = error(status)
    else:
        answer = Answer(status, b"")
    if "body" in parameters:
        body = parameters["body"]
        if isinstance(body, str):
            answer.body, answer.content_type = body.encode(), HTML
        else:
            answer.body, answer.content_type = dumps(body), JSON
    if wait is not None:
        answer.headers["retry-after"] = str(wait)
    answer.headers.update({key.lower(): value for key, value in parameters["headers"].items()})
    return answer
