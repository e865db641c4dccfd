"""Arguments of calls that are of a kind nothing can be made of: told by their names, before anything is sent.

Values of the right kind are the service's to judge.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from types import NoneType
from typing import Any, ParamSpec, TypeVar, get_args, get_origin

from stepsize.client.calls.base import its_id

P = ParamSpec("P")
R = TypeVar("R")

_WORDS = {Mapping: "a mapping", Sequence: "a list", str: "a text"}


def of_its_kind(describe: Callable[P, R]) -> Callable[P, R]:
    """Make a call refuse what is no mapping, no list or no text where one is meant.

    Raises:
        TypeError: it names the argument.
    """
    taken = signature(describe)

    @wraps(describe)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, given in taken.bind(*args, **kwargs).arguments.items():
            _refuse_another_kind(taken.parameters[name], given)
        return describe(*args, **kwargs)

    return called


def _refuse_another_kind(parameter: Parameter, given: object) -> None:
    members = get_args(parameter.annotation) if _is_union(parameter.annotation) else (parameter.annotation,)
    kinds = [get_origin(member) or member for member in members if member is not NoneType]
    if any(kind not in _WORDS for kind in kinds):
        return  # a number, a choice or a model of ours: the service or the call itself says what is wrong
    if given is None and NoneType in members:
        return
    if not any(_is_of(kind, given) for kind in kinds):
        expected = " or ".join(_WORDS[kind] for kind in kinds)
        raise TypeError(f"{parameter.name}: {expected} is expected here, not {given!r}{its_id(given)}")


def _is_union(annotation: object) -> bool:
    return bool(get_args(annotation)) and get_origin(annotation) not in (Mapping, Sequence)


def _is_of(kind: Any, given: object) -> bool:
    if kind is Sequence:  # whatever can be gone through in order: an array or a column of a frame too
        return isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    return isinstance(given, kind)
