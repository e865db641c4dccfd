"""What the lines that programs print mean."""

import math

import pytest

from stepsize_workers.trainers.command_lines import InfeasibleLine, NotTaken, ReportLine, read_line


def values_of(line: str) -> dict[str, float]:
    read = read_line(line.encode())
    assert isinstance(read, ReportLine), read
    return dict(read.values)


@pytest.mark.parametrize(
    "spelling",
    [
        "NaN",
        "nan",
        "-nan",
        "NAN",
        "+nan",
        "nan(ind)",
        "-nan(snan)",
        "1.#QNAN",
        "-1.#IND",
        "1.#IND00",
        '"NaN"',
        '"nan"',
        "-NaN",
        "NaN32",
        "+nan.0",
        "snan",
    ],
)
def test_no_number_in_any_spelling_is_no_number(spelling: str) -> None:
    values = values_of(f'{{"step": 1, "values": {{"loss": {spelling}, "nan": 1.5}}}}')
    assert math.isnan(values["loss"])
    assert values["nan"] == 1.5


@pytest.mark.parametrize(
    ("spelling", "sign"),
    [
        ("Infinity", 1), ("-Infinity", -1), ("inf", 1), ("-inf", -1), ("Inf", 1), ("+Inf", 1), ("INF", 1), ("1e400", 1),
        ("-1e999", -1), ("1.#INF", 1), ("-1.#INF00", -1), ('"inf"', 1), ('"-Infinity"', -1), ("infinity", 1),
        ("∞", 1), ("-∞", -1), ('"∞"', 1), ("Inf32", 1), ("+inf.0", 1), ("-inf.0", -1),
    ],
)  # fmt: skip
def test_infinity_in_any_spelling_is_infinite(spelling: str, sign: int) -> None:
    assert values_of(f'{{"step": 1, "values": {{"loss": {spelling}}}}}')["loss"] == sign * math.inf


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 2.0, "values": {"a": 1}}',
        ' \ufeff{"values": {"a": 1.0}, "step": 2}\r\n',
        '50%|###  |\r{"step": 2e0, "values": {"a": 1}}',
    ],
)
def test_a_report_is_taken_however_it_is_written(line: str) -> None:
    assert read_line(line.encode()) == ReportLine(2, {"a": 1.0})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"step": "2", "values": {"loss": 1}}', "step is '2', not a whole number"),
        ('{"step": 2.5, "values": {"loss": 1}}', "step is 2.5, not a whole number"),
        ('{"step": true, "values": {"loss": 1}}', "truth value"),
        ('{"step": 9223372036854775808, "values": {"loss": 1}}', "between 0 and 2**63 - 1"),
        ('{"step": 1e400, "values": {"loss": 1}}', "not a whole number"),
        ('{"step": -1, "values": {"loss": 1}}', "between 0"),
        ('{"step": 2, "value": {"loss": 1}}', "it has no 'values', only 'step', 'value'"),
        ('{"step": 2, "metrics": {"loss": 1}}', "it has no 'values', only 'step', 'metrics'"),
        ('{"epoch": 2, "values": {"loss": 1}}', "it has no 'step', only 'epoch', 'values'"),
        ('{"step": 2, "values": {"loss": "low"}}', "loss is the text 'low', not a number"),
        ('{"step": 2, "values": {"loss": "0.5"}}', "loss is the text '0.5', not a number"),
        ('{"step": 2, "values": {"loss": [1]}}', "loss is [1], not a number"),
        ('{"step": 2, "values": 0.5}', "no object"),
        ("{'step': 2, 'values': {'loss': 0.1}}", "not JSON"),
        ('{"step": 2, "values": {"loss": 0.1}', "not JSON"),
        ('{"step": 2, "values": {"loss": tensor(0.1)}}', "not JSON"),
        ('INFO {"step": 2, "values": {"loss": 0.1}}', "alone on its line"),
        ('{"infeasible": "exploded"}', '"oom" or "diverged"'),
    ],
)
def test_a_line_meant_as_a_report_that_cant_be_taken_is_kept_with_the_reason(line: str, why: str) -> None:
    read = read_line(line.encode())
    assert isinstance(read, NotTaken), read
    assert why in read.why
    assert read.line == line


@pytest.mark.parametrize(
    "line", ["", "epoch 3", "{", "{}", '{"step": 3, "loss": 0.1}', "[1, 2]", '{"a": {"step": 1}}', "{nan", "{" * 9999]
)
def test_everything_else_is_output(line: str) -> None:
    assert read_line(line.encode()) is None


def test_words_of_an_end_can_be_kept_by_any_database() -> None:
    assert read_line(b'{"infeasible":"diverged","message":"bad \\ud800\\u0000"}') == InfeasibleLine(
        "diverged", "bad \ufffd\ufffd"
    )
