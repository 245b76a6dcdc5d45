"""A worker outlives the loss of Redis while it holds a message."""

import pytest
from celery import Celery

from local.servers import launching
from local.servers.redis import RedisServer
from tests.processes import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def own_redis(tmp_path):
    """A Redis server of this test's own, which it may kill."""
    data_dir = tmp_path / "redis"
    data_dir.mkdir()
    server = RedisServer(data_dir)
    server.start()
    yield server
    server.stop()


def test_a_worker_that_holds_a_message_survives_the_loss_of_redis(processes, own_redis, tmp_path):
    worker = processes.worker(
        application="tests.config.worker_tasks",
        concurrency=2,  # one process holds the message, for the other the worker waits at Redis
        environment={
            "TEST_CELERY_BROKER_URL": own_redis.url(),
            "TEST_BROKER_PREFIX": "",
            "TASK_FOLDER": str(tmp_path),
        },
    )
    sender = Celery("sender", broker=own_redis.url(), set_as_current=False)
    sender.send_task("tests.hold", args=[4], queue="default")
    wait_until((tmp_path / "held").exists, what="the task runs")

    own_redis.process().kill()
    worker.wait_for("Connection to broker lost")
    own_redis.start()

    def answers():
        assert worker.is_running, worker.output[-4000:]
        return (tmp_path / "after").exists()

    # Celery connects again after 2, 4 and 6 seconds.
    with sender.connection_for_write() as connection:
        sender.send_task("tests.mark", args=["after"], queue="default", connection=connection)
    wait_until(answers, seconds=40, what="the worker takes the next task")
    assert launching.is_alive(worker.pid)
