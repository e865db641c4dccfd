"""Reading a job from a JSON or YAML file."""

import json
import re
import sys
from pathlib import Path
from typing import NoReturn

import typer
import yaml
from pydantic import JsonValue, TypeAdapter, ValidationError

_MAPPING = TypeAdapter(dict[str, JsonValue])


def read_job(path: str) -> dict[str, JsonValue]:
    """Return the job in a file, or on standard input where `path` is `-`.

    Raises:
        typer.BadParameter: unreadable, or neither JSON nor YAML of one object.
    """
    return _read(path, "a job")


def read_foreign(path: str) -> dict[str, JsonValue]:
    """Return what another tool's file holds, as `read_job` does.

    Raises:
        typer.BadParameter: unreadable, or neither JSON nor YAML of one object.
    """
    return _read(path, "JSON or YAML")


def _read(path: str, what: str) -> dict[str, JsonValue]:
    text = sys.stdin.read() if path == "-" else _read_file(Path(path))
    try:
        content = _parse_json(text) if path.endswith(".json") else _parse_yaml(text)
        return _MAPPING.validate_python(content)
    except (ValueError, yaml.YAMLError) as error:
        reason = "it must hold one object" if isinstance(error, ValidationError) else str(error)
        raise typer.BadParameter(f"{path} can't be read as {what}: {reason}") from error


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} can't be read: {_reason(error)}") from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"


def _parse_json(text: str) -> object:
    parsed: object = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
    return parsed


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object; of a key written twice JSON's own reader would silently take the last."""
    seen: dict[str, object] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"{key!r} stands there twice")
        seen[key] = value
    return seen


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain scalars, of which JSON is a part.

    PyYAML follows YAML 1.1, where `1e-5` is a string, `no` is false, `1:30` is 90 and dates are objects: a learning
    rate written as people write it would be refused, or worse.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own name


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _decimal(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(node.value, 10)  # 010 is ten, not YAML 1.1's eight


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[str, object]:
    pairs: list[tuple[str, object]] = loader.construct_pairs(node, deep=True)
    if any(key == "<<" for key, _ in pairs):
        raise ValueError("<< is YAML 1.1's way to merge and not taken; write the keys out")
    return _without_repeats(pairs)


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _parse_yaml(text: str) -> object:
    parsed: object = yaml.load(text, Loader=_Loader)
    return parsed
