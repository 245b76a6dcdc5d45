"""The parameters of a job: names, types and defaults, read from its function's signature.

The types are those of JSON, so that a run's row and its message can carry the values: int, float,
str, bool, list, dict, `Literal[...]`, enumerations (as their values), and `X | None`.
"""

import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from jobs.errors import InvalidJob

MISSING = inspect.Parameter.empty
PLAIN_TYPES: dict[type, Any] = {
    int: gettext_lazy("a whole number"),
    float: gettext_lazy("a number"),
    str: gettext_lazy("text"),
    bool: gettext_lazy("true or false"),
    list: gettext_lazy("a list"),
    dict: gettext_lazy("an object"),
}
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Parameter:
    """One parameter of a job."""

    name: str
    json_type: type
    default: Any = MISSING
    optional: bool = False
    # The possible values of a Literal or an enumeration.
    choices: tuple[Any, ...] = ()
    enumeration: type[enum.Enum] | None = None

    @property
    def required(self) -> bool:
        """Whether a run must give this parameter."""
        return self.default is MISSING

    @property
    def kind(self) -> str:
        """The values that the parameter accepts, in words."""
        choices = ", ".join(map(repr, self.choices))
        if choices:
            words = _("one of %(choices)s") % {"choices": choices}
        else:
            words = str(PLAIN_TYPES[self.json_type])
        return _("%(kind)s, or null") % {"kind": words} if self.optional else words

    def check(self, value: Any) -> Any:
        """Return the value as JSON carries it; raise ValidationError if it does not fit."""
        if value is None and self.optional:
            return None
        if isinstance(value, enum.Enum) and self.enumeration is not None:
            value = value.value
        if self.choices:
            # Not `in`: 1 == True == 1.0, but they are different values.
            fits = any(value == choice and type(value) is type(choice) for choice in self.choices)
        elif self.json_type is float:
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
            value = float(value) if fits else value
        elif self.json_type is int:
            fits = isinstance(value, int) and not isinstance(value, bool)
        else:
            fits = isinstance(value, self.json_type)
        if not fits:
            shown = repr(value)
            if len(shown) > SHOWN_CHARACTERS:
                shown = f"{shown[:SHOWN_CHARACTERS]}…"
            raise ValidationError(
                _("%(name)s: %(value)s is not %(kind)s. Give %(kind)s.")
                % {"name": self.name, "value": shown, "kind": self.kind}
            )
        return value


class Parameters:
    """The parameters of a job, in the order of its signature."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.by_name = {parameter.name: parameter for parameter in parameters}
        self.enumerations = [p for p in parameters if p.enumeration is not None]

    @classmethod
    def of(cls, function: Callable[..., Any], *, bound: bool = False) -> "Parameters":
        """Read a function's signature; `bound` leaves out its first parameter, the task itself.

        Raises `InvalidJob` for a parameter without a type, or with a type that JSON does not have.
        """
        try:
            hints = typing.get_type_hints(function)
        except NameError as error:
            raise InvalidJob(f"{function.__qualname__}: {error}.") from error
        declared = list(inspect.signature(function).parameters.values())
        if bound:
            declared = declared[1:]
        return cls([_parameter(function, p, hints) for p in declared])

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Name the positional arguments, and validate all arguments; raise ValidationError."""
        names = list(self.by_name)
        if len(args) > len(names):
            raise ValidationError(
                ngettext(
                    "%(count)d positional argument is too many: the job's parameters are %(names)s. "
                    "Leave out the surplus arguments.",
                    "%(count)d positional arguments are too many: the job's parameters are "
                    "%(names)s. Leave out the surplus arguments.",
                    len(args),
                )
                % {"count": len(args), "names": _listed(names)}
            )
        named = dict(zip(names, args, strict=False))
        if twice := sorted(named.keys() & kwargs.keys()):
            raise ValidationError(
                _("%(name)s: the argument is given twice, by position and by name. Give it once.")
                % {"name": twice[0]}
            )
        return self.validate(named | dict(kwargs))

    def validate(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as a run records them; raise ValidationError naming every fault."""
        if not isinstance(kwargs, Mapping):
            raise ValidationError(
                _('The arguments are %(value)r, not an object. Give {"name": value}.')
                % {"value": kwargs}
            )
        faults: list[ValidationError] = []
        valid = {}
        for name, value in kwargs.items():
            if name not in self.by_name:
                known = list(self.by_name)
                faults.append(
                    ValidationError(
                        _("%(name)s: the job has no such parameter. Its parameters are %(names)s.")
                        % {"name": name, "names": _listed(known)}
                    )
                )
                continue
            try:
                valid[name] = self.by_name[name].check(value)
            except ValidationError as error:
                faults.append(error)
        faults += [
            ValidationError(
                _("%(name)s: the argument is missing. Give %(kind)s.")
                % {"name": p.name, "kind": p.kind}
            )
            for p in self.by_name.values()
            if p.required and p.name not in kwargs
        ]
        if faults:
            raise ValidationError(faults)
        return valid

    def complete(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return valid arguments together with the defaults of omitted ones."""
        defaults = {p.name: p.default for p in self.by_name.values() if not p.required}
        return defaults | dict(kwargs)

    def to_python(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them: enumeration members instead of values."""
        converted = dict(kwargs)
        for parameter in self.enumerations:
            value = converted.get(parameter.name)
            if value is not None and parameter.enumeration is not None:
                converted[parameter.name] = parameter.enumeration(value)
        return converted


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or _("none")


def _parameter(
    function: Callable[..., Any], declared: inspect.Parameter, hints: Mapping[str, Any]
) -> Parameter:
    where = f"{function.__qualname__}({declared.name})"
    if declared.kind in (declared.VAR_POSITIONAL, declared.VAR_KEYWORD):
        raise InvalidJob(
            f"{where}: a job names its parameters; *args and **kwargs cannot be shown."
        )
    if declared.kind == declared.POSITIONAL_ONLY:
        raise InvalidJob(f"{where}: a run gives its arguments by name; drop the slash.")
    if declared.name not in hints:
        raise InvalidJob(f"{where}: has no type. Annotate it.")
    hint, optional = _without_none(hints[declared.name])
    default = declared.default
    origin = typing.get_origin(hint) or hint
    choices: tuple[Any, ...] = ()
    enumeration = None
    if origin is Literal:
        choices = typing.get_args(hint)
        origin = type(choices[0])
    elif isinstance(origin, type) and issubclass(origin, enum.Enum):
        enumeration = origin
        choices = tuple(member.value for member in origin)
        origin = type(choices[0])
        if isinstance(default, enum.Enum):
            default = default.value
    if origin not in PLAIN_TYPES:
        raise InvalidJob(
            f"{where}: {hint!r} cannot stand in a message. Use int, float, str, bool, list, dict, "
            "a Literal or an enumeration of these."
        )
    parameter = Parameter(
        declared.name, origin, default, optional or default is None, choices, enumeration
    )
    if default is not MISSING:
        try:
            parameter.check(default)
        except ValidationError as error:
            raise InvalidJob(f"{where}: its default does not fit. {error.messages[0]}") from error
    return parameter


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    members = [member for member in typing.get_args(hint) if member is not types.NoneType]
    if len(members) != 1:
        return hint, False
    return members[0], True
