"""The demo's user. Its password is generated once for each checkout and then stays the same."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from accounts.models import User
from local.servers.secrets import generated_secret

EMAIL = "demo@example.org"


@dataclass(frozen=True)
class Account:
    """The demo's user, the password of the demo, and how to log in."""

    user: User
    password: str
    # The text beside the e-mail address: the password, or why the demo's password does not work.
    sign_in: str
    # Whether the user existed already and has a new password now.
    is_reset: bool = False


def ensure_account(password_file: Path) -> Account:
    """Create the demo's user if missing, with a password in a file that only its owner can read.

    A password that somebody has since set for the user is kept. Remove the file to generate and set
    a new password.
    """
    is_generated = not password_file.exists()
    password = generated_secret(password_file, lambda: secrets.token_urlsafe(9))
    user = User.objects.filter(email=EMAIL).first()
    is_reset = user is not None and is_generated
    if user is None:
        user = User(email=EMAIL)
    user.is_staff = user.is_superuser = True
    if user._state.adding or is_generated:
        user.set_password(password)
    user.save()
    return Account(user, password, _sign_in(user, password), is_reset)


def _sign_in(user: User, password: str) -> str:
    if not user.is_active:
        return "is deactivated; another user can activate it in the admin"
    if user.check_password(password):
        return password
    return f"has a password of your own\n           ./manage.py changepassword {EMAIL} sets another"
