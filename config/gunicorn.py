"""Settings of gunicorn: `gunicorn --config python:config.gunicorn config.wsgi`."""

from config import environment

bind = f"0.0.0.0:{environment.integer('PORT', 8000, minimum=1, maximum=65535)}"
workers = environment.integer("WEB_CONCURRENCY", 2, minimum=1, maximum=64)
# Pages wait for the database more than for the processor.
worker_class = "gthread"
threads = 4
# Heartbeats of the processes; on a disk, a slow write would look like a hanging process.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn creates its files there safely
# Seconds for a request, and for those under way when the process is told to stop.
timeout = 60
graceful_timeout = 20
# A new process now and then, against what leaks in libraries; not all at the same time.
max_requests = 5000
max_requests_jitter = 500
# Behind a proxy, whose address a container cannot know. Whether Django believes the header is
# decided by TRUST_PROXY_HEADERS.
forwarded_allow_ips = "*"
accesslog = None  # the proxy in front has one
# Its default folder is the home directory, which a container's user does not have.
control_socket_disable = True
