"""Production: nothing secret has a default, and nothing is served without TLS unless you say so."""

from config import environment

environment.read_dotenv()

from config.settings.base import *  # noqa: E402

# The names under which users reach Lurker; requests for others are refused.
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS")
# Full origins of pages on other hosts whose forms may post here, such as https://lurker.example.org.
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS", [])

# Whether a proxy in front sets X-Forwarded-Proto and removes it from what clients send.
if environment.boolean("TRUST_PROXY_HEADERS", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = environment.boolean("SECURE_SSL_REDIRECT", default=True)
# Seconds for which browsers must not use plain HTTP any more. There is no way back within them.
SECURE_HSTS_SECONDS = environment.integer("SECURE_HSTS_SECONDS", 31_536_000, minimum=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.boolean(
    "SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False
)
# Sub-domains may belong to others, and an entry in the browsers' preload list is hard to undo: both
# are the decision of whoever owns the domain.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Where errors are reported to; off unless set. Reports carry no personal data.
SENTRY_DSN = environment.optional("SENTRY_DSN")
if SENTRY_DSN is not None:
    import sentry_sdk

    sentry_sdk.init(
        dsn=environment.http_url("SENTRY_DSN"),
        environment=environment.text("SENTRY_ENVIRONMENT", "production"),
        send_default_pii=False,
    )
