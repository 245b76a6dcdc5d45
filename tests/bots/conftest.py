"""People and apps for the tests of the admin, and patience for hypothesis."""

import pytest
from django.contrib.auth.models import Permission
from hypothesis import settings

from tests.factories import RedditAppFactory, SuperuserFactory, UserFactory

# An example may take long on a busy machine; how long says nothing of what is tested.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def admin(client):
    client.user = SuperuserFactory()
    client.force_login(client.user)
    return client


@pytest.fixture
def app(admin):
    return RedditAppFactory(owner=admin.user)


@pytest.fixture
def staff():
    """Log a person in who has every permission on bots and apps, and none on others' ones."""

    def staff(client):
        client.user = UserFactory()
        client.user.user_permissions.set(
            Permission.objects.filter(content_type__app_label__in=["bots", "scraping"])
        )
        client.force_login(client.user)
        return client

    return staff
