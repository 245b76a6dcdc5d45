"""Long texts are compressed with LZ4 where the server was built with it.

PostgreSQL's own method takes a quarter of the time in which a dump is stored; LZ4 takes a fraction of
that, and of the time in which texts are read again. What is stored stays as it is.
https://www.postgresql.org/docs/current/storage-toast.html
"""

from django.db import migrations

TEXTS = {
    "scraping_redditpost": ("selftext", "url", "extra"),
    "scraping_redditcomment": ("body", "extra"),
}


def statement(method: str) -> str:
    alterations = "\n".join(
        f"ALTER TABLE {table} {', '.join(f'ALTER {column} SET COMPRESSION {method}' for column in columns)};"
        for table, columns in TEXTS.items()
    )
    return f"""
        DO $$ BEGIN
            {alterations}
        EXCEPTION WHEN feature_not_supported THEN
            RAISE NOTICE 'This server was built without LZ4: texts are compressed as before.';
        END $$
    """


class Migration(migrations.Migration):
    dependencies = [("scraping", "0013_gap_searches")]

    operations = [migrations.RunSQL(statement("lz4"), statement("default"))]
