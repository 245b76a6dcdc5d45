from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users and what they may do. Knows nothing of the other apps."""

    name = "accounts"
    verbose_name = "Accounts"
