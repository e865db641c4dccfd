"""One entry of a JSON document as SQL, typed safely on SQLite and PostgreSQL.

A value of another type is NULL, never an error: comparing a string with a number matches nothing.
"""

from typing import Any

from sqlalchemy import ColumnElement, Double, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class number_in(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """The number a document has under a name, else NULL."""

    type = Double()
    inherit_cache = True

    def __init__(self, document: ColumnElement[Any], name: str) -> None:
        super().__init__(document, literal(name, Text()))


_BOOLEAN_MARK = "\x01"


def boolean_text(value: bool) -> str:
    """Return what `text_in` gives for a boolean: text that sorts before all strings and equals none."""
    return f"{_BOOLEAN_MARK}{str(value).lower()}"


class text_in(FunctionElement[str]):  # noqa: N801
    """The string a document has under a name (a boolean as `boolean_text` has it), else NULL."""

    type = Text()
    inherit_cache = True

    def __init__(self, document: ColumnElement[Any], name: str) -> None:
        super().__init__(document, literal(name, Text()))


def _arguments(element: FunctionElement[Any], compiler: Any, **kw: Any) -> list[str]:
    return [compiler.process(clause, **kw) for clause in element.clauses]


# json_each and not json_extract: a name is data here, never part of a path expression.
@compiles(number_in, "sqlite")
def _sqlite_number(element: number_in, compiler: Any, **kw: Any) -> str:
    document, name = _arguments(element, compiler, **kw)
    return f"(SELECT value FROM json_each({document}) WHERE key = {name} AND type IN ('integer', 'real'))"


@compiles(text_in, "sqlite")
def _sqlite_text(element: text_in, compiler: Any, **kw: Any) -> str:
    document, name = _arguments(element, compiler, **kw)
    value = "CASE type WHEN 'text' THEN value ELSE char(1) || type END"
    return f"(SELECT {value} FROM json_each({document}) WHERE key = {name} AND type IN ('text', 'true', 'false'))"


@compiles(number_in, "postgresql")
def _postgresql_number(element: number_in, compiler: Any, **kw: Any) -> str:
    document, name = _arguments(element, compiler, **kw)
    return f"CASE WHEN json_typeof({document} -> {name}) = 'number' THEN ({document} ->> {name})::double precision END"


@compiles(text_in, "postgresql")
def _postgresql_text(element: text_in, compiler: Any, **kw: Any) -> str:
    document, name = _arguments(element, compiler, **kw)
    text = (
        f"CASE json_typeof({document} -> {name}) WHEN 'string' THEN {document} ->> {name} "
        f"WHEN 'boolean' THEN chr(1) || ({document} ->> {name}) END"
    )
    # Sorted by code point, as SQLite does, whatever the server's locale.
    return f"""({text} COLLATE "C")"""
