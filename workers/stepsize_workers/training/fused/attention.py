"""Attention of several models by one call of torch's own kernel. Shapes: K members, B batch, H heads, T tokens.

Mapped over models, `scaled_dot_product_attention` falls apart: on a CPU it is computed member by member. But attention
does not ask whose batch it is: members' batches are one batch of K · B, forwards and backwards.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class JointAttention(TorchFunctionMode):
    """While active, attention that is mapped over models is computed as one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.was_needed = False
        """Whether anything attended; if not, this need not be active again."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.was_needed = True
        return _attend(*args, **(kwargs or {}))


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    result: Tensor = _Attention.apply(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)  # type: ignore[no-untyped-call]
    return result


class _Attention(Function):
    """Never differentiated itself: mapped, it is ordinary operations on stacked tensors."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        query, key, value, mask, dropout_p, is_causal, scale, enable_gqa = args
        return scaled_dot_product_attention(
            query, key, value, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        *tensors, dropout_p, is_causal, scale, enable_gqa = args
        n = info.batch_size
        query, key, value = (_first(tensor, dim, n) for tensor, dim in zip(tensors[:3], in_dims[:3], strict=True))
        mask = None if tensors[3] is None else _first(tensors[3], in_dims[3], n)
        has_batch = query.ndim > 3
        if has_batch:  # (K, B, H, T, n) → (K · B, H, T, n); without a batch, members are one
            if mask is not None:  # it may have fewer dimensions, and one for all of a batch
                mask = mask.view(n, *[1] * (query.ndim - mask.ndim), *mask.shape[1:])
                mask = mask.expand(n, query.shape[1], *mask.shape[2:]).flatten(0, 1)
            query, key, value = (tensor.flatten(0, 1) for tensor in (query, key, value))
        result = scaled_dot_product_attention(
            query, key, value, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
        return result.view(n, -1, *result.shape[1:]) if has_batch else result, 0


def _first(tensor: Tensor, dim: int | None, n: int) -> Tensor:
    """Return the tensor with the members first."""
    return tensor.expand(n, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
