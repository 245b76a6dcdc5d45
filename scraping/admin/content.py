"""Posts and comments in the admin, as they were stored."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateTimeFilter

from scraping.admin import plots
from scraping.admin.evidence import EvidenceAdmin
from scraping.content import content_search
from scraping.models import PostScore, RedditComment, RedditPost

if TYPE_CHECKING:  # the package comes with mypy's stubs, and only with them
    from django_stubs_ext import FieldOpts, StrOrPromise

REDDIT = "https://www.reddit.com"
AUTHOR: "tuple[StrOrPromise, FieldOpts]" = (
    _("Author"),
    {"fields": [("author", "author_fullname"), ("author_flair_text", "distinguished")]},
)
STORED: "tuple[StrOrPromise, FieldOpts]" = (
    _("As stored"),
    {
        "fields": [
            ("first_seen_at", "refreshed_at", "retrieved_at"),
            ("edited", "edited_at", "removal"),
            "extra",
        ]
    },
)


def link_to_item(fullname: str | None) -> SafeString | str:
    """Return a link to the page of a post or comment; the page says so if the item is not stored."""
    if not fullname:
        return "-"
    model = "redditcomment" if fullname.startswith("t1_") else "redditpost"
    url = reverse(f"admin:scraping_{model}_change", args=[quote(fullname)])
    return format_html('<a class="text-link" href="{}">{}</a>', url, fullname)


def _link_to_list(model: str, query: str, told: str) -> SafeString:
    url = reverse(f"admin:scraping_{model}_changelist")
    return format_html('<a class="text-link" href="{}?{}">{}</a>', url, query, told)


class ContentAdmin(EvidenceAdmin):
    """The admin that posts and comments share."""

    list_select_related = ["subreddit"]
    list_filter = ["removal", ("created_at", RangeDateTimeFilter)]
    show_facets = admin.ShowFacets.NEVER  # facets count the items of each choice
    search_help_text = _(
        "Search for a link, an id or words. Add r/name to search one subreddit only."
    )
    readonly_fields = ["on_reddit", "matches"]
    # Filters that other pages of the admin link to. Each filter has an index.
    links = ["subreddit__id__exact"]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow the filter by subreddit, because the list of subreddits links here with it."""
        return lookup == "subreddit__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search all items by key, and the newest items by words; the page says if there are older items."""
        query = content_search.read_query(search_term)
        found = content_search.by_key(queryset, query)
        if found is not None:
            return found, False
        if not (query.words or query.subreddits):
            return queryset, False
        among = content_search.in_subreddits(self._narrowed_by_index(request), query.subreddits)
        found = content_search.in_subreddits(queryset, query.subreddits)
        if query.words:
            since = content_search.looked_through_since(among)
            if since is not None:
                found = found.filter(created_at__gte=since)
                self._tell_limit(request, since)
        return super().get_search_results(request, found, query.words)

    def _narrowed_by_index(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the items that pass the filters with an index: all filters but the state of removal."""
        items = self.model._default_manager.filter(
            **{name: request.GET[name] for name in self.links if name in request.GET}
        )
        written = RangeDateTimeFilter(
            self.model._meta.get_field("created_at"),
            request,
            # Unfold's annotation names single texts, but Unfold takes lists as well.
            dict(request.GET.lists()),  # type: ignore[arg-type]
            self.model,
            self,
            "created_at",
        )
        narrowed = written.queryset(request, items)
        return items if narrowed is None else narrowed

    def _tell_limit(self, request: HttpRequest, since: datetime) -> None:
        moment = date_format(timezone.localtime(since), "DATETIME_FORMAT")
        messages.info(
            request,
            gettext(
                "The search for words covers the newest %(number)s %(items)s of this list, created "
                "since %(time)s. To search older %(items)s, filter by the time of creation or add "
                "r/name. The search for a link or an id covers all %(items)s."
            )
            % {
                "number": f"{content_search.LOOKED_THROUGH:,}",
                "items": self.opts.verbose_name_plural,
                "time": moment,
            },
        )

    @admin.display(description=_("On Reddit"))
    def on_reddit(self, item: RedditPost | RedditComment) -> str:
        """Return a link to the original."""
        if not item.permalink:
            return "-"
        url = REDDIT + item.permalink
        return format_html(
            '<a class="text-link" href="{}" rel="noreferrer" target="_blank">{}</a>',
            url,
            item.permalink,
        )

    @admin.display(description=_("Matches"))
    def matches(self, item: RedditPost | RedditComment) -> str:
        """Return a link to the item's matches."""
        return _link_to_list(
            "botitem", f"fullname__exact={item.pk}&state=any", gettext("Matches of this item")
        )


@admin.register(RedditPost)
class RedditPostAdmin(ContentAdmin):
    """Posts."""

    list_display = [
        "title_start",
        "subreddit",
        "author",
        "score",
        "comments",
        "created_at",
        "first_seen_at",
    ]
    search_fields = ["title", "selftext", "url", "=author"]
    readonly_fields = [*ContentAdmin.readonly_fields, "history", "comments_of_it"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "title",
                    "selftext",
                    "url",
                    ("subreddit", "created_at"),
                    "on_reddit",
                    ("fullname", "matches", "comments_of_it"),
                ]
            },
        ),
        (
            _("Score and comments"),
            {
                "fields": [
                    ("score", "score_hidden", "upvote_ratio"),
                    ("num_comments", "num_crossposts"),
                    "history",
                ]
            },
        ),
        AUTHOR,
        (
            _("Kind"),
            {
                "fields": [
                    ("is_self", "is_video", "post_hint"),
                    ("domain", "link_flair_text", "crosspost_parent"),
                    ("over_18", "spoiler", "quarantine"),
                    ("stickied", "locked", "archived"),
                ]
            },
        ),
        (
            STORED[0],
            {"fields": [*STORED[1]["fields"][:-1], "removed_by_category", "extra"]},
        ),
    ]

    @admin.display(description=_("Score over time"))
    def history(self, post: RedditPost) -> str:
        """Return a small plot of the score, and a table of its history."""
        # Kept on the row, because the page reads a field several times.
        plot: str | None = getattr(post, "plot", None)
        if plot is None:
            scores = list(PostScore.objects.filter(post=post.pk).order_by("at"))
            plot = vars(post)["plot"] = plots.history(scores)
        return plot

    @admin.display(description=_("Stored comments"))
    def comments_of_it(self, post: RedditPost) -> str:
        """Return a link to the stored comments on the post."""
        return _link_to_list(
            "redditcomment", f"link_fullname__exact={post.pk}", gettext("Comments on this post")
        )

    @admin.display(description=_("Comments"), ordering="num_comments")
    def comments(self, post: RedditPost) -> int | None:
        """Return the number of comments, as Reddit counts them."""
        return post.num_comments

    @admin.display(description=_("Title"), ordering="title")
    def title_start(self, post: RedditPost) -> str:
        """Return the start of the title that fits on a line."""
        return post.title if len(post.title) <= 90 else f"{post.title[:89]}…"


@admin.register(RedditComment)
class RedditCommentAdmin(ContentAdmin):
    """Comments."""

    list_display = ["body_start", "subreddit", "author", "score", "post", "created_at"]
    search_fields = ["body", "=author"]
    links = [*ContentAdmin.links, "link_fullname__exact"]
    readonly_fields = [*ContentAdmin.readonly_fields, "post", "answers"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "body",
                    ("post", "answers"),
                    ("subreddit", "created_at"),
                    "on_reddit",
                    ("fullname", "matches"),
                ]
            },
        ),
        (_("Score"), {"fields": [("score", "score_hidden", "controversiality")]}),
        AUTHOR,
        (_("Kind"), {"fields": [("is_submitter", "stickied"), ("locked", "archived")]}),
        STORED,
    ]

    @admin.display(description=_("Post"), ordering="link_fullname")
    def post(self, comment: RedditComment) -> str:
        """Return a link to the comment's post."""
        return link_to_item(comment.link_fullname)

    @admin.display(description=_("Answers"))
    def answers(self, comment: RedditComment) -> str:
        """Return a link to the post or comment that the comment answers."""
        return link_to_item(comment.parent_fullname)

    @admin.display(description=_("Comment"))
    def body_start(self, comment: RedditComment) -> str:
        """Return the start of the comment that fits on a line."""
        return comment.body if len(comment.body) <= 90 else f"{comment.body[:89]}…"
