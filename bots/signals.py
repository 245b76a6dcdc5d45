from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

from bots import services
from bots.models import (
    MATCHING_FIELDS,
    BotConfig,
    bots_removed,
    matching_changed,
    scheduling_changed,
)
from jobs.schedules.diagnosis import Finding, schedule_diagnosed
from jobs.schedules.owners import Owner, owner_sought


@receiver(pre_save, sender=BotConfig, dispatch_uid="bots.notice_matching")
def notice_what_is_matched(
    instance: BotConfig, raw: bool, update_fields: Collection[str] | None, **kwargs: Any
) -> None:
    """Note whether this save changes a matching field, for `tell_what_is_matched`."""
    instance.matching_differs = False
    fields = MATCHING_FIELDS if update_fields is None else MATCHING_FIELDS & set(update_fields)
    if raw or not fields:
        return
    stored = (
        BotConfig.objects.filter(pk=instance.pk).values(*fields).first() if instance.pk else None
    )
    instance.matching_differs = stored != {name: getattr(instance, name) for name in fields}


@receiver(post_save, sender=BotConfig, dispatch_uid="bots.tell_matching")
def tell_what_is_matched(instance: BotConfig, **kwargs: Any) -> None:
    """Send `matching_changed` if the save changed a matching field."""
    if instance.matching_differs:
        matching_changed.send(sender=BotConfig, bot_ids=[instance.pk])


@receiver(post_save, sender=BotConfig, dispatch_uid="bots.schedule_follows_bot")
def schedule_follows_bot(instance: BotConfig, raw: bool, **kwargs: Any) -> None:
    """Create or correct the bot's schedule in the transaction that `BotConfig.save` opens.

    A fixture (`raw`) carries its own schedules; otherwise `reconcile_schedules` creates them.
    """
    if not raw:
        services.sync_schedules([instance])


@receiver(scheduling_changed, dispatch_uid="bots.schedules_follow_bulk_writes")
def schedules_follow_bulk_writes(bot_ids: Sequence[int], **kwargs: Any) -> None:
    """Correct the schedules of bots after a bulk write, in its transaction."""
    services.sync_schedules(BotConfig.objects.filter(pk__in=bot_ids))


@receiver(bots_removed, dispatch_uid="bots.schedules_go_with_bots")
def schedules_go_with_bots(bot_ids: Sequence[int], **kwargs: Any) -> None:
    """Remove the schedules of all bots that a queryset deletes, in one statement."""
    services.remove_schedules(bot_ids)


@receiver(post_delete, sender=BotConfig, dispatch_uid="bots.schedule_goes_with_bot")
def schedule_goes_with_bot(instance: BotConfig, origin: object, **kwargs: Any) -> None:
    """Remove the bot's schedule in the transaction that deletes the bot.

    When a queryset deletes bots, `schedules_go_with_bots` has already removed their schedules.
    """
    if not (isinstance(origin, QuerySet) and origin.model is BotConfig):
        services.remove_schedules([instance.pk])


@receiver(schedule_diagnosed, dispatch_uid="bots.explain_schedule")
def explain_bot_schedule(row: PeriodicTask, **kwargs: Any) -> Iterator[Finding]:
    """Explain why a bot's schedule is off; `jobs` cannot, because it does not know bots."""
    bot_id = services.bot_id_of(row.name)
    if bot_id is None:
        return
    bot = BotConfig.objects.filter(pk=bot_id).first()
    if bot is None:
        yield Finding(
            _("The bot of this schedule does not exist any more."),
            _("Run ./manage.py reconcile_schedules. It removes the schedule."),
        )
    elif not bot.is_active:
        yield Finding(_("The bot “%(name)s” is inactive.") % {"name": bot}, _("Activate the bot."))
    elif not bot.auto_scrape_enabled:
        yield Finding(_("The bot “%(name)s” is paused.") % {"name": bot}, _("Resume the bot."))
    elif bot.paused_at is not None:
        since = f"{timezone.localtime(bot.paused_at):%Y-%m-%d %H:%M}"
        yield Finding(
            _("Lurker paused the bot “%(name)s” on %(since)s: %(reason)s")
            % {"name": bot, "since": since, "reason": bot.pause_reason},
            _("Remove the cause, then resume the bot."),
        )


@receiver(owner_sought, dispatch_uid="bots.find_bot")
def find_bot(schedule: str | None, kwargs: Mapping[str, Any], **others: Any) -> Owner | None:
    """Return the bot to which a schedule belongs by its name, or the bot in a job's arguments."""
    bot_id = services.bot_id_of(schedule) if schedule else None
    if bot_id is None:
        bot_id = kwargs.get("bot_id")
    if not isinstance(bot_id, int):
        return None
    bot = BotConfig.objects.filter(pk=bot_id).first()
    if bot is None:
        return None
    return Owner(
        _("Bot “%(name)s”") % {"name": bot}, reverse("admin:bots_botconfig_change", args=[bot.pk])
    )
