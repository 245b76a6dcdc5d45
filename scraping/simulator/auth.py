"""The token endpoint, and the tokens that it has issued."""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import Answer, error, spaced

INSTALLED = "https://oauth.reddit.com/grants/installed_client"


@dataclass(slots=True)
class Token:
    """An access token: its client, its user and when it expires."""

    value: str
    client_id: str
    user: str | None
    expires_at: float


class Tokens:
    """Issues access tokens and checks them.

    ``clients`` maps client ids to secrets, ``users`` maps names to passwords, and ``refresh_tokens``
    lists the valid refresh tokens; None accepts any. ``lifetime`` is in real seconds, because a client
    measures the expiry by its own clock.
    """

    def __init__(
        self,
        *,
        clients: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        refresh_tokens: frozenset[str] | None = None,
        lifetime: float = 86_400.0,
        source: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = dict(clients) if clients else None
        self._users = dict(users) if users else None
        self._refresh_tokens = refresh_tokens
        self.lifetime = lifetime
        self._source = source
        self._tokens: dict[str, Token] = {}

    def grant(self, authorization: str | None, form: Mapping[str, str]) -> Answer:
        """Answer ``POST /api/v1/access_token``."""
        credentials = basic(authorization)
        if credentials is None or not self._known(*credentials):
            answer = error(401)
            answer.headers["www-authenticate"] = 'Basic realm="reddit"'
            return answer
        client_id, secret = credentials
        match form.get("grant_type"):
            case "client_credentials":
                return self._give(client_id)
            case "password":
                return self._password(client_id, secret, form)
            case "refresh_token":
                given = form.get("refresh_token", "")
                known = self._refresh_tokens
                if not given or (known is not None and given not in known):
                    return spaced(400, {"error": 400})
                return self._give(client_id, refresh_token=given)
            case value if value == INSTALLED:
                if not 20 <= len(form.get("device_id", "")) <= 30:
                    return spaced(
                        200, {"error_description": "bad device_id", "error": "invalid_request"}
                    )
                return self._give(client_id, device_id=form["device_id"])
            case _:
                return spaced(200, {"error": "unsupported_grant_type"})

    def _known(self, client_id: str, secret: str) -> bool:
        if self._clients is None:
            return bool(client_id)
        return self._clients.get(client_id) == secret

    def _password(self, client_id: str, secret: str, form: Mapping[str, str]) -> Answer:
        if not secret:
            return spaced(
                200,
                {
                    "error_description": "Only script apps may use password auth",
                    "error": "unauthorized_client",
                },
            )
        name, password = form.get("username", ""), form.get("password", "")
        good = bool(name and password)
        if self._users is not None:
            good = good and self._users.get(name) == password
        if not good:
            return spaced(200, {"error": "invalid_grant"})
        return self._give(client_id, user=name)

    def _give(self, client_id: str, *, user: str | None = None, **extra: str) -> Answer:
        now = self._source()
        if len(self._tokens) > 10_000:
            self._tokens = {
                value: token for value, token in self._tokens.items() if token.expires_at > now
            }
        token = Token(secrets.token_urlsafe(32), client_id, user, now + self.lifetime)
        self._tokens[token.value] = token
        return spaced(
            200,
            {
                "access_token": token.value,
                "token_type": "bearer",
                "expires_in": int(self.lifetime),
                "scope": "*",
                **extra,
            },
        )

    def check(self, authorization: str | None) -> Token | None:
        """Return the token that an API request carries, if the token is valid."""
        kind, _, value = (authorization or "").partition(" ")
        token = self._tokens.get(value.strip()) if kind.lower() == "bearer" else None
        return token if token is not None and self._source() < token.expires_at else None

    def expire(self, client_id: str | None = None) -> int:
        """Expire all tokens, or the tokens of one client, at once; return how many."""
        ended = [
            value
            for value, token in self._tokens.items()
            if client_id is None or token.client_id == client_id
        ]
        for value in ended:
            del self._tokens[value]
        return len(ended)


def basic(authorization: str | None) -> tuple[str, str] | None:
    """Return client id and secret from an Authorization header, if it holds them."""
    kind, _, value = (authorization or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, separator, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, secret) if separator else None
