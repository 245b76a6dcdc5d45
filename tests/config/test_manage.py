"""`manage.py` runs by the checkout's .venv, whichever Python starts it and from wherever."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import django
import pytest

from config.environment import BASE_DIR

MANAGE = BASE_DIR / "manage.py"
# Reports which interpreter runs it, in place of Django's command line.
DJANGO = {
    "django/__init__.py": "",
    "django/core/__init__.py": "",
    "django/core/management.py": """
import os, sys
def execute_from_command_line(argv):
    print(sys.prefix, argv, os.getcwd(), sys.flags.dev_mode, sep="|")
    raise SystemExit(3)
""",
}


@pytest.fixture(scope="module")
def bare():
    """A Python that has no Django."""
    candidates = [
        sys._base_executable,
        *map(shutil.which, ("python3", "python")),
        "/usr/bin/python3",
    ]
    for python in filter(None, candidates):
        if subprocess.run([python, "-c", "import django"], capture_output=True).returncode:
            return python
    pytest.skip("no Python without Django is installed")


def run(*command, cwd=None, **environment):
    """Run a command as from a shell in which no environment is active."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd or "/",
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def checkout(tmp_path, bare):
    """A checkout with a .venv of its own, whose Django tells who runs it."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copy(MANAGE, folder)
    subprocess.run([bare, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (packages,) = (folder / ".venv").glob("lib/python3*/site-packages")
    install(packages)
    return folder


def install(packages):
    for name, text in DJANGO.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)


def test_this_checkout_works_by_any_python(bare):
    # Settings that cannot be imported: --version needs none, and starts no servers.
    done = run(bare, MANAGE, "--version", DJANGO_SETTINGS_MODULE="none")
    assert (done.stdout.strip(), done.stderr) == (django.get_version(), "")


@pytest.mark.parametrize("how", ["absolute", "relative", "symlink", "elsewhere"])
def test_it_takes_the_checkouts_python_and_all_arguments(checkout, bare, tmp_path, how):
    link = tmp_path / "lurker"
    link.symlink_to(checkout / "manage.py")
    path, cwd = {
        "absolute": (checkout / "manage.py", Path("/")),
        "relative": ("manage.py", checkout),
        "symlink": (link, Path("/")),
        "elsewhere": ("../manage.py", checkout / ".venv"),
    }[how]
    done = run(bare, "-X", "dev", path, "runs", "--failed", "a b", "", cwd=cwd)
    assert done.returncode == 3, done.stderr
    prefix, arguments, folder, dev_mode = done.stdout.strip().split("|")
    assert prefix == str(checkout / ".venv")
    assert arguments == str([str(path), "runs", "--failed", "a b", ""])
    assert (folder, dev_mode) == (str(cwd), "True")


def test_as_a_program_it_needs_no_command_named_python(checkout, tmp_path, bare):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(bare)
    done = run("./manage.py", "help", cwd=checkout, PATH=str(folder) + ":/usr/bin:/bin")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith(str(checkout / ".venv"))


def test_the_checkouts_own_python_goes_on_as_it_is(checkout):
    done = run(checkout / ".venv/bin/python", checkout / "manage.py", "help")
    assert done.stdout.startswith(str(checkout / ".venv"))


def test_without_an_environment_it_takes_the_python_that_it_has(checkout, bare, tmp_path):
    shutil.rmtree(checkout / ".venv")
    install(tmp_path / "packages")
    done = run(bare, checkout / "manage.py", "help", PYTHONPATH=str(tmp_path / "packages"))
    assert done.returncode == 3, done.stderr
    assert ".venv" not in done.stdout


@pytest.mark.parametrize("state", ["missing", "empty", "of a Python that is gone", "no venv"])
def test_where_no_python_has_django_it_says_what_to_do(checkout, bare, state):
    environment = checkout / ".venv"
    if state == "missing":
        shutil.rmtree(environment)
    elif state == "empty":
        shutil.rmtree(next(environment.glob("lib/*/site-packages/django")))
    elif state == "of a Python that is gone":
        for python in environment.glob("bin/python*"):
            python.unlink()
            python.symlink_to("/nowhere/python3")
    else:
        # Started by its python, this would be no virtual environment: it must not start itself
        # again and again.
        (environment / "pyvenv.cfg").unlink()
    done = run(bare, checkout / "manage.py", "help")
    assert done.returncode == 1
    assert "make install" in done.stderr
    assert str(checkout) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_is_missing_elsewhere_is_told_as_it_is(checkout, bare):
    (management,) = (checkout / ".venv").glob("lib/*/site-packages/django/core/management.py")
    management.write_text("import nothing_of_this_name")
    done = run(bare, checkout / "manage.py", "help")
    assert "nothing_of_this_name" in done.stderr
    assert "make install" not in done.stderr


def test_processes_that_it_starts_find_their_own_way(checkout, bare):
    (management,) = (checkout / ".venv").glob("lib/*/site-packages/django/core/management.py")
    management.write_text(
        "import os\n"
        "def execute_from_command_line(argv):\n"
        "    print([name for name in os.environ if 'LURKER' in name or 'MANAGE' in name])\n"
    )
    assert run(bare, checkout / "manage.py", "help").stdout == "[]\n"


def test_the_file_reads_on_pythons_that_are_too_old_for_the_rest():
    ast.parse(MANAGE.read_text(), feature_version=(3, 7))
