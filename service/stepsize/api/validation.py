"""From FastAPI's validation errors to the pointers and hints of the contract."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter

from stepsize.application.pointers import pointer
from stepsize.errors import FieldError
from stepsize.spec.hints import hint
from stepsize.spec.wording import pydantic_words

Schema = Mapping[str, Any]

_QUOTED = re.compile(r"'([^']*)'")


def field_errors(error: RequestValidationError, request: Request) -> list[FieldError]:
    """Return each wrong field once, with the nearest valid name where one is unknown."""
    schema = _body_schema(request)
    found: dict[str, FieldError] = {}
    for wrong in error.errors():
        field = _field_error(wrong, schema)
        found.setdefault(field.pointer, field)  # a union reports one error a member
    return list(found.values())


def _field_error(wrong: Mapping[str, Any], schema: Schema) -> FieldError:
    where, *loc = wrong["loc"]
    if where == "query":
        return FieldError(f"?{loc[0]}", _message(wrong))
    if where == "path":
        return FieldError(f"{{{loc[0]}}}", _message(wrong))
    if where != "body":
        return FieldError(str(loc[0]), _message(wrong))
    if wrong["type"] == "json_invalid":
        return FieldError("", f"the body is not JSON: {wrong['ctx']['error']} at character {loc[0]}")
    return _body_error(wrong, schema, loc)


def _body_error(wrong: Mapping[str, Any], schema: Schema, loc: Sequence[str | int]) -> FieldError:
    path, at = walk(schema, loc)
    if wrong["type"] == "missing" and not path:
        return FieldError("", "a JSON body is required, with Content-Type: application/json")
    if wrong["type"] == "extra_forbidden":
        _, parent = walk(schema, loc[:-1])
        known = parent.get("properties", {})
        where = _home(schema, path) or hint(str(loc[-1]), known)
        return FieldError(pointer(*path), f"there is no field {loc[-1]!r} here; {where}")
    if wrong["type"] == "model_attributes_type" and path:
        return FieldError(pointer(*path), _object_message(at))
    if wrong["type"] in ("union_tag_invalid", "union_tag_not_found"):
        discriminator = str(wrong["ctx"]["discriminator"]).strip("'")
        return FieldError(pointer(*path, discriminator), _tag_message(wrong, at))
    if "anyOf" in at and len(_members(at)) > 1 and wrong["type"] != "value_error":
        kinds = " or ".join(str(member.get("type", "object")) for member in _members(at))
        return FieldError(pointer(*path), f"not a value of type {kinds}")
    return FieldError(pointer(*path), _message(wrong))


def _object_message(schema: Schema) -> str:
    """Say what belongs where something else than an object was sent, such as a bare name."""
    if union := schema.get("discriminator"):
        return f"an object is expected here, its {union['propertyName']!r} one of {', '.join(union['mapping'])}"
    return f"an object is expected here, with the fields {', '.join(schema.get('properties', {}))}"


def _tag_message(wrong: Mapping[str, Any], schema: Schema) -> str:
    known = list(schema.get("discriminator", {}).get("mapping", {}))
    tag = wrong["ctx"].get("tag")
    return f"there is no {tag!r}; {hint(str(tag), known)}" if tag is not None else f"name one of {', '.join(known)}"


def _message(wrong: Mapping[str, Any]) -> str:
    if wrong["type"] in ("literal_error", "enum") and isinstance(wrong.get("input"), str):
        return f"there is no {wrong['input']!r}; {hint(wrong['input'], _QUOTED.findall(wrong['ctx']['expected']))}"
    return pydantic_words(wrong["type"], wrong.get("ctx", {}), str(wrong["msg"]))


def _home(root: Schema, path: Sequence[str | int]) -> str:
    """Return where in the body a field belongs that stands in the wrong place; nothing if that isn't clear."""
    name = path[-1]
    fields: Mapping[str, Schema] = _deref(root, root).get("properties", {})
    if name in fields:
        return f"it belongs outside of {path[0]}"
    homes = [home for home, schema in fields.items() if name in _deref(root, schema).get("properties", {})]
    return f"it belongs in {homes[0]}" if len(homes) == 1 else ""


def walk(schema: Schema, loc: Sequence[str | int]) -> tuple[list[str | int], Schema]:
    """Follow an error's location through a JSON Schema, dropping what is no part of the document: tags of unions.

    Returns:
        The path in the document, and the schema of what is there.
    """
    path: list[str | int] = []
    at = _deref(schema, schema)
    for part in loc:
        if part == "[key]":  # the key itself is wrong, not the value under it
            continue
        if mapping := at.get("discriminator", {}).get("mapping"):
            at = _deref(schema, {"$ref": mapping.get(part, "")})
        elif "anyOf" in at:
            at = {"anyOf": at["anyOf"]}
        else:
            path.append(part)
            at = _deref(schema, _child(at, part))
    return path, at


def _child(schema: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        items: Schema = schema.get("items", {})
        return items
    properties: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    return properties.get(part, others if isinstance(others, Mapping) else {})


def _deref(root: Schema, schema: Schema) -> Schema:
    """Follow references, and take `X or null` for X."""
    while True:
        if "$ref" in schema:
            schema = root.get("$defs", {}).get(schema["$ref"].removeprefix("#/$defs/"), {})
        elif "anyOf" in schema and len(_members(schema)) == 1:
            schema = _members(schema)[0]
        else:
            return schema


def _members(schema: Schema) -> list[Schema]:
    return [member for member in schema["anyOf"] if member.get("type") != "null"]


def _body_schema(request: Request) -> Schema:
    field = getattr(request.scope.get("route"), "body_field", None)
    return {} if field is None else schema_of(field.field_info.annotation)


@cache
def schema_of(annotation: Any) -> Schema:
    return TypeAdapter(annotation).json_schema()


def unknown_names(names: Sequence[str], known: Sequence[str]) -> Iterator[FieldError]:
    """Yield an error for each query parameter that isn't known."""
    for name in names:
        if name not in known:
            yield FieldError(f"?{name}", f"there is no query parameter {name!r} here; {hint(name, known)}")
