from typing import Any, cast

from django.forms import ModelChoiceField

from accounts.ownership import owned_by
from bots.forms import BotConfigForm
from bots.models import RedditApp


class PreviewForm(BotConfigForm):
    """The fields of a bot's form that decide which items match; other fields may be unfinished."""

    class Meta(BotConfigForm.Meta):
        fields = [
            "subreddits",
            "include_terms",
            "exclude_terms",
            "match_in",
            "case_sensitive",
            "whole_words",
            "min_score",
            "min_comments",
        ]


class CostForm(BotConfigForm):
    """The fields of a bot's form that decide what the bot costs; other fields may be unfinished."""

    class Meta(BotConfigForm.Meta):
        fields = [
            "reddit_app",
            "subreddits",
            "listing",
            "search_query",
            "comments",
            "item_limit",
            "schedule",
            "every",
            "period",
            "crontab",
            "timezone",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer only the user's own apps, because the cost of other users' bots is private."""
        super().__init__(*args, **kwargs)
        for name in ("include_terms", "exclude_terms", "match_in"):
            del self.fields[name]
        # The form field that Django makes for a foreign key.
        apps = cast("ModelChoiceField[RedditApp]", self.fields["reddit_app"])
        apps.queryset = owned_by(RedditApp.objects.all(), self.user)
