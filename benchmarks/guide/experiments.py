"""The jobs behind the guide: one experiment for each question, repeated over seeds.

A seed fixes the search, the initial weights, the order of the data and the split into training and validation data, so
that intervals over seeds hold for all of these together. Jobs of one seed are paired: they differ in nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from stepsize.spec.space import Scalar

Space = dict[str, JsonValue]

METRIC = "val_loss"
EPOCHS = 10
TASK: Mapping[str, Scalar] = {"dataset": "digits", "model": "mlp", "epochs": EPOCHS}
"""1,257 handwritten digits of 8×8 pixels to learn from, two hidden layers of 32 units, SGD with momentum 0.9, batch
size 64: 20 updates an epoch."""


@dataclass(frozen=True)
class Experiment:
    """One job, submitted once for each seed.

    Attributes:
        params: the trainer's parameters that are fixed; the others keep their defaults.
        sampler: its name and knobs; None: every cell of `space`.
        max_trials: None: every cell of the grid.
        keeps_curves: whether the accuracy of every epoch is kept, or the last one only.
        keeps_losses: whether the loss of every epoch is kept, too.
    """

    name: str
    space: Space
    n_seeds: int
    params: Mapping[str, Scalar] = field(default_factory=dict)
    sampler: Mapping[str, JsonValue] = field(default_factory=lambda: {"name": "grid"})
    max_trials: int | None = None
    keeps_curves: bool = True
    keeps_losses: bool = False

    def spec(self, seed: int) -> dict[str, JsonValue]:
        """Return the job of one seed, as it is posted."""
        return {
            "name": f"guide: {self.name.replace('_', ' ')}",
            "trainer": {"name": "image_classifier", "params": {**TASK, **self.params, "split_seed": seed}},
            "search_space": dict(self.space),
            "objectives": [{"metric": METRIC, "direction": "minimize"}],
            "sampler": {**self.sampler, "seed": seed},
            # One trial at a time: a search is then the same whenever it runs. The jobs run beside each other.
            "confirm": False,
            "budget": {"max_trials": self.max_trials, "max_parallel_trials": 1},
            "keep_artifacts": "none",
        }


def rates(low: float, high: float) -> Space:
    """Return the learning rate as a space by itself."""
    return {"learning_rate": {"type": "float", "low": low, "high": high, "log": True}}


def choices(name: str, *values: Scalar) -> Space:
    """Return one parameter with these values."""
    return {name: {"type": "categorical", "choices": list(values)}}


def grid(points: int) -> Mapping[str, JsonValue]:
    """Return the sampler that tries every combination, with so many rates."""
    return {"name": "grid", "points": points}


SCHEDULES = (
    "constant", "step", "multi_step", "exponential", "polynomial", "time_based", "inverse_sqrt", "linear", "cosine",
    "cosine_restarts", "cyclical", "one_cycle", "warmup_stable_decay",
)  # fmt: skip
SAMPLERS = ("grid", "random", "tpe")
N_SEARCH_SEEDS = 8
N_SEARCH_1 = 16
N_SEARCH_3 = 32
ONE_PARAMETER = rates(1e-4, 10.0)
THREE_PARAMETERS: Space = {
    **ONE_PARAMETER,
    "momentum": {"type": "float", "low": 0.0, "high": 0.99},
    **choices("width", 16, 64),
}
MANY_PARAMETERS: Space = {
    **rates(1e-4, 1.0),
    "batch_size": {"type": "int", "low": 32, "high": 256, "powers_of_two": True},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99},
    "width": {"type": "int", "low": 8, "high": 128, "powers_of_two": True},
    "weight_decay": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    **choices("activation", "relu", "leaky_relu", "tanh", "sigmoid"),
}


def _searches() -> list[Experiment]:
    found: list[Experiment] = []
    for sampler in SAMPLERS:
        knobs: dict[str, JsonValue] = {"name": sampler} | ({"n_startup_trials": 5} if sampler == "tpe" else {})
        one = Experiment(f"search_1_{sampler}", ONE_PARAMETER, N_SEARCH_SEEDS, sampler=knobs, max_trials=N_SEARCH_1)
        three = Experiment(f"search_3_{sampler}", THREE_PARAMETERS, N_SEARCH_SEEDS, {"epochs": 5}, knobs, N_SEARCH_3)
        if sampler == "grid":
            one = replace(one, sampler=grid(N_SEARCH_1))
            three = replace(three, sampler=grid(4))  # 4 rates × 4 momenta × 2 widths
        found += [replace(one, keeps_curves=False), replace(three, keeps_curves=False)]
    return found


_SCAN = rates(1e-3 * 10**0.5, 1.0)
"""Six rates, two a decade."""
_WIDE_SCAN = rates(1e-3 * 10**0.5, 10**0.5)
"""Seven rates, two a decade."""
_SMALL_DATA: Mapping[str, Scalar] = {"train_fraction": 0.25, "epochs": 20}
"""Where overfitting is what limits: 314 samples."""
_FOUR_RATES = rates(1e-2, 10**-0.5)

EXPERIMENTS = (
    Experiment("rates", rates(1e-4, 10**0.5), 8, sampler=grid(10), keeps_losses=True),
    Experiment("schedules", {**rates(10**-1.75, 10**-0.25), **choices("schedule", *SCHEDULES)}, 10, sampler=grid(4)),
    *_searches(),
    Experiment(
        "batch_sizes",
        {**_WIDE_SCAN, "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True}},
        4,
        {"epochs": 6},
        grid(7),
    ),
    Experiment("long", rates(1e-4, 1.0), 4, {"epochs": 40}, grid(5), keeps_losses=True),
    Experiment(
        "activations",
        {**_WIDE_SCAN, **choices("activation", "relu", "leaky_relu", "tanh", "sigmoid")},
        4,
        {"depth": 3},
        grid(7),
    ),
    Experiment("label_noise", {**_SCAN, **choices("label_noise", 0.0, 0.1, 0.2, 0.4)}, 4, sampler=grid(6)),
    Experiment("train_fraction", {**_SCAN, **choices("train_fraction", 0.1, 0.25, 0.5, 1.0)}, 4, sampler=grid(6)),
    Experiment("width", {**_SCAN, **choices("width", 8, 32, 128)}, 4, sampler=grid(6)),
    Experiment("depth", {**_SCAN, **choices("depth", 1, 2, 4)}, 4, sampler=grid(6)),
    Experiment(
        "weight_decay", {**_FOUR_RATES, **choices("weight_decay", 0.0, 1e-4, 1e-3, 1e-2)}, 5, _SMALL_DATA, grid(4)
    ),
    Experiment("dropout", {**_FOUR_RATES, **choices("dropout", 0.0, 0.1, 0.3, 0.5)}, 5, _SMALL_DATA, grid(4)),
    Experiment(
        "label_smoothing", {**_FOUR_RATES, **choices("label_smoothing", 0.0, 0.05, 0.1, 0.2)}, 5, _SMALL_DATA, grid(4)
    ),
    Experiment("many", MANY_PARAMETERS, 1, {"epochs": 5}, {"name": "random"}, 120, keeps_curves=False),
)

RANGE_TEST: dict[str, JsonValue] = {
    "name": "guide: range test",
    "trainer": {"name": "image_classifier", "params": {**TASK}},
    "batch_sizes": [16, 32, 64, 128, 256],
    "seeds": 6,
    "seed": 0,
}


def cyclical(low: float, high: float) -> Experiment:
    """Return trainings that need no search: the rate swings between the bounds of a range test."""
    fixed: dict[str, Scalar] = {"schedule": "cyclical", "learning_rate": high, "initial_factor": low / high}
    modes = choices("cycle_mode", "triangular", "triangular2")
    return Experiment("cyclical", {**modes, **choices("cycle_length", 2, 5)}, N_SEARCH_SEEDS, fixed)


def tiny(experiment: Experiment) -> Experiment:
    """Return the experiment cut down to seconds, to try everything around it: two seeds, two epochs, few trials."""
    is_grid = experiment.sampler["name"] == "grid"
    sampler = {**experiment.sampler, **({"points": 2} if "points" in experiment.sampler else {})}
    return replace(
        experiment,
        space={name: _tiny_parameter(parameter) for name, parameter in experiment.space.items()},
        n_seeds=min(experiment.n_seeds, 2),
        params={**experiment.params, "epochs": 2},
        sampler=sampler,
        max_trials=None if is_grid else 4,
    )


def _tiny_parameter(parameter: JsonValue) -> JsonValue:
    """Return at most two choices, and of whole numbers the powers of two 64 and 128."""
    assert isinstance(parameter, dict), "a parameter is an object"
    match parameter:
        case {"choices": [*values]}:
            return {**parameter, "choices": values[:2]}
        case {"type": "int"}:
            return {**parameter, "low": 64, "high": 128}
    return parameter
