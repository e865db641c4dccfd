"""Leases: the right to write to a job until it expires."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lease:
    """A worker's claim on a job. `token` is the fencing number: it rises with each claim and stands in every write."""

    job_id: str
    owner: str
    token: int
