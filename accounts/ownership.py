"""Who sees what in the admin: people their own, superusers everything."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.models import User


def owned_by(
    queryset: QuerySet[Any], user: User | AnonymousUser, *, path: str = "owner"
) -> QuerySet[Any]:
    """Narrow a queryset to what belongs to the user; `path` leads from its model to the owner."""
    return queryset if user.is_superuser else queryset.filter(**{path: user.pk})


class OwnedForm(ModelForm):
    """A form whose new instances belong to whoever fills it in."""

    user: User

    @classmethod
    def of(cls, user: User) -> type["OwnedForm"]:
        """The form as this user fills it in."""
        return type(cls.__name__, (cls,), {"user": user})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.owner_id is None:
            self.instance.owner = self.user

    def _get_validation_exclusions(self) -> set[str]:
        # The owner is no field of the form, but names are unique among what is his.
        return super()._get_validation_exclusions() - {"owner"}


class OwnedModelAdmin(ModelAdmin):
    """An admin of things that have an owner. Others' are not there: no list, no page, no action."""

    owner_path = "owner"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What the user may see at all."""
        return owned_by(super().get_queryset(request), request.user, path=self.owner_path)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[OwnedForm]:
        """The form, knowing who fills it in."""
        return super().get_form(request, *args, **kwargs).of(request.user)
