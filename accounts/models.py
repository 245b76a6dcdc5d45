import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

EMAIL_TAKEN = _("A user with this e-mail address already exists. Enter another address.")


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address and finds them by it, in upper or lower case."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Store a user. Without a password the account cannot log in until one is set."""
        if not email:
            raise ValueError("email: a user needs an e-mail address, got an empty one.")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Store a user who may do everything, the admin included."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find the user who logs in with `username`, an e-mail address in any case."""
        return self.get(email__iexact=username)


class User(AbstractUser):
    """A person who logs in with an e-mail address."""

    username = None  # type: ignore[assignment]  # Django's own way to leave out an inherited column
    email = models.EmailField(
        _("e-mail address"),
        unique=True,
        error_messages={"unique": EMAIL_TAKEN},
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    # Django's UserManager creates users by user name; these users have no user name.
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]  # see above

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="accounts_user_email_any_case",
                violation_error_message=EMAIL_TAKEN,
            )
        ]

    def __str__(self) -> str:
        return self.email


class Token(models.Model):
    """A secret for its bearer; it is valid until it expires, is used or is revoked.

    The row keeps only a digest: a reader of the table cannot use it.
    """

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="%(class)ss", verbose_name=_("user")
    )
    digest = models.CharField(_("digest"), max_length=64, unique=True, editable=False)
    password_digest = models.CharField(
        _("password digest"),
        max_length=128,
        editable=False,
        help_text=_("The digest changes when the user changes their password."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    used_at = models.DateTimeField(_("used"), null=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True)

    class Meta:
        abstract = True


class RefreshToken(Token):
    """Redeemed once, for one new access token and the next refresh token of the same family.

    A second use shows that the token was copied: the whole family is revoked.
    """

    family = models.UUIDField(_("family"), default=uuid.uuid4, editable=False, db_index=True)

    class Meta:
        verbose_name = _("refresh token")
        verbose_name_plural = _("refresh tokens")


class PasswordResetToken(Token):
    """Redeemed once, to set a new password."""

    class Meta:
        verbose_name = _("password-reset token")
        verbose_name_plural = _("password-reset tokens")
