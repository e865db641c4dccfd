"""Our words: for what is wrong with a value, where libraries speak of types and regular expressions; for how many."""

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "missing": "this field is required",
    "json_invalid": "the body is not JSON",
    "model_attributes_type": "send a JSON object, with Content-Type: application/json",
    "string_unicode": "not a valid Unicode string",
    "dict_type": "an object is expected here",
    "list_type": "a list is expected here",
    "string_type": "a text is expected here",
    "int_type": "a whole number is expected here",
    "int_parsing": "a whole number is expected here",
    "int_from_float": "a whole number is expected here",
    "int_parsing_size": "this number is too large",
    "float_type": "a number is expected here",
    "float_parsing": "a number is expected here",
    "finite_number": "a finite number is expected here",
    "bool_type": "true or false is expected here",
    "bool_parsing": "true or false is expected here",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "needs at least {min_length} characters",
    "string_too_long": "takes at most {max_length} characters",
    "too_short": "needs at least {min_length} entries",
    "too_long": "takes at most {max_length} entries",
    "none_required": "null is expected here",
    "enum": "expected is {expected}",
    "literal_error": "expected is {expected}",
}
"""Kind of a Pydantic error → a sentence; in braces what its context says."""

_CHARACTERS = {
    r"^[A-Za-z0-9_-]{1,64}$": "takes 1 to 64 letters, digits, - and _",
    r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$": "takes a file's name: letters, digits, ., - and _",
    r"^[\x21-\x7e]{1,64}$": "takes 1 to 64 printable ASCII characters, without spaces",
    r"^[\x21-\x7e]{1,255}$": "takes 1 to 255 printable ASCII characters, without spaces",
    r"^[^\x00]*$": "takes no zero characters",
    r"^[^\x00]{1,200}$": "takes 1 to 200 characters, none of them zero",
    r"^[^\x00]{0,200}$": "takes at most 200 characters, none of them zero",
    r"^0?\.\d+(,0?\.\d+)*$": "takes fractions of the training between 0 and 1, such as 0.5,0.75",
    r"^[a-z0-9][a-z0-9_-]{0,63}$": "takes 1 to 64 lower-case letters, digits, - and _, the first a letter or digit",
}
"""Pattern of a text → what it takes."""

_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}


def pydantic_words(kind: str, context: Mapping[str, Any], otherwise: str) -> str:
    """Return what an error of Pydantic's says.

    Args:
        kind: its `type`.
        context: its `ctx`.
        otherwise: its own message, of which ours are a part.
    """
    if kind == "string_pattern_mismatch":
        return characters_words(context["pattern"])
    if kind in ("too_short", "string_too_short") and context["min_length"] == 1:
        return "must not be empty"
    words = _WORDS.get(kind)
    return otherwise.removeprefix("Value error, ") if words is None else words.format_map(context)


def characters_words(pattern: str) -> str:
    """Return what texts of a pattern look like."""
    return _CHARACTERS.get(pattern, "has characters that can't stand here")


def schema_words(rule: str, expected: Any, given: object) -> str:
    """Return what is wrong with a value that a JSON Schema refuses.

    Args:
        rule: the keyword it breaks, such as `minimum`.
        expected: what the keyword says.
        given: the value.
    """
    match rule:
        case "type":
            kinds = expected if isinstance(expected, list) else [expected]
            return f"{' or '.join(_KINDS.get(str(kind), str(kind)) for kind in kinds)} is expected here, not {given!r}"
        case "minimum":
            return f"must be at least {expected}, not {given!r}"
        case "maximum":
            return f"must be at most {expected}, not {given!r}"
        case "exclusiveMinimum":
            return f"must be above {expected}, not {given!r}"
        case "exclusiveMaximum":
            return f"must be below {expected}, not {given!r}"
        case "minLength":
            return f"needs at least {expected} characters"
        case "maxLength":
            return f"takes at most {expected} characters"
        case "pattern":
            return characters_words(expected)
        case "enum":
            return f"must be one of {', '.join(map(str, expected))}, not {given!r}"
        case _:
            return f"can't be {given!r}"


def counted(n: int, noun: str) -> str:
    """Return e.g. `1 trial` or `12 trials`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
