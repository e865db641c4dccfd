"""Numbers, tables and blocks as the pages show them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from benchmarks.guide.statistics import Estimate


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, without an exponent where it is readable."""
    if not math.isfinite(value):
        return "never"
    return f"{value:.{digits}g}" if 1e-4 <= abs(value) < 1e6 or value == 0 else f"{value:.{digits - 1}e}"


def rate(value: float) -> str:
    """Return a learning rate with two significant digits."""
    return number(value, 2)


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * share:.1f} %"


def plus_minus(found: Estimate, decimals: int = 3) -> str:
    """Return a mean and half the width of its interval."""
    return f"{found.value:.{decimals}f} ± {found.half:.{decimals}f}"


def signed(found: Estimate, decimals: int = 3) -> str:
    """Return a difference and half the width of its interval."""
    return f"{found.value:+.{decimals}f} ± {found.half:.{decimals}f}".replace("-", "−")


def percent_plus_minus(found: Estimate) -> str:
    """Return a mean share with its interval, as percentages."""
    return f"{100 * found.value:.1f} ± {100 * found.half:.1f} %"


def rate_interval(found: Estimate) -> str:
    """Return a rate and its interval from an estimate of its log10."""
    return f"{rate(10**found.value)} ({rate(10**found.low)} to {rate(10**found.high)})"


def epochs(value: float, most: int) -> str:
    """Return an epoch, or that it lies beyond the last one."""
    return f"> {most}" if math.isinf(value) else f"{value:g}"


def listing(items: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def count(n: int) -> str:
    """Return the number, or `none`."""
    return str(n) if n else "none"


def plural(n: int, noun: str) -> str:
    """Return `1 seed`, `2 seeds`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def job_block(spec: JsonValue) -> str:
    """Return a job as a command that can be copied; each of its fields on one line."""
    return f"```sh\nstepsize submit - --wait <<'END'\n{_lines(spec)}\nEND\n```"


def request_block(path: str, spec: JsonValue) -> str:
    """Return a request as a command that can be copied."""
    head = f"curl -s http://127.0.0.1:8000{path} -H 'Content-Type: application/json' -d @- <<'END'"
    return f"```sh\n{head}\n{_lines(spec)}\nEND\n```"


def _lines(spec: JsonValue) -> str:
    assert isinstance(spec, Mapping), "a job is an object"
    fields = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in spec.items())
    return f"{{\n{fields}\n}}"
