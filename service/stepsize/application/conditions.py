"""Conditional parameters: `when`, checked and completed with what the trainer itself demands."""

from collections.abc import Iterator

from stepsize.application.parameters import Choice
from stepsize.application.pointers import pointer
from stepsize.errors import FieldError
from stepsize.spec.hints import hint
from stepsize.spec.space import CategoricalParameter, Scalar, SearchSpace, When, is_among, shown


def check_conditions(choice: Choice) -> Iterator[FieldError]:
    """Yield what is wrong with the conditions a client gave."""
    for name, parameter in choice.space.items():
        for parent, values in (parameter.when or {}).items():
            yield from _check_condition(choice, name, parent, values)


def with_conditions(choice: Choice) -> SearchSpace:
    """Return the search space with the trainer's own conditions added where the client gave none."""
    return {
        name: parameter.model_copy(
            update={"when": _own_when(choice, _needed_when(choice, name, parameter.when or {})) or None}
        )
        for name, parameter in choice.space.items()
    }


def _own_when(choice: Choice, when: When) -> When:
    """Return conditions with values as the parents have them: types count where they are compared."""
    return {
        parent: [own for value in values if (own := choice.space[parent].own(value)) is not None]
        for parent, values in when.items()
    }


def check_depth(space: SearchSpace) -> Iterator[FieldError]:
    """Yield where a condition hangs on a parameter that is itself conditional."""
    for name, parameter in space.items():
        for parent in parameter.when or {}:
            if parent in space and space[parent].when:
                yield FieldError(
                    pointer("search_space", name, "when", parent),
                    f"{parent} is conditional itself; conditions are one level deep",
                )


def _check_condition(choice: Choice, name: str, parent: str, values: list[Scalar]) -> Iterator[FieldError]:
    at = ("search_space", name, "when", parent)
    if message := _why_no_parent(choice, name, parent):
        yield FieldError(pointer(*at), message)
        return
    if not values:
        yield FieldError(pointer(*at), f"list at least one value of {parent}")
    demanded = choice.schema.when(name).get(parent)
    for index, value in enumerate(values):
        if not choice.space[parent].contains(value):
            yield FieldError(pointer(*at, index), f"{parent} is never {shown(value)} in this search space")
        elif demanded is not None and not is_among(value, demanded):
            wanted = " or ".join(map(shown, demanded))
            yield FieldError(pointer(*at, index), f"{name} applies only when {parent} is {wanted}")


def _why_no_parent(choice: Choice, name: str, parent: str) -> str | None:
    if parent == name:
        return "a parameter can't be its own condition"
    if parent in choice.fixed:
        return f"{parent} is fixed in trainer.params; a condition needs a searched parameter"
    if parent not in choice.space:
        return f"{parent!r} is not searched; {hint(parent, [other for other in choice.space if other != name])}"
    return None


def _needed_when(choice: Choice, name: str, given: When) -> When:
    added = {
        parent: choice.can_be(parent, values)
        for parent, values in choice.schema.when(name).items()
        if parent in choice.space and parent not in given and not _always(choice, parent, values)
    }
    return given | added


def _always(choice: Choice, parent: str, values: list[Scalar]) -> bool:
    """Tell whether a searched parent only ever has one of these values."""
    parameter = choice.space[parent]
    return isinstance(parameter, CategoricalParameter) and all(is_among(one, values) for one in parameter.choices)
