from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users and their permissions. This app imports no other app."""

    name = "accounts"
    verbose_name = "Accounts"
