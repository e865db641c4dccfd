"""docs/guide/tables.md from what was measured. No number on it is typed by hand."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from benchmarks.guide import text
from benchmarks.guide.experiments import N_SEARCH_1
from benchmarks.tables.claims import CLAIMS, judge
from benchmarks.tables.plan import TABLES, Table
from benchmarks.tables.results import Measured, Results, key_of
from benchmarks.tables.spending import Spent
from stepsize.analysis.markdown import batch_size_table, interval, rate_table, setting_table, without_answer
from stepsize.domain.estimate import Estimate
from stepsize.domain.jobs_report import JobRow, JobsReport, SettingTable
from stepsize.domain.report import ByBatchSize, ByLearningRate, ScalingLaw

_HEAD = """# Tables

[← the guide](README.md)

The tables that articles about learning rates print, measured by jobs on a real service. Each is a folder of job files
in [examples/tables](../../examples/tables). `make tables` runs all {n_trials} trainings, `make tables ONLY="activations
decay"` those of some tables. Stop it at any time: it goes on where it was. The jobs of a table are reported together by
`stepsize report JOB JOB …`, which gives the same tables [for jobs of your
own](../how-to/read-the-report.md#several-jobs).

Every trial trains with a seed of its own, and every interval (95 %) is about fresh seeds. Each value says of which
metric it is: that of a task whose usual one hardly depends on the rate in so short a training (win rates of the board
game, the last return of Acrobot) is what it got while it learned. A choice is tuned before it is compared: all rates
are best rates. *How sure* is [the answer's word](../what-the-words-mean.md); a *guess* rests on fewer than three
trials. The intervals of the differences in one table hold together; how many times one rate is the other is the
middle of the ratios that the trials leave open, a little off from the ratio of the two that are told. Seconds are
those of one training that was not interrupted, whatever else the machine did meanwhile: compare them inside a table
at most. Networks are small and trainings short: expect the directions to carry over, not the numbers.
"""

_RATES_NOTE = (
    "*Best* is that of one training, luck included; *mean* is that of all that completed, so are the columns beside "
    "it. *Seconds* hold what is around the training itself (`train_time_s`): reading data, measuring, saving."
)
_SEARCHES_NOTE = "What follows ± is half of a 95 % interval over the seeds; *trials to target* is the median of them."


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
    blocks.append(_all_took(results))
    for table in TABLES:
        blocks += [f"## {table.title}", _command(table, results)]
        blocks += _section(table, results.tables[table.name]) if table not in missing else ["Not measured yet."]
    blocks += ["## Searches and cyclical rates at equal budget", *_searches(guide)]
    return "\n\n".join(blocks) + "\n"


def _is_current(table: Table, results: Results) -> bool:
    return table.name in results.tables and results.tables[table.name].specs == table.specs


def _trials(spec: Mapping[str, JsonValue]) -> int:
    budget = spec["budget"]
    assert isinstance(budget, dict), "a job file says how many trials it takes"
    return int(str(budget["max_trials"]))


def _all_took(results: Results) -> str:
    """Return how long all tables take, from those whose time is known."""
    known = {table.name: spent for table in TABLES if (spent := _spent(table, results)) is not None}
    if not known:
        return "How long they take has not been measured."
    n_cores = max(spent.n_cores for spent in known.values())
    cpu_s = sum(spent.cpu_s for spent in known.values())
    names = "All tables" if len(known) == len(TABLES) else text.listing([f"`{name}`" for name in known])
    return (
        f"{names} took {_minutes(cpu_s)} of processor time: about {_minutes(cpu_s / n_cores)} on {n_cores} cores that "
        f"have nothing else to do. They were measured beside other work, and took "
        f"{_minutes(sum(spent.wall_s for spent in known.values()))} by the clock."
    )


def _took(spent: Spent) -> str:
    busy = spent.others_cpu_s / spent.wall_s
    return (
        f" They took {_minutes(spent.wall_s)} by the clock and {_minutes(spent.cpu_s)} of processor time, while other "
        f"work kept {busy:.1f} of {spent.n_cores} cores busy."
    )


def _spent(table: Table, results: Results) -> Spent | None:
    """Return what a table took, if all of it is known."""
    spent = results.spent.get(table.name)
    return spent if spent is not None and spent.jobs == key_of(table.specs) and not spent.n_found else None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def _command(table: Table, results: Results) -> str:
    n, folder = text.plural(len(table.files), "job"), f"examples/tables/{table.name}"
    beside = f" The guide has [other jobs about this]({table.guide})." if table.guide else ""
    spent = _spent(table, results)
    took = " How long they take was not measured." if spent is None else _took(spent)
    return f"`make tables ONLY={table.name}`, the {n} of [{folder}](../../{folder}).{took}{beside}"


def _section(table: Table, measured: Measured) -> list[str]:
    report = JobsReport.model_validate(measured.jobs)
    blocks = []
    shown = [found for found in report.tables if found.parameter in table.settings]
    if not table.settings and not measured.first:
        blocks += [
            _jobs(report.jobs),
            *without_answer(report.jobs, _task),
            f"{_said_of(table, report)} Their values are about different things: no two are compared.",
        ]
    for found in shown:
        stands = any(one.parameter in found.same_rows_as for one in shown)
        blocks += [*([] if stands else [setting_table(found)]), _differences(found)]
    if table.by_batch_size:
        blocks += _batch_sizes(measured, report.jobs[0])
    if table.by_learning_rate:
        bands = ByLearningRate.model_validate(measured.first["by_learning_rate"])
        blocks += [rate_table(bands, report.jobs[0].objective.metric), _RATES_NOTE]
    claims = CLAIMS.get(table.name, ())
    if claims:
        rows = [[claim.says, judge(claim, report.tables)] for claim in claims]
        blocks.append(_table(["often printed", "what these jobs say"], rows))
    return blocks


def _jobs(rows: Sequence[JobRow]) -> str:
    return _table(
        ["task", "trainer", "trials", "best learning rate", "at batch size", "value there", "how sure"],
        [
            [
                _task(row),
                f"`{row.trainer}`",
                str(row.n_completed),
                interval(row.recommended_rate),
                str(row.batch_size or "–"),
                f"{row.objective.metric} {interval(row.value)}",
                row.confidence.replace("_", " "),
            ]
            for row in rows
        ],
    )


def _task(row: JobRow) -> str:
    return row.job_name.partition(", ")[2] or row.job_name


def _said_of(table: Table, report: JobsReport) -> str:
    """Return the report's sentence, in which a job that is called, e.g., `tasks, images` is `images`."""
    return report.sentence.replace(f"({table.name}, ", "(")


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
    rules = [["The best rate grows in proportion to the batch size.", _judge_slope(law.b, 1.0)],
             ["It grows with the square root of the batch size.", _judge_slope(law.b, 0.5)],
             ["It does not depend on the batch size.", _judge_slope(law.b, 0.0)]]  # fmt: skip
    return [
        batch_size_table(found, job.objective.metric),
        law.sentence,
        _table(["often printed", "what this job says"], rules),
    ]


def _judge_slope(b: Estimate, slope: float) -> str:
    if b.value is None or b.low is None or b.high is None:
        return "can't be told here"
    verdict = "fits" if b.low <= slope <= b.high else "**fails here**"
    return f"{verdict} (batch size to the power {b.value:.2f}, {b.low:.2f} to {b.high:.2f})"


def _searches(guide: dict[str, str]) -> list[str]:
    return [
        f"`make guide`: jobs of the [guide](searches.md), {N_SEARCH_1} trials of the rate each, repeated over seeds.",
        guide["search_1_table"],
        _SEARCHES_NOTE,
        guide["verdict_search_1"],
        "One training with a cyclical rate between a range test's bounds, and no search:",
        guide["cyclical_table"],
        guide["answer_cyclical"],
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return text.table([one.replace("_", " ") for one in head], rows)


def _holds(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high
