from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db.models.expressions import BaseExpression, Combinable
from django.utils.functional import _StrOrPromise

_F = TypeVar("_F", bound=Callable[..., Any])

def action(
    function: None = None,
    *,
    permissions: Iterable[str] | None = None,
    description: _StrOrPromise | None = None,
) -> Callable[[_F], _F]: ...
def display(
    function: None = None,
    *,
    ordering: str | Combinable | BaseExpression | None = None,
    description: _StrOrPromise | None = None,
    label: bool | str | dict[str, str] | None = None,
    header: bool | None = None,
) -> Callable[[_F], _F]: ...
