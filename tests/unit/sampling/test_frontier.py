"""Where trials begin to fail, learnt from points whose true edge is known."""

import math
import random
from collections.abc import Iterator

import numpy as np

from stepsize_workers.sampling.frontier import Fate, Frontier, Outcome, fit_edge


def edge_at(batch_size: int) -> float:
    """The true edge: 0.01 at a batch of 32, growing as its square root."""
    return 0.01 * math.sqrt(batch_size / 32)


def outcomes(n: int, *, seed: int = 0) -> Iterator[Outcome]:
    draw = random.Random(seed)
    for _ in range(n):
        learning_rate, batch_size = 10 ** draw.uniform(-6, 1), 1 << draw.randint(4, 8)
        fate = Fate.DIVERGED if learning_rate >= edge_at(batch_size) else Fate.FEASIBLE
        yield Outcome({"learning_rate": learning_rate, "batch_size": batch_size}, fate)


def test_the_edge_is_found_at_every_batch_size() -> None:
    frontier = Frontier(outcomes(60))
    for batch_size in (16, 32, 64, 128, 256):
        # Half a decade: with 60 points over 7 decades the gap in which the edge lies is about a tenth wide, and the
        # margin kept from it about as much again.
        assert frontier.predicts_failure({"learning_rate": edge_at(batch_size) * 3.2, "batch_size": batch_size})
        assert not frontier.predicts_failure({"learning_rate": edge_at(batch_size) / 3.2, "batch_size": batch_size})


def test_the_edge_rises_with_the_batch_size() -> None:
    known = list(outcomes(200))
    points = np.array([[math.log10(o.params["learning_rate"]), math.log2(o.params["batch_size"])] for o in known])  # type: ignore[arg-type]
    edge = fit_edge(points, np.array([float(o.fate is Fate.DIVERGED) for o in known]))
    shift = -edge.weights[2] / edge.weights[1]
    # The true edge moves by log10(sqrt(2)) = 0.15 decade a doubling; 200 points leave it uncertain by about a third.
    assert abs(shift - 0.15) < 0.06


def test_too_few_outcomes_predict_nothing() -> None:
    lone = [Outcome({"learning_rate": 1.0}, Fate.DIVERGED), Outcome({"learning_rate": 0.1}, Fate.FEASIBLE)]
    assert not Frontier(lone).predicts_failure({"learning_rate": 10.0})


def test_a_learning_rate_alone_has_an_edge_too() -> None:
    known = [Outcome({"learning_rate": 10.0**-k}, Fate.DIVERGED if k < 3 else Fate.FEASIBLE) for k in range(6)]
    frontier = Frontier(known)
    assert frontier.predicts_failure({"learning_rate": 0.3})
    assert not frontier.predicts_failure({"learning_rate": 1e-4})


def test_nothing_is_predicted_where_an_optimizer_decides() -> None:
    draw = random.Random(0)
    known = []
    for _ in range(80):
        learning_rate, optimizer = 10 ** draw.uniform(-4, 1), draw.choice(["sgd", "adam"])
        edge = 1e-2 if optimizer == "adam" else 3.0
        fate = Fate.DIVERGED if learning_rate >= edge else Fate.FEASIBLE
        known.append(Outcome({"learning_rate": learning_rate, "optimizer": optimizer}, fate))
    assert not Frontier(known).predicts_failure({"learning_rate": 0.1, "optimizer": "sgd"})


def test_failure_at_random_predicts_nothing() -> None:
    draw = random.Random(1)
    known = [
        Outcome({"learning_rate": 10 ** draw.uniform(-4, 0)}, draw.choice([Fate.DIVERGED, Fate.FEASIBLE]))
        for _ in range(60)
    ]
    assert not any(Frontier(known).predicts_failure({"learning_rate": 10.0**-k}) for k in range(5))


def test_memory_has_an_edge_once_it_ran_out_twice() -> None:
    fits = [Outcome({"learning_rate": 0.1, "batch_size": 64}, Fate.FEASIBLE)]
    once = [*fits, Outcome({"learning_rate": 0.1, "batch_size": 256}, Fate.OOM)]
    twice = [*once, Outcome({"learning_rate": 0.2, "batch_size": 512}, Fate.OOM)]
    assert not Frontier(once).predicts_failure({"learning_rate": 0.1, "batch_size": 256})
    assert Frontier(twice).predicts_failure({"learning_rate": 0.1, "batch_size": 256})
    assert not Frontier(twice).predicts_failure({"learning_rate": 0.1, "batch_size": 128})


def test_memory_that_once_sufficed_is_not_ruled_out() -> None:
    known = [Outcome({"batch_size": size}, Fate.OOM) for size in (128, 256)]
    frontier = Frontier([*known, Outcome({"batch_size": 512}, Fate.FEASIBLE)])
    assert not frontier.predicts_failure({"batch_size": 256})
