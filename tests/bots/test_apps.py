"""A Reddit app's secret goes in and never comes out, but to the client."""

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connection
from django.urls import reverse

from bots.models import RedditApp
from tests.factories import RedditAppFactory, SuperuserFactory

pytestmark = pytest.mark.django_db

SECRET = "hunter2-secret"


def stored(app):
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM bots_redditapp t WHERE id = %s", [app.pk])
        return cursor.fetchone()[0]


def form(app, **changes):
    return {
        "name": app.name,
        "service": app.service,
        "client_id": app.client_id,
        "client_secret": "",
        "user_agent": app.user_agent,
        "requests_per_minute": app.requests_per_minute,
    } | changes


@pytest.fixture
def admin(client):
    client.force_login(SuperuserFactory())
    return client


def test_the_secret_is_encrypted_at_rest():
    app = RedditAppFactory(client_secret=SECRET)

    assert SECRET not in stored(app)
    assert RedditApp.objects.get().client_secret == SECRET


def test_an_installed_app_has_none():
    app = RedditAppFactory(client_secret="")

    assert (app.encrypted_secret, app.client_secret) == ("", "")


def test_no_page_of_the_admin_shows_it(admin):
    app = RedditAppFactory(client_secret=SECRET)

    for page in (
        reverse("admin:bots_redditapp_change", args=[app.pk]),
        reverse("admin:bots_redditapp_changelist"),
        reverse("admin:bots_redditapp_history", args=[app.pk]),
    ):
        html = admin.get(page).content.decode()
        assert app.name in html
        assert SECRET not in html
        assert app.encrypted_secret not in html


def test_not_even_when_the_form_comes_back_with_a_fault(admin):
    app = RedditAppFactory()

    answer = admin.post(
        reverse("admin:bots_redditapp_change", args=[app.pk]),
        form(app, client_secret=SECRET, user_agent="a browser"),
    )

    assert answer.status_code == 200
    assert "linux:org.example.lurker:1.0 (by /u/someone)" in answer.content.decode()
    assert SECRET not in answer.content.decode()


@pytest.mark.parametrize(("typed", "kept"), [("", SECRET), ("new-secret", "new-secret")])
def test_an_empty_field_keeps_the_secret_and_a_new_one_replaces_it(admin, typed, kept):
    app = RedditAppFactory(client_secret=SECRET)

    answer = admin.post(
        reverse("admin:bots_redditapp_change", args=[app.pk]),
        form(app, client_secret=typed, name="Renamed"),
    )

    assert answer.status_code == 302
    app.refresh_from_db()
    assert app.name == "Renamed"
    assert app.client_secret == kept


def test_keys_can_be_changed_without_losing_secrets(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    app = RedditAppFactory(client_secret=SECRET)

    settings.ENCRYPTION_KEYS = [new, old]
    assert RedditApp.objects.get().client_secret == SECRET

    app.client_secret = app.client_secret
    app.save()
    settings.ENCRYPTION_KEYS = [new]
    assert RedditApp.objects.get().client_secret == SECRET


def test_a_lost_key_is_named_with_the_remedy(settings):
    app = RedditAppFactory()
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(
        ImproperlyConfigured, match="ENCRYPTION_KEYS: no key in the list"
    ) as refused:
        _ = app.client_secret
    assert "enter the secret again" in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("user_agent", "lurker"),
        ("client_id", "not an id"),
        ("requests_per_minute", 0),
        ("requests_per_minute", 101),
        ("service", "elsewhere"),
    ],
)
def test_what_reddits_rules_forbid_is_refused(field, value):
    app = RedditAppFactory()
    setattr(app, field, value)

    with pytest.raises(ValidationError) as refused:
        app.full_clean()
    assert list(refused.value.message_dict) == [field]


def test_a_client_id_has_one_app_because_its_budget_is_one():
    app = RedditAppFactory()
    twin = RedditAppFactory.build(owner=app.owner, client_id=app.client_id)

    with pytest.raises(ValidationError, match="each client id has one budget"):
        twin.full_clean()


def test_the_form_shows_the_shape_of_a_user_agent_with_its_angle_brackets(admin):
    page = admin.get(reverse("admin:bots_redditapp_add")).content.decode()

    assert "&lt;platform&gt;:&lt;app id&gt;:&lt;version&gt; (by /u/&lt;name&gt;)" in page
