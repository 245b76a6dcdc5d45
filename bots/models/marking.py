from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def alters_data(method: Method) -> Method:
    """Mark a method that changes the database, so that Django's templates do not call it."""
    vars(method)["alters_data"] = True
    return method


def queryset_only(method: Method) -> Method:
    """Mark a method of a queryset that Django must not copy to the manager."""
    vars(method)["queryset_only"] = True
    return method
