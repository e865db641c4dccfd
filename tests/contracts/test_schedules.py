"""What every schedule promises, and equality with PyTorch's where it has the same one."""

import math
import re
import warnings
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.optim import SGD
from torch.optim import lr_scheduler as torch_schedules

from stepsize.spec import schedules
from stepsize.spec.schedules import (
    CosineRestartsSchedule,
    CosineSchedule,
    CyclicalSchedule,
    ExponentialSchedule,
    InverseSqrtSchedule,
    LinearSchedule,
    MultiStepSchedule,
    OneCycleSchedule,
    PolynomialSchedule,
    Schedule,
    ScheduleBase,
    StepSchedule,
    TimeBasedSchedule,
    WarmupStableDecaySchedule,
    preview,
    schedule_types,
)

LENGTHS = (5, 7, 100, 1000)

# Beyond the defaults, which every schedule is tested with, one row for each parameter that changes the formula.
VARIANTS: list[ScheduleBase] = [
    StepSchedule(gamma=0.1, step_size=3, final_factor=0.05),
    MultiStepSchedule(milestones="0.3,.6,0.9", gamma=0.1),
    ExponentialSchedule(gamma=0.5, final_factor=0.01),
    PolynomialSchedule(power=0.5, final_factor=0.7),
    TimeBasedSchedule(decay_rate=3.0, final_factor=0.2),
    InverseSqrtSchedule(timescale=10.0),
    LinearSchedule(final_factor=0.3),
    CosineSchedule(final_factor=0.7),
    CosineRestartsSchedule(cycle_length=2, cycle_growth=2, final_factor=0.1),
    CosineRestartsSchedule(cycle_length=1),
    CyclicalSchedule(cycle_length=1),
    CyclicalSchedule(cycle_length=1_000_000),
    CyclicalSchedule(cycle_mode="triangular", initial_factor=0.0),
    CyclicalSchedule(cycle_mode="exp_range", gamma=0.97),
    CyclicalSchedule(cycle_mode="exp_range", gamma=0.01, cycle_length=50),
    CyclicalSchedule(cycle_mode="exp_range", gamma=1.0),
    OneCycleSchedule(rise_frac=0.0, final_factor=0.1),
    OneCycleSchedule(rise_frac=1.0, initial_factor=0.5),
    WarmupStableDecaySchedule(decay_frac=0.0),
    WarmupStableDecaySchedule(decay_frac=1.0, final_factor=0.1),
]
ALL: list[ScheduleBase] = [schedule.model_validate({}) for schedule in schedule_types().values()] + VARIANTS

DECAYING = [schedule for schedule in ALL if not schedule.rises]
ENDING = [schedule for schedule in ALL if schedule.ends_at_final_factor]
SCALING = [schedule for schedule in ALL if not schedule.peaks_at_updates]


def describe(schedule: ScheduleBase) -> str:
    changed = schedule.model_dump(exclude_defaults=True)
    return "-".join([schedule.name, *(f"{name}={value}" for name, value in changed.items())])


def factors(schedule: ScheduleBase, n_updates: int, updates_per_step: int = 1) -> list[float]:
    return [schedule.factor(update, n_updates, updates_per_step) for update in range(n_updates)]


def with_warmup(schedule: ScheduleBase, warmup_frac: float) -> ScheduleBase:
    return type(schedule)(**{**schedule.model_dump(), "warmup_frac": warmup_frac})


@pytest.mark.parametrize("schedule", ALL, ids=describe)
class TestEverySchedule:
    @pytest.mark.parametrize("warmup_frac", [0.0, 0.1, 0.3])
    @pytest.mark.parametrize("updates_per_step", [1, 7])
    def test_stays_in_range_and_reaches_one(
        self, schedule: ScheduleBase, warmup_frac: float, updates_per_step: int
    ) -> None:
        for n_updates in LENGTHS:
            values = factors(with_warmup(schedule, warmup_frac), n_updates, updates_per_step)
            assert all(0 <= value <= 1 for value in values)
            # Rounding only: exp_range divides one product by another.
            assert max(values) == pytest.approx(1.0, abs=1e-15)

    def test_a_single_update_is_possible(self, schedule: ScheduleBase) -> None:
        assert 0 <= with_warmup(schedule, 0.9).factor(0, 1) <= 1

    def test_stays_at_its_end_afterwards(self, schedule: ScheduleBase) -> None:
        assert schedule.factor(101, 100) == schedule.factor(10_000, 100) == schedule.factor(100, 100)

    def test_never_falls_below_the_final_factor(self, schedule: ScheduleBase) -> None:
        final_factor = schedule.model_dump().get("final_factor", 0.0)
        lowest = min(factors(schedule, 1000))
        start = schedule.factor(0, 1000)  # one_cycle may rise from below
        assert lowest >= min(final_factor, start)

    def test_a_warmup_rises_evenly_to_where_the_schedule_begins(self, schedule: ScheduleBase) -> None:
        warmed = with_warmup(schedule, 0.2)
        rise = [warmed.factor(update, 100) for update in range(21)]
        start = schedule.factor(0, 80)
        assert rise == pytest.approx([start * (update + 1) / 21 for update in range(21)], abs=1e-15)
        assert [warmed.factor(20 + update, 100) for update in range(80)] == factors(schedule, 80)

    def test_survives_json(self, schedule: ScheduleBase) -> None:
        adapter: TypeAdapter[ScheduleBase] = TypeAdapter(Schedule)
        assert adapter.validate_json(schedule.model_dump_json()) == schedule

    def test_is_described(self, schedule: ScheduleBase) -> None:
        schema = type(schedule).model_json_schema()
        assert "\n" not in schema["description"]
        assert len(schema["description"]) < 120
        for name, field in schema["properties"].items():
            assert "default" in field, name
            assert name == "name" or field["description"]


@pytest.mark.parametrize("schedule", DECAYING, ids=describe)
def test_decays_never_rise(schedule: ScheduleBase) -> None:
    for n_updates in LENGTHS:
        values = [schedule.factor(update, n_updates) for update in range(n_updates + 1)]
        assert values[0] == 1.0, (
            f"where {type(schedule).__name__} begins below its highest rate it `rises`: say so there"
        )
        falls = all(later <= earlier for earlier, later in pairwise(values))
        assert falls, f"{type(schedule).__name__} `rises`: say so there"


@pytest.mark.parametrize("kind", schedule_types().values(), ids=lambda kind: kind.__name__)
def test_a_schedule_says_truly_whether_it_rises_and_where_it_ends(kind: type[ScheduleBase]) -> None:
    schedule = kind.model_validate({})
    values = [schedule.factor(update, 100) for update in range(101)]
    assert schedule.rises == any(later > earlier for earlier, later in pairwise(values)), f"{kind.__name__}.rises"
    ends = schedule.model_dump().get("final_factor") == pytest.approx(values[-1], abs=1e-15)
    assert schedule.ends_at_final_factor == ends, f"{kind.__name__}.ends_at_final_factor"


@pytest.mark.parametrize("schedule", ENDING, ids=describe)
def test_ends_at_the_final_factor(schedule: ScheduleBase) -> None:
    final_factor = schedule.model_dump()["final_factor"]
    # 1e-15: (1 + cos π) / 2 is exactly 0, but final + (1 − final) · 0 may round.
    assert with_warmup(schedule, 0.2).factor(100, 100) == pytest.approx(final_factor, abs=1e-15)


@pytest.mark.parametrize("schedule", SCALING, ids=describe)
def test_means_the_same_at_every_batch_size(schedule: ScheduleBase) -> None:
    by_step = factors(schedule, 20)
    by_update = factors(schedule, 20 * 13, 13)
    # 1e-12: pow and cos of slightly different quotients.
    assert by_update[::13] == pytest.approx(by_step, abs=1e-12), f"say `peaks_at_updates` in {type(schedule).__name__}"


def test_every_schedule_is_in_the_union_and_named_as_its_class() -> None:
    written = [kind for kind in vars(schedules).values() if is_schedule(kind)]
    assert list(schedule_types().values()) == written, "add the class to the union on the last line of schedules.py"
    for name, kind in schedule_types().items():
        words = re.findall("[A-Z][a-z]+", kind.__name__.removesuffix("Schedule"))
        assert name == "_".join(words).lower(), f"{kind.__name__} is called {name}"


def is_schedule(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, ScheduleBase) and kind is not ScheduleBase


def torch_rates(
    build: Callable[[SGD], torch_schedules.LRScheduler], n_updates: int, learning_rate: float
) -> list[float]:
    """Return the rate of each update under one of PyTorch's own schedulers."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    scheduler = build(optimizer)
    rates = []
    for _ in range(n_updates):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        with warnings.catch_warnings():  # the last step() of some schedulers warns that it is the last
            warnings.simplefilter("ignore")
            scheduler.step()
    return rates


N = 60
LR = 0.3
Build = Callable[[SGD], torch_schedules.LRScheduler]

PYTORCH: list[tuple[ScheduleBase, Build]] = [
    (StepSchedule(step_size=7, gamma=0.5), lambda o: torch_schedules.StepLR(o, 7, 0.5)),
    (MultiStepSchedule(milestones="0.5,0.75"), lambda o: torch_schedules.MultiStepLR(o, [30, 45], 0.8)),
    (MultiStepSchedule(milestones=".9,.1", gamma=0.1), lambda o: torch_schedules.MultiStepLR(o, [6, 54], 0.1)),
    (ExponentialSchedule(gamma=0.93), lambda o: torch_schedules.ExponentialLR(o, 0.93)),
    (PolynomialSchedule(power=1.7), lambda o: torch_schedules.PolynomialLR(o, N, 1.7)),
    (LinearSchedule(final_factor=0.2), lambda o: torch_schedules.LinearLR(o, 1.0, 0.2, N)),
    (CosineSchedule(), lambda o: torch_schedules.CosineAnnealingLR(o, N)),
    (CosineSchedule(final_factor=0.1), lambda o: torch_schedules.CosineAnnealingLR(o, N, 0.1 * LR)),
    (
        CosineRestartsSchedule(cycle_length=9, final_factor=0.2),
        lambda o: torch_schedules.CosineAnnealingWarmRestarts(o, 9, 1, 0.2 * LR),
    ),
    (
        CosineRestartsSchedule(cycle_length=4, cycle_growth=3),
        lambda o: torch_schedules.CosineAnnealingWarmRestarts(o, 4, 3),
    ),
    *[
        (
            CyclicalSchedule(cycle_length=9, cycle_mode=mode, initial_factor=0.1),
            lambda o, mode=mode: torch_schedules.CyclicLR(o, 0.1 * LR, LR, 4, 5, mode, cycle_momentum=False),
        )
        for mode in ("triangular", "triangular2")
    ],
    (
        # PyTorch's exp_range never reaches max_lr; ours is scaled so that `learning_rate` is the highest rate reached,
        # which is at update 5 of a cycle of 10.
        CyclicalSchedule(cycle_length=10, cycle_mode="exp_range", gamma=0.9, initial_factor=0.1),
        lambda o: torch_schedules.CyclicLR(
            o, 0.1 * LR, LR * (0.1 + 0.9 / 0.9**5), 5, 5, "exp_range", 0.9, cycle_momentum=False
        ),
    ),
    (
        OneCycleSchedule(rise_frac=0.3, initial_factor=1 / 25, final_factor=1 / 25e4),
        lambda o: torch_schedules.OneCycleLR(o, LR, N, cycle_momentum=False),
    ),
    (
        OneCycleSchedule(rise_frac=0.5, initial_factor=0.1, final_factor=0.01),
        lambda o: torch_schedules.OneCycleLR(
            o, LR, N, pct_start=0.5, div_factor=10, final_div_factor=10, cycle_momentum=False
        ),
    ),
]


@pytest.mark.parametrize(("schedule", "build"), PYTORCH, ids=[describe(schedule) for schedule, _ in PYTORCH])
def test_rates_equal_pytorchs(schedule: ScheduleBase, build: Build) -> None:
    ours = [LR * factor for factor in factors(schedule, N)]
    # The promise; PyTorch's recursive formulas gather rounding errors of this order.
    assert ours == pytest.approx(torch_rates(build, N, LR), rel=0, abs=1e-12)


def test_inverse_schedules_follow_their_formulas() -> None:
    assert TimeBasedSchedule(decay_rate=0.5).factor(6, 100, 2) == 1 / (1 + 0.5 * 3)
    assert InverseSqrtSchedule(timescale=4.0).factor(24, 100, 2) == 1 / math.sqrt(1 + 12 / 4)


def test_the_original_transformer_schedule_is_an_inverse_sqrt_with_the_warmups_length() -> None:
    n_warmup = 40
    schedule = InverseSqrtSchedule(warmup_frac=0.1, timescale=n_warmup)
    ours = [schedule.factor(update, 400) for update in range(n_warmup, 400)]
    # Vaswani et al. 2017, eq. 3, scaled to a peak of 1: min(u / w, sqrt(w / u)).
    assert ours == pytest.approx([math.sqrt(n_warmup / update) for update in range(n_warmup, 400)], abs=1e-15)


def test_a_stable_phase_ends_when_the_decay_must_begin() -> None:
    schedule = WarmupStableDecaySchedule(warmup_frac=0.1, decay_frac=0.5)
    values = factors(schedule, 100)
    assert values[10:56] == [1.0] * 46  # 90 updates are left after the warmup; the last 45 decay
    assert values[56:] == pytest.approx([left / 45 for left in range(44, 0, -1)])


def test_preview_reads_as_people_write() -> None:
    points = preview(ExponentialSchedule(gamma=0.8), learning_rate=0.01, steps=5)
    assert [point.step for point in points] == [0, 1, 2, 3, 4]
    assert [point.learning_rate for point in points] == [0.01, 0.008, 0.0064, 0.00512, 0.004096]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "step", "gama": 0.5},
        {"name": "step", "gamma": 0},
        {"name": "multi_step", "milestones": "30,60"},
        {"name": "multi_step", "milestones": ""},
        {"name": "cosine", "warmup_frac": 1.0},
        {"name": "cosine", "final_factor": 1.5},
        {"name": "staircase"},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    adapter: TypeAdapter[ScheduleBase] = TypeAdapter(Schedule)
    with pytest.raises(ValidationError):
        adapter.validate_python(wrong)
