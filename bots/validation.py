"""Validation of a bot's settings: subreddits, terms, crontabs. Each error names its remedy."""

import re
from collections.abc import Iterable

import re2
from celery.schedules import ParseException as CrontabParseException
from celery.schedules import crontab
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

# Reddit's own rule for names, and its two kinds of exception: reddit.com and profiles.
SUBREDDIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{1,20}|u_[A-Za-z0-9_-]{3,23}|reddit\.com")
SUBREDDIT_LINK = re.compile(
    r"(?:https?://)?(?:(?:www|old|new|oauth)\.)?(?:reddit\.com)?/?r/([^/?#]+)/?(?:[?#].*)?",
    re.IGNORECASE,
)
# Views over other subreddits. Their members are not fixed, so Lurker cannot collect them
# completely.
AGGREGATES = frozenset(
    {"all", "popular", "home", "friends", "mod", "random", "randnsfw", "myrandom"}
)

PATTERN_PREFIX = "re:"
# RE2's memory per pattern. A larger pattern is refused when it is saved, not when it runs.
PATTERN_MEMORY_BYTES = 1 << 20

# The fields, each with the number of characters that django-celery-beat can store.
CRONTAB_FIELDS = {
    gettext_lazy("minute"): 240,
    gettext_lazy("hour"): 96,
    gettext_lazy("day of month"): 124,
    gettext_lazy("month"): 64,
    gettext_lazy("day of week"): 64,
}


def split_lines(text: str) -> list[str]:
    """Split the text of a text area: one value a line, without blank lines."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def split_names(text: str) -> list[str]:
    """Split names that stand one a line, or are separated by commas, plus signs or blanks."""
    return [name for name in re.split(r"[\s,+]+", text) if name]


def clean_subreddits(names: Iterable[str]) -> list[str]:
    """Return bare names in the order and case given; raise ValidationError with every fault."""
    cleaned: dict[str, str] = {}
    faults = []
    for given in names:
        link = SUBREDDIT_LINK.fullmatch(given.strip())
        name = link[1] if link else given.strip()
        if not SUBREDDIT_NAME.fullmatch(name):
            faults.append(
                _(
                    "“%(name)s” is not a subreddit's name. Enter 2 to 21 letters, digits and "
                    "underscores, with or without r/."
                )
                % {"name": given}
            )
        elif name.lower() in AGGREGATES:
            faults.append(
                _(
                    "“%(name)s” is a view over other subreddits, not a subreddit. Enter the "
                    "subreddits that you want."
                )
                % {"name": given}
            )
        elif name.lower() in cleaned:
            faults.append(_("“%(name)s” is listed twice. Remove it once.") % {"name": given})
        else:
            cleaned[name.lower()] = name
    if faults:
        raise ValidationError(faults)
    return list(cleaned.values())


def clean_terms(terms: Iterable[str]) -> list[str]:
    """Return the terms without blanks and repetitions.

    Raises ValidationError for patterns that do not compile.
    """
    cleaned = list(dict.fromkeys(term.strip() for term in terms if term.strip()))
    faults = []
    for term in cleaned:
        if term.startswith(PATTERN_PREFIX):
            try:
                compile_pattern(term.removeprefix(PATTERN_PREFIX))
            except re2.error as error:
                reason = error.args[0]
                reason = reason.decode() if isinstance(reason, bytes) else reason
                faults.append(
                    _(
                        "The pattern “%(term)s” does not compile: %(reason)s. Correct the pattern: "
                        "RE2 has no look-around and no back-references."
                    )
                    % {"term": term, "reason": reason}
                )
    if faults:
        raise ValidationError(faults)
    return cleaned


def compile_pattern(pattern: str | bytes, *, case_sensitive: bool = False) -> "re2._Regexp":
    """Compile a user's pattern with RE2.

    RE2 matches in time linear in the text, so no pattern can hang a worker. Raises `re2.error`.
    """
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.max_mem = PATTERN_MEMORY_BYTES
    options.log_errors = False
    if not pattern:
        raise re2.error(_("the pattern is empty"))
    compiled: re2._Regexp = re2.compile(pattern, options)
    return compiled


def clean_crontab(expression: str) -> str:
    """Return the five fields separated by single blanks; raise ValidationError for a bad crontab."""
    fields = expression.split()
    if len(fields) != len(CRONTAB_FIELDS):
        raise ValidationError(
            ngettext(
                "“%(crontab)s” has %(count)d field, but a crontab has five: %(fields)s. Enter all "
                "five, for example “30 9 * * *” for every day at 09:30.",
                "“%(crontab)s” has %(count)d fields, but a crontab has five: %(fields)s. Enter all "
                "five, for example “30 9 * * *” for every day at 09:30.",
                len(fields),
            )
            % {
                "crontab": expression,
                "count": len(fields),
                "fields": ", ".join(map(str, CRONTAB_FIELDS)),
            }
        )
    minute, hour, day_of_month, month_of_year, day_of_week = fields
    try:
        crontab(minute, hour, day_of_week, day_of_month, month_of_year)
    except (CrontabParseException, ValueError) as error:
        raise ValidationError(
            _(
                "“%(crontab)s” is not a crontab: %(error)s. Correct the crontab, for example "
                "“30 9 * * *” for every day at 09:30."
            )
            % {"crontab": expression, "error": error}
        ) from error
    for (name, room), text in zip(CRONTAB_FIELDS.items(), fields, strict=True):
        if len(text) > room:
            raise ValidationError(
                _(
                    "The crontab's field %(field)s, “%(value)s”, has %(length)d characters, and "
                    "the limit is %(limit)d. Shorten the field, for example with a range."
                )
                % {"field": name, "value": text, "length": len(text), "limit": room}
            )
    return " ".join(fields)
