"""Models and migrations say the same."""

from io import StringIO

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_no_model_differs_from_its_migrations():
    told = StringIO()

    # Exits with 1 where a migration is missing, and tells which.
    call_command("makemigrations", "--check", "--dry-run", stdout=told)

    assert told.getvalue() == "No changes detected\n"
