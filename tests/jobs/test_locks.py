"""A lock has one holder, says who it is, and does not outlive him."""

import os

import pytest
from django.db import connection

from jobs import locks
from tests.processes import wait_until

pytestmark = pytest.mark.django_db

HOLDER = """
import sys, time, django
django.setup()
from jobs import locks
with locks.hold(sys.argv[1]):
    print("HELD", flush=True)
    time.sleep(600)
"""


def test_a_held_lock_is_refused_to_others_at_once():
    with locks.hold("a job"), pytest.raises(locks.LockHeld) as refused, locks.hold("a job"):
        pytest.fail("held twice")

    assert refused.value.key == "a job"
    assert f":{os.getpid()} a job" in str(refused.value)


def test_it_is_seen_in_the_middle_of_a_transaction():
    """PostgreSQL keeps what it said of other sessions until a transaction's end."""
    assert not locks.is_held("a job")

    with locks.hold("a job"):
        assert locks.is_held("a job")
    assert not locks.is_held("a job")


def test_it_is_free_after_the_block_however_that_ended():
    with pytest.raises(ZeroDivisionError), locks.hold("a job"):
        raise ZeroDivisionError

    assert not locks.is_held("a job")
    with locks.hold("a job"):
        pass


def test_it_can_be_taken_again_at_once():
    """A run that follows another one at its heels must not find the lock of the one that ended."""
    for _ in range(100):
        with locks.hold("a job"):
            pass


def test_others_locks_are_independent():
    with locks.hold("a job"), locks.hold("another job"):
        assert set(locks.holders(["a job", "another job", "a third"])) == {"a job", "another job"}


def test_the_holder_is_known_with_process_and_time():
    with locks.hold("a job"):
        holder = locks.holder("a job")

    assert holder.application_name.startswith("lurker ")
    assert f":{os.getpid()} " in holder.application_name
    assert holder.since.tzinfo is not None


def test_keys_map_to_different_numbers_that_postgresql_takes():
    numbers = {locks.lock_id(f"scrape-bot:{number}") for number in range(20_000)}

    assert len(numbers) == 20_000
    assert all(-(2**63) <= number < 2**63 for number in numbers)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("high_bit", [0, 1])
def test_the_holder_is_found_whatever_the_number(sign, high_bit):
    """pg_locks shows the number as two unsigned halves, which must be put together again."""
    key = next(
        key
        for key in map(str, range(1_000))
        if (locks.lock_id(key) < 0) == (sign < 0) and (locks.lock_id(key) >> 31) & 1 == high_bit
    )

    with locks.hold(key):
        assert locks.is_held(key)


@pytest.mark.parametrize(
    "key", ["k" * 500, "ü" * 60, "x" + "ü" * 60], ids=["long", "even bytes", "odd bytes"]
)
def test_long_keys_and_keys_in_any_script_can_be_held(key):
    with locks.hold(key):
        assert locks.is_held(key)


def test_locks_may_live_on_a_server_of_their_own(settings):
    from django.db import connection

    from config.environment import database_url

    settings.LOCK_DATABASE_URL = database_url(connection.settings_dict)

    with locks.hold("a job"), pytest.raises(locks.LockHeld), locks.hold("a job"):
        pytest.fail("held twice")


@pytest.mark.slow
def test_a_killed_process_frees_its_lock(processes):
    process = processes.start("-c", HOLDER, "a job", name="holder", ready="HELD")
    assert f":{process.pid} " in locks.holder("a job").application_name
    with pytest.raises(locks.LockHeld), locks.hold("a job"):
        pytest.fail("held in two processes")

    process.kill()

    wait_until(lambda: not locks.is_held("a job"), what="the lock is free")
    with locks.hold("a job"):
        pass


class TestLockSets:
    def test_those_that_are_free_are_taken_and_the_others_are_not(self):
        with locks.LockSet("one") as one, locks.LockSet("two") as two:
            assert one.try_acquire(["a", "b"]) == {"a", "b"}

            assert two.try_acquire(["b", "c"]) == {"c"}
            assert locks.is_held("c")

            one.release()
            assert two.try_acquire(["a", "b"]) == {"a", "b"}

    def test_closing_frees_them_and_again_does_no_harm(self):
        taken = locks.LockSet("one")
        taken.try_acquire(["a"])
        assert locks.holder("a").application_name.endswith("one")

        taken.close()
        taken.close()

        assert not locks.is_held("a")

    def test_no_keys_need_no_connection(self):
        idle = locks.LockSet("one")

        assert idle.try_acquire([]) == set()
        assert idle._connection is None
        idle.release()

    def test_a_connection_that_broke_is_made_anew_after_the_release(self):
        with locks.LockSet("broken") as broken:
            broken.try_acquire(["a"])
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name LIKE '% broken'"
                )
            broken.release()

            assert broken.try_acquire(["a"]) == {"a"}
