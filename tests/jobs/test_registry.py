"""What Celery has registered, and where its runs wait."""

import pytest

from config.celery import app
from jobs import registry
from jobs.errors import UnknownJob


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("scraping.scrape_bot", "scraping"),
        # The job says another queue than the route of scraping.*
        ("scraping.rematch_bot", "cleanup"),
        # No job: the route decides, or the default queue.
        ("scraping.of_a_library", "scraping"),
        ("celery.backend_cleanup", "default"),
    ],
)
def test_runs_wait_in_the_same_queue_whoever_asks_for_them(task, queue):
    registry.all_jobs()

    assert registry.queue_of(task) == queue
    assert registry.queue_of(task, app) == queue


def test_an_unknown_task_is_named():
    with pytest.raises(UnknownJob, match=r"No task is called 'jobs\.nothing'"):
        registry.find("jobs.nothing")
