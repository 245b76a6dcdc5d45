import hashlib
import hmac

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from bots import encryption

# Reddit's limit per OAuth client id, averaged over ten minutes.
REDDIT_REQUESTS_PER_MINUTE = 100


class RedditApp(models.Model):
    """An API client that Reddit knows by its client id. All its bots share one budget."""

    class Service(models.TextChoices):
        """The API that the app calls. Settings hold the URLs: no token goes to a URL from a user."""

        REDDIT = "reddit", _("Reddit")
        SIMULATOR = "simulator", _("Simulator")

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="reddit_apps",
        verbose_name=_("owner"),
    )
    name = models.CharField(_("name"), max_length=100)
    service = models.CharField(
        _("service"),
        max_length=20,
        choices=Service,
        default=Service.REDDIT,
        help_text=_(
            "The simulator comes with Lurker. It offers the same API and needs no account."
        ),
    )
    client_id = models.CharField(
        _("client id"),
        max_length=100,
        validators=[
            RegexValidator(
                r"^[\w-]+$",
                _(
                    "“%(value)s” is not a client id. Enter letters, digits, _ and - exactly as "
                    "Reddit shows them."
                ),
            )
        ],
        help_text=_("Reddit shows the client id under the app's name on the page of your apps."),
    )
    encrypted_secret = models.TextField(editable=False, blank=True, default="")
    user_agent = models.CharField(
        _("user agent"),
        max_length=200,
        validators=[
            RegexValidator(
                r"^[^:\s]+:[^:\s]+:\S+ \(by /u/[\w-]+\)$",
                _(
                    "“%(value)s” does not follow Reddit's rules. Enter <platform>:<app id>:"
                    "<version> (by /u/<name>), for example linux:org.example.lurker:1.0 (by "
                    "/u/someone)."
                ),
            )
        ],
        help_text=_("Reddit's rules require <platform>:<app id>:<version> (by /u/<name>)."),
    )
    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"),
        default=REDDIT_REQUESTS_PER_MINUTE,
        validators=[MinValueValidator(1), MaxValueValidator(REDDIT_REQUESTS_PER_MINUTE)],
        help_text=_(
            "Reddit grants each client id 100 requests per minute, unless you agreed on fewer."
        ),
    )
    # Written when Reddit refuses the credentials; valid while the credentials stay the same.
    refusal = models.CharField(max_length=300, blank=True, editable=False)
    refused_at = models.DateTimeField(null=True, editable=False)
    refused_credentials = models.CharField(max_length=64, blank=True, editable=False)
    next_try_at = models.DateTimeField(null=True, editable=False)

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("Reddit app")
        verbose_name_plural = _("Reddit apps")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["service", "client_id"],
                name="bots_redditapp_client_id",
                violation_error_message=_(
                    "An app with this client id already exists. Use that app: each client id has "
                    "one budget."
                ),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def client_secret(self) -> str:
        """The decrypted secret, for the API client only. Empty for an installed app."""
        return encryption.decrypt(self.encrypted_secret)

    @client_secret.setter
    def client_secret(self, secret: str) -> None:
        self.encrypted_secret = encryption.encrypt(secret)

    @property
    def fingerprint(self) -> str:
        """A hash of the credentials: it changes with them and reveals nothing about them."""
        parts = (self.service, self.client_id, self.client_secret, self.user_agent)
        return hmac.new(
            settings.SECRET_KEY.encode(), "\0".join(parts).encode(), hashlib.sha256
        ).hexdigest()

    @property
    def is_refused(self) -> bool:
        """Whether Reddit refused the present credentials; the bots wait until they are corrected."""
        return bool(self.refused_at) and self.refused_credentials == self.fingerprint
