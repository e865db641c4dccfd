"""The command that asks which learning rates to search."""

from typing import Annotated

import typer
from rich.table import Table

from stepsize.cli.connection import SERVER, AsJson, Server, connected
from stepsize.cli.files import Output, Themes, image_format_of, write_file
from stepsize.cli.job_file import read_job
from stepsize.cli.printing import console, number, print_json, say, with_reason
from stepsize.cli.watching import watch_job
from stepsize.client import Estimate, RangeTest
from stepsize.client.range_tests import RangeTestResult


def range_test(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A range test in JSON or YAML; `-` reads standard input.")
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the result; 1 unless it is conclusive at some batch size.")
    ] = False,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Find between which learning rates to search: sweep the rate upwards and watch the loss."""
    spec = read_job(file)
    with connected(server) as client:
        test = client.range_test(spec)
        if wait:
            watch_job(client, test.job_id, quiet=True)
            test = client.read_range_test(test.id)
    if as_json:
        print_json(test)
    elif wait:
        _print_result(test)
    else:
        typer.echo(test.id)
        say(f"read its result with `stepsize read-range-test {test.id}`")
    if wait and not any(result.suggestion for result in test.results):
        raise typer.Exit(1)


def read_range_test(
    test_id: Annotated[str, typer.Argument(metavar="TEST", help="A range test's id.")],
    file: Output = None,
    theme: Themes = "light",
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show what a range test has found; with --output as a figure. 1 unless it is conclusive at some batch size."""
    with connected(server) as client:
        test = client.read_range_test(test_id)
        if file is not None:
            image = client.plot_range_test(test_id, image_format=image_format_of(file), theme=theme)
            write_file(image, file, default="")
    if as_json:
        print_json(test)
    else:
        _print_result(test)
    if not any(result.suggestion for result in test.results):
        raise typer.Exit(1)


def _print_result(test: RangeTest) -> None:
    if test.state != "completed":
        say(f"{test.id}: {with_reason(test.state, test.error or test.reason)}")
    if test.results:
        console().print(_table(test.results))
    for caveat in _caveats(test.results):
        say(caveat)


def _table(results: list[RangeTestResult]) -> Table:
    table = Table("batch size", "low", "suggestion", "high", box=None, pad_edge=False)
    for result in results:
        size = number(result.batch_size) or "-"
        if result.inconclusive is not None:
            table.add_row(size, "inconclusive")
        else:
            table.add_row(size, _cell(result.low), _cell(result.suggestion), _cell(result.high))
    return table


def _cell(estimate: Estimate | None) -> str:
    """Return e.g. `0.012 (0.0081 to 0.018)`, or `-`."""
    if estimate is None or estimate.value is None:
        return "-"
    value = f"{estimate.value:.2g}"
    return value if estimate.low is None else f"{value} ({estimate.low:.2g} to {estimate.high:.2g})"


def _caveats(results: list[RangeTestResult]) -> list[str]:
    """Return what to know about the numbers, each once."""
    found = []
    for result in results:
        at = "" if result.batch_size is None else f"batch size {result.batch_size}: "
        found += [at + result.inconclusive] if result.inconclusive else []
        parts = {"low": result.low, "suggestion": result.suggestion, "high": result.high}
        found += [f"{at}{name}: {part.caveat}" for name, part in parts.items() if part and part.caveat]
    return found
