from bots.forms import BotConfigForm


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
        ]
