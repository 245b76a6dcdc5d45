import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Name fields, models and choices in plain English; the tables stay as they are."""

    dependencies = [
        ("bots", "0005_score_filters"),
        ("jobs", "0004_history_indexes"),
        ("scraping", "0016_lapsed_matches"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="botitem",
            options={
                "ordering": ["-matched_at"],
                "verbose_name": "match",
                "verbose_name_plural": "matches",
            },
        ),
        migrations.AlterModelOptions(
            name="commentthread",
            options={
                "ordering": ["look_at"],
                "verbose_name": "comment thread",
                "verbose_name_plural": "comment threads",
            },
        ),
        migrations.AlterModelOptions(
            name="deletionreceipt",
            options={
                "ordering": ["-purged_at", "-pk"],
                "verbose_name": "deletion receipt",
                "verbose_name_plural": "deletion receipts",
            },
        ),
        migrations.AlterModelOptions(
            name="dumpimport",
            options={
                "ordering": ["-started_at"],
                "verbose_name": "dump import",
                "verbose_name_plural": "dump imports",
            },
        ),
        migrations.AlterModelOptions(
            name="gap",
            options={
                "ordering": ["-ends_at"],
                "verbose_name": "gap",
                "verbose_name_plural": "gaps",
            },
        ),
        migrations.AlterModelOptions(
            name="itemcheck",
            options={"verbose_name": "check", "verbose_name_plural": "checks"},
        ),
        migrations.AlterModelOptions(
            name="postscore",
            options={
                "ordering": ["post", "at"],
                "verbose_name": "score",
                "verbose_name_plural": "scores",
            },
        ),
        migrations.AlterModelOptions(
            name="redditcomment",
            options={
                "ordering": ["-created_at"],
                "verbose_name": "comment",
                "verbose_name_plural": "comments",
            },
        ),
        migrations.AlterModelOptions(
            name="redditpost",
            options={
                "ordering": ["-created_at"],
                "verbose_name": "post",
                "verbose_name_plural": "posts",
            },
        ),
        migrations.AlterModelOptions(
            name="requestbudget",
            options={"verbose_name": "request budget", "verbose_name_plural": "request budgets"},
        ),
        migrations.AlterModelOptions(
            name="scrapesession",
            options={
                "get_latest_by": "queued_at",
                "ordering": ["-queued_at"],
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
            },
        ),
        migrations.AlterModelOptions(
            name="stream",
            options={
                "ordering": ["subreddit__name", "kind"],
                "verbose_name": "stream",
                "verbose_name_plural": "streams",
            },
        ),
        migrations.AlterModelOptions(
            name="subreddit",
            options={
                "ordering": ["name"],
                "verbose_name": "subreddit",
                "verbose_name_plural": "subreddits",
            },
        ),
        migrations.AlterField(
            model_name="botitem",
            name="bot",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="items",
                to="bots.botconfig",
                verbose_name="bot",
            ),
        ),
        migrations.AlterField(
            model_name="botitem",
            name="fullname",
            field=models.TextField(verbose_name="fullname"),
        ),
        migrations.AlterField(
            model_name="botitem",
            name="matched_at",
            field=models.DateTimeField(verbose_name="matched at"),
        ),
        migrations.AlterField(
            model_name="botitem",
            name="matched_terms",
            field=models.JSONField(default=list, verbose_name="terms found"),
        ),
        migrations.AlterField(
            model_name="botitem",
            name="notified_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="notified at"),
        ),
        migrations.AlterField(
            model_name="botitem",
            name="state",
            field=models.CharField(
                choices=[
                    ("matched", "Match"),
                    ("pending", "Waits for its score"),
                    ("missed", "Fell short"),
                    ("lapsed", "No longer matches"),
                ],
                db_default="matched",
                default="matched",
                max_length=7,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="failures",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="How many reads of the tree have failed in a row.",
                verbose_name="failures",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="fullname",
            field=models.TextField(
                help_text="The fullname of the post.",
                primary_key=True,
                serialize=False,
                verbose_name="fullname",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="look_at",
            field=models.DateTimeField(
                help_text="When Lurker next compares the number of comments. Empty if the post is too old for that.",
                null=True,
                verbose_name="next look",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="looked_at",
            field=models.DateTimeField(null=True, verbose_name="last look"),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="read_at",
            field=models.DateTimeField(
                help_text="When the last complete walk ended.", null=True, verbose_name="read at"
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="read_missing",
            field=models.PositiveIntegerField(
                default=0,
                help_text="The comments that the last complete walk asked for and did not get.",
                verbose_name="comments missing",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="read_reported",
            field=models.BigIntegerField(
                help_text="The post's number of comments when the last complete walk began.",
                null=True,
                verbose_name="comments reported",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="read_stored",
            field=models.BigIntegerField(
                help_text="The comments of the post that were stored when the last complete walk ended.",
                null=True,
                verbose_name="comments stored",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="walk_began_at",
            field=models.DateTimeField(
                help_text="When the walk began that runs now or was interrupted.",
                null=True,
                verbose_name="walk began at",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="walk_lost",
            field=models.PositiveIntegerField(
                default=0,
                help_text="The ids that Reddit's answers named repeatedly without the comments.",
                verbose_name="comments not delivered",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="walk_reported",
            field=models.BigIntegerField(
                default=0,
                help_text="The post's number of comments, according to the first answer to the walk.",
                verbose_name="comments reported to the walk",
            ),
        ),
        migrations.AlterField(
            model_name="commentthread",
            name="walk_requests",
            field=models.PositiveIntegerField(default=0, verbose_name="requests of the walk"),
        ),
        migrations.AlterField(
            model_name="deletionreceipt",
            name="fullname",
            field=models.TextField(verbose_name="fullname"),
        ),
        migrations.AlterField(
            model_name="deletionreceipt",
            name="kind",
            field=models.CharField(
                choices=[("post", "Post"), ("comment", "Comment")],
                max_length=7,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="deletionreceipt",
            name="parts",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(),
                help_text="The parts that were purged: title, body, url, flair, media, author, numbers, matches or history.",
                size=None,
                verbose_name="purged parts",
            ),
        ),
        migrations.AlterField(
            model_name="deletionreceipt",
            name="purged_at",
            field=models.DateTimeField(verbose_name="purged at"),
        ),
        migrations.AlterField(
            model_name="deletionreceipt",
            name="reason",
            field=models.CharField(
                choices=[
                    ("deleted", "Deleted by its author"),
                    ("removed", "Removed by moderators or Reddit"),
                    ("gone", "Not on Reddit any more"),
                    ("account", "Its author's account was deleted"),
                ],
                max_length=7,
                verbose_name="reason",
            ),
        ),
        migrations.AlterField(
            model_name="deletionreceipt",
            name="seen_at",
            field=models.DateTimeField(
                help_text="When Reddit first showed the item as deleted, or left the item out.",
                verbose_name="first seen",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="comments",
            field=models.BigIntegerField(default=0, verbose_name="comments"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="deleted",
            field=models.BigIntegerField(
                default=0,
                help_text="The items that are deleted or removed. The import stores them empty or leaves them out.",
                verbose_name="deleted",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="encoded_items",
            field=models.BigIntegerField(
                default=0,
                help_text="The items whose texts hold HTML entities and no bare <, > or &.",
                verbose_name="encoded items",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="filtered",
            field=models.BigIntegerField(
                default=0,
                help_text="The items of other subreddits or times.",
                verbose_name="filtered",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="filters",
            field=models.JSONField(
                default=dict,
                help_text="The subreddits and times that the import stores. It leaves out other items.",
                verbose_name="filters",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="finished_at",
            field=models.DateTimeField(null=True, verbose_name="finished at"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="head_digest",
            field=models.CharField(
                help_text="The SHA-256 digest of the file's first mebibyte, as it lies on disk.",
                max_length=64,
                verbose_name="digest",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="lines",
            field=models.BigIntegerField(default=0, verbose_name="lines"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="new",
            field=models.BigIntegerField(default=0, verbose_name="new"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="path",
            field=models.TextField(verbose_name="path"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="plain_items",
            field=models.BigIntegerField(
                default=0,
                help_text="The items whose texts hold a bare <, > or &.",
                verbose_name="plain items",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="position",
            field=models.BigIntegerField(
                default=0,
                help_text="The decompressed bytes that are done.",
                verbose_name="position",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="posts",
            field=models.BigIntegerField(default=0, verbose_name="posts"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="reject_bytes",
            field=models.BigIntegerField(
                default=0,
                help_text="In bytes. The next import cuts off anything beyond this length.",
                verbose_name="length of the reject file",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="rejected",
            field=models.BigIntegerField(
                default=0, help_text="The lines that hold no item.", verbose_name="rejected"
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="seen_streams",
            field=models.JSONField(
                default=list,
                help_text="The streams with open gaps for which the file has items, as subreddit/posts or subreddit/comments.",
                verbose_name="streams with open gaps",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="size",
            field=models.BigIntegerField(
                help_text="The size of the file in bytes.", verbose_name="size"
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="started_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="started at"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="state",
            field=models.CharField(
                choices=[
                    ("running", "Running or interrupted"),
                    ("truncated", "The file is cut off or damaged; the readable part is stored"),
                    ("finished", "Finished"),
                ],
                default="running",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="unchanged",
            field=models.BigIntegerField(default=0, verbose_name="unchanged"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="updated",
            field=models.BigIntegerField(default=0, verbose_name="updated"),
        ),
        migrations.AlterField(
            model_name="dumpimport",
            name="updated_at",
            field=models.DateTimeField(auto_now=True, verbose_name="updated at"),
        ),
        migrations.AlterField(
            model_name="gap",
            name="closed_at",
            field=models.DateTimeField(null=True, verbose_name="closed at"),
        ),
        migrations.AlterField(
            model_name="gap",
            name="closed_by",
            field=models.TextField(blank=True, verbose_name="closed by"),
        ),
        migrations.AlterField(
            model_name="gap",
            name="ends_at",
            field=models.DateTimeField(verbose_name="ends at"),
        ),
        migrations.AlterField(
            model_name="gap",
            name="found_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="found at"),
        ),
        migrations.AlterField(
            model_name="gap",
            name="reason",
            field=models.CharField(
                choices=[
                    ("listing_cap", "Reddit lists no further back"),
                    ("item_limit", "The bot's limit of items was reached"),
                    ("broken_listing", "The listing repeated itself"),
                    ("listing_end", "The listing ended above known items"),
                    ("closed", "The subreddit was closed, and Reddit did not report it"),
                ],
                max_length=20,
                verbose_name="reason",
            ),
        ),
        migrations.AlterField(
            model_name="gap",
            name="searched_at",
            field=models.DateTimeField(
                help_text="When Lurker searched Reddit for the posts in the gap, with or without success.",
                null=True,
                verbose_name="searched at",
            ),
        ),
        migrations.AlterField(
            model_name="gap",
            name="starts_at",
            field=models.DateTimeField(verbose_name="starts at"),
        ),
        migrations.AlterField(
            model_name="gap",
            name="stream",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="gaps",
                to="scraping.stream",
                verbose_name="stream",
            ),
        ),
        migrations.AlterField(
            model_name="gap",
            name="unread_since",
            field=models.DateTimeField(
                help_text="When Lurker had last read the stream before it found the gap.",
                null=True,
                verbose_name="unread since",
            ),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="checked_at",
            field=models.DateTimeField(
                help_text="When Reddit, or a dump, last showed the item.", verbose_name="checked at"
            ),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="created_at",
            field=models.DateTimeField(
                help_text="When the item was created on Reddit.", verbose_name="created at"
            ),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="due_at",
            field=models.DateTimeField(verbose_name="due at"),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="fullname",
            field=models.TextField(primary_key=True, serialize=False, verbose_name="fullname"),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="is_refresh",
            field=models.BooleanField(
                default=False,
                help_text="The next check is a refresh: it reads the score and edits of the item.",
                verbose_name="refresh",
            ),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="is_unreadable",
            field=models.BooleanField(
                default=False,
                help_text="The item cannot be checked, because its subreddit cannot be read.",
                verbose_name="unreadable",
            ),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="missing_since",
            field=models.DateTimeField(
                help_text="An answer of Reddit left the item out at this time. If a later answer leaves it out too, the item is gone.",
                null=True,
                verbose_name="missing since",
            ),
        ),
        migrations.AlterField(
            model_name="itemcheck",
            name="subreddit_id",
            field=models.BigIntegerField(
                help_text="The id of the item's subreddit; 0 if the item belongs to no subreddit.",
                verbose_name="subreddit",
            ),
        ),
        migrations.AlterField(
            model_name="postscore",
            name="at",
            field=models.DateTimeField(verbose_name="time"),
        ),
        migrations.AlterField(
            model_name="postscore",
            name="num_comments",
            field=models.BigIntegerField(null=True, verbose_name="number of comments"),
        ),
        migrations.AlterField(
            model_name="postscore",
            name="post",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="scores",
                to="scraping.redditpost",
                verbose_name="post",
            ),
        ),
        migrations.AlterField(
            model_name="postscore",
            name="score",
            field=models.BigIntegerField(
                help_text="Empty while Reddit hides the score.", null=True, verbose_name="score"
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="archived",
            field=models.BooleanField(null=True, verbose_name="archived"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="author",
            field=models.TextField(null=True, verbose_name="author"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="author_flair_text",
            field=models.TextField(null=True, verbose_name="author's flair"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="author_fullname",
            field=models.TextField(null=True, verbose_name="author's fullname"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="body",
            field=models.TextField(verbose_name="text"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="controversiality",
            field=models.BigIntegerField(
                help_text="1 if Reddit counts the comment as controversial, otherwise 0.",
                null=True,
                verbose_name="controversial",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="created_at",
            field=models.DateTimeField(
                help_text="When the item was created on Reddit.", verbose_name="created at"
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="distinguished",
            field=models.TextField(
                help_text="Set if the author marked the item as written by a moderator or by Reddit.",
                null=True,
                verbose_name="author's role",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="edited",
            field=models.BooleanField(null=True, verbose_name="edited"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="edited_at",
            field=models.DateTimeField(
                help_text="Reddit does not tell the time of edits of its early years.",
                null=True,
                verbose_name="edited at",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="extra",
            field=models.JSONField(
                default=dict,
                help_text="The fields that Reddit sent and that have no column of their own.",
                verbose_name="other fields",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="first_seen_at",
            field=models.DateTimeField(
                help_text="When the item was first stored.", verbose_name="first seen at"
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="fullname",
            field=models.TextField(
                help_text="Reddit's name of the item: its kind and its id.",
                primary_key=True,
                serialize=False,
                verbose_name="fullname",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="is_submitter",
            field=models.BooleanField(null=True, verbose_name="by the author of the post"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="link_fullname",
            field=models.TextField(
                help_text="The fullname of the post that the comment belongs to.",
                null=True,
                verbose_name="post",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="locked",
            field=models.BooleanField(null=True, verbose_name="locked"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="parent_fullname",
            field=models.TextField(
                help_text="The fullname of the post or comment that the comment answers.",
                null=True,
                verbose_name="answers",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="permalink",
            field=models.TextField(null=True, verbose_name="path on Reddit"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="refreshed_at",
            field=models.DateTimeField(
                help_text="When the stored values last changed.", verbose_name="changed at"
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="removal",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "Standing"),
                    ("deleted", "Deleted by its author"),
                    ("removed", "Removed by moderators or Reddit"),
                    ("gone", "Not on Reddit any more"),
                ],
                max_length=10,
                verbose_name="state on Reddit",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="retrieved_at",
            field=models.DateTimeField(
                help_text="When the makers of the dump read the item from Reddit. Empty for an item that Reddit itself has shown to Lurker.",
                null=True,
                verbose_name="read for the dump at",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="score",
            field=models.BigIntegerField(null=True, verbose_name="score"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="score_hidden",
            field=models.BooleanField(
                help_text="While Reddit hides the score, the stored score means nothing.",
                null=True,
                verbose_name="score hidden",
            ),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="stickied",
            field=models.BooleanField(null=True, verbose_name="pinned"),
        ),
        migrations.AlterField(
            model_name="redditcomment",
            name="subreddit",
            field=models.ForeignKey(
                db_index=False,
                help_text="Empty for an advertisement, because it belongs to no subreddit.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="%(class)ss",
                to="scraping.subreddit",
                verbose_name="subreddit",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="archived",
            field=models.BooleanField(null=True, verbose_name="archived"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="author",
            field=models.TextField(null=True, verbose_name="author"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="author_flair_text",
            field=models.TextField(null=True, verbose_name="author's flair"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="author_fullname",
            field=models.TextField(null=True, verbose_name="author's fullname"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="created_at",
            field=models.DateTimeField(
                help_text="When the item was created on Reddit.", verbose_name="created at"
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="crosspost_parent",
            field=models.TextField(
                help_text="The fullname of the original post.",
                null=True,
                verbose_name="crosspost of",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="distinguished",
            field=models.TextField(
                help_text="Set if the author marked the item as written by a moderator or by Reddit.",
                null=True,
                verbose_name="author's role",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="domain",
            field=models.TextField(null=True, verbose_name="domain of the link"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="edited",
            field=models.BooleanField(null=True, verbose_name="edited"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="edited_at",
            field=models.DateTimeField(
                help_text="Reddit does not tell the time of edits of its early years.",
                null=True,
                verbose_name="edited at",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="extra",
            field=models.JSONField(
                default=dict,
                help_text="The fields that Reddit sent and that have no column of their own.",
                verbose_name="other fields",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="first_seen_at",
            field=models.DateTimeField(
                help_text="When the item was first stored.", verbose_name="first seen at"
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="fullname",
            field=models.TextField(
                help_text="Reddit's name of the item: its kind and its id.",
                primary_key=True,
                serialize=False,
                verbose_name="fullname",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="is_self",
            field=models.BooleanField(
                help_text="A text post has a text of its own and no link.",
                null=True,
                verbose_name="text post",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="is_video",
            field=models.BooleanField(null=True, verbose_name="video"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="link_flair_text",
            field=models.TextField(null=True, verbose_name="post's flair"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="locked",
            field=models.BooleanField(null=True, verbose_name="locked"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="num_comments",
            field=models.BigIntegerField(
                help_text="As Reddit counts the comments.",
                null=True,
                verbose_name="number of comments",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="num_crossposts",
            field=models.BigIntegerField(null=True, verbose_name="number of crossposts"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="over_18",
            field=models.BooleanField(null=True, verbose_name="for adults only"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="permalink",
            field=models.TextField(null=True, verbose_name="path on Reddit"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="post_hint",
            field=models.TextField(null=True, verbose_name="type of content"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="quarantine",
            field=models.BooleanField(null=True, verbose_name="quarantined"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="refreshed_at",
            field=models.DateTimeField(
                help_text="When the stored values last changed.", verbose_name="changed at"
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="removal",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "Standing"),
                    ("deleted", "Deleted by its author"),
                    ("removed", "Removed by moderators or Reddit"),
                    ("gone", "Not on Reddit any more"),
                ],
                max_length=10,
                verbose_name="state on Reddit",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="removed_by_category",
            field=models.TextField(null=True, verbose_name="removed by"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="retrieved_at",
            field=models.DateTimeField(
                help_text="When the makers of the dump read the item from Reddit. Empty for an item that Reddit itself has shown to Lurker.",
                null=True,
                verbose_name="read for the dump at",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="score",
            field=models.BigIntegerField(null=True, verbose_name="score"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="score_hidden",
            field=models.BooleanField(
                help_text="While Reddit hides the score, the stored score means nothing.",
                null=True,
                verbose_name="score hidden",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="selftext",
            field=models.TextField(null=True, verbose_name="text"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="spoiler",
            field=models.BooleanField(null=True, verbose_name="spoiler"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="stickied",
            field=models.BooleanField(null=True, verbose_name="pinned"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="subreddit",
            field=models.ForeignKey(
                db_index=False,
                help_text="Empty for an advertisement, because it belongs to no subreddit.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="%(class)ss",
                to="scraping.subreddit",
                verbose_name="subreddit",
            ),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="title",
            field=models.TextField(verbose_name="title"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="upvote_ratio",
            field=models.FloatField(null=True, verbose_name="share of upvotes"),
        ),
        migrations.AlterField(
            model_name="redditpost",
            name="url",
            field=models.TextField(null=True, verbose_name="link"),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="aligned",
            field=models.BooleanField(
                default=False,
                help_text="Whether Reddit told the end of the window. Until its first answer, we guess.",
                verbose_name="end told by Reddit",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="answered",
            field=models.PositiveBigIntegerField(
                default=0,
                help_text="The permits whose requests Reddit has answered.",
                verbose_name="answered",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="app",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="budget",
                serialize=False,
                to="bots.redditapp",
                verbose_name="Reddit app",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="ends_at",
            field=models.DateTimeField(verbose_name="ends at"),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="granted",
            field=models.PositiveBigIntegerField(
                default=0,
                help_text="The permits that were given in this window.",
                verbose_name="permits",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="paused_until",
            field=models.DateTimeField(
                help_text="Reddit asked that the app send no request until this time.",
                null=True,
                verbose_name="paused until",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="quota",
            field=models.PositiveBigIntegerField(
                default=0,
                help_text="The requests that the app may send in this window.",
                verbose_name="quota",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="reddit_limit",
            field=models.PositiveBigIntegerField(
                help_text="The requests in a window, as the headers of Reddit's answers say.",
                null=True,
                verbose_name="Reddit's limit",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="starts_at",
            field=models.DateTimeField(verbose_name="starts at"),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="used",
            field=models.PositiveBigIntegerField(
                default=0,
                help_text="The requests of this window that Lurker sent, and the requests of other programs that Reddit counted.",
                verbose_name="used",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="waiting",
            field=models.JSONField(
                default=dict,
                help_text="The bots and jobs that last had to wait: by name, the lane and the end of the wait in epoch seconds.",
                verbose_name="waiting",
            ),
        ),
        migrations.AlterField(
            model_name="requestbudget",
            name="window_number",
            field=models.BigIntegerField(
                default=0,
                help_text="Lurker counts the windows of the app. This is the present window.",
                verbose_name="number of the window",
            ),
        ),
        migrations.AlterField(
            model_name="scrapebatch",
            name="batch",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="scrape",
                serialize=False,
                to="jobs.batch",
                verbose_name="batch",
            ),
        ),
        migrations.AlterField(
            model_name="scrapebatch",
            name="owner",
            field=models.ForeignKey(
                help_text="The user who requested the batch. Empty if a command or a schedule requested it.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="scrape_batches",
                to=settings.AUTH_USER_MODEL,
                verbose_name="owner",
            ),
        ),
        migrations.AlterField(
            model_name="scrapebatch",
            name="summary",
            field=models.JSONField(
                help_text="The number of sessions by status, and the sums of their counts. Lurker writes it when all sessions have ended.",
                null=True,
                verbose_name="summary",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="bot",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="sessions",
                to="bots.botconfig",
                verbose_name="bot",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="bot_name",
            field=models.CharField(
                help_text="The name that the bot had when the session began.",
                max_length=100,
                verbose_name="name of the bot",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="comments_seen",
            field=models.PositiveIntegerField(default=0, verbose_name="comments read"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="continues_at",
            field=models.DateTimeField(
                help_text="The app's budget was spent. The bot runs again at this time.",
                null=True,
                verbose_name="continues at",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="ended_at",
            field=models.DateTimeField(null=True, verbose_name="ended at"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="error",
            field=models.TextField(blank=True, verbose_name="error"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="freshness_seconds",
            field=models.FloatField(
                help_text="In seconds, over all of the bot's streams. Reads by sessions of other bots count too.",
                null=True,
                verbose_name="longest time between reads",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="gaps_closed",
            field=models.PositiveIntegerField(default=0, verbose_name="gaps closed"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="gaps_opened",
            field=models.PositiveIntegerField(default=0, verbose_name="gaps opened"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="kind",
            field=models.CharField(
                choices=[("listings", "Listings"), ("threads", "Comment trees")],
                default="listings",
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="lock_key",
            field=models.CharField(
                blank=True,
                help_text="The session's process holds this lock until it ends.",
                max_length=100,
                verbose_name="lock",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="matched",
            field=models.PositiveIntegerField(
                default=0,
                help_text="The bot's matches since its previous session. The items may have been stored by sessions of other bots.",
                verbose_name="matched",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="new",
            field=models.PositiveIntegerField(default=0, verbose_name="new"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="outcomes",
            field=models.JSONField(
                default=dict,
                help_text="The outcome of each stream, such as ok, empty, gap or private, and the reason.",
                verbose_name="outcomes",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="posts_seen",
            field=models.PositiveIntegerField(default=0, verbose_name="posts read"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="queued_at",
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name="queued at"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="rejected",
            field=models.PositiveIntegerField(default=0, verbose_name="rejected"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="requests",
            field=models.PositiveIntegerField(default=0, verbose_name="requests"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="requests_by_kind",
            field=models.JSONField(
                default=dict,
                help_text="Listing, comments, search, info, about, tree, more, token.",
                verbose_name="requests by kind",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="resumes",
            field=models.ForeignKey(
                help_text="The earlier session whose unfinished work this session does.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="resumed_by",
                to="scraping.scrapesession",
                verbose_name="resumes",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="started_at",
            field=models.DateTimeField(null=True, verbose_name="started at"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="status",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("running", "Running"),
                    ("completed", "Completed"),
                    ("partial", "Partial"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("interrupted", "Interrupted"),
                ],
                max_length=12,
                verbose_name="status",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="task_id",
            field=models.CharField(blank=True, max_length=255, verbose_name="run"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("schedule", "Schedule"),
                    ("manual", "Manual"),
                    ("batch", "Batch"),
                    ("command", "Command"),
                    ("backfill", "Backfill"),
                    ("overdue", "Overdue"),
                ],
                max_length=10,
                verbose_name="trigger",
            ),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="updated",
            field=models.PositiveIntegerField(default=0, verbose_name="updated"),
        ),
        migrations.AlterField(
            model_name="scrapesession",
            name="wait_seconds",
            field=models.FloatField(
                default=0,
                help_text="The sum of the waits for the budget of the Reddit app.",
                verbose_name="seconds waited",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="arrivals_by_hour",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.FloatField(null=True),
                help_text="One rate for each hour of the day in UTC. Empty for an hour without a rate.",
                null=True,
                size=24,
                verbose_name="items an hour, by hour of the day",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="arrivals_per_hour",
            field=models.FloatField(
                help_text="The average rate of new items, learned from recent reads.",
                null=True,
                verbose_name="items an hour",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="complete_since",
            field=models.DateTimeField(
                help_text="Every item from this time to the watermark is stored, or lies in a gap of the stream.",
                null=True,
                verbose_name="complete since",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="deep_read_at",
            field=models.DateTimeField(
                help_text="When Lurker last read the stream as far down as a deep walk reads.",
                null=True,
                verbose_name="last deep read",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="deep_read_since",
            field=models.DateTimeField(
                help_text="The last deep read reached this time of Reddit's clock.",
                null=True,
                verbose_name="deep read down to",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="kind",
            field=models.CharField(
                choices=[("posts", "Posts"), ("comments", "Comments")],
                max_length=10,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="last_fetch_at",
            field=models.DateTimeField(
                help_text="When the last successful read began. A failed read does not count.",
                null=True,
                verbose_name="last read",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="learned_hours",
            field=models.FloatField(
                default=0,
                help_text="The hours from which the rates were learned, at most 72.",
                verbose_name="learned hours",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="poll_by",
            field=models.DateTimeField(
                help_text="Half of the stream's listing is expected to be new at this time. Lurker reads the stream by then, even if the intervals of its bots are longer.",
                null=True,
                verbose_name="read again by",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="previous_fetch_at",
            field=models.DateTimeField(
                help_text="When the successful read before the last read began.",
                null=True,
                verbose_name="read before",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="subreddit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="streams",
                to="scraping.subreddit",
                verbose_name="subreddit",
            ),
        ),
        migrations.AlterField(
            model_name="stream",
            name="watermark",
            field=models.DateTimeField(
                help_text="Lurker has read the stream up to this time of Reddit's clock.",
                null=True,
                verbose_name="watermark",
            ),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="content_since",
            field=models.DateTimeField(
                help_text="Retention has deleted the older items of the subreddit. Lurker does not store them again.",
                null=True,
                verbose_name="content since",
            ),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="first_seen_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="first seen at"),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="name",
            field=models.TextField(help_text="The name as Reddit writes it.", verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="probed_at",
            field=models.DateTimeField(
                help_text="When Lurker last asked Reddit whether the subreddit can be read.",
                null=True,
                verbose_name="probed at",
            ),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="reddit_id",
            field=models.TextField(
                help_text="The fullname of the subreddit, such as t5_2qh0y. It stays when the subreddit is renamed.",
                null=True,
                verbose_name="Reddit id",
            ),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="renamed_to",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="The name under which Reddit shows the subreddit now.",
                verbose_name="renamed to",
            ),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="status",
            field=models.CharField(
                choices=[
                    ("ok", "OK"),
                    ("private", "Private"),
                    ("quarantined", "Quarantined"),
                    ("gated", "Gated"),
                    ("banned", "Banned"),
                    ("missing", "Missing"),
                    ("renamed", "Renamed"),
                    ("unknown", "Not read yet"),
                ],
                default="unknown",
                max_length=20,
                verbose_name="status",
            ),
        ),
        migrations.AlterField(
            model_name="subreddit",
            name="status_since",
            field=models.DateTimeField(null=True, verbose_name="status since"),
        ),
        migrations.AlterField(
            model_name="threadbranch",
            name="below",
            field=models.BooleanField(
                help_text="Whether the walk knows the comment and asks only for the comments below it.",
                verbose_name="below",
            ),
        ),
        migrations.AlterField(
            model_name="threadbranch",
            name="name",
            field=models.TextField(
                help_text="The id of a comment, without its kind.", verbose_name="name"
            ),
        ),
        migrations.AlterField(
            model_name="threadbranch",
            name="thread",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="branches",
                to="scraping.commentthread",
                verbose_name="comment thread",
            ),
        ),
    ]
