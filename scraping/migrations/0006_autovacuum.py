from django.db import migrations

# Large tables from which retention deletes: PostgreSQL's own 20 % would be many months' rows.
TABLES = ("scraping_redditpost", "scraping_redditcomment", "scraping_botitem")


class Migration(migrations.Migration):
    dependencies = [("scraping", "0005_probes_and_retention")]

    operations = [
        migrations.RunSQL(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)",
            f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor)",
        )
        for table in TABLES
    ]
