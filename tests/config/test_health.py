"""Probes say the truth: 200 while the work can be done, an error with its reason otherwise."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest
from django.urls import reverse

from config.environment import BASE_DIR
from tests.processes import wait_until


@pytest.mark.django_db
def test_a_probe_needs_neither_host_name_nor_tls_nor_login(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    response = client.get("/healthz", headers={"host": "10.1.2.3:8000"})
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok"}
    # Nothing else is as open.
    assert client.get("/", headers={"host": "10.1.2.3:8000"}).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["closed", "frozen"])
def test_an_unreachable_database_is_told_in_time(fault, processes):
    """A server that refuses connections, and one that accepts them and never answers."""
    with socket.socket() as database, socket.socket() as free:
        database.bind(("127.0.0.1", 0))
        if fault == "frozen":
            database.listen()
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        url = f"postgresql://lurker@127.0.0.1:{database.getsockname()[1]}/lurker"
        environment = {"PORT": port, "TEST_DATABASE_URL": url}
        web = processes.start(
            *("-m", "gunicorn", "--config", "python:config.gunicorn", "config.wsgi"),
            name="web",
            environment=environment,
        )

        def probe():
            return subprocess.run(
                [sys.executable, "-m", "config.health", "web"],
                env=os.environ | environment,
                cwd=BASE_DIR,
                capture_output=True,
                text=True,
            )

        wait_until(lambda: "does not answer" not in probe().stderr, what="gunicorn listens")
        began = time.monotonic()
        done = probe()
        assert time.monotonic() - began < 7
        assert done.returncode == 1
        assert "answers 503" in done.stderr
        reason = "OperationalError" if fault == "closed" else "no answer within 4 seconds"
        assert reason in done.stderr
        assert web.is_running


def health(process, **environment):
    return subprocess.run(
        [sys.executable, "-m", "config.health", process],
        env=os.environ | environment,
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
    )


def test_a_heartbeat_must_be_fresh(tmp_path):
    file = tmp_path / "heartbeat"
    missing = health("beat", HEARTBEAT_FILE=str(file))
    assert missing.returncode == 1
    assert "has not begun to work" in missing.stderr

    file.touch()
    assert health("worker", HEARTBEAT_FILE=str(file)).returncode == 0
    a_while_ago = time.time() - 90
    os.utime(file, (a_while_ago, a_while_ago))
    stale = health("worker", HEARTBEAT_FILE=str(file))
    assert stale.returncode == 1
    assert re.search(r"was touched 9\d s ago", stale.stderr)


def test_a_probe_without_a_file_says_what_to_set():
    done = health("worker", HEARTBEAT_FILE="")
    assert done.returncode == 1
    assert "HEARTBEAT_FILE: is not set" in done.stderr


@pytest.mark.slow
def test_a_worker_without_its_broker_has_no_heartbeat(processes, tmp_path):
    from local.servers.redis import RedisServer

    data_dir = tmp_path / "redis"
    data_dir.mkdir()
    server = RedisServer(data_dir)
    server.start()
    file = tmp_path / "heartbeat"
    try:
        worker = processes.worker(
            environment={"TEST_CELERY_BROKER_URL": server.url(), "HEARTBEAT_FILE": str(file)}
        )
        wait_until(file.exists)
        server.stop()
        worker.wait_for("Connection to broker lost")
        file.unlink()
        time.sleep(6)  # longer than from one heartbeat to the next
        assert not file.exists()
        server.start()
        wait_until(file.exists, seconds=40, what="the worker is back")
    finally:
        server.stop()


@pytest.mark.django_db
def test_pages_may_load_only_our_own_files(client, admin_client):
    strict = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in strict
    assert "unsafe" not in strict
    admin = admin_client.get(reverse("admin:index")).headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in admin
    assert "object-src 'none'" in admin


@pytest.mark.django_db
def test_the_front_door_leads_to_the_admin(client):
    assert client.get("/").headers["Location"] == "/admin/"
