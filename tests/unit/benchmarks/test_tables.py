"""Job files of the tables are good jobs, the page says what was measured, and claims are judged by intervals."""

import pytest

from benchmarks.guide.rendering import all_facts
from benchmarks.guide.results import Results as GuideResults
from benchmarks.tables.__main__ import GUIDE_RESULTS, PAGE, RESULTS, key_of
from benchmarks.tables.claims import CLAIMS, Claim, Kind, judge
from benchmarks.tables.page import render
from benchmarks.tables.plan import FOLDER, TABLES, Table
from benchmarks.tables.results import Results, without_bands
from stepsize.application.catalogue import built_in_cards, make_catalogue
from stepsize.application.submission import resolve
from stepsize.client.results import SettingTable
from stepsize.spec.job import JobSpec

_NOTHING = {"value": None, "low": None, "high": None, "caveat": "none"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_job_file_is_a_job_that_the_service_takes(table: Table) -> None:
    catalogue = make_catalogue(built_in_cards(), [])

    assert table.specs
    for spec in table.specs.values():
        resolved = resolve(JobSpec.model_validate(spec), catalogue).spec
        assert resolved.budget.max_trials >= 16
        assert resolved.sampler.seed == 0, "a table can be run again"


def test_every_folder_is_a_table_and_every_claim_is_about_its_choices() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {table.name for table in TABLES}
    for name, claims in CLAIMS.items():
        (table,) = [table for table in TABLES if table.name == name]
        catalogue = make_catalogue(built_in_cards(), [])
        params = [resolve(JobSpec.model_validate(spec), catalogue).spec.trainer.params for spec in table.specs.values()]
        for claim in claims:
            assert claim.setting in table.settings
            assert {claim.first, claim.second} <= {one[claim.setting] for one in params}


def test_the_page_is_what_the_results_make_it() -> None:
    page = render(Results.read(RESULTS), all_facts(GuideResults.read(GUIDE_RESULTS)))

    assert PAGE.read_text() == page, "run `.venv/bin/python -m benchmarks.tables --render`"


def test_tables_that_were_not_run_are_named_with_the_command_that_runs_them() -> None:
    page = render(Results(), all_facts(GuideResults.read(GUIDE_RESULTS)))

    assert "**Not measured yet**: `tasks`, " in page
    assert page.count("\nNot measured yet.\n") == len(TABLES)
    assert 'make tables ONLY="tasks architectures' in page


def test_a_job_file_that_changed_is_another_job() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_bands_are_left_out_of_what_is_kept() -> None:
    assert without_bands({"jobs": [{"by_learning_rate": {}, "b": 1}]}) == {"jobs": [{"b": 1}]}


@pytest.mark.parametrize(
    ("kind", "ratio", "gain", "says"),
    [
        (Kind.LOWER_RATE, (0.4, 0.5, 0.6), None, "holds here"),
        (Kind.LOWER_RATE, (1.4, 1.5, 1.6), None, "fails here"),
        (Kind.HIGHER_RATE, (1.4, 1.5, 1.6), None, "holds here"),
        (Kind.HIGHER_RATE, (0.8, 1.5, 1.6), None, "can't be told here"),
        (Kind.BETTER, (1.0, 1.0, 1.0), (0.1, 0.2, 0.3), "holds here"),
        (Kind.BETTER, (1.0, 1.0, 1.0), (-0.3, -0.2, -0.1), "fails here"),
        (Kind.BETTER, (1.0, 1.0, 1.0), None, "not compared"),
    ],
)
def test_a_claim_is_judged_by_its_interval_in_whichever_order_the_pair_stands(
    kind: Kind, ratio: tuple[float, ...], gain: tuple[float, ...] | None, says: str
) -> None:
    claim = Claim("", "activation", "relu", "tanh", kind)
    turned_ratio = tuple(1 / end for end in reversed(ratio))
    turned_gain = None if gain is None else tuple(-end for end in reversed(gain))

    assert says in judge(claim, [_table(["relu", "tanh"], ratio, gain)])
    assert says in judge(claim, [_table(["tanh", "relu"], turned_ratio, turned_gain)])


def _table(choices: list[str], ratio: tuple[float, ...], gain: tuple[float, ...] | None) -> SettingTable:
    row = {
        "where": {}, "job_ids": [], "objective": {"metric": "loss", "direction": "minimize"}, "n_trials": 1,
        "n_completed": 1, "learning_rate": _NOTHING, "value": _NOTHING, "train_time_s": _NOTHING,
        "diverged_share": _NOTHING, "by_learning_rate": [],
    }  # fmt: skip
    low, value, high = ratio
    gained = _NOTHING if gain is None else {"low": gain[0], "value": gain[1], "high": gain[2]}
    pair = {"rows": (0, 1), "rate_ratio": {"low": low, "value": value, "high": high}, "improvement": gained,
            "sentence": ""}  # fmt: skip
    rows = [{**row, "choice": choice} for choice in choices]
    return SettingTable.model_validate({"parameter": "activation", "rows": rows, "pairs": [pair], "sentence": ""})
