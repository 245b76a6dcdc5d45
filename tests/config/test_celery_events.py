"""Workers tell of their tasks, as Flower needs it, without a message for each."""

import threading

import pytest

from config.celery import app
from tests.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

TASKS = 40


class Listener:
    """Counts the messages that events come in, and keeps the events."""

    def __init__(self):
        self.messages = 0
        self.events = []
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def listen(self):
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": self.events.append})
            receive = receiver._receive

            def count(body, message):
                self.messages += isinstance(body, list)  # those of workers come singly
                receive(body, message)

            receiver._receive = count
            with receiver.consumer_context() as (used, _, _):
                while not self.ends.is_set():
                    try:
                        used.drain_events(timeout=0.5)
                    except TimeoutError:
                        continue

    def of(self, kind):
        return [event["uuid"] for event in list(self.events) if event["type"] == kind]


def test_the_events_of_many_tasks_come_in_few_messages_and_completely(processes, broker, tmp_path):
    listener = Listener()
    listener.thread.start()
    processes.worker(
        "--task-events",
        concurrency=2,
        application="tests.config.worker_tasks",
        environment={"TASK_FOLDER": str(tmp_path)},
    )
    wait_until(lambda: listener.events, what="a worker tells that it is there")
    with app.producer_or_acquire() as producer:
        sent = {
            app.send_task("tests.mark", args=["x"], queue="default", producer=producer).id
            for _ in range(TASKS)
        }

    wait_until(lambda: len(listener.of("task-succeeded")) >= TASKS, seconds=30)
    listener.ends.set()
    listener.thread.join(5)

    for kind in ("task-received", "task-started", "task-succeeded"):
        assert set(listener.of(kind)) == sent
        assert len(listener.of(kind)) == TASKS
    assert listener.messages <= TASKS  # and not two for each, or more
