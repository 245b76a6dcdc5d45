"""Budgets for tests: permits of an app that are asked for at once, and time that passes."""

from django.db import connection

from scraping.budget.app_budget import AppBudget, BudgetSpent, Lane

WINDOW = 60


def budget_of(app, lane=Lane.FRESH, *, longest_wait=0, name="a bot", **options):
    return AppBudget(app, lane=lane, name=name, longest_wait=longest_wait, **options)


def take(app, count, lane=Lane.FRESH):
    """How many of so many permits are granted without a wait, and the wait for the next one."""
    permits = budget_of(app, lane)
    for taken in range(count):
        try:
            permits.take()
        except BudgetSpent as spent:
            return taken, spent.retry_after
    return count, 0


def later(app, seconds):
    """Let time pass, by moving the row's moments back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scraping_requestbudget SET starts_at = starts_at - make_interval(secs => %s), "
            "ends_at = ends_at - make_interval(secs => %s), "
            "paused_until = paused_until - make_interval(secs => %s) WHERE app_id = %s",
            [seconds, seconds, seconds, app.pk],
        )
