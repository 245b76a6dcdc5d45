"""Refresh and password-reset tokens: issue, redeem once, revoke, delete when expired.

A token is 256 random bits, so nobody can guess it from its plain SHA-256. A token also becomes
invalid when its user is deactivated, and on every change of the user's password.
"""

import hashlib
import secrets
import uuid
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from accounts.models import PasswordResetToken, RefreshToken, Token, User

BATCH_SIZE = 1_000

AnyToken = TypeVar("AnyToken", bound=Token)


class InvalidToken(Exception):
    """The token is unknown, expired, used or revoked; the error hides which, on purpose."""

    def __init__(self) -> None:
        super().__init__(
            _("The token is invalid or has expired. Log in again, or request a new token.")
        )


def issue_refresh(user: User) -> str:
    """Return a new refresh token of a new family, valid for REFRESH_TOKEN_DAYS.

    The caller must show it to the user now: only a digest is stored.
    """
    return _issue_refresh(user, uuid.uuid4())


def rotate_refresh(token: str) -> tuple[User, str]:
    """Use a refresh token; return its user and the next token of its family.

    Raises `InvalidToken`. A second use shows that the token was copied, so it revokes the family.
    """
    try:
        with transaction.atomic():
            found = _redeem(RefreshToken, token)
            return found.user, _issue_refresh(found.user, found.family)
    except InvalidToken:
        spent = RefreshToken.objects.filter(digest=_digest(token), used_at__isnull=False)
        _revoke(RefreshToken.objects.filter(family__in=spent.values("family")))
        raise


def revoke_refresh(token: str) -> int:
    """Log out: revoke the token's family; return how many valid tokens this ended."""
    known = RefreshToken.objects.filter(digest=_digest(token))
    return _revoke(RefreshToken.objects.filter(family__in=known.values("family")))


def revoke_all(user: User) -> int:
    """Revoke every token of the user; return how many of them were valid."""
    return _revoke(RefreshToken.objects.filter(user=user)) + _revoke(
        PasswordResetToken.objects.filter(user=user)
    )


def issue_password_reset(user: User) -> str:
    """Return a new password-reset token, valid for PASSWORD_RESET_MINUTES; revoke earlier ones."""
    with transaction.atomic():
        _revoke(PasswordResetToken.objects.filter(user=user))
        lifetime = timedelta(minutes=settings.PASSWORD_RESET_MINUTES)
        return _issue(PasswordResetToken(user=user), lifetime)


def reset_password(token: str, password: str) -> User:
    """Set a new password and revoke all tokens of the user; return the user.

    Raises `InvalidToken`, or ValidationError for a weak password. The token stays valid after a
    ValidationError.
    """
    with transaction.atomic():
        user = _redeem(PasswordResetToken, token).user
        validate_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])
        revoke_all(user)
    return user


def delete_expired(*, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> int:
    """Delete expired tokens in batches; return how many.

    Used and revoked tokens stay until they expire, so that a second use is noticed.
    """
    now = now or timezone.now()
    return sum(
        _delete_expired(model, now, batch_size) for model in (RefreshToken, PasswordResetToken)
    )


def _issue_refresh(user: User, family: uuid.UUID) -> str:
    lifetime = timedelta(days=settings.REFRESH_TOKEN_DAYS)
    return _issue(RefreshToken(user=user, family=family), lifetime)


def _issue(row: Token, lifetime: timedelta) -> str:
    token = secrets.token_urlsafe(32)
    row.digest = _digest(token)
    row.password_digest = row.user.get_session_auth_hash()
    row.expires_at = timezone.now() + lifetime
    row.save()
    return token


def _redeem(model: type[AnyToken], token: str) -> AnyToken:
    """Mark a valid token as used and return it, in the caller's transaction.

    The row lock lets only one of two simultaneous callers succeed. Raises `InvalidToken`.
    """
    now = timezone.now()
    found = (
        model._default_manager.select_for_update(of=("self",))
        .select_related("user")
        .filter(digest=_digest(token), expires_at__gt=now, used_at=None, revoked_at=None)
        .first()
    )
    if found is None or not found.user.is_active:
        raise InvalidToken
    if not constant_time_compare(found.password_digest, found.user.get_session_auth_hash()):
        raise InvalidToken
    found.used_at = now
    found.save(update_fields=["used_at"])
    return found


def _revoke(tokens: QuerySet[AnyToken]) -> int:
    now = timezone.now()
    tokens.filter(revoked_at=None, used_at__isnull=False).update(revoked_at=now)
    return tokens.filter(revoked_at=None).update(revoked_at=now)


def _delete_expired(model: type[Token], now: datetime, batch_size: int) -> int:
    deleted = 0
    while True:
        with transaction.atomic():
            expired = model._default_manager.filter(expires_at__lt=now).order_by("expires_at")
            rows = expired.select_for_update(skip_locked=True)
            keys = list(rows.values_list("pk", flat=True)[:batch_size])
            deleted += model._default_manager.filter(pk__in=keys).delete()[0] if keys else 0
        if len(keys) < batch_size:
            return deleted


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
