"""The tools: what an agent can ask of the service, each one call or a few of the client.

Their docstrings are what a model reads: short, with the shape of what they take.
"""

import json
from collections.abc import Callable
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from stepsize.agents import words
from stepsize.agents.cost import estimate_cost
from stepsize.agents.words import Listed
from stepsize.client import ApiError, Client, Control, ServerUnreachableError, WaitTimeoutError
from stepsize.spec.hints import hint
from stepsize.spec.space import Scalar

Tool = Callable[..., str]
Kind = Literal["trainers", "samplers", "pruners", "optimizers", "schedules", "datasets", "workers"]
Body = Annotated[
    dict[str, JsonValue],
    Field(
        description='A job, at least {"trainer": {"name": …}}. Optional: trainer.params (fixed), search_space '
        '({"learning_rate": {"type": "float", "low": 1e-5, "high": 1, "log": true}}), objectives, sampler, pruner, '
        'budget ({"max_trials": 40}).'
    ),
]
JobId = Annotated[str, Field(description="A job's id, job_…")]

_MOST_TRIALS = 20
_LONGEST_WAIT_S = 300.0


class WrongCallError(Exception):
    """A tool was called with what it can't do anything with; the message says what to call instead."""


class Tools:
    """All tools, on one service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def reading(self) -> list[Tool]:
        """Return the tools that change nothing."""
        return [
            self.catalogue,
            self.validate,
            self.status,
            self.wait,
            self.answer,
            self.report,
            self.trials,
            self.compare,
        ]

    def writing(self) -> list[Tool]:
        """Return the tools that start, change or end something."""
        return [self.submit, self.propose, self.control, self.range_test]

    def catalogue(self, kind: Kind = "trainers", name: str | None = None) -> str:
        """List what a job may name. Start here. With name: all about that one, its parameters' JSON Schema included."""
        found: dict[str, Listed] = {words.name_of(one): one for one in getattr(self._client, kind)()}
        if name is None:
            lines = {own: words.entry_line(one) for own, one in found.items()}
            return words.listed(lines, kind) if lines else f"there are no {kind}"
        if name not in found:
            raise WrongCallError(f"{kind}: there is no {name!r}; {hint(name, found)}")
        return "\n".join(words.entry_lines(found[name]))  # a schema cut in the middle says nothing

    def validate(self, job: Body) -> str:
        """Check a job without submitting it: what is wrong, what the defaults are, and what it will cost."""
        checked = self._client.dry_run(job)
        spec = checked.get("spec")
        resolved = spec if isinstance(spec, dict) else {}
        warnings = checked.get("warnings")
        lines = ["valid", str(estimate_cost(self._client, resolved, checked.get("cells")))]
        lines += [f"warning: {warning}" for warning in (warnings if isinstance(warnings, list) else [])]
        shown = ("trainer", "search_space", "objectives", "sampler", "pruner", "budget")
        lines += [f"{part}: {json.dumps(_without_null(resolved.get(part)))}" for part in shown]
        return words.joined([*lines, "next: submit"])

    def submit(self, job: Body) -> str:
        """Submit a job: it runs on the service's workers. Returns its id."""
        made = self._client.submit(job)
        return words.joined([made.id, *(f"warning: {warning}" for warning in made.warnings), "next: wait"])

    def status(self, job_id: JobId) -> str:
        """Say how a job stands, without waiting."""
        return words.joined(words.status_lines(self._client.job(job_id)))

    def wait(self, job_id: JobId, timeout_s: Annotated[float, Field(gt=0, le=_LONGEST_WAIT_S)] = 60.0) -> str:
        """Wait until a job has finished, at most timeout_s seconds; the job goes on meanwhile and afterwards."""
        try:
            job = self._client.wait(job_id, timeout=timeout_s)
        except WaitTimeoutError as late:
            job = late.job
        return words.joined(words.status_lines(job))

    def answer(self, job_id: JobId) -> str:
        """Which learning rate (batch size, choices) to use, with 95 % intervals and how sure that is."""
        return words.joined(words.answer_lines(self._client.job(job_id)))

    def report(self, job_id: JobId) -> str:
        """What a job teaches in about 500 tokens: sensitivity, divergence, batch sizes, comparisons, importances."""
        found = self._client.report(job_id)
        lines = words.report_lines(found, found.objective.metric)
        return words.within(lines, more=f"… more: stepsize report {job_id}")

    def trials(
        self,
        job_id: JobId,
        state: str | None = None,
        sort: Annotated[str | None, Field(description="values.NAME or params.NAME, - in front for descending")] = None,
        condition: Annotated[str | None, Field(description="such as params.learning_rate>=1e-3")] = None,
        limit: Annotated[int, Field(ge=1, le=_MOST_TRIALS)] = 10,
    ) -> str:
        """List trials of a job with their errors, newest first unless sorted."""
        filters = [] if condition is None else [condition]
        found = self._client.trials(job_id, state=state, sort=sort or "-number", filters=filters, limit=limit)
        return words.joined([words.trial_line(trial) for trial in islice(found, limit)] or ["no such trial"])

    def compare(self, job_ids: Annotated[list[str], Field(min_length=2)]) -> str:
        """Say what differs between jobs, and which does better, with intervals."""
        return words.joined(words.comparison_lines(self._client.compare(job_ids)))

    def propose(self, job_id: JobId, params: dict[str, Scalar]) -> str:
        """Let an unfinished job try a configuration of yours next; parameters left out are sampled."""
        trial = self._client.enqueue(job_id, params)
        return f"trial {trial.number} of {job_id} is queued with {words.params(trial.params)}"

    def control(self, job_id: JobId, action: Control) -> str:
        """Pause, resume, stop (finish what runs), cancel (end all now) a job, or run its failed trials again."""
        return words.joined(words.status_lines(self._client.control(job_id, action)))

    def range_test(
        self,
        test: Annotated[
            dict[str, JsonValue] | None,
            Field(description='A range test, {"trainer": {"name": …}, "batch_sizes": [32, 128]}.'),
        ] = None,
        test_id: str | None = None,
        timeout_s: Annotated[float, Field(ge=0, le=_LONGEST_WAIT_S)] = 60.0,
    ) -> str:
        """Find which learning rates are worth searching, before a job. test starts one, test_id looks again."""
        if (test is None) == (test_id is None):
            raise WrongCallError("give test to start a range test, or test_id to look at one, and not both")
        made = self._client.read_range_test(test_id or "") if test is None else self._client.range_test(test)
        try:
            if timeout_s:
                self._client.wait(made.job_id, timeout=timeout_s)
        except WaitTimeoutError:
            pass
        return words.joined(words.range_test_lines(self._client.read_range_test(made.id)))


def mend(error: Exception) -> str:
    """Return what went wrong and what to do about it."""
    if isinstance(error, WrongCallError):
        return str(error)
    if isinstance(error, ServerUnreachableError):
        return f"{error}; {error.mend}"
    if not isinstance(error, ApiError):
        return str(error)
    if error.problem.errors:
        return f"{error}\nmend these fields and call again"
    if error.problem.status == 404:
        return f"{error}\nlook the id up in what submit returned"
    return str(error)


def _without_null(part: JsonValue) -> JsonValue:
    """Return a part of a spec without what was left out."""
    if isinstance(part, dict):
        return {name: _without_null(value) for name, value in part.items() if value is not None}
    return [_without_null(value) for value in part] if isinstance(part, list) else part
