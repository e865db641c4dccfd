"""What is read of an Optuna study, and what is told of the rest."""

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter
from stepsize.studies.optuna_study import read_study
from stepsize.studies.past import End, StudyError

optuna.logging.set_verbosity(optuna.logging.WARNING)


def make(
    path: Path, *, name: str = "old", directions: tuple[Literal["minimize", "maximize"], ...] = ("minimize",)
) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(study_name=name, storage=storage, directions=directions)


def tell(study: optuna.Study, suggest: Callable[[optuna.Trial], None], value: float | list[float] | None) -> None:
    trial = study.ask()
    suggest(trial)
    if value is None:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, value)


def test_trials_keep_their_parameters_reports_and_ends(tmp_path: Path) -> None:
    study = make(tmp_path / "log")

    def suggest(trial: optuna.Trial) -> None:
        trial.suggest_float("lr", 1e-4, 1.0, log=True)
        trial.suggest_int("width", 16, 64, step=16)
        trial.report(0.9, 0)
        trial.report(math.nan, 1)

    tell(study, suggest, 0.5)
    tell(study, suggest, None)
    tell(study, suggest, math.inf)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    past = read_study(str(tmp_path / "log"), metrics=["val_loss"])

    assert past.search_space == {
        "lr": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "width": IntParameter(type="int", low=16, high=64, step=16),
    }
    assert [trial.end for trial in past.trials] == [End.COMPLETED, End.PRUNED, End.DIVERGED]
    assert past.trials[0].values == {"val_loss": 0.5}
    assert past.trials[0].params == study.trials[0].params
    assert past.trials[1].reports == {0: 0.9}
    told = "; ".join(past.notes)
    assert "1 trial still running" in told
    assert "3 reports without a finite number" in told
    assert "1 trial without all parameters of the others" in told


def test_a_parameter_that_comes_with_a_choice_is_conditional(tmp_path: Path) -> None:
    study = make(tmp_path / "log")

    def suggest(trial: optuna.Trial) -> None:
        if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
            trial.suggest_float("momentum", 0.0, 0.9)

    for optimizer in ("sgd", "adam", "sgd"):
        study.enqueue_trial({"optimizer": optimizer})
        tell(study, suggest, 1.0)
    past = read_study(str(tmp_path / "log"))

    assert past.search_space == {
        "optimizer": CategoricalParameter(type="categorical", choices=["sgd", "adam"]),
        "momentum": FloatParameter(type="float", low=0.0, high=0.9, when={"optimizer": ["sgd"]}),
    }
    assert len(past.trials) == 3


def test_bounds_that_changed_are_joined(tmp_path: Path) -> None:
    study = make(tmp_path / "log")
    for low, high in ((0.1, 0.2), (0.15, 0.9)):
        trial = study.ask()
        trial.suggest_float("lr", low, high)
        study.tell(trial, 1.0)
    assert read_study(str(tmp_path / "log")).search_space == {"lr": FloatParameter(type="float", low=0.1, high=0.9)}


def test_constraints_become_metrics_that_must_not_be_above_zero(tmp_path: Path) -> None:
    study = make(tmp_path / "log", directions=("minimize", "maximize"))

    def suggest(trial: optuna.Trial) -> None:
        trial.suggest_float("lr", 0.0, 1.0)
        trial.set_constraint("size", 3.0)

    tell(study, suggest, [1.0, 2.0])
    past = read_study(str(tmp_path / "log"))
    assert [objective.metric for objective in past.objectives] == ["value_0", "value_1"]
    assert past.constraints == ("constraint_size",)
    assert past.trials[0].values == {"value_0": 1.0, "value_1": 2.0, "constraint_size": 3.0}


def test_what_can_not_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there is no file"):
        read_study(str(tmp_path / "nowhere"))
    make(tmp_path / "log", name="one")
    with pytest.raises(StudyError, match="no finished trial"):
        read_study(str(tmp_path / "log"))
    make(tmp_path / "log", name="two")
    with pytest.raises(StudyError, match="holds 2 studies: name one with --study: one, two"):
        read_study(str(tmp_path / "log"))
    with pytest.raises(StudyError, match=r"there is no study 'three' in .*; known: one, two"):
        read_study(str(tmp_path / "log"), "three")


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("sqlite:///{folder}/absent.db", "there is no file {folder}/absent.db"),
        ("sqlite:///{folder}", "{folder} is a directory"),
        ("sqlite://", "names no file; name one, such as sqlite:///study.db"),
        ("sqlite:///{folder}/other.db", "is no storage of Optuna's: it has the tables notes"),
        ("sqlite:///{folder}/text.log", "can't be read: file is not a database"),
        ("{folder}/other.db", "other.db is a file of SQLite's; name it sqlite:///{folder}/other.db"),
        ("{folder}/text.log", "text.log is no journal of Optuna's"),
        ("{folder}/list.log", "list.log is no journal of Optuna's"),
        ("{folder}/empty.log", "empty.log is no journal of Optuna's"),
        ("{folder}", "is a directory; name the journal file in it"),
        ("postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x can't be read: connection failed"),
        ("optuna://x", "no kind of database is called 'optuna'; a storage is such as sqlite:///study.db"),
        ("postgresql://host:port/x", "is no URL such as sqlite:///study.db"),
    ],
)
def test_what_is_no_storage_is_told_and_nothing_is_made(tmp_path: Path, storage: str, said: str) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE notes (line TEXT)")
    for name, text in {"text.log": "hello\n", "list.log": "[1]\n", "empty.log": ""}.items():
        (tmp_path / name).write_text(text)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(StudyError) as caught:
        read_study(storage.format(folder=tmp_path))
    assert said.format(folder=tmp_path) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "sqlalche.me" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_study_in_a_database_is_read_and_the_database_left_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="one", storage=url)
    study.optimize(lambda trial: trial.suggest_float("lr", 0.0, 1.0), n_trials=2)
    before = (tmp_path / "study.db").read_bytes()
    assert len(read_study(url).trials) == 2
    assert (tmp_path / "study.db").read_bytes() == before


def test_a_name_that_no_job_can_have_is_said_in_our_words(tmp_path: Path) -> None:
    def suggest(trial: optuna.Trial) -> None:
        trial.suggest_float("lr", 0.0, 1.0)

    tell(make(tmp_path / "log"), suggest, [1.0])
    with pytest.raises(StudyError, match="can't be carried over: metric: must not be empty"):
        read_study(str(tmp_path / "log"), metrics=[""])
