"""Encryption of stored secrets, with the keys of the ENCRYPTION_KEYS setting.

The cipher is Fernet: AES-128 with an HMAC.
"""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def encrypt(secret: str) -> str:
    """Encrypt with the first key. An empty secret stays empty, because it hides nothing."""
    return _cipher().encrypt(secret.encode()).decode() if secret else ""


def decrypt(token: str) -> str:
    """Decrypt with any key that fits; raise ImproperlyConfigured if no key fits."""
    if not token:
        return ""
    try:
        return _cipher().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise ImproperlyConfigured(
            "ENCRYPTION_KEYS: no key in the list decrypts a stored secret. Put back the key that "
            "encrypted the secret, or enter the secret again."
        ) from error


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
