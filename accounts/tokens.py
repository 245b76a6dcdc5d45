"""Refresh and password-reset tokens: issued, redeemed once, revoked, and removed when they have expired.

A token is 256 random bits, so its plain SHA-256 cannot be guessed from. It stops being good when the
user's password changes by whatever door, or the user is deactivated.
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

from accounts.models import PasswordResetToken, RefreshToken, Token, User

BATCH_SIZE = 1_000

AnyToken = TypeVar("AnyToken", bound=Token)


class InvalidToken(Exception):
    """The token is unknown, expired, used or revoked: which of them is nobody's business."""

    def __init__(self) -> None:
        super().__init__(
            "The token is not valid or has expired. Log in again, or ask for a new one."
        )


def issue_refresh(user: User) -> str:
    """Return a new refresh token of a new family, good for REFRESH_TOKEN_DAYS. It is shown once."""
    return _issue_refresh(user, uuid.uuid4())


def rotate_refresh(token: str) -> tuple[User, str]:
    """Spend a refresh token; return its user and the next token of its family.

    Raises `InvalidToken`. One that was spent before is in two hands: its family is revoked.
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
    """Log out: revoke the token's family; return how many tokens that were good no longer are."""
    known = RefreshToken.objects.filter(digest=_digest(token))
    return _revoke(RefreshToken.objects.filter(family__in=known.values("family")))


def revoke_all(user: User) -> int:
    """Revoke every token of the user; return how many were good."""
    return _revoke(RefreshToken.objects.filter(user=user)) + _revoke(
        PasswordResetToken.objects.filter(user=user)
    )


def issue_password_reset(user: User) -> str:
    """Return a new token for a new password, good for PASSWORD_RESET_MINUTES; earlier ones end."""
    with transaction.atomic():
        _revoke(PasswordResetToken.objects.filter(user=user))
        lifetime = timedelta(minutes=settings.PASSWORD_RESET_MINUTES)
        return _issue(PasswordResetToken(user=user), lifetime)


def reset_password(token: str, password: str) -> User:
    """Set a new password, which ends all tokens of the user; return the user.

    Raises `InvalidToken`, or ValidationError for a password that is too weak: the token stays good.
    """
    with transaction.atomic():
        user = _redeem(PasswordResetToken, token).user
        validate_password(password, user)
        user.set_password(password)
        user.save(update_fields=["password"])
        revoke_all(user)
    return user


def delete_expired(*, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> int:
    """Remove the tokens that have expired, in batches; return how many there were.

    Used and revoked ones stay until then, so that a second use is noticed.
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
    """Mark a good token as used and return it, in the caller's transaction: of two at once one wins."""
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
