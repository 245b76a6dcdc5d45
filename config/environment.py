"""Typed readers of environment variables, the only way to configure Lurker from outside.

If a value cannot be used, the reader names the variable, the value (unless it is secret) and the
remedy. So a typo ends the process at its start, instead of being read as a default. A settings
module may provide values for variables that are not set (`provide`): the local settings start an
embedded server for `DATABASE_URL`, the production settings provide nothing.

This module does not need a configured Django. Call the readers with literal names: a test compares
the names with `.env.example`.
"""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
BROKER_SCHEMES = frozenset({"redis", "rediss", "redis+socket", "amqp", "amqps"})

# Every reader of the documentation knows a secret that stands in it.
PLACEHOLDERS = ("change-me", "changeme", "example", "insecure", "placeholder", "your-", "<")


class InvalidEnvironment(ImproperlyConfigured):
    """An environment variable is missing or its value cannot be used."""

    def __init__(self, name: str, problem: str, remedy: str) -> None:
        self.name = name
        super().__init__(f"{name}: {problem}. {remedy}")


class _Required:
    """The type of `REQUIRED`: marks a variable that has no default."""


REQUIRED = _Required()

_sources: dict[str, Callable[[], str]] = {}
_read_as: dict[str, str] = {}


def read_dotenv(path: Path = BASE_DIR / ".env") -> None:
    """Add the variables of a `.env` file, if it exists; variables that are set keep their values."""
    if path.is_file():
        environ.Env.read_env(path)


def provide(**sources: Callable[[], str]) -> None:
    """Provide sources of values for variables that are not set.

    Each reading calls the source once, and checks its value like any other.
    """
    _sources.update(sources)


def read_as(**names: str) -> None:
    """Read variables under other names: `read_as(DATABASE_URL="TEST_DATABASE_URL")`.

    The tests empty their broker and drop their database. They must not find the servers of a
    developer who has exported `DATABASE_URL`.
    """
    _read_as.update(names)


def _raw(name: str) -> str | None:
    """Return the set or provided value. An empty value counts as not set: compose passes empty values."""
    value = os.environ.get(_read_as.get(name, name), "").strip()
    if value:
        return value
    source = _sources.get(name)
    return source() if source is not None else None


def _required(name: str, remedy: str) -> InvalidEnvironment:
    return InvalidEnvironment(name, "is not set and has no default", remedy)


def text(name: str, default: str | _Required = REQUIRED) -> str:
    """Return any text."""
    value = _raw(name)
    if value is not None:
        return value
    if isinstance(default, _Required):
        raise _required(name, "Set it in the environment or in .env; .env.example explains it.")
    return default


def optional(name: str) -> str | None:
    """Return any text, or None when the variable is not set."""
    return _raw(name)


def secret(name: str, *, minimum_length: int = 32) -> str:
    """Return a secret. It has no default, and must be long and not copied from an example."""
    remedy = "Generate one: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
    value = _raw(name)
    if value is None:
        raise _required(name, remedy)
    refuse_weak_secret(name, value, minimum_length=minimum_length, remedy=remedy)
    return value


def secrets(name: str, *, minimum_length: int = 32) -> list[str]:
    """Return secrets that are separated by commas; at least one."""
    remedy = (
        "Generate one: python -c 'from cryptography.fernet import Fernet; "
        "print(Fernet.generate_key().decode())'"
    )
    value = _raw(name)
    values = [part.strip() for part in (value or "").split(",") if part.strip()]
    if not values:
        raise _required(name, remedy)
    for part in values:
        refuse_weak_secret(name, part, minimum_length=minimum_length, remedy=remedy)
    return values


def refuse_weak_secret(name: str, value: str, *, minimum_length: int, remedy: str) -> None:
    """Raise `InvalidEnvironment` for a secret that is short, repetitive or from an example."""
    if len(value) < minimum_length:
        problem = f"has {len(value)} characters, fewer than {minimum_length}"
        raise InvalidEnvironment(name, problem, remedy)
    if len(set(value)) < 5 or any(mark in value.lower() for mark in PLACEHOLDERS):
        raise InvalidEnvironment(name, "is a placeholder and no secret", remedy)


def boolean(name: str, default: bool | _Required = REQUIRED) -> bool:
    """Return True for 1, true, yes, on and False for 0, false, no, off, in any case.

    Any other value is an error.
    """
    value = _raw(name)
    if value is None:
        if isinstance(default, _Required):
            raise _required(name, "Set it to true or false.")
        return default
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise InvalidEnvironment(
        name, f"{value!r} is neither true nor false", "Use 1, true, yes, on or 0, false, no, off."
    )


def integer(
    name: str,
    default: int | _Required = REQUIRED,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
) -> int:
    """Return a whole number within bounds (both inclusive)."""
    value = _raw(name)
    bounds = "between {} and {}".format(
        "any" if minimum is None else minimum, "any" if maximum is None else maximum
    )
    if value is None:
        if isinstance(default, _Required):
            raise _required(name, f"Set it to a whole number {bounds}.")
        return default
    try:
        number = int(value)
    except ValueError:
        raise InvalidEnvironment(
            name, f"{value!r} is not a whole number", f"Use a number {bounds}."
        ) from None
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise InvalidEnvironment(name, f"{number} is out of bounds", f"Use a number {bounds}.")
    return number


def choice(name: str, default: str | _Required = REQUIRED, *, choices: Collection[str]) -> str:
    """Return one of the given words."""
    value = text(name, default)
    if value not in choices:
        raise InvalidEnvironment(
            name, f"{value!r} is not a choice", f"Use one of: {', '.join(sorted(choices))}."
        )
    return value


def words(name: str, default: Collection[str] | _Required = REQUIRED) -> list[str]:
    """Return a list whose parts are separated by commas; blanks around the parts do not count."""
    value = _raw(name)
    if value is None:
        if isinstance(default, _Required):
            raise _required(name, "Set it to a list separated by commas.")
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]


def numbers(
    name: str, default: Collection[float] | _Required = REQUIRED, *, minimum: float, maximum: float
) -> list[float]:
    """Return different numbers within bounds (both inclusive), in ascending order.

    The value separates them by commas; `none` is an empty list.
    """
    remedy = f"Use numbers from {minimum:g} to {maximum:g}, separated by commas, or none."
    if isinstance(default, _Required):
        parts = words(name)
    else:
        parts = words(name, [str(number) for number in default])
    if [part.lower() for part in parts] == ["none"]:
        return []
    found = set()
    for part in parts:
        try:
            number = float(part)
        except ValueError:
            raise InvalidEnvironment(name, f"{part!r} is not a number", remedy) from None
        if not minimum <= number <= maximum:
            raise InvalidEnvironment(name, f"{part} is out of bounds", remedy)
        found.add(number)
    return sorted(found)


def http_url(name: str, default: str | _Required = REQUIRED) -> str:
    """Return an absolute http or https address, without a slash at its end."""
    value = text(name, default)
    remedy = "Use an address like https://www.reddit.com."
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises ValueError for a port that is no number
    except ValueError:
        usable = False
    if not usable:
        raise InvalidEnvironment(name, f"{without_password(value)!r} is no http address", remedy)
    return value.rstrip("/")


def broker_url(name: str) -> str:
    """Return the address of a Celery broker: Redis over TCP, TLS or a Unix socket, or RabbitMQ."""
    remedy = (
        "Use redis://host:6379/0, rediss://..., redis+socket:///path/redis.sock, "
        "amqp://user:password@host:5672/vhost or amqps://..."
    )
    value = _raw(name)
    if value is None:
        raise _required(name, remedy)
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise InvalidEnvironment(name, "is not an address", remedy) from None
    if parts.scheme not in BROKER_SCHEMES:
        raise InvalidEnvironment(name, f"unknown scheme {parts.scheme!r}", remedy)
    if not (parts.path.strip("/") if parts.scheme == "redis+socket" else parts.hostname):
        raise InvalidEnvironment(name, f"{without_password(value)!r} names no server", remedy)
    return value


def database(name: str) -> dict[str, Any]:
    """Return a PostgreSQL address as an entry of Django's `DATABASES`.

    A Unix socket has either of libpq's forms:
    `postgresql://user@/name?host=/directory` or `postgresql://user@%2Fdirectory/name`.
    Other query parameters (`sslmode=require`) become libpq options.
    """
    remedy = "Use postgresql://user:password@host:5432/name; no other database is supported."
    value = _raw(name)
    if value is None:
        raise _required(name, remedy)
    try:
        return parse_database_url(value)
    except ValueError as error:
        raise InvalidEnvironment(name, str(error), remedy) from None


def parse_database_url(url: str) -> dict[str, Any]:
    """Turn a PostgreSQL address into an entry of `DATABASES`; raise ValueError with the reason."""
    parts = urlsplit(url)
    if parts.scheme not in POSTGRES_SCHEMES:
        raise ValueError(f"{parts.scheme or without_password(url)!r} is not PostgreSQL")
    config: dict[str, Any] = environ.Env.db_url_config(url, engine="django.db.backends.postgresql")
    if not config["NAME"]:
        raise ValueError(f"{without_password(url)!r} names no database")
    # urlsplit() makes a host name lower case, which would spoil the path of a socket directory.
    host = unquote(parts.netloc.rpartition("@")[2])
    if host.startswith("/"):
        config["HOST"] = host
    options = config.get("OPTIONS", {})
    config["HOST"] = options.pop("host", config["HOST"])
    config["PORT"] = options.pop("port", config["PORT"])
    config["OPTIONS"] = options
    return config


def database_url(config: Mapping[str, Any]) -> str:
    """Return the address of an entry of `DATABASES`, for the `DATABASE_URL` of a child process."""
    credentials = quote(config.get("USER") or "", safe="")
    if config.get("PASSWORD"):
        credentials += ":" + quote(config["PASSWORD"], safe="")
    query = dict(config.get("OPTIONS") or {})
    host, port = str(config.get("HOST") or ""), str(config.get("PORT") or "")
    if host.startswith("/"):
        query["host"] = host
        if port:
            query["port"] = port
        server = ""
    else:
        server = host + (f":{port}" if port else "")
    netloc = f"{credentials}@{server}" if credentials else server
    path = "/" + quote(config["NAME"], safe="")
    return f"postgresql://{netloc}{path}" + (f"?{urlencode(query)}" if query else "")


def without_password(url: str) -> str:
    """Return the address with its password masked, for messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable address)"
    user, at, server = parts.netloc.rpartition("@")
    if ":" in user:
        user = user.partition(":")[0] + ":***"
    query = "&".join(
        f"{key}=***" if "password" in key.lower() else f"{key}={value}"
        for key, value in parse_qsl(parts.query)
    )
    return urlunsplit((parts.scheme, f"{user}{at}{server}", parts.path, query, ""))
