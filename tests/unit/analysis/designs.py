"""Trials on the exact valley of the `synthetic` trainer, drawn as different searches would draw them."""

import math
from typing import Any

import numpy as np

from stepsize.domain.evidence import Evidence, TrialColumns
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.trainers.synthetic import SyntheticParams, best_lr

BATCH_SIZES = (16, 32, 64, 128, 256)
SPACE: SearchSpace = {
    "learning_rate": FloatParameter(type="float", low=1e-5, high=1.0, log=True),
    "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
}


def uniform_rates(rng: np.random.Generator, batch_sizes: np.ndarray, **valley: float) -> np.ndarray:
    """Return log10 rates as random search draws them."""
    return rng.uniform(-5, 0, len(batch_sizes))


def concentrated_rates(rng: np.random.Generator, batch_sizes: np.ndarray, **valley: float) -> np.ndarray:
    """Return log10 rates as TPE draws them: a sixth at random, the rest within a third of a decade of the best."""
    n = len(batch_sizes)
    best = np.array([math.log10(best_lr(_params(int(size), **valley))) for size in batch_sizes])
    near = np.clip(rng.normal(best, 0.3), -5, 0)
    return np.where(np.arange(n) < n // 6, rng.uniform(-5, 0, n), near)


def valley_evidence(
    n: int = 150, *, seed: int = 0, noise: float = 0.02, draw: Any = uniform_rates, **valley: float
) -> Evidence:
    """Return completed trials on the valley; `valley` are `lr_opt`, `exponent` and `floor` of the trainer."""
    rng = np.random.default_rng(seed)
    batch_sizes = rng.choice(BATCH_SIZES, n)
    log_rates = draw(rng, batch_sizes, **valley)
    trials = []
    for log_rate, size in zip(log_rates, batch_sizes, strict=True):
        params = _params(int(size), **valley)
        loss = (log_rate - math.log10(best_lr(params))) ** 2 + params.floor + noise * rng.normal()
        trials.append(trial({"learning_rate": float(10**log_rate), "batch_size": int(size)}, loss=loss))
    return evidence(trials)


def pruned_evidence(n: int = 150, *, seed: int = 0, noise: float = 0.02, **valley: float) -> Evidence:
    """Return concentrated trials of which a pruner stops three quarters at step 1, and again of the rest at step 3.

    A trial's loss still falls by 0.8 after step 1 and by 0.1 after step 3.
    """
    whole = valley_evidence(n, seed=seed, noise=noise, draw=concentrated_rates, **valley)
    rng = np.random.default_rng([seed, 1])
    reported: dict[int, list[float]] = {1: [], 3: []}
    trials, rungs = [], []
    for number, (params, values) in enumerate(zip(whole.trials.params, whole.trials.values, strict=True)):
        losses = {step: values["loss"] + gain + noise * rng.normal() for step, gain in ((1, 0.8), (3, 0.1))}
        for step, loss in losses.items():
            reported[step].append(loss)
            if loss > np.quantile(reported[step], 0.25):
                trials.append(trial(params, state="pruned", reason="pruner", step=step, loss=loss))
                break
        else:
            trials.append(trial(params, **values))
            rungs += [(number, step, loss) for step, loss in losses.items()]
    return evidence(trials, rungs=rungs)


def trial(params: dict[str, Any], *, state: Any = "completed", **fields: Any) -> dict[str, Any]:
    """Return one trial; further `fields` that are no column are values."""
    columns: dict[str, Any] = {
        name: fields.pop(name)
        for name in ("reason", "step", "replicate_of", "purpose", "seed", "duration_s", "attempt")
        if name in fields
    }
    return {"state": state, "params": params, "values": fields, **columns}


def evidence(trials: list[dict[str, Any]], **changes: Any) -> Evidence:
    """Return the evidence of a job with these trials."""
    counts: dict[str, int] = {}
    for one in trials:
        counts[one["state"]] = counts.get(one["state"], 0) + 1
    columns = TrialColumns(
        number=list(range(len(trials))),
        state=[one["state"] for one in trials],
        reason=[one.get("reason") for one in trials],
        params=[one["params"] for one in trials],
        values=[one["values"] for one in trials],
        step=[one.get("step", 5) for one in trials],
        replicate_of=[one.get("replicate_of") for one in trials],
        purpose=[one.get("purpose", "search" if one.get("replicate_of") is None else "replicate") for one in trials],
        seed=[one.get("seed", number) for number, one in enumerate(trials)],
        started_at=[1.0 for _ in trials],
        finished_at=[1.0 + one.get("duration_s", 1.0) for one in trials],
        attempt=[one.get("attempt", 1) for one in trials],
    )
    fields: dict[str, Any] = {
        "job_id": "job_1",
        "job_name": "valley",
        "change": 7,
        "trainer": "synthetic",
        "fixed": {},
        "space": SPACE,
        "objectives": (Objective(metric="loss", direction=Direction.MINIMIZE),),
        "counts": counts,
        "trials": columns,
        "seed": 0,
        "rungs": [],
    }
    return Evidence(**fields | changes)


def _params(batch_size: int, **valley: float) -> SyntheticParams:
    return SyntheticParams(batch_size=batch_size, **valley)
