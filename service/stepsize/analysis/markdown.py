"""A report as Markdown, written once from its JSON, and HTML from that Markdown.

Names come from users: everything that isn't ours is escaped for Markdown, and raw HTML is off when it becomes HTML.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from markdown_it import MarkdownIt

from stepsize.domain.estimate import Estimate
from stepsize.domain.job import JobKind
from stepsize.domain.jobs_report import JobRow, JobsReport, SettingRow, SettingTable
from stepsize.domain.picture import draw_picture
from stepsize.domain.report import (
    ByBatchSize,
    ByLearningRate,
    Comparison,
    Divergence,
    Importances,
    Report,
    Sensitivity,
)
from stepsize.spec.objective import Direction
from stepsize.spec.space import Scalar
from stepsize.spec.wording import counted

_SPECIAL = re.compile(r"[\\`*_\[\]<>|&~#]|(?<=\w):(?=//)|(?<=\w)@(?=\w)")
"""What can begin markup inside a line, links without brackets included; a block begins only at a line's start."""
_DASH = "–"
_MOST_PAIRS = 28
"""Of one table: those of eight choices."""


def report_markdown(report: Report) -> str:
    """Return one job's report."""
    blocks = [
        f"# Learning-rate report: {_text(report.job_name or report.job_id)}",
        f"**{_text(report.recommendation)}**",
        _picture(report),
        _facts(report),
    ]
    if report.kind is not JobKind.RANGE_TEST:  # which searches nothing: all the rest would say so
        blocks += _findings(report)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _findings(report: Report) -> list[str]:
    blocks = [
        "## Sensitivity",
        _text(report.sensitivity.sentence),
        _sensitivity(report.sensitivity),
        "## By learning rate",
        rate_table(report.by_learning_rate, report.objective.metric),
        "## By batch size",
        batch_size_table(report.by_batch_size, report.objective.metric),
        "## Scaling law",
        _text(report.scaling_law.sentence),
        f"log10 lr\\* = a + b log10 B: a = {interval(report.scaling_law.a)}, b = {interval(report.scaling_law.b)}",
        *_comparisons(report.comparisons),
        "## Importances",
        _importances(report.importances),
        "## Divergence",
        _divergence(report.divergence),
    ]
    notes = [*report.caveats, *_notes(report)]
    if notes:
        blocks += ["## To bear in mind", "\n".join(f"- {_text(note)}" for note in notes)]
    return blocks


def _picture(report: Report) -> str:
    """Return the valley as a block of text."""
    answer, rate = report.answer, report.answer.learning_rate.value
    points = [(point.learning_rate, point.value.value) for point in answer.valley if point.value.value is not None]
    maximizes = report.objective.direction is Direction.MAXIMIZE
    picture = None if rate is None else draw_picture(points, rate, maximizes=maximizes)
    if picture is None or rate is None:
        return ""
    ends, bounds = [_g(points[0][0]), _g(points[-1][0])], (_g(picture.low), _g(picture.high))
    metric = " ".join(report.objective.metric.replace("`", "'").split())
    return "\n".join(["```text", *picture.lines(ends[0], ends[1], _g(rate), metric, bounds), "```"])


def jobs_markdown(report: JobsReport) -> str:
    """Return several jobs beside each other."""
    names = list(dict.fromkeys(name for row in report.jobs for name in row.differs))
    head = ["job", *map(_text, names), "learning rate", "batch size", "value", "width", "b", "confidence"]
    rows = [
        [
            _text(_job_name(row)),
            *(_text(_scalar(row.differs.get(name))) for name in names),
            interval(row.recommended_rate),
            _text(_scalar(row.batch_size)),
            f"{_text(row.objective.metric)} {interval(row.value)}",
            interval(row.width_decades),
            interval(row.b),
            _text(row.confidence.replace("_", " ")),
        ]
        for row in report.jobs
    ]
    blocks = ["# Learning rates of several jobs", f"**{_text(report.sentence)}**", _table(head, rows)]
    blocks += without_answer(report.jobs, _job_name)
    if report.caveats:
        blocks.append("\n".join(f"- {_text(caveat)}" for caveat in report.caveats))
    for found in report.tables:
        blocks += _setting(found)
    if report.pairs:
        lines = [f"- {_text(pair.sentence)}" for pair in report.pairs]
        blocks += ["## Jobs two by two", "\n".join(lines)]
    for row in report.jobs:
        blocks += [f"## By learning rate: {_text(_job_name(row))}"]
        blocks += [rate_table(row.by_learning_rate, row.objective.metric)]
    return "\n\n".join(blocks) + "\n"


def without_answer(rows: Sequence[JobRow], name_of: Callable[[JobRow], str]) -> list[str]:
    """Return why some jobs don't say which rate is best; nothing where all do."""
    whys = [
        f"- {_text(name_of(row))}: {_text(row.recommended_rate.caveat)}"
        for row in rows
        if row.recommended_rate.value is None and row.recommended_rate.caveat
    ]
    return ["\n".join(["No answer, because:", "", *whys])] if whys else []


def _setting(found: SettingTable) -> list[str]:
    """Return the choices of one setting: each one's best rate, value and training time, and what differs."""
    blocks = [f"## By {_text(found.parameter)}", _text(found.sentence)]
    if not found.same_rows_as:
        blocks.append(setting_table(found))
    if found.pairs:
        blocks.append(_pairs(found))
    if found.caveat:
        blocks.append(_text(f"{found.caveat[0].upper()}{found.caveat[1:]}."))
    return blocks


def setting_table(found: SettingTable) -> str:
    """Return the choices of one setting, with the reasons for what can't be said."""
    others = list(dict.fromkeys(name for row in found.rows for name in row.where))
    columns = ["trials", "best learning rate", "at batch size", "value there", "seconds", "diverged"]
    head = [_text(name) for name in (found.parameter, *others, *columns)]
    rows = [
        [
            _text(_scalar(row.choice)),
            *(_text(_scalar(row.where.get(name))) for name in others),
            str(row.n_trials),
            interval(row.learning_rate),
            _text(_scalar(row.batch_size)),
            f"{_text(row.objective.metric)} {interval(row.value)}",
            interval(row.train_time_s),
            _percent(row.diverged_share),
        ]
        for row in found.rows
    ]
    return _with_reasons(_table(head, rows), map(_reasons, found.rows))


def _pairs(found: SettingTable) -> str:
    """Return the rows two by two: what is told apart, and by how much."""
    rows = [
        [
            *(_text(_choice(found.rows[at])) for at in pair.rows),
            interval(pair.rate_ratio),
            _text(_scalar(pair.batch_size)),
            interval(pair.improvement),
            _text(pair.sentence),
        ]
        for pair in found.pairs[:_MOST_PAIRS]
    ]
    head = ["first", "second", "times the rate", "at batch size", "better by", "so"]
    more = f"\n\n{len(found.pairs) - _MOST_PAIRS} more pairs are in the JSON." if len(found.pairs) > _MOST_PAIRS else ""
    return _table(head, rows) + more


def _choice(row: SettingRow) -> str:
    """Return a row's choice and what else tells it from others."""
    others = ", ".join(_scalar(value) for value in row.where.values() if value is not None)
    return f"{_scalar(row.choice)} ({others})" if others else _scalar(row.choice)


def _reasons(row: SettingRow) -> tuple[str, Sequence[Estimate]]:
    return _choice(row), (row.learning_rate, row.value)


def _job_name(row: JobRow) -> str:
    return row.job_name or row.job_id


def to_html(markdown: str) -> str:
    """Return Markdown as an HTML fragment; HTML inside it is shown, not obeyed."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def _facts(report: Report) -> str:
    counts = ", ".join(f"{n} {state}" for state, n in report.counts.items() if n) or "none yet"
    rows = [
        ["objective", f"{report.objective.direction} {_text(report.objective.metric)}"],
        ["trainer", _text(report.trainer)],
        ["trials", counts],
    ]
    if report.noise.value is not None:
        rows.append(["noise (standard deviation)", interval(report.noise)])
    if report.best_trial is not None:
        params = ", ".join(f"{_text(name)} {_text(_scalar(value))}" for name, value in report.best_trial.params.items())
        rows.append(["best trial", f"{report.best_trial.number}: {_g(report.best_trial.value)} ({params})"])
    return _table(["", ""], rows)


def _sensitivity(found: Sensitivity) -> str:
    if found.recommended_rate.value is None:
        return ""
    return _table(
        ["recommended rate", "rate of the best trial", "good from", "to", "width in decades"],
        [
            [
                interval(found.recommended_rate),
                _g(found.best_trial_rate),
                _g(found.plateau_low),
                _g(found.plateau_high),
                interval(found.width_decades),
            ]
        ],
    )


def rate_table(found: ByLearningRate, metric: str) -> str:
    """Return what happens at which rate, with the reasons for what can't be said."""
    if not found.bands:
        return _text(found.caveat or "")
    names = list(dict.fromkeys(name for band in found.bands for name in band.metrics))[:4]
    best = f"best {_text(metric)}"
    head = ["learning rate", "trials", "completed", best, "mean", *map(_text, names), "seconds", "diverged"]
    rows = [
        [
            f"{_g(band.low)} to {_g(band.high)}",
            str(band.n_trials),
            str(band.n_completed),
            _g(band.best),
            interval(band.value),
            *(interval(band.metrics[name]) if name in band.metrics else _DASH for name in names),
            interval(band.train_time_s),
            _percent(band.diverged_share),
        ]
        for band in found.bands
    ]
    return _with_reasons(
        _table(head, rows), ((f"{_g(band.low)} to {_g(band.high)}", (band.value,)) for band in found.bands)
    )


def batch_size_table(found: ByBatchSize, metric: str) -> str:
    """Return the best rate of each batch size, with the reasons for what can't be said."""
    if not found.rows:
        return _text(found.caveat or "")
    head = ["batch size", "trials", "best learning rate", f"{_text(metric)} there", "seconds", "diverged"]
    rows = [
        [
            str(row.batch_size),
            str(row.n_trials),
            interval(row.learning_rate),
            interval(row.value),
            interval(row.train_time_s),
            _percent(row.diverged_share),
        ]
        for row in found.rows
    ]
    return _with_reasons(
        _table(head, rows), ((f"batch size {row.batch_size}", (row.learning_rate, row.value)) for row in found.rows)
    )


def _comparisons(found: Sequence[Comparison]) -> Iterable[str]:
    for comparison in found:
        name = _text(comparison.parameter)
        yield f"## Compared: {name}"
        yield _text(comparison.sentence)
        table = _table(
            [name, "trials", "at its best rate", "best learning rate", "mean", "improvement"],
            [
                [
                    _text(_scalar(row.choice)),
                    str(row.n_trials),
                    interval(row.best),
                    interval(row.learning_rate),
                    interval(row.mean),
                    interval(row.improvement),
                ]
                for row in comparison.choices
            ],
        )
        yield _with_reasons(
            table, ((_scalar(row.choice), (row.best, row.learning_rate, row.mean)) for row in comparison.choices)
        )


def _importances(found: Importances) -> str:
    if not found.n_trials or all(item.importance.value is None for item in found.items):
        return _text(f"Not told: {found.caveat}." if found.caveat else "")
    rows = [[_text(item.parameter), _percent(item.importance)] for item in found.items]
    table = _table(["parameter", f"importance ({found.method})"], rows)
    return f"{table}\n\n{_text(found.caveat)}" if found.caveat else table


def _divergence(found: Divergence) -> str:
    blocks = [_text(found.sentence)]
    if len(found.frontier) > 1:
        rows = [[_scalar(row.batch_size), interval(row.learning_rate)] for row in found.frontier]
        blocks.append(_table(["batch size", "diverges from"], rows))
    if found.n_out_of_memory:
        smallest = "" if found.smallest_oom_batch_size is None else f", from batch size {found.smallest_oom_batch_size}"
        blocks.append(f"{counted(found.n_out_of_memory, 'trial')} ran out of memory{smallest}.")
    return "\n\n".join(blocks)


def _notes(report: Report) -> Iterable[str]:
    if report.noise.caveat:
        yield f"Noise: {report.noise.caveat}."
    if report.scaling_law.caveat and report.scaling_law.b.value is not None:
        yield f"Scaling law: {report.scaling_law.caveat}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _with_reasons(table: str, rows: Iterable[tuple[str, Sequence[Estimate]]]) -> str:
    """Return a table with the reasons below it why numbers are guesses, or missing: row by row, each once."""
    lines = [
        f"- {_text(name)}: {_text('; '.join(reasons))}"
        for name, estimates in rows
        if (reasons := dict.fromkeys(one.caveat for one in estimates if one.caveat))
    ]
    return "\n\n".join([table, "\n".join(lines)]) if lines else table


def interval(estimate: Estimate) -> str:
    """Return a number with its interval, and whether it is a guess."""
    if estimate.value is None:
        return _DASH
    text = f"{_g(estimate.value)} ({_g(estimate.low)} to {_g(estimate.high)})"
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        text = _g(estimate.value)
    return f"*guess: {text}*" if estimate.is_guess else text


def _percent(estimate: Estimate) -> str:
    if estimate.value is None:
        return _DASH
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.0%}"
    return f"{estimate.value:.0%} ({estimate.low:.0%} to {estimate.high:.0%})"


def _g(value: float | None) -> str:
    return _DASH if value is None else f"{value:.3g}"


def _scalar(value: Scalar | None) -> str:
    if value is None:
        return _DASH
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(text: str) -> str:
    """Return text in which nothing is markup and nothing breaks a line or a table."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(r"\\\g<0>", printable)
