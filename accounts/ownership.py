"""Ownership in the admin: users see their own objects, superusers see all objects.

It covers bots, Reddit apps and what belongs to bots. Content and other objects without an owner are
visible to every user with the permission.
"""

from typing import Any, TypeVar, cast

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from accounts.models import User

AnyModel = TypeVar("AnyModel", bound=Model)


def logged_in(user: User | AnonymousUser) -> User:
    """Return the logged-in user of a page.

    Raises PermissionDenied for an anonymous visitor.
    """
    if not isinstance(user, User):
        raise PermissionDenied(_("Log in to see this page."))
    return user


def owned_by(
    queryset: QuerySet[AnyModel], user: User | AnonymousUser, *, path: str = "owner"
) -> QuerySet[AnyModel]:
    """Narrow a queryset to the user's own objects; a superuser gets all of them.

    `path` leads from the queryset's model to the owner.
    """
    return queryset if user.is_superuser else queryset.filter(**{path: user.pk})


class OwnedForm(ModelForm):  # type: ignore[type-arg]  # not generic at runtime
    """A form that makes its user the owner of new instances."""

    user: User

    @classmethod
    def of(cls, user: User | AnonymousUser) -> type["OwnedForm"]:
        """Return the form class for this user; raise PermissionDenied for an anonymous visitor."""
        return type(cls.__name__, (cls,), {"user": logged_in(user)})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.owner_id is None:
            self.instance.owner = self.user

    def _get_validation_exclusions(self) -> set[str]:
        # The form has no owner field, but a name must be unique among the owner's objects.
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # not in the stubs
        return excluded - {"owner"}


class OwnedModelAdmin(ModelAdmin):
    """An admin of objects with an owner: lists, pages and actions show a user only their own."""

    form: type[OwnedForm]
    owner_path = "owner"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the objects that the user may see."""
        return owned_by(super().get_queryset(request), request.user, path=self.owner_path)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[OwnedForm]:
        """Return the form class for the user of the request."""
        form = super().get_form(request, *args, **kwargs)
        # Django derives this class from `form` above.
        return cast("type[OwnedForm]", form).of(request.user)
