"""docker-compose.yml says what its services need, and the commands in it do what it says."""

import os
import re
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from config.environment import BASE_DIR
from tests.config.test_environment import variables_read
from tests.processes import wait_until

OURS = ("web", "worker-scraping", "worker-default", "beat", "flower")
REQUIRED = {
    "SECRET_KEY": secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "POSTGRES_PASSWORD": "generated-for-this-test",
    "FLOWER_BASIC_AUTH": "operator:generated-for-this-test",
}
# Not for containers: a test says why in .env.example.
NOT_IN_CONTAINERS = {"DEBUG"}


class MissingVariable(Exception):
    """What `docker compose` says when a variable with `:?` is not set."""


def interpolate(text, variables):
    """Replace ${NAME}, ${NAME:-default} and ${NAME:?message}, nested ones too."""
    out, position = "", 0
    while (start := text.find("${", position)) >= 0:
        out += text[position:start]
        depth, end = 1, start + 2
        while depth:
            if text.startswith("${", end):
                depth, end = depth + 1, end + 2
            else:
                depth, end = depth - (text[end] == "}"), end + 1
        name, operator, rest = re.fullmatch(
            r"(\w+)(:-|:\?)?(.*)", text[start + 2 : end - 1], re.DOTALL
        ).groups()
        value = variables.get(name, "")
        if not value and operator == ":?":
            raise MissingVariable(f"{name}: {rest}")
        out += value or (interpolate(rest, variables) if operator == ":-" else "")
        position = end
    return out + text[position:]


def resolve(node, variables):
    if isinstance(node, dict):
        return {key: resolve(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [resolve(value, variables) for value in node]
    return interpolate(node, variables) if isinstance(node, str) else node


def compose(variables=REQUIRED):
    return resolve(yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text()), variables)


@pytest.fixture(scope="module")
def services():
    return compose()["services"]


def seconds(duration):
    return int(re.fullmatch(r"(\d+)s", duration).group(1))


def test_interpolation_is_as_documented():
    assert interpolate("a${X}b${Y:-c}", {"X": "1"}) == "a1bc"
    assert interpolate("${D:-x${P:?set it}y}", {"P": "p"}) == "xpy"
    assert interpolate("${D:-x${P:?set it}y}", {"D": "d"}) == "d"
    with pytest.raises(MissingVariable, match="P: set it"):
        interpolate("${D:-x${P:?set it}y}", {})


@pytest.mark.parametrize("name", REQUIRED)
def test_nothing_starts_without_its_secrets(name):
    with pytest.raises(MissingVariable, match=f"{name}: .*env.example"):
        compose({key: value for key, value in REQUIRED.items() if key != name})


def test_every_service_restarts_and_has_a_health_check(services):
    for name, service in services.items():
        if name == "migrate":  # runs once
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert seconds(service["healthcheck"]["timeout"]) > 0, name


def test_no_service_runs_as_root(services):
    for name, service in services.items():
        assert service["user"] not in {"", "0", "root"}, name
    dockerfile = (BASE_DIR / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE) == ["10001"]


def test_no_secret_is_written_in_the_files():
    text = (BASE_DIR / "docker-compose.yml").read_text()
    for name, value in re.findall(
        r"^\s+(\w*(?:PASS|SECRET|KEY|AUTH)\w*): (.*)$", text, re.MULTILINE
    ):
        assert value.startswith("${"), name
    dockerfile = (BASE_DIR / "Dockerfile").read_text()
    assert not re.findall(r"^(?:ENV|ARG) .*(?:SECRET|PASSWORD|KEY)", dockerfile, re.MULTILINE)
    for name, value in re.findall(r"\b(SECRET_KEY|ENCRYPTION_KEYS)=(\S+)", dockerfile):
        assert value.startswith('"$(python'), name
    assert "--require-hashes" in dockerfile


def test_the_image_holds_only_what_runs():
    """Everything is left out but what is named, and no .env is."""
    lines = (BASE_DIR / ".dockerignore").read_text().split()
    assert "*" in lines
    assert "**/.env*" in lines
    for kept in (line[1:] for line in lines if line.startswith("!")):
        assert (BASE_DIR / kept).exists(), kept


def test_only_this_machine_reaches_the_published_ports(services):
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)


def test_everything_of_ours_waits_for_the_migrations(services):
    for name in OURS:
        conditions = {
            key: value["condition"] for key, value in services[name]["depends_on"].items()
        }
        assert conditions["migrate"] == "service_completed_successfully"
        assert conditions["redis"] == "service_healthy"
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.slow
def test_every_variable_reaches_the_containers(services):
    for name in OURS:
        passed = set(services[name]["environment"])
        optional = {"HEARTBEAT_FILE", "PORT", "FLOWER_PORT", "WEB_CONCURRENCY"}
        assert variables_read() - passed - optional - NOT_IN_CONTAINERS == set(), name


def test_workers_are_given_time_to_hand_their_tasks_back(services, settings):
    for name in ("worker-scraping", "worker-default"):
        assert services[name]["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
        grace = seconds(services[name]["stop_grace_period"])
        assert grace > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + 10


def test_every_queue_has_a_worker(services, settings):
    consumed = set()
    for name in ("worker-scraping", "worker-default"):
        command = services[name]["command"]
        consumed |= set(command[command.index("--queues") + 1].split(","))
    assert consumed == {queue.name for queue in settings.CELERY_TASK_QUEUES}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def local(command):
    """The command with the programs of this environment, as PATH of the image would find them."""
    found = Path(sys.executable).with_name(command[0])
    return [str(found) if found.exists() else command[0], *command[1:]]


@pytest.fixture
def container(services, process_environment, tmp_path):
    """The environment of a service on this machine: its own, with our servers and other ports."""

    def environment(name):
        declared = {
            key: value
            for key, value in services[name]["environment"].items()
            if key not in {"DATABASE_URL", "CELERY_BROKER_URL"}
        }
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
        result = kept | declared
        result["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
        for key in ("DATABASE_URL", "CELERY_BROKER_URL"):
            result[key] = process_environment[key]
        if "HEARTBEAT_FILE" in declared:
            result["HEARTBEAT_FILE"] = str(tmp_path / f"{name}.heartbeat")
        for key in ("PORT", "FLOWER_PORT"):
            if key in declared:
                result[key] = free_port()
        return result

    return environment


def health(services, name, environment):
    return subprocess.run(
        local(services[name]["healthcheck"]["test"][1:]),
        env=environment,
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=seconds(services[name]["healthcheck"]["timeout"]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_a_service_becomes_healthy_and_ends_in_order(name, services, container, processes):
    environment = container(name)
    command = local(services[name]["command"])
    assert health(services, name, environment).returncode == 1
    processes.environment = {}
    process = processes.start(*command, name=name, environment=environment)

    def healthy():
        assert process.is_running, process.output[-4000:]
        return health(services, name, environment).returncode == 0

    wait_until(healthy, seconds=40, what=f"{name} is healthy")
    assert "Traceback" not in process.output

    began = time.monotonic()
    process.terminate(seconds=seconds(services[name]["stop_grace_period"]))
    assert time.monotonic() - began < 15  # nothing was running
    assert health(services, name, environment).returncode == (1 if name in {"web", "flower"} else 0)


@pytest.mark.slow
def test_the_migrate_service_checks_and_migrates(services, container, processes):
    processes.environment = {}
    process = processes.start(
        *services["migrate"]["command"], name="migrate", environment=container("migrate")
    )
    assert process.wait(seconds=60) == 0, process.output
    assert "System check identified no issues" in process.output
    assert "No migrations to apply" in process.output


@pytest.mark.slow
def test_flower_asks_for_a_password(services, container, processes):
    environment = container("flower")
    processes.environment = {}
    processes.start(*local(services["flower"]["command"]), name="flower", environment=environment)
    url = f"http://127.0.0.1:{environment['FLOWER_PORT']}/workers"

    def status(*options):
        done = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, url],
            capture_output=True,
            text=True,
        )
        return done.stdout

    wait_until(lambda: health(services, "flower", environment).returncode == 0, seconds=40)
    assert status() == "401"
    assert status("--user", REQUIRED["FLOWER_BASIC_AUTH"]) == "200"


@pytest.mark.slow
def test_a_process_with_wrong_settings_does_not_start(services, container, processes):
    processes.environment = {}
    for name in ("web", "worker-default", "beat"):
        process = processes.start(
            *local(services[name]["command"]),
            name=name,
            environment=container(name) | {"CELERY_VISIBILITY_TIMEOUT": "60"},
        )
        assert process.wait(seconds=30) != 0
        assert "LURKER.E004" in process.output
        assert "CELERY_VISIBILITY_TIMEOUT (60 s) is not above" in process.output


def test_the_commands_of_the_comments_exist(services):
    text = (BASE_DIR / "docker-compose.yml").read_text()
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", text)) == profiles
