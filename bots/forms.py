from collections.abc import Callable
from typing import Any

from django import forms
from django.db.models import Field
from django.utils.html import escape
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
)

from accounts.ownership import OwnedForm
from bots.models import BotConfig, RedditApp, title_and_body
from bots.validation import split_lines, split_names


class ListField(forms.CharField):
    """A list typed into a text area; `split` separates its values."""

    widget = UnfoldAdminTextareaWidget

    def __init__(self, *, split: Callable[[str], list[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._split = split
        self.widget.attrs["rows"] = 4

    def prepare_value(self, value: Any) -> Any:
        """Show one value a line."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]  # only the input is text
        """Return the values, whether they come as typed text or as a list."""
        return value if isinstance(value, list) else self._split(value or "")

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the values, not the way they were typed."""
        return list(initial or []) != self.to_python(data)


def _text_of(field: "Field[Any, Any]") -> dict[str, Any]:
    return {"label": capfirst(field.verbose_name), "help_text": field.help_text}


_meta = BotConfig._meta


class BotConfigForm(OwnedForm):
    """The form of a bot; its lists are typed into text areas."""

    subreddits = ListField(split=split_names, **_text_of(_meta.get_field("subreddits")))
    include_terms = ListField(
        split=split_lines, required=False, **_text_of(_meta.get_field("include_terms"))
    )
    exclude_terms = ListField(
        split=split_lines, required=False, **_text_of(_meta.get_field("exclude_terms"))
    )
    match_in = forms.MultipleChoiceField(
        choices=BotConfig.MatchIn,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=title_and_body,
        label=_("Look in"),
    )

    class Meta:
        model = BotConfig
        fields = [
            "name",
            "reddit_app",
            "is_active",
            "subreddits",
            "listing",
            "search_query",
            "comments",
            "item_limit",
            "include_terms",
            "exclude_terms",
            "match_in",
            "case_sensitive",
            "whole_words",
            "min_score",
            "min_comments",
            "auto_scrape_enabled",
            "schedule",
            "every",
            "period",
            "crontab",
            "timezone",
            "retention_days",
        ]


class RedditAppForm(OwnedForm):
    """The form of a Reddit app. It accepts a secret and never shows one."""

    client_secret = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        label=_("Client secret"),
        help_text=_(
            "Lurker encrypts the secret and never shows it again. Leave the field empty to keep the "
            "present secret. An installed app has no secret."
        ),
    )

    class Meta:
        model = RedditApp
        fields = ["name", "service", "client_id", "user_agent", "requests_per_minute"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Escape the help text that has angle brackets: the admin shows help texts as HTML."""
        super().__init__(*args, **kwargs)
        if field := self.fields.get("user_agent"):
            field.help_text = escape(field.help_text)

    def save(self, commit: bool = True) -> RedditApp:
        """Save the app; keep the present secret if the field is empty."""
        if secret := self.cleaned_data.get("client_secret"):
            self.instance.client_secret = secret
        app: RedditApp = super().save(commit)
        return app
