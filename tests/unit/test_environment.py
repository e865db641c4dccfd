"""Misspelt environment variables."""

import pytest

from stepsize.environment import misspelt_server, misspelt_variables

SETTINGS = ["lease_s", "data_dir"]


@pytest.mark.parametrize("name", ["STEPSIZE_LEASE_S", "STEPSIZE_SERVER", "STEPSIZE_WORKER_ID", "PATH", "STEPSIZE"])
def test_what_something_reads_is_nothing_to_tell(name: str) -> None:
    assert misspelt_variables([name], SETTINGS) == []


@pytest.mark.parametrize(
    "name", ["STEPSIZE_SERVICE_HOST", "STEPSIZE_PORT", "STEPSIZE_API_PORT_8000_TCP_ADDR", "STEPSIZE_SERVICE_PORT_HTTP"]
)
def test_what_kubernetes_sets_beside_a_service_of_that_name_is_no_misspelling(name: str) -> None:
    assert misspelt_variables([name], SETTINGS) == []


def test_the_nearest_name_is_told_or_all() -> None:
    assert misspelt_variables(["STEPSIZE_LEASES_S"], SETTINGS) == [
        "STEPSIZE_LEASES_S: there is no such setting; did you mean STEPSIZE_LEASE_S?"
    ]
    (told,) = misspelt_variables(["STEPSIZE_XYZ"], SETTINGS)
    assert "STEPSIZE_DATA_DIR" in told


@pytest.mark.parametrize(
    ("names", "is_told"),
    [(["STEPSIZE_SERVERS"], True), (["STEPSIZE_SERVERS", "STEPSIZE_SERVER"], False), (["STEPSIZE_SEED"], False)],
)
def test_a_misspelt_address_is_told_unless_there_is_a_right_one(names: list[str], is_told: bool) -> None:
    assert (misspelt_server(names) is not None) is is_told
