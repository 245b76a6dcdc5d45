"""What all of Lurker's settings share. Every variable read here is explained in `.env.example`."""

from datetime import timedelta
from typing import Any

from kombu import Exchange, Queue

from config import console, environment
from config.environment import BASE_DIR
from config.logs import logging_config

VAR_DIR = BASE_DIR / "var"

# --- Django ---------------------------------------------------------------------------------------

# Signs sessions, CSRF tokens and links. A new one logs everyone out and harms nothing else.
SECRET_KEY = environment.secret("SECRET_KEY", minimum_length=50)

DEBUG = False
ALLOWED_HOSTS: list[str] = []

INSTALLED_APPS = [
    "config",  # first: it sets up Celery before any other app could send a task
    "unfold",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_celery_beat",
    "django_celery_results",
    "accounts",
    "jobs",
    "bots",
    "scraping",
]

MIDDLEWARE = [
    "config.middleware.HealthMiddleware",  # first: a probe knows neither the host name nor TLS
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Days after which a client has to log in again that has not asked for a new token meanwhile, and
# minutes for which a link that sets a new password is good.
REFRESH_TOKEN_DAYS = environment.integer("REFRESH_TOKEN_DAYS", 30, minimum=1, maximum=3650)
PASSWORD_RESET_MINUTES = environment.integer(
    "PASSWORD_RESET_MINUTES", 60, minimum=1, maximum=10_080
)
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
USE_I18N = True
FORMAT_MODULE_PATH = ["config.formats"]
USE_TZ = True
# The zone of the admin's clock and of crontab schedules that name none of their own.
TIME_ZONE = environment.text("TIME_ZONE", "UTC")

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Names with a digest in them may be cached for ever; WhiteNoise serves them compressed.
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

UNFOLD = console.UNFOLD

# The admin's page that confirms a deletion sends the key of each row: so many at most. Django's
# 1,000 would end the deletion of some thousand bots in an error.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

REST_FRAMEWORK = {
    # An endpoint that says nothing about permissions is closed, not open.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

# The policy of all pages, and of the admin: unfold evaluates Alpine.js expressions out of HTML
# attributes ('unsafe-eval') and sets style attributes; it loads nothing from other hosts.
CONTENT_SECURITY_POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
ADMIN_CONTENT_SECURITY_POLICY = CONTENT_SECURITY_POLICY | {
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
}

# --- Logs -----------------------------------------------------------------------------------------

# The least severe messages that are written: DEBUG, INFO, WARNING or ERROR.
LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
# `console` is for eyes, `json` (one object a line) for machines.
LOG_FORMAT = environment.choice("LOG_FORMAT", "console", choices=("console", "json"))
LOGGING = logging_config(level=LOG_LEVEL, form=LOG_FORMAT)

# --- Database -------------------------------------------------------------------------------------

DATABASES: dict[str, dict[str, Any]] = {
    "default": environment.database("DATABASE_URL")
    | {
        # Seconds that a connection is kept; one that broke meanwhile is replaced when it is used.
        # Behind a transaction pooler, 0.
        "CONN_MAX_AGE": environment.integer("DATABASE_CONN_MAX_AGE", 60, minimum=0),
        "CONN_HEALTH_CHECKS": True,
    }
}
# A server that is gone must not hold up a request or a task for the kernel's two minutes.
DATABASES["default"]["OPTIONS"] = {"connect_timeout": 5} | DATABASES["default"]["OPTIONS"]

# Where session-level advisory locks are taken: job locks and the leadership of the beats. Names
# the server itself when DATABASE_URL names a transaction pooler, which would hand a session's
# locks to others. None: the same address as DATABASE_URL.
LOCK_DATABASE_URL: str | None = environment.optional("LOCK_DATABASE_URL")
if LOCK_DATABASE_URL is not None:
    environment.database("LOCK_DATABASE_URL")  # a typo ends the process here, not at the first lock

# --- Secrets at rest ------------------------------------------------------------------------------

# Fernet keys. The first encrypts (Reddit client secrets), all of them decrypt: to change keys, put
# the new one in front and drop the old one after everything was written anew.
ENCRYPTION_KEYS: list[str] = environment.secrets("ENCRYPTION_KEYS", minimum_length=44)

# --- Reddit ---------------------------------------------------------------------------------------

# Where access tokens are asked for, and where the API answers to them.
REDDIT_URL = environment.http_url("REDDIT_URL", "https://www.reddit.com")
REDDIT_OAUTH_URL = environment.http_url("REDDIT_OAUTH_URL", "https://oauth.reddit.com")
# The bundled simulator of Reddit's API, for Reddit apps that are set to it.
SIMULATOR_URL = environment.http_url("SIMULATOR_URL", "http://127.0.0.1:8090")
# Seconds that one HTTP request may take, and that one call may take with all its repetitions.
REDDIT_TIMEOUT_SECONDS = environment.integer("REDDIT_TIMEOUT_SECONDS", 10, minimum=1, maximum=300)
REDDIT_DEADLINE_SECONDS = environment.integer(
    "REDDIT_DEADLINE_SECONDS", 60, minimum=1, maximum=3600
)
# Seconds of the windows in which Reddit counts an app's requests, and the longest wait for one of
# them in a worker: a session that had to wait longer ends, and its bot runs again later.
REDDIT_BUDGET_WINDOW_SECONDS = environment.integer(
    "REDDIT_BUDGET_WINDOW_SECONDS", 600, minimum=1, maximum=3600
)
REDDIT_BUDGET_WAIT_SECONDS = environment.integer(
    "REDDIT_BUDGET_WAIT_SECONDS", 30, minimum=0, maximum=600
)
# HTTP requests that one session spends on one comment tree, and on all trees. What they do not
# suffice for goes on after the bot's next session.
REDDIT_THREAD_REQUESTS = environment.integer("REDDIT_THREAD_REQUESTS", 40, minimum=1, maximum=10000)
REDDIT_THREADS_SESSION_REQUESTS = environment.integer(
    "REDDIT_THREADS_SESSION_REQUESTS", 200, minimum=2, maximum=10000
)
# Hours after its writing for which a matched post's number of comments is asked for again.
THREADS_FOLLOW_HOURS = environment.integer("THREADS_FOLLOW_HOURS", 72, minimum=1, maximum=8760)

# Failed sessions in a row after which a bot is paused. Outages and refused apps do not count.
BOT_FAILURE_LIMIT = environment.integer("BOT_FAILURE_LIMIT", 10, minimum=1, maximum=10_000)

# --- Retention ------------------------------------------------------------------------------------

# Days for which sessions, and posts and comments, are kept; a bot may ask for longer.
SESSION_RETENTION_DAYS = environment.integer(
    "SESSION_RETENTION_DAYS", 30, minimum=1, maximum=36_500
)
CONTENT_RETENTION_DAYS = environment.integer(
    "CONTENT_RETENTION_DAYS", 90, minimum=1, maximum=36_500
)
# Each stream is read anew so often (comments a third as often), 36 hours back, for what moderators
# let through late; and so many pages one such run of an app reads at most.
DEEP_WALK_INTERVAL = timedelta(
    hours=environment.integer("DEEP_WALK_INTERVAL_HOURS", 24, minimum=1, maximum=24 * 31)
)
DEEP_WALK_PAGES = environment.integer("DEEP_WALK_PAGES", 300, minimum=1, maximum=6_000)

# --- Deleted content and refreshes ----------------------------------------------------------------

# Ages in hours at which items are asked about once more for their scores, edits and removals. What
# a bot asks for beyond terms ("at least 50 points") is decided at the last of them.
REFRESH_AGES_HOURS = environment.numbers(
    "REFRESH_AGES_HOURS", [1, 36], minimum=0.1, maximum=24 * 90
)
# Hours within which every stored item is looked up on Reddit again, as far as the budget allows:
# what its author has deleted meanwhile is purged.
VERIFY_WITHIN_HOURS = environment.integer("VERIFY_WITHIN_HOURS", 48, minimum=6, maximum=24 * 90)
# What happens to stored items that moderators have removed: `purge` or `keep`. What authors delete,
# and what Reddit itself takes down, is purged in any case.
REMOVED_CONTENT = environment.choice("REMOVED_CONTENT", "purge", choices=("keep", "purge"))

# --- Celery ---------------------------------------------------------------------------------------

CELERY_BROKER_URL = environment.broker_url("CELERY_BROKER_URL")
_AMQP = CELERY_BROKER_URL.startswith("amqp")

# JSON only: a pickled message would be code that whoever reaches the broker may run here.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_RESULT_ACCEPT_CONTENT = ["json"]

# Seconds after which Redis hands an unacknowledged message to another worker. Above the longest
# task, or that is handed out while it runs, to end at the claim.
CELERY_VISIBILITY_TIMEOUT = environment.integer("CELERY_VISIBILITY_TIMEOUT", 7200, minimum=1)
_QUORUM = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 5,
    # RabbitMQ closes the channel of a worker that keeps a message longer; by default 30 minutes,
    # which is how long a task may run. Milliseconds; RabbitMQ 3.12 and newer.
    "x-consumer-timeout": CELERY_VISIBILITY_TIMEOUT * 1000,
}

# Queues instead of priorities: a long backfill in one never delays a short task in another.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a misspelt queue is an error, not a place to vanish in
CELERY_TASK_QUEUES = [
    Queue(
        name,
        # Topic exchanges and quorum queues are what delayed delivery on RabbitMQ needs. A message
        # that was handed out five times is a poison pill; the run's row knows how it ended.
        exchange=Exchange(name, type="topic" if _AMQP else "direct"),
        routing_key=name,
        queue_arguments=_QUORUM if _AMQP else None,
    )
    for name in ("default", "scraping", "cleanup")
]
# For tasks that do not name a queue themselves.
CELERY_TASK_ROUTES = {"scraping.*": {"queue": "scraping"}}

# Seconds: SoftTimeLimitExceeded is raised in the task, and later its process is killed. A task that
# needs more says so itself.
CELERY_TASK_SOFT_TIME_LIMIT = environment.integer("CELERY_TASK_SOFT_TIME_LIMIT", 1740, minimum=1)
CELERY_TASK_TIME_LIMIT = environment.integer("CELERY_TASK_TIME_LIMIT", 1800, minimum=2)

# A message is acknowledged when its task is done, so that a worker's death loses nothing; every
# task can be run again. A task that kills its process is repeated max_retries times, not for ever.
# (For tasks of libraries: of a job's worker its row says whether it lives, see jobs.runs.liveness.)
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_RETRY_ON_WORKER_LOST = True
# Tasks run on when the broker is lost; their second delivery finds them claimed and ends there.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False

# A worker takes what it runs and no more: what waits is visible to all, in the queue.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = not _AMQP  # Redis only, says Celery
CELERY_WORKER_ETA_TASK_LIMIT = 100
# Processes of one worker: tasks mostly wait for Reddit, so more than there are processors.
CELERY_WORKER_CONCURRENCY = environment.integer(
    "CELERY_WORKER_CONCURRENCY", 4, minimum=1, maximum=256
)
# A new process now and then, against what leaks in libraries, and when one has grown beyond so many
# MiB; it ends its task first.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 1024 * environment.integer(  # Celery counts in KiB
    "CELERY_WORKER_MAX_MEMORY_MIB", 512, minimum=64
)
# Seconds that running tasks get after SIGTERM, before they go back to the queue. Needs
# REMAP_SIGTERM=SIGQUIT in the worker's environment and a longer grace of whoever ends it.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = environment.integer(
    "CELERY_SOFT_SHUTDOWN_TIMEOUT", 20, minimum=0, maximum=3600
)

# A frozen broker must end in an error within seconds, in web requests above all.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"confirm_publish": True}
    if _AMQP
    else {
        "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        # Seconds after which a worker asks whether what it listens to is still there.
        "health_check_interval": 10,
    }
)
# Seconds between heartbeats on a connection to RabbitMQ, which is given up after two without
# any. With these two a worker whose connection is half-open (nothing passes, and nobody has been
# told) has another within a minute. Celery's own figures leave it deaf for up to four minutes.
CELERY_BROKER_HEARTBEAT = 15
# RabbitMQ may think longer that the old connection lives, and refuses its exclusive queue to the
# new one: a worker tries again until then, and would end otherwise.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_CONNECTION_TIMEOUT = 4
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers and beats outlast any outage of the broker
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 2,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.5,
}

# The run history is in the database. Old rows are removed by a task of `jobs`, in batches; Celery's
# own clean-up is one DELETE of everything, so it is left out (None).
CELERY_RESULT_BACKEND = "jobs.runs.backend:RunBackend"
CELERY_RESULT_EXTENDED = True  # name, arguments, worker and queue, too
CELERY_RESULT_EXPIRES = None
# Days for which runs that have ended are kept.
RUN_HISTORY_DAYS = environment.integer("RUN_HISTORY_DAYS", 30, minimum=1)
# Written by the claim, in the statement that takes the run.
CELERY_TASK_TRACK_STARTED = False
# Tasks that a process runs before it opens a new database connection; unset, each opens one.
CELERY_DB_REUSE_MAX = 500

# For Flower, and for `celery events`.
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True

CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "jobs.beat.scheduler:LeaderScheduler"
# Seconds between two looks at the schedules: how soon an edit in the admin takes effect.
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
# Seconds after which the beat compares all schedules with the database unasked: how soon a change
# takes effect that was made past the admin, such as by SQL.
BEAT_RESYNC_SECONDS = environment.integer("BEAT_RESYNC_SECONDS", 10, minimum=1, maximum=3600)
