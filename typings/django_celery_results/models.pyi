from datetime import datetime

from django.db import models
from django_celery_results.managers import GroupResultManager, TaskResultManager

# celery-types describes this model, but not the columns that newer versions have.
class TaskResult(models.Model):
    task_id: models.CharField[str, str]
    periodic_task_name: models.CharField[str | None, str | None]
    task_name: models.CharField[str | None, str | None]
    task_args: models.TextField[str | None, str | None]
    task_kwargs: models.TextField[str | None, str | None]
    status: models.CharField[str, str]
    worker: models.CharField[str | None, str | None]
    content_type: models.CharField[str, str]
    content_encoding: models.CharField[str, str]
    result: models.TextField[str | None, str | None]
    date_created: models.DateTimeField[datetime, datetime]
    date_started: models.DateTimeField[datetime | None, datetime | None]
    date_done: models.DateTimeField[datetime, datetime]
    traceback: models.TextField[str | None, str | None]
    meta: models.TextField[str | None, str | None]
    objects: TaskResultManager

class GroupResult(models.Model):
    objects: GroupResultManager
