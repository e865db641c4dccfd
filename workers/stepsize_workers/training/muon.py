"""Muon, which orthogonalises the updates of matrices, with AdamW for whatever is none."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import optim
from torch.nn import Parameter
from torch.optim.optimizer import StateDict

from stepsize.spec.optimizers import Muon

_IS_MATRIX = "is_matrix"


class MuonAndAdamW(optim.Optimizer):
    """torch's Muon over the matrices of each parameter group, its AdamW over the rest.

    Both work on this optimiser's own groups and state, so that rates, checkpoints and whatever else reaches for them
    find one optimiser. Muon's updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv:2502.16982): one rate
    suits both.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        spec: Muon,
        *,
        weight_decay: float,
        tables: Collection[Parameter] = (),
    ) -> None:
        """Begin.

        Args:
            groups: parameter groups as torch takes them.
            lr: rate of groups that have none of their own.
            spec: what is not in the groups.
            weight_decay: apart from the gradient, for both.
            tables: parameters that look like matrices and are none, such as embeddings: each row is used alone.
        """
        lookups = {id(table) for table in tables}

        def is_matrix(parameter: Parameter) -> bool:
            return parameter.ndim == 2 and id(parameter) not in lookups

        split = []
        for group in groups:
            rate = group.get("lr", lr)
            matrices = [each for each in group["params"] if is_matrix(each)]
            others = [each for each in group["params"] if not is_matrix(each)]
            # Even where one is empty: groups are counted, and an optimiser can't be without any.
            split.append({"params": matrices, "lr": rate, _IS_MATRIX: True})
            split.append({"params": others, "lr": rate * spec.rest_ratio, _IS_MATRIX: False})
        self._muon = optim.Muon(
            [{"params": group["params"], "lr": group["lr"]} for group in split if group[_IS_MATRIX]],
            lr,
            weight_decay=weight_decay,
            momentum=spec.momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = optim.AdamW(
            [{"params": group["params"], "lr": group["lr"]} for group in split if not group[_IS_MATRIX]],
            lr,
            (spec.beta1, spec.beta2),
            spec.eps,
            weight_decay,
        )
        for group, own in zip(split[::2], self._muon.param_groups, strict=True):
            group.update(own)
        for group, own in zip(split[1::2], self._adamw.param_groups, strict=True):
            group.update(own)
        super().__init__(split, {})
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters."""
        loss = closure() if closure else None
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()
        return loss

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let both work on what is this optimiser's."""
        for part, is_matrix in ((self._muon, True), (self._adamw, False)):
            part.param_groups = [group for group in self.param_groups if group[_IS_MATRIX] is is_matrix]
            part.state = self.state
