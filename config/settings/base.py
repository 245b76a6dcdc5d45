"""The settings that all environments share. `.env.example` explains every variable read here."""

from datetime import timedelta
from typing import Any

from kombu import Exchange, Queue

from config import console, environment
from config.environment import BASE_DIR
from config.logs import logging_config

VAR_DIR = BASE_DIR / "var"

# --- Django ---------------------------------------------------------------------------------------

# Signs sessions and links. A new key logs everyone out, ends their tokens, and lets bots try credentials
# again that Reddit has refused.
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
# Days for which a refresh token is valid: a client that asks for no new token within them must log
# in again. Minutes for which a link to set a new password is valid.
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
# The zone of the admin's times, and of crontab schedules without a zone of their own.
TIME_ZONE = environment.text("TIME_ZONE", "UTC")

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Browsers may cache names with a digest forever; WhiteNoise serves the files compressed.
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

UNFOLD = console.UNFOLD

# The most fields in a form. The admin's page that confirms a deletion sends the key of each row;
# with Django's 1,000, deleting some thousand bots would end in an error.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

REST_FRAMEWORK = {
    # An endpoint without permissions of its own is closed, not open.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

# The policy of all pages, and a looser policy of the admin. Unfold evaluates Alpine.js expressions
# in HTML attributes ('unsafe-eval') and sets style attributes; it loads nothing from other hosts.
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

# The lowest level that is logged: DEBUG, INFO, WARNING or ERROR.
LOG_LEVEL = environment.choice("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
# `console` is for people, `json` (one object a line) for programs.
LOG_FORMAT = environment.choice("LOG_FORMAT", "console", choices=("console", "json"))
LOGGING = logging_config(level=LOG_LEVEL, form=LOG_FORMAT)

# --- Database -------------------------------------------------------------------------------------

DATABASES: dict[str, dict[str, Any]] = {
    "default": environment.database("DATABASE_URL")
    | {
        # Seconds that a connection is kept; a broken connection is replaced at its next use. Set 0
        # behind a transaction pooler.
        "CONN_MAX_AGE": environment.integer("DATABASE_CONN_MAX_AGE", 60, minimum=0),
        "CONN_HEALTH_CHECKS": True,
    }
}
# A dead server must not block a request or a task for the kernel's two minutes.
DATABASES["default"]["OPTIONS"] = {"connect_timeout": 5} | DATABASES["default"]["OPTIONS"]

# The address for session-level advisory locks: job locks and the leadership of beats. If
# DATABASE_URL names a transaction pooler, set this to the server itself, because a pooler would
# give a session's locks to others. None: the same address as DATABASE_URL.
LOCK_DATABASE_URL: str | None = environment.optional("LOCK_DATABASE_URL")
if LOCK_DATABASE_URL is not None:
    environment.database("LOCK_DATABASE_URL")  # a typo ends the process here, not at the first lock

# --- Secrets at rest ------------------------------------------------------------------------------

# Fernet keys. The first key encrypts (Reddit client secrets); all keys decrypt. To change keys, put
# the new key in front, write all secrets anew, and then drop the old key.
ENCRYPTION_KEYS: list[str] = environment.secrets("ENCRYPTION_KEYS", minimum_length=44)

# --- Reddit ---------------------------------------------------------------------------------------

# The addresses that issue access tokens and answer the API.
REDDIT_URL = environment.http_url("REDDIT_URL", "https://www.reddit.com")
REDDIT_OAUTH_URL = environment.http_url("REDDIT_OAUTH_URL", "https://oauth.reddit.com")
# The bundled simulator of Reddit's API, for Reddit apps whose service is the simulator.
SIMULATOR_URL = environment.http_url("SIMULATOR_URL", "http://127.0.0.1:8090")
# Seconds that one HTTP request may take, and that one call may take with all its retries.
REDDIT_TIMEOUT_SECONDS = environment.integer("REDDIT_TIMEOUT_SECONDS", 10, minimum=1, maximum=300)
REDDIT_DEADLINE_SECONDS = environment.integer(
    "REDDIT_DEADLINE_SECONDS", 60, minimum=1, maximum=3600
)
# Seconds of the window in which Reddit counts an app's requests, and the longest wait for a permit
# in a worker. A session that would wait longer ends, and its bot runs again later.
REDDIT_BUDGET_WINDOW_SECONDS = environment.integer(
    "REDDIT_BUDGET_WINDOW_SECONDS", 600, minimum=1, maximum=3600
)
REDDIT_BUDGET_WAIT_SECONDS = environment.integer(
    "REDDIT_BUDGET_WAIT_SECONDS", 30, minimum=0, maximum=600
)
# The most HTTP requests of one session for one comment tree, and for all trees. The bot's next
# session continues with the rest.
REDDIT_THREAD_REQUESTS = environment.integer("REDDIT_THREAD_REQUESTS", 40, minimum=1, maximum=10000)
REDDIT_THREADS_SESSION_REQUESTS = environment.integer(
    "REDDIT_THREADS_SESSION_REQUESTS", 200, minimum=2, maximum=10000
)
# For how many hours after a matched post was written its number of comments is checked again.
THREADS_FOLLOW_HOURS = environment.integer("THREADS_FOLLOW_HOURS", 72, minimum=1, maximum=8760)

# How many failed sessions in a row pause a bot. Outages and refused apps do not count.
BOT_FAILURE_LIMIT = environment.integer("BOT_FAILURE_LIMIT", 10, minimum=1, maximum=10_000)

# --- Retention ------------------------------------------------------------------------------------

# For how many days sessions are kept, and posts and comments; a bot may keep content for longer.
SESSION_RETENTION_DAYS = environment.integer(
    "SESSION_RETENTION_DAYS", 30, minimum=1, maximum=36_500
)
CONTENT_RETENTION_DAYS = environment.integer(
    "CONTENT_RETENTION_DAYS", 90, minimum=1, maximum=36_500
)
# How often a deep walk reads each stream again, 36 hours back, to find what moderators let through
# late (comments a third as often); and the most pages that one such run of an app reads.
DEEP_WALK_INTERVAL = timedelta(
    hours=environment.integer("DEEP_WALK_INTERVAL_HOURS", 24, minimum=1, maximum=24 * 31)
)
DEEP_WALK_PAGES = environment.integer("DEEP_WALK_PAGES", 300, minimum=1, maximum=6_000)

# --- Deleted content and refreshes ----------------------------------------------------------------

# Ages in hours at which items are checked for scores, edits and removals. The last age decides
# whether an item reaches the score that a bot asks for ("at least 50 points").
REFRESH_AGES_HOURS = environment.numbers(
    "REFRESH_AGES_HOURS", [1, 36], minimum=0.1, maximum=24 * 90
)
# Within how many hours each stored item is checked on Reddit again, as far as the budget allows.
# What its author has deleted meanwhile is purged.
VERIFY_WITHIN_HOURS = environment.integer("VERIFY_WITHIN_HOURS", 48, minimum=6, maximum=24 * 90)
# The treatment of stored items that moderators removed: `purge` or `keep`. Items that their authors
# deleted, or that Reddit itself took down, are always purged.
REMOVED_CONTENT = environment.choice("REMOVED_CONTENT", "purge", choices=("keep", "purge"))

# --- Celery ---------------------------------------------------------------------------------------

CELERY_BROKER_URL = environment.broker_url("CELERY_BROKER_URL")
_AMQP = CELERY_BROKER_URL.startswith("amqp")

# JSON only: anybody who reaches the broker could run code here by a pickled message.
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_RESULT_ACCEPT_CONTENT = ["json"]

# Seconds after which Redis delivers an unacknowledged message to another worker. It must exceed the
# longest task; otherwise a copy of the message arrives while the task runs, and does nothing.
CELERY_VISIBILITY_TIMEOUT = environment.integer("CELERY_VISIBILITY_TIMEOUT", 7200, minimum=1)
_QUORUM = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 5,
    # RabbitMQ closes the channel of a worker that keeps a message longer. The default, 30 minutes,
    # is as long as a task may run. Milliseconds; RabbitMQ 3.12 and newer.
    "x-consumer-timeout": CELERY_VISIBILITY_TIMEOUT * 1000,
}

# Queues, not priorities: a long backfill in one queue never delays a short task in another.
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a misspelt queue is an error; no message vanishes in it
CELERY_TASK_QUEUES = [
    Queue(
        name,
        # Celery's delayed delivery on RabbitMQ needs topic exchanges and quorum queues. RabbitMQ
        # drops a message that it delivered five times; the run's row tells how the run ended.
        exchange=Exchange(name, type="topic" if _AMQP else "direct"),
        routing_key=name,
        queue_arguments=_QUORUM if _AMQP else None,
    )
    for name in ("default", "scraping", "cleanup")
]
# For tasks that name no queue.
CELERY_TASK_ROUTES = {"scraping.*": {"queue": "scraping"}}

# Seconds: the soft limit raises SoftTimeLimitExceeded in the task, the hard limit kills its
# process. A task that needs more declares its own limits.
CELERY_TASK_SOFT_TIME_LIMIT = environment.integer("CELERY_TASK_SOFT_TIME_LIMIT", 1740, minimum=1)
CELERY_TASK_TIME_LIMIT = environment.integer("CELERY_TASK_TIME_LIMIT", 1800, minimum=2)

# A message is acknowledged when its task is done, so that a worker's death loses nothing; every
# task can be run again. A task that kills its process is retried max_retries times, not forever.
# (These settings matter for tasks of libraries: for jobs, the liveness lock decides, see
# jobs.runs.liveness.)
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_RETRY_ON_WORKER_LOST = True
# A task continues when the broker is lost; the second copy of its message cannot claim the run.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False

# A worker takes only the messages that it runs: waiting messages stay visible in the queue.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = not _AMQP  # Celery supports it on Redis only
CELERY_WORKER_ETA_TASK_LIMIT = 100
# Processes of one worker: more than processors, because tasks mostly wait for Reddit.
CELERY_WORKER_CONCURRENCY = environment.integer(
    "CELERY_WORKER_CONCURRENCY", 4, minimum=1, maximum=256
)
# A process is replaced after so many tasks, against leaks in libraries, and when it uses more than
# so many MiB; it finishes its task first.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 1024 * environment.integer(  # Celery counts in KiB
    "CELERY_WORKER_MAX_MEMORY_MIB", 512, minimum=64
)
# Seconds that running tasks get after SIGTERM, before they return to the queue. It needs
# REMAP_SIGTERM=SIGQUIT in the worker's environment, and a longer grace before SIGKILL.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = environment.integer(
    "CELERY_SOFT_SHUTDOWN_TIMEOUT", 20, minimum=0, maximum=3600
)

# A frozen broker must cause an error within seconds, above all in web requests.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"confirm_publish": True}
    if _AMQP
    else {
        "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        # Seconds after which a worker checks that its listening connection is still alive.
        "health_check_interval": 10,
    }
)
# Seconds between heartbeats on a connection to RabbitMQ; after two missed heartbeats the connection
# is closed. With this setting and the next, a worker with a half-open connection (nothing passes,
# and neither side knows) has a new connection within a minute. Celery's defaults leave it deaf for
# up to four minutes.
CELERY_BROKER_HEARTBEAT = 15
# RabbitMQ may believe longer that the old connection lives, and refuse its exclusive queue to the
# new one. With True a worker retries until then; otherwise it would end.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_CONNECTION_TIMEOUT = 4
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # workers and beats survive any broker outage
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 2,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.5,
}

# The run history is in the database. A job in `jobs` deletes old rows in batches. Celery's own
# clean-up is one DELETE of all old rows, so it is switched off (None).
CELERY_RESULT_BACKEND = "jobs.runs.backend:RunBackend"
CELERY_RESULT_EXTENDED = True  # also stores name, arguments, worker and queue
CELERY_RESULT_EXPIRES = None
# For how many days ended runs are kept.
RUN_HISTORY_DAYS = environment.integer("RUN_HISTORY_DAYS", 30, minimum=1)
# The claim writes STARTED, in the statement that takes the run.
CELERY_TASK_TRACK_STARTED = False
# How many tasks a process runs before it opens a new database connection; unset, each task opens
# one.
CELERY_DB_REUSE_MAX = 500

# For Flower, and for `celery events`.
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True

CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "jobs.beat.scheduler:LeaderScheduler"
# Seconds between two looks at the schedules: how soon an edit in the admin takes effect.
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
# Seconds after which beat compares all schedules with the database unasked: how soon a change
# outside the admin takes effect, for example by SQL.
BEAT_RESYNC_SECONDS = environment.integer("BEAT_RESYNC_SECONDS", 10, minimum=1, maximum=3600)
