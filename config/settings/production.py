"""Production settings: no secret has a default, and TLS is required unless you switch it off."""

from config import environment

environment.read_dotenv()

from config.settings.base import *  # noqa: E402

# The host names of Lurker; it refuses requests for other names.
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS")
# Full origins of other hosts whose pages may post forms here, such as https://lurker.example.org.
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS", [])

# Whether a proxy in front sets X-Forwarded-Proto, and removes the header from clients' requests.
if environment.boolean("TRUST_PROXY_HEADERS", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = environment.boolean("SECURE_SSL_REDIRECT", default=True)
# Seconds for which browsers refuse plain HTTP. It cannot be undone before they are over.
SECURE_HSTS_SECONDS = environment.integer("SECURE_HSTS_SECONDS", 31_536_000, minimum=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.boolean(
    "SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False
)
# Sub-domains may belong to others, and an entry in the browsers' preload list is hard to undo. The
# owner of the domain decides both.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The address for error reports; off unless set. send_default_pii=False keeps Sentry from adding
# data about users and requests by itself, but messages and local variables in a traceback may
# contain personal data.
SENTRY_DSN = environment.optional("SENTRY_DSN")
if SENTRY_DSN is not None:
    import sentry_sdk

    sentry_sdk.init(
        dsn=environment.http_url("SENTRY_DSN"),
        environment=environment.text("SENTRY_ENVIRONMENT", "production"),
        send_default_pii=False,
    )
