"""docs/guide/tables.md from what was measured. No number on it is typed by hand."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from benchmarks.guide import text
from benchmarks.guide.experiments import N_SEARCH_1
from benchmarks.tables.claims import CLAIMS, judge
from benchmarks.tables.plan import TABLES, Table
from benchmarks.tables.results import Measured, Results
from stepsize.client import Estimate, JobsReport
from stepsize.client.results import ByBatchSize, ByLearningRate, JobRow, ScalingLaw, SettingTable

_DASH = "–"
_HEAD = """# Tables

[← the guide](README.md)

The tables that articles about learning rates print, measured by jobs on a real service. Each is a folder of job files
in [examples/tables](../../examples/tables). `make tables` runs all {n_trials} trainings, `make tables ONLY="activations
decay"` those of some tables. Stop it at any time: it goes on where it was. The jobs of a table are reported together by
`stepsize report JOB JOB …`, which gives the same tables [for jobs of your
own](../how-to/read-the-report.md#several-jobs).

Every trial trains with a seed of its own, and every interval (95 %) is about fresh seeds. Values are validation losses
unless a column names another metric. A choice is tuned before it is compared: all rates are best rates. The intervals
of the differences in one table hold together. Seconds are those of one training, whatever else the machine did
meanwhile: compare them inside a table at most. Networks are small and trainings short: expect the directions to
carry over, not the numbers.
"""


def render(results: Results, guide: dict[str, str]) -> str:
    """Return the page.

    Args:
        guide: what the guide's own jobs say, by placeholder.
    """
    missing = [table for table in TABLES if not _is_current(table, results)]
    n_trials = sum(_trials(spec) for table in TABLES for spec in table.specs.values())
    blocks = [_HEAD.format(n_trials=f"{n_trials:,}").rstrip()]
    if missing:
        names = text.listing([f"`{table.name}`" for table in missing])
        command = f'`make tables ONLY="{" ".join(table.name for table in missing)}"`'
        blocks.append(f"**Not measured yet**: {names}. {command} runs them.")
    for table in TABLES:
        blocks += [f"## {table.title}", _command(table)]
        blocks += _section(table, results.tables[table.name]) if table not in missing else ["Not measured yet."]
    blocks += ["## Searches and cyclical rates at equal budget", *_searches(guide)]
    return "\n\n".join(blocks) + "\n"


def _is_current(table: Table, results: Results) -> bool:
    return table.name in results.tables and results.tables[table.name].specs == table.specs


def _trials(spec: Mapping[str, JsonValue]) -> int:
    budget = spec["budget"]
    assert isinstance(budget, dict), "a job file says how many trials it takes"
    return int(str(budget["max_trials"]))


def _command(table: Table) -> str:
    n, folder = text.plural(len(table.files), "job"), f"examples/tables/{table.name}"
    beside = f" The guide has [other jobs about this]({table.guide})." if table.guide else ""
    return f"`make tables ONLY={table.name}`, the {n} of [{folder}](../../{folder}).{beside}"


def _section(table: Table, measured: Measured) -> list[str]:
    report = JobsReport.model_validate(measured.jobs)
    blocks = []
    shown = [found for found in report.tables if found.parameter in table.settings]
    if not table.settings and not measured.first:
        blocks += [
            _jobs(report.jobs),
            f"{report.sentence} Their values are about different things: no two are compared.",
        ]
    for found in shown:
        blocks += [_setting(found), _differences(found)]
    if table.by_batch_size:
        blocks += _batch_sizes(measured, report.jobs[0])
    if table.by_learning_rate:
        blocks.append(_rates(ByLearningRate.model_validate(measured.first["by_learning_rate"])))
    claims = CLAIMS.get(table.name, ())
    if claims:
        rows = [[claim.says, judge(claim, report.tables)] for claim in claims]
        blocks.append(_table(["often printed", "what these jobs say"], rows))
    return blocks


def _jobs(rows: Sequence[JobRow]) -> str:
    return _table(
        ["task", "trainer", "trials", "best learning rate", "value there", "how sure"],
        [
            [
                row.job_name.partition(", ")[2] or row.job_name,
                f"`{row.trainer}`",
                str(row.n_completed),
                _interval(row.recommended_rate),
                f"{row.objective.metric} {_interval(row.value)}",
                row.confidence.replace("_", " "),
            ]
            for row in rows
        ],
    )


def _setting(found: SettingTable) -> str:
    others = list(dict.fromkeys(name for row in found.rows for name in row.where if name != "dataset"))
    return _table(
        [
            found.parameter.replace("_", " "),
            *others,
            "trials",
            "best learning rate",
            "value there",
            "seconds",
            "diverged",
        ],
        [
            [
                str(row.choice),
                *(_scalar(row.where.get(name)) for name in others),
                str(row.n_trials),
                _interval(row.learning_rate),
                f"{row.objective.metric} {_interval(row.value)}",
                _interval(row.train_time_s),
                _percent(row.diverged_share),
            ]
            for row in found.rows
        ],
    )


def _differences(found: SettingTable) -> str:
    """Return the pairs that can be told apart, as sentences."""
    apart = [
        f"- {pair.sentence}"
        for pair in found.pairs
        if not _holds(pair.rate_ratio, 1.0)
        or (pair.improvement.value is not None and not _holds(pair.improvement, 0.0))
    ]
    if not apart:
        return found.sentence
    return "\n".join([found.sentence, "", *apart])


def _batch_sizes(measured: Measured, job: JobRow) -> list[str]:
    found = ByBatchSize.model_validate(measured.first["by_batch_size"])
    law = ScalingLaw.model_validate(measured.first["scaling_law"])
    rows = [
        [
            str(row.batch_size),
            str(row.n_trials),
            _interval(row.learning_rate),
            _interval(row.value),
            _interval(row.train_time_s),
            _percent(row.diverged_share),
        ]
        for row in found.rows
    ]
    table = _table(["batch size", "trials", "best learning rate", job.objective.metric, "seconds", "diverged"], rows)
    rules = [["The best rate grows in proportion to the batch size.", _judge_slope(law.b, 1.0)],
             ["It grows with the square root of the batch size.", _judge_slope(law.b, 0.5)],
             ["It does not depend on the batch size.", _judge_slope(law.b, 0.0)]]  # fmt: skip
    return [table, law.sentence, _table(["often printed", "what this job says"], rules)]


def _judge_slope(b: Estimate, slope: float) -> str:
    if b.value is None or b.low is None or b.high is None:
        return "can't be told here"
    verdict = "fits" if b.low <= slope <= b.high else "**fails here**"
    return f"{verdict} (batch size to the power {b.value:.2f}, {b.low:.2f} to {b.high:.2f})"


def _rates(found: ByLearningRate) -> str:
    rows = [
        [
            f"{_g(band.low)} to {_g(band.high)}",
            str(band.n_trials),
            _interval(band.value),
            _interval(band.metrics["val_accuracy"]) if "val_accuracy" in band.metrics else _DASH,
            _interval(band.train_time_s),
            _percent(band.diverged_share),
        ]
        for band in found.bands
    ]
    return _table(["learning rate", "trials", "mean val_loss", "mean val_accuracy", "seconds", "diverged"], rows)


def _searches(guide: dict[str, str]) -> list[str]:
    return [
        f"`make guide`: jobs of the [guide](searches.md), {N_SEARCH_1} trials of the rate each, repeated over seeds.",
        guide["search_1_table"],
        guide["verdict_search_1"],
        "One training with a cyclical rate between a range test's bounds, and no search:",
        guide["cyclical_table"],
        guide["answer_cyclical"],
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return text.table([one.replace("_", " ") for one in head], rows)


def _holds(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def _interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"{_DASH} ({estimate.caveat})" if estimate.caveat else _DASH
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return _g(estimate.value)
    shown = f"{_g(estimate.value)} ({_g(estimate.low)} to {_g(estimate.high)})"
    return f"*guess: {shown}*" if estimate.is_guess else shown


def _percent(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return _DASH
    return f"{estimate.value:.0%} ({estimate.low:.0%} to {estimate.high:.0%})"


def _scalar(value: object) -> str:
    return _DASH if value is None else str(value)


def _g(value: float) -> str:
    return f"{value:.3g}"
