from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Users and their permissions. This app imports no other app."""

    name = "accounts"
    verbose_name = _("Accounts")
