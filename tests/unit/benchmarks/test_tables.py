"""Job files of the tables are good jobs, the page says what was measured, and claims are judged by intervals."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from benchmarks.guide.rendering import all_facts
from benchmarks.guide.results import Results as GuideResults
from benchmarks.tables.__main__ import GUIDE_RESULTS, PAGE, RESULTS, stoppable
from benchmarks.tables.claims import CLAIMS, Claim, Kind, judge
from benchmarks.tables.page import render
from benchmarks.tables.plan import FOLDER, TABLES, Table
from benchmarks.tables.results import Measured, Results, key_of, without_bands
from benchmarks.tables.spending import Meter, Spent, metered
from stepsize.application.catalogue import built_in_cards, make_catalogue
from stepsize.application.submission import resolve
from stepsize.domain.estimate import Estimate
from stepsize.domain.jobs_report import JobsReport, SettingTable
from stepsize.spec.job import JobSpec
from tests.waiting import wait_for

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


def test_a_job_without_an_answer_says_why_and_a_table_whose_time_is_unknown_says_so() -> None:
    results = Results.read(RESULTS)
    results.spent.pop("tasks", None)
    (table,) = [table for table in TABLES if table.name == "tasks"]
    report = JobsReport.model_validate(results.tables["tasks"].jobs)
    unknown = Estimate(value=None, low=None, high=None, caveat="nothing was heard")
    silent = {"job_name": "tasks, silence", "recommended_rate": unknown}
    report = report.model_copy(update={"jobs": [report.jobs[0].model_copy(update=silent)]})
    jobs = report.model_dump(mode="json")
    results.tables["tasks"] = Measured(table.specs, jobs, {})

    page = render(results, all_facts(GuideResults.read(GUIDE_RESULTS)))

    assert "- silence: nothing was heard\n" in page
    assert "[examples/tables/tasks](../../examples/tables/tasks). How long they take was not measured." in page


def test_the_rows_of_jobs_that_two_settings_tell_apart_stand_once_and_the_sentence_of_all_names_tasks() -> None:
    page = render(Results.read(RESULTS), all_facts(GuideResults.read(GUIDE_RESULTS)))

    methods = page.partition("## Constant, decaying and adaptive")[2].partition("\n## ")[0]
    assert methods.count("| best learning rate |") == 1
    assert all(f"differ in {setting} alone" in methods for setting in ("optimizer", "schedule"))
    assert "(tasks, " not in page


def test_a_job_file_that_changed_is_another_job() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_what_runs_took_adds_up_until_the_jobs_change() -> None:
    results = Results()
    for n_found in (0, 7):
        results.add_spent("rates", Spent("these", n_found, 10.0, 6.0, 3.0, 2))
    assert results.spent["rates"] == Spent("these", 0, 20.0, 12.0, 6.0, 2)
    results.add_spent("rates", Spent("these", 0, 9.0, 5.0, 3.0, 2))
    assert results.spent["rates"] == Spent("these", 0, 9.0, 5.0, 3.0, 2), "a run from the start, in an empty folder"
    results.add_spent("rates", Spent("others", 5, 1.0, 1.0, 1.0, 2))
    assert results.spent["rates"].n_found == 5


def busy_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def test_processor_time_is_that_of_children_and_is_read_also_where_a_run_is_stopped() -> None:
    meter = Meter(n_found=1)

    def work_until_stopped() -> None:
        wait_for(lambda: busy_seconds(child.pid) > before + 0.25)
        raise KeyboardInterrupt

    burn = "import time\nwhile time.process_time() < 0.5: pass\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", burn]) as child:
        before = busy_seconds(child.pid)
        with suppress(KeyboardInterrupt), metered(meter):
            work_until_stopped()
        child.kill()
    spent = meter.spent("these")
    assert spent.n_found == 1
    assert 0.2 <= spent.cpu_s <= spent.wall_s + 0.2
    assert spent.others_cpu_s >= 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_stops_as_by_hand(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), stoppable():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN, "as it was"
    finally:
        signal.signal(number, before)


def test_bands_are_left_out_of_what_is_kept() -> None:
    assert without_bands({"jobs": [{"by_learning_rate": {"bands": [1]}, "b": 1}]}) == {
        "jobs": [{"by_learning_rate": {"bands": []}, "b": 1}]
    }
    assert without_bands([{"by_learning_rate": [1, 2]}]) == [{"by_learning_rate": []}]


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
    row: dict[str, object] = {
        "where": {}, "job_ids": [], "batch_size": None, "best_trial": None,
        "objective": {"metric": "loss", "direction": "minimize"}, "n_trials": 1,
        "n_completed": 1, "learning_rate": _NOTHING, "value": _NOTHING, "train_time_s": _NOTHING,
        "diverged_share": _NOTHING, "by_learning_rate": [],
    }  # fmt: skip
    low, value, high = ratio
    gained = _NOTHING if gain is None else {"low": gain[0], "value": gain[1], "high": gain[2]}
    ratios = {"low": low, "value": value, "high": high}
    pair = {"rows": (0, 1), "batch_size": None, "rate_ratio": ratios, "improvement": gained, "sentence": ""}
    rows = [{**row, "choice": choice} for choice in choices]
    return SettingTable.model_validate({"parameter": "activation", "rows": rows, "pairs": [pair], "sentence": ""})
