"""Small plots for pages of the admin, drawn as plain SVG."""

from collections.abc import Sequence

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scraping.models import PostScore

WIDTH, HEIGHT, MARGIN = 320, 60, 4


def history(scores: Sequence[PostScore]) -> str:
    """Draw a post's score over time above a table of its entries, the oldest first."""
    if not scores:
        return _("none yet")
    rows = format_html_join(
        "",
        '<tr><td style="padding-right: 1em">{}</td><td style="padding-right: 1em">{}</td>'
        "<td>{}</td></tr>",
        (
            (
                f"{timezone.localtime(entry.at):%Y-%m-%d %H:%M}",
                _("hidden") if entry.score is None else _points(entry.score),
                "" if entry.num_comments is None else _comments(entry.num_comments),
            )
            for entry in scores
        ),
    )
    return format_html("{}<table>{}</table>", sparkline(scores), rows)


def _points(score: int) -> str:
    return ngettext("%(score)s point", "%(score)s points", score) % {"score": f"{score:,}"}


def _comments(number: int) -> str:
    return ngettext("%(number)s comment", "%(number)s comments", number) % {"number": f"{number:,}"}


def sparkline(scores: Sequence[PostScore]) -> str:
    """Draw only the line; return an empty text for fewer than two known scores."""
    known = [(entry.at.timestamp(), entry.score) for entry in scores if entry.score is not None]
    if len(known) < 2:
        return ""
    times, values = zip(*known, strict=True)
    points = " ".join(
        f"{_scaled(moment, times, WIDTH):.1f},{HEIGHT - _scaled(value, values, HEIGHT):.1f}"
        for moment, value in known
    )
    return format_html(
        '<svg width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="2"/></svg>',
        WIDTH,
        HEIGHT,
        WIDTH,
        HEIGHT,
        _("Score over time"),
        points,
    )


def _scaled(value: float, among: Sequence[float], length: int) -> float:
    low, high = min(among), max(among)
    share = (value - low) / (high - low) if high > low else 0.5
    return MARGIN + share * (length - 2 * MARGIN)
