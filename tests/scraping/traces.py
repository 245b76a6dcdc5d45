"""What is left of a purged item: rows of any table that hold its texts, and its receipt."""

from django.db import connection

from scraping.models import DeletionReceipt

SECRETS = ("Tabby", "purrs", "someone_i_was", "t2_", "pics.example")


def found_anywhere(*texts):
    """Those of the texts that any row of any table of ours holds, receipts and runs included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
            "AND tablename SIMILAR TO '(scraping|django_celery_results|jobs)_%'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = set()
        for text in texts:
            for table in tables:
                cursor.execute(
                    f"SELECT 1 FROM {table} t WHERE t::text ILIKE %s LIMIT 1", [f"%{text}%"]
                )
                found |= {text} if cursor.fetchone() else set()
    return sorted(found)


def receipt(fullname):
    found = DeletionReceipt.objects.get(fullname=fullname)
    return found.reason, set(found.parts)
