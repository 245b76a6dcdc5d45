from django.db import migrations

# What waits or runs of a schedule: small whatever the history's size. For the beat, which counts
# them, and for the answer to "why is it not running?".
UNFINISHED = """
CREATE INDEX jobs_unfinished_runs ON django_celery_results_taskresult (periodic_task_name)
WHERE status IN ('PENDING', 'RETRY', 'STARTED')
"""
# For the admin's lists: the latest with one value of a column. The first column alone, which
# django-celery-results has an index on, would sort all that have it, or read all that have not.
LATEST = {
    "jobs_latest_of_status": "status",
    "jobs_latest_of_task": "task_name",
    "jobs_latest_of_schedule": "periodic_task_name",
    "jobs_latest_of_worker": "worker",
}
# What they replace, by the names that django-celery-results gave them. Each costs every change of
# state of every run.
REPLACED = {
    "django_cele_status_9b6201_idx": "status",
    "django_cele_task_na_08aec9_idx": "task_name",
    "django_cele_periodi_1993cf_idx": "periodic_task_name",
    "django_cele_worker_d54dd8_idx": "worker",
}
# Nothing looks for a part of a task id.
LIKE = "django_celery_results_taskresult_task_id_de0d95bf_like"
TABLE = "django_celery_results_taskresult"


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_batches_and_dead_letters")]

    operations = [
        migrations.RunSQL(UNFINISHED, "DROP INDEX IF EXISTS jobs_unfinished_runs"),
        *(
            migrations.RunSQL(
                f"CREATE INDEX {name} ON {TABLE} ({column}, date_created)",
                f"DROP INDEX IF EXISTS {name}",
            )
            for name, column in LATEST.items()
        ),
        *(
            migrations.RunSQL(
                f"DROP INDEX IF EXISTS {name}",
                f"CREATE INDEX IF NOT EXISTS {name} ON {TABLE} ({column})",
            )
            for name, column in REPLACED.items()
        ),
        migrations.RunSQL(
            f"DROP INDEX IF EXISTS {LIKE}",
            f"CREATE INDEX IF NOT EXISTS {LIKE} ON {TABLE} (task_id varchar_pattern_ops)",
        ),
    ]
