"""One update of all members. Shapes: K members, N numbers of a member, n of a parameter group, U updates of an epoch.

There are three ways, and every optimiser has one:
  * `RowSteps`: torch's fused kernel over each member's row: one pass through memory, and what a member does alone;
  * `StackedSteps`: the optimiser's maths on (K, n) at once, with hyperparameters as (K, 1): few kernels, for GPUs and
    for optimisers without a fused kernel;
  * `OwnSteps`: each member's own optimiser, for those whose update is not one number at a time (Muon and its like).
The members' own optimisers keep views of the state, so that checkpoints are written and read as ever.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stepsize.spec.optimizers import Adagrad, Adam, AdamW, NAdam, OptimizerBase, RAdam, Rmsprop, Sgd
from stepsize_workers.training.fused.stack import Segment, Stack

Amount = float | Tensor
"""What all members share, or (K, 1)."""
Amounts = NDArray[np.float64]
"""(K,)"""
Table = NDArray[np.float64]
"""(U, K)"""
Rows = Mapping[str, Tensor]
"""(K, n), or (K, 1), by name."""


class JointSteps(ABC):
    """Updates a stack by the gradients in it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.specs = [run.params.chosen_optimizer() for run in stack.runs]

    @abstractmethod
    def begin_epoch(self, rates: Table) -> None:
        """Take the learning rates of an epoch's updates; all of them will be made."""

    @abstractmethod
    def step(self, update: int) -> None:
        """Make an update, counted from 0 in the epoch."""

    def amounts(self, name: str) -> Amounts:
        """Return a parameter of the members' optimisers."""
        return np.array([getattr(spec, name) for spec in self.specs], np.float64)


class OwnSteps(JointSteps):
    """Each member's own optimiser, which finds its gradients in its row."""

    def begin_epoch(self, rates: Table) -> None:
        self._rates: list[list[float]] = rates.tolist()

    def step(self, update: int) -> None:
        for run, rate in zip(self.stack.runs, self._rates[update], strict=True):
            run.rates.set(rate)
            run.optimizer.step()


class RowSteps(JointSteps):
    """torch's fused kernel, called for each row; at a few microseconds a call it is the fastest on a CPU."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        kernel = _KERNELS[type(self.specs[0])]
        self._steps = count_steps(stack)
        has_momentum = [getattr(spec, "momentum", 1.0) > 0 for spec in self.specs]
        names = kernel.state_names(self.specs[0])
        state = {name: pool(stack, name, shown=has_momentum) for name in names}
        self._calls = [
            [
                kernel.bind(self.specs[k], run.params.weight_decay, own, self._steps[k])
                for own in _slices(stack, {"p": stack.numbers[k], "g": stack.gradients[k], **_row(state, k)})
            ]
            for k, run in enumerate(stack.runs)
        ]
        self._ratios = stack.runs[0].rates.ratios

    def begin_epoch(self, rates: Table) -> None:
        self._rates: list[list[float]] = rates.tolist()

    def step(self, update: int) -> None:
        self._steps.add_(1)
        for calls, rate in zip(self._calls, self._rates[update], strict=True):
            for call, ratio in zip(calls, self._ratios, strict=True):
                call(lr=ratio * rate)


class StackedSteps(JointSteps):
    """The optimiser's maths on all rows at once; what its numbers depend on the host works out once an epoch."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.steps = count_steps(stack)
        parts = {"p": stack.numbers, "g": stack.gradients, **self.begin()}
        self._parts = [dict(part) for part in _slices(stack, parts)]
        self._ratios = stack.runs[0].rates.ratios
        self.weight_decay = self.shared_or_column(np.array([run.params.weight_decay for run in stack.runs]))
        self._tables: list[Rows] = []

    @abstractmethod
    def begin(self) -> Rows:
        """Return the state (K, N), taken over from the members' optimisers."""

    @abstractmethod
    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        """Return what changes from update to update.

        Args:
            rates: of the updates.
            counts: of updates made, this one among them.
        """

    @abstractmethod
    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        """Update the numbers.

        Args:
            p, g: numbers and gradients (K, n).
            state: (K, n) each.
            now: the coefficients, (K, 1) each.
        """

    def begin_epoch(self, rates: Table) -> None:
        counts: Table = self.steps.double().cpu().numpy() + np.arange(1.0, len(rates) + 1)[:, None]
        self._tables = [
            {name: self._column(table) for name, table in self.coefficients(ratio * rates, counts).items()}
            for ratio in self._ratios
        ]
        self.steps.add_(len(rates))  # nobody looks at it before the epoch's end

    def step(self, update: int) -> None:
        for part, tables in zip(self._parts, self._tables, strict=True):
            now = {name: table[update] for name, table in tables.items()}
            self.update(part["p"], part["g"], part, now)

    def shared_or_column(self, amounts: Amounts) -> Amount:
        """Return what all members share, or (K, 1)."""
        return float(amounts[0]) if (amounts == amounts[0]).all() else self._column(amounts)

    def amount(self, name: str) -> Amount:
        """Return a parameter of the members' optimisers."""
        return self.shared_or_column(self.amounts(name))

    def decayed(self, p: Tensor, g: Tensor) -> Tensor:
        """Return the gradient with the L2 penalty's."""
        if isinstance(self.weight_decay, Tensor) or self.weight_decay:
            return add_scaled(g.clone(), p, self.weight_decay)
        return g

    def _column(self, amounts: Amounts | Table) -> Tensor:
        numbers = self.stack.numbers
        return torch.as_tensor(amounts, dtype=numbers.dtype, device=numbers.device).unsqueeze(-1)


class StackedSgd(StackedSteps):
    """Momentum begins at 0, which gives the first update torch's."""

    def begin(self) -> Rows:
        self._momentum = self.amount("momentum")
        self._nesterov = bool(self.amounts("nesterov")[0])
        return {"b": pool(self.stack, "momentum_buffer", shown=list(self.amounts("momentum") > 0))}

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        return {"-lr": -rates}

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        g = self.decayed(p, g)
        b = state["b"].mul_(self._momentum).add_(g)
        add_scaled(p, add_scaled(g.clone(), b, self._momentum) if self._nesterov else b, now["-lr"])


class StackedAdam(StackedSteps):
    """Kingma and Ba 2014 (arXiv:1412.6980)."""

    def begin(self) -> Rows:
        self._beta1, self._beta2, self._eps = self.amount("beta1"), self.amount("beta2"), self.amount("eps")
        state = {"m": pool(self.stack, "exp_avg"), "v": pool(self.stack, "exp_avg_sq")}
        return {**state, "top": pool(self.stack, "max_exp_avg_sq")} if self._is_amsgrad else state

    @property
    def _is_amsgrad(self) -> bool:
        return bool(getattr(self.specs[0], "amsgrad", False))

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        correction = 1 - self.amounts("beta1") ** counts
        return {"-step": -rates / correction, "root": np.sqrt(1 - self.amounts("beta2") ** counts)}

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        g = self.decayed(p, g)
        v = self.averaged(g, state)
        if self._is_amsgrad:
            v = torch.maximum(state["top"], v, out=state["top"])
        add_scaled(p, state["m"] / v.sqrt().div_(now["root"]).add_(self._eps), now["-step"])

    def averaged(self, g: Tensor, state: Rows) -> Tensor:
        """Take the gradient into the running means, and return that of its square."""
        state["m"].lerp_(g, 1 - self._beta1)
        return add_square(state["v"].mul_(self._beta2), g, 1 - self._beta2)

    @property
    def eps(self) -> Amount:
        """What is added to divisors."""
        return self._eps


class StackedAdamW(StackedAdam):
    """Loshchilov and Hutter 2017 (arXiv:1711.05101)."""

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        decay = np.array([run.params.weight_decay for run in self.stack.runs])
        return {**super().coefficients(rates, counts), "kept": 1 - rates * decay}

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        p.mul_(now["kept"])
        super().update(p, g, state, now)

    def decayed(self, p: Tensor, g: Tensor) -> Tensor:
        return g


class StackedNAdam(StackedAdam):
    """Dozat 2016, as torch has it."""

    def begin(self) -> Rows:
        first = self.stack.segments[0]
        products = [own_state(self.stack, k, first).get("mu_product", 1.0) for k in range(len(self.specs))]
        self._products = torch.tensor([float(product) for product in products])
        for k, run in enumerate(self.stack.runs):
            for segment in self.stack.segments:
                run.optimizer.state[segment.parameter(run)]["mu_product"] = self._products[k]
        return super().begin()

    def begin_epoch(self, rates: Table) -> None:
        self._before = self._products.clone()  # each parameter group multiplies from here
        super().begin_epoch(rates)

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        beta1, decay = self.amounts("beta1"), self.amounts("momentum_decay")
        mu = beta1 * (1 - 0.5 * 0.96 ** (counts * decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((counts + 1) * decay))
        products, product = np.empty_like(mu), self._before.clone()
        for update, factors in enumerate(mu):
            product *= torch.from_numpy(factors)  # in single precision, as torch does
            products[update] = product.numpy()
        self._products.copy_(product)
        return {
            "root": np.sqrt(1 - self.amounts("beta2") ** counts),
            "-g": -rates * (1 - mu) / (1 - products),
            "-m": -rates * mu_next / (1 - products * mu_next),
        }

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        g = self.decayed(p, g)
        divisor = self.averaged(g, state).sqrt().div_(now["root"]).add_(self.eps)
        p.add_((g * now["-g"]).addcmul_(state["m"], now["-m"]).div_(divisor))


class StackedRAdam(StackedAdam):
    """Liu et al. 2019 (arXiv:1908.03265): plain momentum until the variance can be trusted."""

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        beta2 = self.amounts("beta2")
        correction2 = 1 - beta2**counts
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * counts * beta2**counts / correction2
        is_trusted = length > 5
        safe, far = np.where(is_trusted, length, 6.0), np.where(longest > 5, longest, 6.0)
        rectified = np.sqrt((safe - 4) * (safe - 2) * far / ((far - 4) * (far - 2) * safe))
        step = -rates / (1 - self.amounts("beta1") ** counts)
        return {
            "-plain": np.where(is_trusted, 0.0, step),
            "-adaptive": np.where(is_trusted, step * np.sqrt(correction2) * rectified, 0.0),
        }

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        g = self.decayed(p, g)
        divisor = self.averaged(g, state).sqrt().add_(self.eps)
        p.addcmul_(state["m"], (now["-adaptive"] / divisor).add_(now["-plain"]))


class StackedRmsprop(StackedSteps):
    """Hinton 2012, as torch has it; momentum 0 is plain."""

    def begin(self) -> Rows:
        self._decay, self._eps, self._momentum = self.amount("rms_decay"), self.amount("eps"), self.amount("momentum")
        self._is_centered = bool(self.amounts("centered")[0])
        state = {
            "v": pool(self.stack, "square_avg"),
            "b": pool(self.stack, "momentum_buffer", shown=list(self.amounts("momentum") > 0)),
        }
        return {**state, "m": pool(self.stack, "grad_avg")} if self._is_centered else state

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        return {"-lr": -rates}

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        g = self.decayed(p, g)
        v = add_square(state["v"].mul_(self._decay), g, 1 - self._decay)
        if self._is_centered:
            m = state["m"].lerp_(g, 1 - self._decay)
            v = v.addcmul(m, m, value=-1)
        divisor = v.sqrt().add_(self._eps)
        add_scaled(p, state["b"].mul_(self._momentum).addcdiv_(g, divisor), now["-lr"])


class StackedAdagrad(StackedSteps):
    """Duchi et al. 2011."""

    def begin(self) -> Rows:
        self._eps = self.amount("eps")
        return {"v": pool(self.stack, "sum")}

    def coefficients(self, rates: Table, counts: Table) -> Mapping[str, Table]:
        return {"-lr": -rates}

    def update(self, p: Tensor, g: Tensor, state: Rows, now: Rows) -> None:
        g = self.decayed(p, g)
        divisor = state["v"].addcmul_(g, g).sqrt().add_(self._eps)
        p.addcmul_(g / divisor, now["-lr"])


class _Kernel(ABC):
    """One of torch's fused kernels, which work in place on lists of tensors."""

    @staticmethod
    @abstractmethod
    def state_names(spec: OptimizerBase) -> Sequence[str]: ...

    @staticmethod
    @abstractmethod
    def bind(spec: OptimizerBase, weight_decay: float, own: Rows, step: Tensor) -> Callable[..., object]:
        """Return the call that lacks the rate alone, for one row or part of it."""


class _SgdKernel(_Kernel):
    @staticmethod
    def state_names(spec: OptimizerBase) -> Sequence[str]:
        return ("momentum_buffer",)

    @staticmethod
    def bind(spec: OptimizerBase, weight_decay: float, own: Rows, step: Tensor) -> Callable[..., object]:
        assert isinstance(spec, Sgd)
        return partial(
            torch._fused_sgd_,
            [own["p"]],
            [own["g"]],
            [own["momentum_buffer"]] if spec.momentum else [],
            weight_decay=weight_decay,
            momentum=spec.momentum,
            dampening=0.0,
            nesterov=spec.nesterov and spec.momentum > 0,
            maximize=False,
            is_first_step=False,  # momentum begins at 0, which is the same
        )


class _AdamKernel(_Kernel):
    @staticmethod
    def state_names(spec: OptimizerBase) -> Sequence[str]:
        assert isinstance(spec, Adam | AdamW)
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if spec.amsgrad else ()))

    @staticmethod
    def bind(spec: OptimizerBase, weight_decay: float, own: Rows, step: Tensor) -> Callable[..., object]:
        assert isinstance(spec, Adam | AdamW)
        return partial(
            torch._fused_adamw_ if isinstance(spec, AdamW) else torch._fused_adam_,
            [own["p"]],
            [own["g"]],
            [own["exp_avg"]],
            [own["exp_avg_sq"]],
            [own["max_exp_avg_sq"]] if spec.amsgrad else [],
            [step],
            beta1=spec.beta1,
            beta2=spec.beta2,
            weight_decay=weight_decay,
            eps=spec.eps,
            amsgrad=spec.amsgrad,
            maximize=False,
        )


_KERNELS: Mapping[type[OptimizerBase], type[_Kernel]] = {Sgd: _SgdKernel, Adam: _AdamKernel, AdamW: _AdamKernel}
STACKED: Mapping[type[OptimizerBase], type[StackedSteps]] = {
    Sgd: StackedSgd,
    Adagrad: StackedAdagrad,
    Rmsprop: StackedRmsprop,
    Adam: StackedAdam,
    AdamW: StackedAdamW,
    NAdam: StackedNAdam,
    RAdam: StackedRAdam,
}


def joint_steps(stack: Stack) -> JointSteps:
    """Return the fastest way to update a stack with its members' optimiser."""
    kind = type(stack.runs[0].params.chosen_optimizer())
    if kind in _KERNELS and stack.numbers.device.type == "cpu":
        return RowSteps(stack)
    return STACKED[kind](stack) if kind in STACKED else OwnSteps(stack)


def pool(stack: Stack, name: str, *, shown: Sequence[bool] | None = None) -> Tensor:
    """Return what the members' optimisers keep of each number under a name, in rows (K, N) that are theirs from now on.

    Args:
        shown: for each member, whether its own optimiser would keep this at all; None: all do.
    """
    rows = torch.zeros_like(stack.numbers)
    for k, run in enumerate(stack.runs):
        initial = run.optimizer.param_groups[0].get("initial_accumulator_value", 0.0)
        for segment in stack.segments:
            had = own_state(stack, k, segment).get(name)
            mine = segment.of_row(rows[k])
            if had is None:
                mine.fill_(initial)
            else:
                mine.copy_(had)
            if shown is None or shown[k]:
                run.optimizer.state[segment.parameter(run)][name] = mine
    return rows


def count_steps(stack: Stack) -> Tensor:
    """Return how many updates the members' optimisers have made (K,), as a tensor that is theirs from now on."""
    taken = [own_state(stack, k, stack.segments[0]).get("step", 0.0) for k in range(len(stack))]
    steps = torch.tensor([float(step) for step in taken], device=stack.numbers.device)
    if isinstance(stack.runs[0].optimizer, torch.optim.SGD):  # it doesn't count
        return steps
    for k, run in enumerate(stack.runs):
        for segment in stack.segments:
            run.optimizer.state[segment.parameter(run)]["step"] = steps[k]
    return steps


def own_state(stack: Stack, k: int, segment: Segment) -> Mapping[str, Tensor]:
    """Return what a member's own optimiser keeps of a parameter."""
    run = stack.runs[k]
    state: Mapping[str, Tensor] = run.optimizer.state.get(segment.parameter(run), {})
    return state


def add_scaled(x: Tensor, y: Tensor, scale: Amount) -> Tensor:
    """Add y · scale to x in place."""
    return x.addcmul_(y, scale) if isinstance(scale, Tensor) else x.add_(y, alpha=scale)


def add_square(x: Tensor, y: Tensor, scale: Amount) -> Tensor:
    """Add y² · scale to x in place."""
    return x.addcmul_(y * scale, y) if isinstance(scale, Tensor) else x.addcmul_(y, y, value=scale)


def _row(state: Rows, k: int) -> Rows:
    return {name: rows[k] for name, rows in state.items()}


def _slices(stack: Stack, tensors: Rows) -> Sequence[Rows]:
    """Return for each parameter group its part of tensors (…, N)."""
    starts = [0, *stack.group_ends[:-1]]
    return [
        {name: tensor[..., start:end] for name, tensor in tensors.items()}
        for start, end in zip(starts, stack.group_ends, strict=True)
    ]
