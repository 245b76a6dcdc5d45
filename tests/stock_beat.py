"""Runs django-celery-beat's own unit tests of its scheduler against ours: `python -m tests.stock_beat`.

The tests come from the source distribution of the version that is installed, which pip fetches into
`var/test`; nothing of theirs is kept here. They run on PostgreSQL, in Lurker's settings. Needs
`ephem`, without which Celery has no solar events. Further arguments are pytest's.
"""

import subprocess
import sys
import tarfile

import django_celery_beat

from config.environment import BASE_DIR

FOLDER = BASE_DIR / "var" / "test" / "stock-beat"
TESTS = "t/unit/test_schedulers.py"

# What ours does otherwise on purpose.
DIFFERENT = {
    "test_all_as_schedule": "expects schedules that are not due for two hours to be hidden, which "
    "is what makes stock miss the ones that were",
    "test_heap_always_return_the_first_item": "expects a disabled schedule at the top of the heap "
    "to hold up those behind it; ours has no disabled ones in its heap",
}

CONFTEST = """

@pytest.fixture(autouse=True)
def only_schedules_of_the_test(request):
    # Lurker's migrations install some.
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        from django_celery_beat.models import PeriodicTask, PeriodicTasks
        PeriodicTask.objects.all()._raw_delete("default")
        PeriodicTasks.objects.all().delete()
"""


def fetch() -> None:
    """Fetch the tests of the installed version and let them name our scheduler."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    version = django_celery_beat.__version__
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    source = ["--no-binary", ":all:", f"django-celery-beat=={version}"]
    subprocess.run([*pip, "--dest", str(FOLDER), *source], check=True)
    with tarfile.open(next(FOLDER.glob(f"*{version}.tar.gz"))) as archive:
        for member in archive.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name.startswith("t/"):
                archive.extract(member, FOLDER, filter="data")
    tests = FOLDER / TESTS
    text = tests.read_text()
    for theirs, ours in {
        "schedulers.DatabaseScheduler": "LeaderScheduler",
        "schedulers.ModelEntry": "LeaderScheduler.Entry",
        "import pytest\n": "import pytest\nfrom jobs.beat.scheduler import LeaderScheduler\n",
        "    @pytest.mark.django_db\n    @pytest.fixture": "    @pytest.fixture",  # pytest 9 refuses
    }.items():
        text = text.replace(theirs, ours)
    tests.write_text(text)
    with (FOLDER / "t/unit/conftest.py").open("a") as conftest:
        conftest.write(CONFTEST)
    (FOLDER / "pytest.ini").write_text("[pytest]\npython_classes = test_*\nmarkers =\n  timeout\n")
    (FOLDER / "stock_beat_settings.py").write_text(
        'from config.settings.test import *\nTIME_ZONE = "UTC"\n'
    )


def main(arguments: list[str]) -> int:
    """Run them; the exit status is pytest's."""
    fetch()
    different = " and ".join(f"not {name}" for name in DIFFERENT)
    paths = [str(FOLDER), str(BASE_DIR), *(path for path in sys.path if path)]
    program = f"import sys; sys.path[:0] = {paths!r}; import pytest; sys.exit(pytest.main())"
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "--ds=stock_beat_settings"]
    command = [sys.executable, "-c", program, *options, "-k", different, *arguments, TESTS]
    finished = subprocess.run(command, check=False, cwd=FOLDER)
    for name, why in DIFFERENT.items():
        sys.stdout.write(f"left out: {name} {why}\n")
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
