"""Small plots for pages of the admin, drawn as plain SVG."""

from collections.abc import Sequence

from django.utils import timezone
from django.utils.html import format_html, format_html_join

from scraping.models import PostScore

WIDTH, HEIGHT, MARGIN = 320, 60, 4


def history(scores: Sequence[PostScore]) -> str:
    """Draw a post's score over time above a table of its entries, the oldest first."""
    if not scores:
        return "none yet"
    rows = format_html_join(
        "",
        '<tr><td style="padding-right: 1em">{}</td><td style="padding-right: 1em">{}</td>'
        "<td>{}</td></tr>",
        (
            (
                f"{timezone.localtime(entry.at):%Y-%m-%d %H:%M}",
                "hidden" if entry.score is None else f"{entry.score:,} points",
                "" if entry.num_comments is None else f"{entry.num_comments:,} comments",
            )
            for entry in scores
        ),
    )
    return format_html("{}<table>{}</table>", sparkline(scores), rows)


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
        '<svg width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="Score over time">'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="2"/></svg>',
        WIDTH,
        HEIGHT,
        WIDTH,
        HEIGHT,
        points,
    )


def _scaled(value: float, among: Sequence[float], length: int) -> float:
    low, high = min(among), max(among)
    share = (value - low) / (high - low) if high > low else 0.5
    return MARGIN + share * (length - 2 * MARGIN)
