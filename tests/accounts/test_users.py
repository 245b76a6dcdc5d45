"""People log in with an e-mail address, in whatever case they type it."""

import pytest
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.urls import reverse

from accounts.models import User
from tests.factories import PASSWORD, SuperuserFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_log_in_with_the_address_in_any_case(client):
    UserFactory(email="Someone@Example.org")

    assert client.login(username="sOMEONE@example.ORG", password=PASSWORD)
    assert not client.login(username="someone@example.org", password="wrong")


def test_an_address_belongs_to_one_user_in_any_case():
    UserFactory(email="someone@example.org")

    with pytest.raises(ValidationError, match="already exists"):
        User(email="SOMEONE@example.org", password="x").full_clean()
    with pytest.raises(IntegrityError):
        UserFactory(email="SOMEONE@example.org")


def test_a_user_needs_an_address():
    with pytest.raises(ValueError, match="email: a user needs an e-mail address"):
        User.objects.create_user("")


def test_without_a_password_nobody_logs_in(client):
    user = User.objects.create_user("someone@example.org")

    assert not user.has_usable_password()
    assert not client.login(username=user.email, password="")


@pytest.mark.slow
def test_every_list_and_form_of_the_admin_opens(client):
    client.force_login(SuperuserFactory())

    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code == 200, name
        assert client.get(reverse(f"{name}_add")).status_code in (200, 403), name


def test_people_without_staff_status_do_not_get_in(client):
    client.force_login(UserFactory(is_staff=False))

    answer = client.get(reverse("admin:index"))

    assert answer.status_code == 302
    assert reverse("admin:login") in answer.url
