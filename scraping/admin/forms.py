from typing import Any, cast

from django.forms import ModelChoiceField

from accounts.ownership import owned_by
from bots.forms import BotConfigForm
from bots.models import RedditApp


class PreviewForm(BotConfigForm):
    """What of a bot's form decides which items match; the rest may still be unfinished."""

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
    """What of a bot's form decides what the bot costs; the rest may still be unfinished."""

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
        """The user's own apps only: what others' bots cost is nobody else's business."""
        super().__init__(*args, **kwargs)
        for name in ("include_terms", "exclude_terms", "match_in"):
            del self.fields[name]
        # The form field that Django makes of a foreign key.
        apps = cast("ModelChoiceField[RedditApp]", self.fields["reddit_app"])
        apps.queryset = owned_by(RedditApp.objects.all(), self.user)
