"""What every command does when it refuses: says so in our words, and as JSON too where `--json` was asked for."""

import errno
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from typer._click import Context  # Typer's own base: of its copy of Click it gives out a part alone
from typer._click.exceptions import BadParameter, MissingParameter, NoSuchOption, UsageError
from typer.core import TyperGroup

from stepsize.cli.printing import Refusal, fail
from stepsize.spec.hints import hint
from stepsize.spec.wording import pydantic_words

_AS_JSON = "stepsize.as_json"
_USAGE = "urn:stepsize:usage"


class Commands(TyperGroup):
    """All commands. Who reads JSON on standard output gets JSON there, however a command ends."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Context | None = None, **extra: Any
    ) -> Context:
        as_json = "--json" in args
        with _told(as_json=as_json):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[_AS_JSON] = as_json
        return context

    def invoke(self, ctx: Context) -> Any:
        with _told(as_json=ctx.meta[_AS_JSON]), _written():
            return super().invoke(ctx)


@contextmanager
def _told(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        told = _in_our_words(error)
        if as_json:
            _print({"type": _USAGE, "title": "Wrong usage", "detail": told.format_message()})
        raise told from None
    except Refusal as refusal:
        if as_json:
            _print(refusal.problem)
        raise


@contextmanager
def _written() -> Iterator[None]:
    """Say so where there is no room for what is printed."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would be tried again at the end
        fail("the output can't be written: no space is left where it goes")


def _print(problem: object) -> None:
    typer.echo(json.dumps(problem, indent=2, ensure_ascii=False))


def _in_our_words(error: UsageError) -> UsageError:
    """Return an error with what was meant: Typer lets Pydantic read its values, which has words of its own."""
    cause = error.__cause__
    match error:
        case NoSuchOption(option_name=name, possibilities=near):
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            return UsageError(f"there is no option {name}{meant}", error.ctx)
        case MissingParameter(param=param) if param is not None:
            error.message = getattr(param, "help", None) or ""
        case BadParameter(param=param) if param is not None and isinstance(cause, ValidationError):
            error.message = _value_words(cause, param.type_descriptor.choices)
        case BadParameter(param=None, param_hint=None):  # of no one option: it says itself what it is about
            return UsageError(error.message, error.ctx)
        case _:
            pass
    return error


def _value_words(error: ValidationError, choices: Sequence[object] | None) -> str:
    wrong = error.errors(include_url=False)[0]
    given = wrong["input"]
    if choices is not None:
        return f"there is no {given!r}; {hint(str(given), map(str, choices))}"
    return f"{pydantic_words(wrong['type'], wrong.get('ctx', {}), wrong['msg'])}, not {given!r}"
