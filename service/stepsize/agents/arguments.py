"""What is wrong with a tool's arguments, in words that a model can mend its call by."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from stepsize.spec.hints import hint, nearest
from stepsize.spec.wording import pydantic_words

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
_LONGEST = 80


def wrong_arguments(model: type[BaseModel], given: Mapping[str, object]) -> list[str]:
    """Return a sentence for each argument that is not known, missing, or of the wrong kind; none: all are well.

    Args:
        model: of a tool's arguments.
    """
    known = model.model_fields
    unknown = [name for name in given if name not in known]
    said = [f"there is no argument {name!r}; {hint(name, known)}" for name in unknown]
    try:
        model.model_validate({name: value for name, value in given.items() if name in known})
    except ValidationError as error:
        schema = model.model_json_schema()["properties"]
        said += list(_told(error, schema, {nearest(name, known) for name in unknown}))
    return said


def _told(error: ValidationError, schema: Mapping[str, Any], meant: set[str | None]) -> Iterator[str]:
    by_place: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for wrong in error.errors(include_url=False):
        place = tuple(map(str, wrong["loc"][:2]))
        by_place.setdefault(place, []).append(dict(wrong))
    for place, found in by_place.items():
        first, about = found[0], schema[place[0]]
        if first["type"] == "missing":
            if place[0] not in meant:  # its misspelling is told already
                yield f"{place[0]} is missing: {about.get('description') or _kind(about)}"
        else:
            yield f"{'.'.join(place)}: {_words(first, about, is_one_of_several=len(found) > 1)}"


def _words(wrong: Mapping[str, Any], about: Mapping[str, Any], *, is_one_of_several: bool) -> str:
    given = repr(wrong["input"])
    given = given if len(given) <= _LONGEST else f"{given[:_LONGEST]}…"
    if "enum" in about:
        return f"there is no {given}; {hint(str(wrong['input']), about['enum'])}"
    if is_one_of_several:  # a union reports one error a member
        return f"a number, a text, or true or false is expected here, not {given}"
    return f"{pydantic_words(wrong['type'], wrong.get('ctx', {}), wrong['msg'])}, not {given}"


def _kind(about: Mapping[str, Any]) -> str:
    return " or ".join(map(str, about["enum"])) if "enum" in about else _TYPES.get(about.get("type", ""), "needed")
