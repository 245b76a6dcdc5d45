"""Who sees what in the admin: people their own, superusers everything."""

from typing import Any, TypeVar, cast

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.models import User

AnyModel = TypeVar("AnyModel", bound=Model)


def logged_in(user: User | AnonymousUser) -> User:
    """Return the user of a page that only people who are logged in can open.

    Raises PermissionDenied for anybody else.
    """
    if not isinstance(user, User):
        raise PermissionDenied("Log in first.")
    return user


def owned_by(
    queryset: QuerySet[AnyModel], user: User | AnonymousUser, *, path: str = "owner"
) -> QuerySet[AnyModel]:
    """Narrow a queryset to what belongs to the user; `path` leads from its model to the owner."""
    return queryset if user.is_superuser else queryset.filter(**{path: user.pk})


class OwnedForm(ModelForm):  # type: ignore[type-arg]  # not generic at runtime
    """A form whose new instances belong to whoever fills it in."""

    user: User

    @classmethod
    def of(cls, user: User | AnonymousUser) -> type["OwnedForm"]:
        """The form as this user fills it in; raise PermissionDenied for nobody in particular."""
        return type(cls.__name__, (cls,), {"user": logged_in(user)})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.owner_id is None:
            self.instance.owner = self.user

    def _get_validation_exclusions(self) -> set[str]:
        # The owner is no field of the form, but names are unique among what is his.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # not in the stubs
        return excluded - {"owner"}


class OwnedModelAdmin(ModelAdmin):
    """An admin of things that have an owner. Others' are not there: no list, no page, no action."""

    form: type[OwnedForm]
    owner_path = "owner"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What the user may see at all."""
        return owned_by(super().get_queryset(request), request.user, path=self.owner_path)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[OwnedForm]:
        """The form, knowing who fills it in."""
        form = super().get_form(request, *args, **kwargs)
        # Django derives it from `form` above.
        return cast("type[OwnedForm]", form).of(request.user)
