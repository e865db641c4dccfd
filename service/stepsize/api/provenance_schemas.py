"""Provenance as clients see it."""

from collections.abc import Sequence
from typing import Self

from stepsize.api.schemas import Answer
from stepsize.spec.provenance import Provenance, differences
from stepsize.store.provenances import ProvenanceShare


class ProvenanceShareOut(Answer):
    """Those of a job's trials that came from the same."""

    id: str
    """As trials name it in their `provenance`."""
    n_trials: int
    first_trial: int
    """The lowest number among them."""
    provenance: Provenance


class ProvenanceOut(Answer):
    """What a job's trials came from."""

    items: list[ProvenanceShareOut]
    differences: dict[str, list[str]]
    """Field (a package as `packages.NAME`) → its values, where not all are alike; empty where they are."""

    @classmethod
    def of(cls, shares: Sequence[ProvenanceShare]) -> Self:
        return cls(
            items=[
                ProvenanceShareOut(
                    id=share.id, n_trials=share.n_trials, first_trial=share.first_trial, provenance=share.provenance
                )
                for share in shares
            ],
            differences=differences([share.provenance for share in shares]),
        )
