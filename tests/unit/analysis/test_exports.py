"""Exports that Optuna opens."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stepsize.analysis.exports import write_optuna
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter
from tests.unit.analysis.designs import evidence, trial, valley_evidence


def _load(path: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))))


def test_powers_of_two_stand_as_powers_in_an_exported_study(tmp_path: Path) -> None:
    job = valley_evidence(60)
    write_optuna(tmp_path / "journal.log", job, [])

    study = _load(tmp_path / "journal.log", job.job_id)

    assert [one.params for one in study.trials] == [*job.trials.params]
    assert {one.params["batch_size"] for one in study.trials} == {16, 32, 64, 128, 256}
    importances = optuna.importance.get_param_importances(study)
    assert importances.keys() == {"learning_rate", "batch_size"}
    assert all(share > 0 for share in importances.values())


@pytest.mark.filterwarnings("error")
def test_every_kind_of_parameter_is_exported_with_its_values(tmp_path: Path) -> None:
    space = {
        "stepped": FloatParameter(type="float", low=0.0, high=1.0, step=0.3),
        "whole": IntParameter(type="int", low=1, high=9, step=3),
        "log": IntParameter(type="int", low=1, high=100, log=True),
        "power": IntParameter(type="int", low=1, high=1, powers_of_two=True),
        "word": CategoricalParameter(type="categorical", choices=["a", 2, 0.5]),
        "choice": CategoricalParameter(type="categorical", choices=[1, True, "a"]),
    }
    params = {"stepped": 0.9, "whole": 7, "log": 50, "power": 1, "word": 2, "choice": True}
    job = evidence([trial(params, loss=0.5)], space=space)
    write_optuna(tmp_path / "journal.log", job, [])

    (one,) = _load(tmp_path / "journal.log", job.job_id).trials

    assert one.params == {**params, "choice": "true"}, "Optuna takes True and 1 for one"
