"""Gunicorn's settings: `gunicorn --config python:config.gunicorn config.wsgi`."""

from config import environment

bind = f"0.0.0.0:{environment.integer('PORT', 8000, minimum=1, maximum=65535)}"
workers = environment.integer("WEB_CONCURRENCY", 2, minimum=1, maximum=64)
# Threads, because pages mostly wait for the database and not for the processor.
worker_class = "gthread"
threads = 4
# Files for the heartbeats of the processes. On a disk, a slow write would look like a hanging
# process.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn creates its files there safely
# Seconds without a heartbeat after which a process is killed; a slow request in a thread does not
# stop the heartbeat. The second value: seconds for running requests when the process is told to
# stop.
timeout = 60
graceful_timeout = 20
# Replace a process now and then, against leaks in libraries, but not all processes at once.
max_requests = 5000
max_requests_jitter = 500
# Lurker runs behind a proxy whose address a container cannot know. With "*", gunicorn takes the
# scheme of a request from X-Forwarded-Proto, whoever sends it, and Django reads that scheme. So the
# proxy must set or remove the header, whatever TRUST_PROXY_HEADERS says.
forwarded_allow_ips = "*"
accesslog = None  # the proxy in front writes one
# The socket's default folder is the home directory, which a container's user does not have.
control_socket_disable = True
