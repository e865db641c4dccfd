"""How a job and its answers look: in one line, in a notebook, and while a job is waited for."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from stepsize.spec.space import Scalar
from stepsize.spec.wording import counted

if TYPE_CHECKING:
    from stepsize.client.answers import Job, JobAnswer, Trial
    from stepsize.client.results import JobReport

_WIDTH, _HEIGHT = 320, 90
_SHOWN_SHARE = 0.85
"""Of the valley's points, from the good end, that lie within the picture: a cliff would flatten the rest."""


def job_line(job: "Job") -> str:
    """Return e.g. `job_1 mnist: running, 12/40 trials, learning_rate 0.0123 (0.008 to 0.02), fairly sure`."""
    state = f"{job.state} ({job.reason})" if job.reason else job.state
    parts = [state, trials_done(job, of="/"), *([answer] if (answer := _answer(job.answer)) else [])]
    return f"{f'{job.id} {job.name}'.rstrip()}: {', '.join(parts)}"


def job_html(job: "Job") -> str:
    """Return a job as a small picture: state, progress, answer, and its valley."""
    fraction = 1.0 if job.state == "completed" else (job.progress.fraction or 0.0)
    lines = [
        f"<b>{escape(job.name)}</b> <code>{escape(job.id)}</code> {escape(job.state)}"
        + (f" ({escape(job.reason)})" if job.reason else ""),
        f'<progress max="1" value="{fraction:.4f}"></progress> {trials_done(job, of=" of ")}{time_left(job)}',
    ]
    if job.answer is not None:
        lines += [escape(job.answer.sentence), _valley(job.answer)]
    if job.best is not None:
        lines.append(_best_trial(job.best.number, job.best.params, job.best.values))
    lines += [f"<b>{escape(line)}</b>" for line in (job.error, job.advice) if line]
    return _page(lines)


def answer_html(answer: "JobAnswer") -> str:
    """Return an answer with its valley, and what is doubtful about it."""
    return _page([escape(answer.sentence), _valley(answer), *_small(answer.caveats)])


def report_html(report: "JobReport") -> str:
    """Return what a job teaches, most important first; `report_text` has all of it."""
    found = [report.sensitivity.sentence, report.scaling_law.sentence, report.divergence.sentence]
    found += [comparison.sentence for comparison in report.comparisons]
    lines = [
        f"<b>{escape(report.job_name)}</b> <code>{escape(report.job_id)}</code> {counted(report.n_trials, 'trial')}",
        escape(report.recommendation),
        _valley(report.answer),
        *map(escape, found),
    ]
    if report.best_trial is not None:
        best = report.best_trial
        lines.append(_best_trial(best.number, best.params, {report.objective.metric: best.value}))
    return _page([*lines, *_small(report.caveats)])


def trial_html(trial: "Trial") -> str:
    """Return a trial: what was tried, what came out, and what went wrong."""
    state = f"{trial.state} ({trial.reason})" if trial.reason else trial.state
    lines = [
        f"<b>trial {trial.number}</b> of <code>{escape(trial.job_id)}</code> {escape(state)}",
        escape(f"{_params(trial.params)}: {_values(trial.values) or 'nothing reported'}"),
        escape(trial.remark or ""),
        f"<b>{escape(str(trial.error))}</b>" if trial.error else "",
    ]
    return _page([*lines, *_small(trial.provenance_lines())])


def _page(lines: Sequence[str]) -> str:
    return "<div>" + "<br>".join(line for line in lines if line) + "</div>"


def _small(lines: Sequence[str]) -> list[str]:
    return [f"<small>{escape(line)}</small>" for line in lines]


def _best_trial(number: int, params: Mapping[str, Scalar], values: Mapping[str, float]) -> str:
    return f"<small>best trial, luck included: {escape(f'{number}: {_params(params)}: {_values(values)}')}</small>"


def _params(params: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _values(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def estimate_text(value: float | None, low: float | None, high: float | None) -> str:
    """Return e.g. `0.0123 (0.008 to 0.02)`."""
    if value is None:
        return "not known"
    interval = "" if low is None or high is None or low == high else f" ({low:.4g} to {high:.4g})"
    return f"{value:.4g}{interval}"


def time_left(job: "Job") -> str:
    """Return e.g. `, about 12 s left`, what else is waited for, or nothing."""
    if job.progress.is_answering:
        return ", its answer is being computed"
    return f", about {job.progress.eta_s:.0f} s left" if job.progress.eta_s and not job.is_finished else ""


def trials_done(job: "Job", *, of: str) -> str:
    """Return e.g. `12/40 trials`, or `1 trial` where nothing says how many there will be."""
    done, most = job.progress.n_finished, job.progress.max_trials
    return counted(done, "trial") if most is None else f"{done}{of}{counted(most, 'trial')}"


def _answer(answer: "JobAnswer | None") -> str:
    if answer is None or answer.learning_rate.value is None:
        return ""
    rate = answer.learning_rate
    return f"learning_rate {estimate_text(rate.value, rate.low, rate.high)}, {answer.words.replace('_', ' ')}"


def _valley(answer: "JobAnswer") -> str:
    """Return the valley as an inline SVG: the objective over the rates, with a mark at the recommended one."""
    values = [point.value.value for point in answer.valley]
    points = [(at, value) for at, value in enumerate(values) if value is not None]
    rate = answer.learning_rate.value
    if len(points) < 3 or rate is None:
        return ""
    rates = [point.learning_rate for point in answer.valley]
    place = min(range(len(rates)), key=lambda at: max(rates[at] / rate, rate / rates[at]))
    low, high = _shown([value for _, value in points], at_best=values[place])
    line = " ".join(f"{_x(at, len(values)):.1f},{_y(value, low, high):.1f}" for at, value in points)
    mark = _x(place, len(values))
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 16}" role="img" aria-label="objective over learning rate">'
        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="0" y2="{_HEIGHT}" stroke="#c33" stroke-dasharray="3"/>'
        f'<polyline points="{line}" fill="none" stroke="#36c" stroke-width="2"/>'
        f'<text x="0" y="{_HEIGHT + 13}" font-size="11" fill="currentColor">{rates[0]:.2g}</text>'
        f'<text x="{mark:.1f}" y="{_HEIGHT + 13}" font-size="11" fill="#c33" text-anchor="middle">{rate:.3g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 13}" font-size="11" fill="currentColor" text-anchor="end">'
        f"{rates[-1]:.2g}</text></svg>"
    )


def _shown(values: Sequence[float], *, at_best: float | None) -> tuple[float, float]:
    """Return from where to where the picture reaches: all of the good end, and most of its walls."""
    is_low_good = at_best is None or at_best <= sorted(values)[len(values) // 2]
    ordered = sorted(values, reverse=not is_low_good)
    far = ordered[round(_SHOWN_SHARE * (len(ordered) - 1))]
    return min(ordered[0], far), max(ordered[0], far)


def _x(at: int, n: int) -> float:
    return 4 + (_WIDTH - 8) * at / (n - 1)


def _y(value: float, low: float, high: float) -> float:
    share = min(1.0, max(0.0, (value - low) / ((high - low) or 1.0)))
    return 4 + (_HEIGHT - 8) * (1 - share)


class _Handle(Protocol):
    def update(self, shown: object) -> None: ...


class ProgressView:
    """Shows a job as it goes: in a notebook a picture that moves, elsewhere a line on standard error."""

    def __init__(self) -> None:
        self._handle: _Handle | None = None
        self._line = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line and sys.stderr.isatty():
            sys.stderr.write("\n")

    def show(self, job: "Job") -> None:
        """Show a job as it is now."""
        display = _notebook_display()
        if display is not None:
            if self._handle is None:
                self._handle = display(job, display_id=True)
            else:
                self._handle.update(job)
            return
        line = job_line(job)
        if line == self._line:
            return
        # A terminal's line is written over; into a file or a log each change is a line.
        blank = " " * max(0, len(self._line) - len(line))
        sys.stderr.write(f"\r{line}{blank}" if sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()
        self._line = line


Progress = bool | Callable[["Job"], None] | None


class View(Protocol):
    """What is shown, or told, of a job that is waited for."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, job: "Job") -> Awaitable[None] | None:
        """Show a job as it is now; what an asynchronous function gives back is to be awaited."""


def progress_view(progress: "Progress | Callable[[Job], Awaitable[None]]") -> View:
    """Return what shows how far a job is: a picture or a line (True), a function, or nothing (False, None).

    Raises:
        TypeError: it is none of these.
    """
    if progress is True:
        return ProgressView()
    if not (progress is None or progress is False or callable(progress)):
        raise TypeError(f"progress: True, False or a function that takes a job is expected here, not {progress!r}")
    return _Told(progress or None)


class _Told:
    """A function in the place of a view, or none."""

    def __init__(self, tell: "Callable[[Job], Awaitable[None] | None] | None") -> None:
        self._tell = tell

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, job: "Job") -> Awaitable[None] | None:
        return self._tell(job) if self._tell else None


class _Display(Protocol):
    def __call__(self, shown: object, *, display_id: bool) -> _Handle: ...


def _notebook_display() -> _Display | None:
    """Return IPython's `display` where a kernel runs this; IPython is there already, or this is no notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    found: _Display = sys.modules["IPython.display"].display
    return found
