from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("scraping", "0009_checks_and_deletion"),
    ]

    operations = [
        # Django's second index for a text key, which serves LIKE; nothing asks that.
        migrations.RunSQL(
            sql="DROP INDEX IF EXISTS scraping_itemcheck_fullname_22e19dc7_like",
            reverse_sql="CREATE INDEX scraping_itemcheck_fullname_22e19dc7_like "
            "ON scraping_itemcheck (fullname text_pattern_ops)",
        ),
        # Everything that is stored is due: when Reddit last told of it was not written down.
        *(
            migrations.RunSQL(
                sql=f"""
                    INSERT INTO scraping_itemcheck (fullname, subreddit_id, created_at, checked_at,
                                                    due_at, is_refresh, is_unreadable)
                    SELECT fullname, COALESCE(subreddit_id, 0), created_at,
                           COALESCE(retrieved_at, refreshed_at), now(), FALSE, FALSE
                    FROM {table}
                """,  # noqa: S608 - names of our own
                reverse_sql=migrations.RunSQL.noop,
            )
            for table in ("scraping_redditpost", "scraping_redditcomment")
        ),
    ]
