"""Fine-tuning over HTTP: the model to start from is found at submission, or the reason why not is given."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from stepsize.domain.trial import TrialState
from stepsize.spec.job import TrainerChoice
from stepsize.store.database import Database
from tests.builders import make_job, make_spec, make_trial


@pytest.fixture
def earlier(database: Database) -> str:
    """A job whose trial 1 is the best and has a model; trial 0 has lost its own, 2 has run out of memory, 3 runs."""
    params = {"dataset": "digits", "model": "cnn", "depth": 2}
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(trainer=TrainerChoice(name="image_classifier", params=params)))
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=2.0)
        make_trial(
            connection,
            job.id,
            state=TrialState.COMPLETED,
            objective=1.0,
            artifacts=["model.safetensors"],
            params={"learning_rate": 0.1, "width": 16},
        )
        make_trial(connection, job.id, state=TrialState.INFEASIBLE)
        make_trial(connection, job.id, state=TrialState.RUNNING)
    return job.id


def submit(client: TestClient, init_from: str | None, **beside: Any) -> tuple[int, dict[str, Any]]:
    """Submit a job that starts from a model, with other parameters and other fields beside."""
    start = {} if init_from is None else {"init_from": init_from}
    params = {"dataset": "digits", "width": 16, **start, **beside.pop("params", {})}
    answer = client.post("/v1/jobs", json={"trainer": {"name": "image_classifier", "params": params}, **beside})
    return answer.status_code, answer.json()


def refused(client: TestClient, init_from: str | None, **beside: Any) -> tuple[str, str]:
    """Return the field that a submission is refused for, and why."""
    status, problem = submit(client, init_from, **beside)
    assert status == 422, problem
    (error,) = problem["errors"]
    return error["pointer"], error["message"]


@pytest.mark.parametrize("which", ["{job}", "{job}/1"])
def test_the_trial_stands_in_the_spec(client: TestClient, earlier: str, which: str) -> None:
    status, job = submit(client, which.format(job=earlier))
    assert status == 201
    assert job["spec"]["trainer"]["params"]["init_from"] == f"{earlier}/1"


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("job_nowhere", "there is no job 'job_nowhere'"),
        ("{job}/7", "has no trial 7"),
        ("{job}/x", "has no trial 'x'"),
        ("{job}/-1", "has no trial '-1'"),
        ("{job}/99999999999999999999999", "has no trial '99999999999999999999999'"),
        ("{job}/0", "has no model.safetensors; a job keeps the models of its best three trials"),
        ("{job}/2", "is infeasible and has saved no model; only completed trials do"),
        ("{job}/3", "is running; its model is saved once it has completed"),
    ],
)
def test_what_is_not_there_is_named(client: TestClient, earlier: str, which: str, words: str) -> None:
    field, message = refused(client, which.format(job=earlier))
    assert field == "/trainer/params/init_from"
    assert words in message


RANGE = {"type": "int", "low": 1, "high": 3}


@pytest.mark.parametrize(
    ("beside", "field", "words"),
    [
        ({"params": {"depth": 3}}, "/trainer/params/depth", "depth is fixed to 3, and init_from starts from a model "
         "with depth 2: fix trainer.params.depth to that"),
        ({"params": {"width": 32}}, "/trainer/params/width", "with width 16"),
        ({"params": {"model": "mlp"}}, "/trainer/params/model", "model is fixed to 'mlp', and init_from starts from a "
         "model with model 'cnn'"),
        ({"search_space": {"depth": RANGE}}, "/search_space/depth", "with depth 2"),
    ],
)  # fmt: skip
def test_a_model_of_another_size_is_no_start(
    client: TestClient, earlier: str, beside: dict[str, Any], field: str, words: str
) -> None:
    at, message = refused(client, earlier, **beside)
    assert at == field
    assert words in message


def test_the_size_that_was_searched_may_be_the_default_here(client: TestClient, earlier: str) -> None:
    assert submit(client, earlier, params={"depth": 2})[0] == 201
    one = {"depth": {"type": "categorical", "choices": [2]}}
    assert submit(client, earlier, search_space=one)[0] == 201


FREEZE = {"freeze": {"type": "categorical", "choices": ["nothing", "body"]}}


@pytest.mark.parametrize(
    ("beside", "field"),
    [({"params": {"freeze": "body"}}, "/trainer/params/freeze"), ({"search_space": FREEZE}, "/search_space/freeze")],
)
@pytest.mark.parametrize("start", [None, ""])
def test_chance_is_not_to_be_frozen(client: TestClient, start: str | None, beside: dict[str, Any], field: str) -> None:
    at, message = refused(client, start, **beside)
    assert at == field
    assert "none is named: name one in trainer.params.init_from, or drop freeze body" in message


def test_what_a_model_has_learned_may_be_frozen(client: TestClient, earlier: str) -> None:
    assert submit(client, earlier, search_space=FREEZE)[0] == 201
    assert submit(client, None, params={"freeze": "nothing"})[0] == 201
