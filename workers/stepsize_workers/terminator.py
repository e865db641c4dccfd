"""The terminator: ends a search once a further trial is expected to gain less than the noise of the objective hides.

The thinking is done in a process of its own (see `expected_gain`), which takes about a second; the search goes on
meanwhile.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import structlog

from stepsize.children.child import Child, thinking_environment
from stepsize.children.correspondent import ChildEndedError, Correspondent
from stepsize.spec.objective import Direction
from stepsize.spec.space import CategoricalParameter, Params, SearchSpace

log = structlog.get_logger()

_MIN_TRIALS = 20
"""Completed trials below which noise can't be told from a rugged objective."""
_MIN_FURTHER = 5
_FURTHER_FRAC = 0.1
"""The question is put again after so many further trials, or this share of those so far."""
_GAIN_PER_NOISE = 0.3
"""At 1 the best trial still lay up to two standard deviations of the noise above the optimum of a noisy valley when the
search ended; at 0.3 at most one, over six seeds each at noise 0.02 and 0.1."""
_LEAST_NOISE_FRAC = 0.01
"""Of what the best trial is better than the median: a gain below that is none even where nothing is random."""
_PATIENCE_S = 120.0

_Question = tuple[list[list[float]], list[float]]
"""Points of the unit cube, and the cost at each."""
_Prospect = tuple[float, float]
"""Gain and noise; plain numbers: this process must not import what computes them."""
_Child = Child[_Question, _Prospect]


class Terminator:
    """Watches the completed trials of a job with one objective."""

    def __init__(self, space: SearchSpace, direction: Direction, on_ready: Callable[[], None]) -> None:
        """Begin with no trial.

        Args:
            on_ready: called, in a thread of its own, when an answer has come.
        """
        self._space = space
        self._direction = direction
        self._on_ready = on_ready
        self._points: list[list[float]] = []
        self._values: list[float] = []
        self._n_when_asked = 0
        self._n_answers = 0
        self._lock = threading.Lock()
        # It ends with its answer: what it holds is worth more to the trials.
        self._thinker = Correspondent(lambda: _start(), name="terminator", idle_s=0.0, max_deaths=1)
        self._is_asking = False
        self._is_met = False

    @property
    def is_met(self) -> bool:
        """Whether the search is over; once so, for good."""
        return self._is_met

    @property
    def is_undecided(self) -> bool:
        """Whether the first answer is under way: a search that was over before its worker was lost must not go on."""
        with self._lock:
            return self._is_asking and not self._n_answers

    def take_in(self, params: Params, value: float) -> None:
        """Take in a completed trial."""
        self._points.append(self._point(params))
        self._values.append(self._direction.cost(value))

    def consider(self) -> None:
        """Put the question, if enough trials have completed since it was last put."""
        n = len(self._values)
        due = max(_MIN_TRIALS, self._n_when_asked + max(_MIN_FURTHER, int(_FURTHER_FRAC * self._n_when_asked)))
        with self._lock:
            if n < due or self._is_asking or self._is_met:
                return
            self._is_asking = True
        self._n_when_asked = n
        question = [*self._points], [*self._values]
        least_noise = _LEAST_NOISE_FRAC * (sorted(self._values)[n // 2] - min(self._values))
        self._thinker.ask(partial(_exchange, question)).add_done_callback(partial(self._take_in, least_noise))

    def shut(self) -> None:
        """End the process, in the middle of a thought if need be."""
        self._thinker.end()

    def _take_in(self, least_noise: float, asked: "Future[_Prospect]") -> None:
        error = asked.exception()
        if isinstance(error, ChildEndedError):
            return
        with self._lock:
            self._is_asking = False
            self._n_answers += 1
            if error is None:
                gain, noise = asked.result()
                self._is_met = gain < _GAIN_PER_NOISE * max(noise, least_noise)
        if error is not None:
            log.warning("the terminator could not say", error=repr(error))
        self._on_ready()

    def _point(self, params: Params) -> list[float]:
        """Return where a configuration lies in a unit cube: a number an edge, a choice an edge each."""
        point: list[float] = []
        for name, parameter in self._space.items():
            if isinstance(parameter, CategoricalParameter):
                index = parameter.index_of(params[name]) if name in params else None
                point += [float(index == other) for other in range(parameter.n_values)]
            else:
                point.append(parameter.position_of(params[name]) if name in params else 0.5)
        return point


def _start() -> _Child:
    return Child("stepsize_workers.expected_gain", env=thinking_environment())


def _exchange(question: _Question, child: _Child) -> _Prospect:
    child.send(question)
    return child.receive(_PATIENCE_S)
