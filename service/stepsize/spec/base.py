"""The base of every model a client may send."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

LONGEST_NAME = 200
"""Of a parameter or a metric."""
_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}
"""What is expected of a field with a core schema of these types."""


def _fields_of(schema: Any) -> dict[str, Any]:
    """Return the fields in a model's core schema, under whatever validators of the whole model there are."""
    while schema["type"] != "model-fields":
        if "schema" not in schema:
            return {}  # a reference to a model that was seen to already
        schema = schema["schema"]
    fields: dict[str, Any] = schema["fields"]
    return fields


def _strict(schema: Any) -> Any:
    """Return a field's core schema with the types of numbers and truth values checked first."""
    if schema["type"] in _WORDS:
        kind = schema["type"]
        return no_info_before_validator_function(lambda value: _checked(value, kind), schema)
    if schema["type"] in ("default", "nullable"):
        return {**schema, "schema": _strict(schema["schema"])}
    return schema


def _checked(value: object, kind: str) -> object:
    """Return the value, unless pydantic would turn it into a number or a truth value that it is not."""
    if isinstance(value, bool) == (kind == "bool") and not isinstance(value, str):
        return value  # what else is wrong with it pydantic says
    given = f"the text {value!r}" if isinstance(value, str) else str(value).lower()
    words = {"expected": _WORDS[kind], "given": given}
    raise PydanticCustomError("other_type", "{expected} is expected here, not {given}", words)


class Spec(BaseModel):
    """A frozen part of a specification, read strictly, so that a typo never becomes a silent default.

    Unknown fields are refused; text is no number, and neither text nor a number is true or false. A whole number may be
    written as a float.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        # pydantic's own strict mode refuses too much: 32.0 for 32, and the names of enumerations.
        for field in _fields_of(schema).values():
            field["schema"] = _strict(field["schema"])
        return schema


WholeNumber = Annotated[int, BeforeValidator(lambda value: _checked(value, "int"))]
"""An entry of a list, read as strictly as a field."""
