"""Calls of public functions with arguments that they don't take, or lack: Python says so, but not what is meant."""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from stepsize.spec.hints import hint

P = ParamSpec("P")
R = TypeVar("R")


def says_what_it_takes(
    example: str = "", *, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function that is called wrongly say which argument is meant, or how it is called.

    Args:
        example: a call as it is right; empty: its arguments say enough.
        elsewhere: what other tools call an argument → what it is here.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        taken = signature(function)

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                taken.bind(*args, **kwargs)
            except TypeError:
                said = _what_is_wrong(taken, len(args), kwargs, elsewhere)
                raise TypeError(f"{function.__name__}() {said}" + (f" (as in {example})" if example else "")) from None
            return function(*args, **kwargs)

        return called

    return decorate


def _what_is_wrong(
    taken: Signature, n_by_place: int, by_name: Mapping[str, object], elsewhere: Mapping[str, str]
) -> str:
    for name in by_name:
        if name not in taken.parameters:
            meant = f"did you mean {elsewhere[name]}?" if name in elsewhere else hint(name, taken.parameters)
            return f"has no argument {name!r}; {meant}"
    places = [name for name, one in taken.parameters.items() if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if n_by_place > len(places):
        first = f"takes {' and '.join(places)} by place" if places else "takes nothing by place"
        return f"{first}, all else by name"
    if twice := [name for name in places[:n_by_place] if name in by_name]:
        return f"is given {twice[0]} twice, by place and by name"
    missing = [
        name
        for name, one in taken.parameters.items()
        if one.default is Parameter.empty and name not in by_name and name not in places[:n_by_place]
    ]
    return f"needs {' and '.join(missing)}"
