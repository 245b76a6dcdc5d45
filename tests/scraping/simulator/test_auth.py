import time

import pytest
import requests

from scraping.simulator.server import SimulatorServer

from .api import START, Api

INSTALLED = "https://oauth.reddit.com/grants/installed_client"


@pytest.mark.parametrize(
    ("form", "auth"),
    [
        ({"grant_type": "client_credentials"}, ("id", "secret")),
        ({"grant_type": "password", "username": "u", "password": "p&w"}, ("id", "secret")),
        ({"grant_type": "refresh_token", "refresh_token": "r"}, ("id", "secret")),
        ({"grant_type": INSTALLED, "device_id": "DO_NOT_TRACK_THIS_DEVICE"}, ("id", "")),
    ],
)
def test_every_grant_gives_a_token_that_works(api, form, auth):
    answer = api.token(form, auth)
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("bearer", 86400, "*")
    headers = {"Authorization": f"bearer {token['access_token']}"}
    assert requests.get(f"{api.sim.url}/r/python/new", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "body"),
    [
        ({"grant_type": "password", "username": "u"}, 200, {"error": "invalid_grant"}),
        ({"grant_type": "refresh_token", "refresh_token": ""}, 400, {"error": 400}),
        (
            {"grant_type": INSTALLED, "device_id": "short"},
            200,
            {"error_description": "bad device_id", "error": "invalid_request"},
        ),
        ({"grant_type": "magic"}, 200, {"error": "unsupported_grant_type"}),
    ],
)
def test_a_bad_grant_is_refused_as_recorded(api, form, status, body):
    answer = api.token(form)
    assert (answer.status_code, answer.json()) == (status, body)


def test_only_script_apps_may_use_passwords(api):
    form = {"grant_type": "password", "username": "u", "password": "p"}
    assert api.token(form, ("id", "")).json()["error"] == "unauthorized_client"


def test_without_basic_auth_no_token(api):
    form = {"grant_type": "client_credentials"}
    answer = requests.post(f"{api.sim.url}/api/v1/access_token", data=form)
    assert answer.status_code == 401
    assert answer.json() == {"message": "Unauthorized", "error": 401}


@pytest.fixture(scope="module")
def strict():
    with SimulatorServer(
        start=START,
        subreddits=2,
        clients=("good:key",),
        users=("ann:pw",),
        refresh_tokens=("R1",),
        token_lifetime=0.4,
        control=True,
    ) as server:
        yield server


def test_listed_clients_users_and_refresh_tokens_only(strict):
    api = Api.__new__(Api)
    api.sim, api.client = strict, "good"
    grant = {"grant_type": "client_credentials"}
    assert api.token(grant, ("good", "key")).status_code == 200
    assert api.token(grant, ("good", "wrong")).status_code == 401
    assert api.token(grant, ("other", "key")).status_code == 401
    wrong = {"grant_type": "password", "username": "ann", "password": "no"}
    assert api.token(wrong, ("good", "key")).json() == {"error": "invalid_grant"}
    right = wrong | {"password": "pw"}
    assert "access_token" in api.token(right, ("good", "key")).json()
    unknown = {"grant_type": "refresh_token", "refresh_token": "R2"}
    assert api.token(unknown, ("good", "key")).status_code == 400


def test_a_token_expires(strict):
    token = requests.post(
        f"{strict.url}/api/v1/access_token",
        data={"grant_type": "client_credentials"},
        auth=("good", "key"),
    ).json()["access_token"]

    def status():
        headers = {"Authorization": f"bearer {token}"}
        return requests.get(f"{strict.url}/r/python/new", headers=headers)

    assert status().status_code == 200
    deadline = time.monotonic() + 5
    while (answer := status()).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="reddit", error="invalid_token"'
    assert answer.json() == {"message": "Unauthorized", "error": 401}
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def test_tokens_can_be_ended_for_one_client_or_all(own, sim):
    other = Api(sim, "other")
    assert sim.control("tokens/expire", {"client": "tester"}) == {"expired": 1}
    assert own.raw("/r/python/new").status_code == 401
    assert other.raw("/r/python/new").status_code == 200
    assert sim.control("tokens/expire", {})["expired"] == 1
    assert other.raw("/r/python/new").status_code == 401
    own.login()
    assert own.raw("/r/python/new").status_code == 200
