from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db.models.expressions import BaseExpression, Combinable
from django_stubs_ext import StrOrPromise

_F = TypeVar("_F", bound=Callable[..., Any])

def action(
    function: None = None,
    *,
    permissions: Iterable[str] | None = None,
    description: StrOrPromise | None = None,
) -> Callable[[_F], _F]: ...
def display(
    function: None = None,
    *,
    ordering: str | Combinable | BaseExpression | None = None,
    description: StrOrPromise | None = None,
    label: bool | str | dict[str, str] | None = None,
    header: bool | None = None,
) -> Callable[[_F], _F]: ...
