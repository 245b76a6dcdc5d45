"""Environment variables are read strictly: a value that cannot be used is an error with a remedy."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import environment
from config.environment import BASE_DIR, InvalidEnvironment

READERS = {
    name
    for name in (
        *("text", "optional", "secret", "secrets", "boolean", "integer", "choice", "words"),
        *("numbers", "http_url", "broker_url", "database"),
    )
    if callable(getattr(environment, name))
}
# Read by the tests only, or by programs of others under their own names.
NOT_OURS = {"TEST_DATABASE_URL", "TEST_CELERY_BROKER_URL"}


@pytest.fixture
def variable(monkeypatch):
    """Set the variable that the readers below read, in an environment without sources."""
    monkeypatch.setattr(environment, "_sources", {})
    monkeypatch.setattr(environment, "_read_as", {})

    def set_to(value):
        monkeypatch.setenv("LURKER_VARIABLE", value)
        return "LURKER_VARIABLE"

    monkeypatch.delenv("LURKER_VARIABLE", raising=False)
    return set_to


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "Yes", "on", " on "])
def test_true(variable, value):
    assert environment.boolean(variable(value)) is True


@pytest.mark.parametrize("value", ["0", "false", "FALSE", "No", "off"])
def test_false(variable, value):
    assert environment.boolean(variable(value)) is False


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cc"])))
def test_any_other_text_is_no_boolean(value):
    if value.strip().lower() in environment.TRUE | environment.FALSE or not value.strip():
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LURKER_VARIABLE", value)
        with pytest.raises(InvalidEnvironment, match=r"LURKER_VARIABLE: .* neither true nor false"):
            environment.boolean("LURKER_VARIABLE", default=True)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_one_that_is_not_set(variable, value):
    assert environment.boolean(variable(value), default=True) is True
    assert environment.optional(variable(value)) is None
    with pytest.raises(InvalidEnvironment, match="is not set and has no default"):
        environment.text(variable(value))


def test_integers_keep_their_bounds(variable):
    assert environment.integer(variable("7"), minimum=7, maximum=7) == 7
    with pytest.raises(InvalidEnvironment, match=r"6 is out of bounds\. .* between 7 and any"):
        environment.integer(variable("6"), minimum=7)
    with pytest.raises(InvalidEnvironment, match=r"'7\.5' is not a whole number"):
        environment.integer(variable("7.5"))


def test_numbers_are_sorted_and_keep_their_bounds(variable):
    assert environment.numbers(variable("36, 1,1.5,1"), minimum=0.1, maximum=48) == [1, 1.5, 36]
    assert environment.numbers(variable("none"), minimum=0.1, maximum=48) == []
    with pytest.raises(
        InvalidEnvironment, match=r"0 is out of bounds\. Use numbers from 0\.1 to 48"
    ):
        environment.numbers(variable("1,0"), minimum=0.1, maximum=48)
    with pytest.raises(InvalidEnvironment, match="'soon' is not a number"):
        environment.numbers(variable("1,soon"), minimum=0.1, maximum=48)
    with pytest.raises(InvalidEnvironment, match="out of bounds"):
        environment.numbers(variable("nan"), minimum=0.1, maximum=48)


def test_choices_are_listed_in_the_error(variable):
    assert environment.choice(variable("json"), choices=["console", "json"]) == "json"
    with pytest.raises(
        InvalidEnvironment, match=r"'xml' is not a choice\. Use one of: console, json"
    ):
        environment.choice(variable("xml"), choices=["json", "console"])


def test_lists_are_separated_by_commas(variable):
    assert environment.words(variable("a, b,,c ")) == ["a", "b", "c"]
    assert environment.words(variable(""), ["d"]) == ["d"]


@pytest.mark.parametrize(
    "value",
    [
        "short",
        "a" * 60,
        "change-me-change-me-change-me-change-me-change-me",
        "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz",
        "<generate one with the command above, please, really>",
    ],
)
def test_weak_secrets_are_refused_and_not_shown(variable, value):
    with pytest.raises(InvalidEnvironment, match="Generate one") as error:
        environment.secret(variable(value))
    assert value not in str(error.value)
    with pytest.raises(InvalidEnvironment):
        environment.secrets(variable(f"0123456789abcdefghijklmnopqrstuvwxyzABCDEF,{value}"))


@pytest.mark.parametrize("value", ["ftp://host", "http://", "reddit.com", "http://host:port", "/"])
def test_only_http_addresses_pass(variable, value):
    with pytest.raises(InvalidEnvironment, match="is no http address"):
        environment.http_url(variable(value))


def test_http_addresses_lose_their_last_slash(variable):
    assert environment.http_url(variable("https://reddit.example/")) == "https://reddit.example"


@pytest.mark.parametrize(
    "value",
    [
        "redis://host:6379/0",
        "rediss://:password@host/1",
        "redis+socket:///run/redis.sock?virtual_host=2",
        "amqp://user:password@host:5672/vhost",
    ],
)
def test_brokers(variable, value):
    assert environment.broker_url(variable(value)) == value


@pytest.mark.parametrize("value", ["sqs://", "memory://", "redis://", "redis+socket://", "host"])
def test_other_brokers_are_refused(variable, value):
    with pytest.raises(InvalidEnvironment, match=r"LURKER_VARIABLE.*Use redis://"):
        environment.broker_url(variable(value))


@pytest.mark.parametrize(
    "value", ["sqlite:///db", "mysql://user:hunter2@host/name", "postgres://u:hunter2@host", "x"]
)
def test_only_postgres_passes_and_its_password_is_not_shown(variable, value):
    with pytest.raises(InvalidEnvironment, match="Use postgresql://") as error:
        environment.database(variable(value))
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["postgres://me@/name?host=%2FTmp%2Fwith%20blank", "postgres://me@%2FTmp%2Fwith%20blank/name"],
)
def test_socket_folders_keep_their_case_and_blanks(url):
    config = environment.parse_database_url(url)
    assert (config["HOST"], config["NAME"], config["USER"]) == ("/Tmp/with blank", "name", "me")


TEXT = st.text("aZ09 %/?#@:&=+é'", min_size=1, max_size=12)


@given(
    name=TEXT.filter(lambda name: not name.startswith("/")),
    user=TEXT,
    password=TEXT | st.just(""),
    host=st.sampled_from(["db", "10.0.0.1", "/run/My sockets", "/tmp/x"]),
    port=st.sampled_from(["", 5432, 6543]),
    sslmode=st.sampled_from([None, "require"]),
)
def test_a_database_survives_the_way_to_a_child_process(name, user, password, host, port, sslmode):
    config = {
        "NAME": name,
        "USER": user,
        "PASSWORD": password,
        "HOST": host,
        "PORT": port,
        "OPTIONS": {"sslmode": sslmode} if sslmode else {},
    }
    parsed = environment.parse_database_url(environment.database_url(config))
    assert {key: parsed[key] for key in config} == config


def test_passwords_are_masked():
    url = "amqp://user:hunter2@host:5672/vhost?password=hunter2&x=1"
    assert environment.without_password(url) == "amqp://user:***@host:5672/vhost?password=***&x=1"


def test_a_source_is_examined_like_the_environment(variable, monkeypatch):
    variable("")
    environment.provide(LURKER_VARIABLE=lambda: "maybe")
    with pytest.raises(InvalidEnvironment, match="'maybe' is neither"):
        environment.boolean("LURKER_VARIABLE")
    assert environment.boolean(variable("yes")) is True


def test_another_variable_can_be_read_in_its_place(variable, monkeypatch):
    environment.read_as(LURKER_VARIABLE="TEST_LURKER_VARIABLE")
    variable("never read")
    monkeypatch.setenv("TEST_LURKER_VARIABLE", "read")
    assert environment.text("LURKER_VARIABLE") == "read"


def test_dotenv_adds_and_does_not_replace(tmp_path, monkeypatch):
    monkeypatch.setenv("LURKER_SET", "before")
    monkeypatch.setenv("LURKER_NOT_SET", "so that it is removed after the test")
    monkeypatch.delenv("LURKER_NOT_SET")
    (tmp_path / ".env").write_text("LURKER_SET=file\nLURKER_NOT_SET=file\n")
    environment.read_dotenv(tmp_path / ".env")
    environment.read_dotenv(tmp_path / "missing")
    assert (os.environ["LURKER_SET"], os.environ["LURKER_NOT_SET"]) == ("before", "file")


def test_nothing_of_django_is_needed():
    script = (
        "import sys; from config import environment, health; from local import servers; "
        "loaded = {'django.conf', 'django.db', 'celery'} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], cwd=BASE_DIR, check=True)


def variables_read():
    """The names with which our code calls the readers, found in its text."""
    names = set()
    for folder in ("local", "config", "accounts", "jobs", "bots", "scraping"):
        for path in (BASE_DIR / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "environment"
                    and node.func.attr in READERS
                ):
                    assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
                    names.add(node.args[0].value)
    return names


def variables_of_compose():
    text = (BASE_DIR / "docker-compose.yml").read_text()
    return set(re.findall(r"\$\{(\w+)", text))


def variables_explained():
    text = (BASE_DIR / ".env.example").read_text()
    return re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)


def test_the_example_explains_every_variable_and_no_other():
    explained = variables_explained()
    assert len(explained) == len(set(explained))
    # Set inside docker-compose.yml for its own processes, and for nobody else to set.
    known = (variables_read() | variables_of_compose()) - NOT_OURS
    assert set(explained) == known


def test_the_example_holds_no_secret_that_would_work():
    for line in Path(BASE_DIR / ".env.example").read_text().splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if name in {"SECRET_KEY", "ENCRYPTION_KEYS", "POSTGRES_PASSWORD", "FLOWER_BASIC_AUTH"}:
            assert value == "", line
