from django.db import migrations

# For the sweep: what waits, by when it has to look at it; what runs. Both are small whatever the
# history's size.
WAITING = """
CREATE INDEX jobs_waiting_runs ON django_celery_results_taskresult
    (((meta::jsonb->>'sweep_at')::bigint)) WHERE status IN ('PENDING', 'RETRY')
"""
STARTED = """
CREATE INDEX jobs_started_runs ON django_celery_results_taskresult (id) WHERE status = 'STARTED'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_schedule_policy"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [
        migrations.RunSQL(WAITING, "DROP INDEX jobs_waiting_runs"),
        migrations.RunSQL(STARTED, "DROP INDEX jobs_started_runs"),
    ]
