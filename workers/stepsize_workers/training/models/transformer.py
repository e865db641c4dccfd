"""Transformers over tokens: a decoder and an encoder. Shapes: B batch, T tokens, V vocabulary, W width, C outputs.

Source: Vaswani et al. 2017 (arXiv:1706.03762), with the normalisation first, as in GPT-2 (Radford et al. 2019).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.mlp import mean_of_tokens
from stepsize_workers.training.models.sizes import Sizes


class Block(nn.Module):
    """Attention, then two layers of each token alone, both added to what came in: (B, T, W) → (B, T, W)."""

    def __init__(self, sizes: Sizes, *, is_causal: bool) -> None:
        super().__init__()
        width = sizes.width
        self._n_heads, self._is_causal = sizes.heads, is_causal
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inwards, self.outwards = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation = ACTIVATIONS[sizes.activation].layer()
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self._attend(self.norm_1(x), mask))
        result: Tensor = x + self.dropout(self.narrow(self.activation(self.widen(self.norm_2(x)))))
        return result

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, n_tokens, width = x.shape
        # (B, T, 3 W) → three of (B, heads, T, W / heads)
        split = self.inwards(x).view(batch, n_tokens, 3, self._n_heads, width // self._n_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=self._is_causal)
        result: Tensor = self.outwards(attended.transpose(1, 2).reshape(batch, n_tokens, width))
        return result


class Transformer(nn.Module):
    """Tokens (B, T) → (B, T, C) for every token, or (B, C) from the mean over them.

    Where the numbers for every token are logits of the next one, the last layer is the embedding read backwards.
    """

    def __init__(self, sizes: Sizes, *, is_causal: bool) -> None:
        super().__init__()
        self._is_causal, self._each_token = is_causal, sizes.each_token
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positions = nn.Embedding(sizes.in_shape[0], sizes.width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.blocks = nn.ModuleList(Block(sizes, is_causal=is_causal) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(sizes.width)
        self.head = None if sizes.each_token else nn.Linear(sizes.width, sizes.n_out)

    @property
    def last_layer(self) -> nn.Module:
        """What makes the output: the table of tokens, where it is read both ways."""
        return self.tokens if self.head is None else self.head

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.dropout(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]])
        # A causal token can't see what fills up the sample's end; (B, 1, 1, T) for each key.
        mask = None if self._is_causal else _meaningful(tokens)[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        if self.head is None:
            return linear(x, self.tokens.weight)
        result: Tensor = self.head(mean_of_tokens(x, tokens))
        return result


def gpt(sizes: Sizes) -> nn.Module:
    """Return a decoder: every token attends to those before it. GPT-2 small: width 768, depth 12, 12 heads, gelu."""
    return Transformer(_checked(sizes), is_causal=True)


def transformer(sizes: Sizes) -> nn.Module:
    """Return an encoder: every token attends to all."""
    return Transformer(_checked(sizes), is_causal=False)


def initialise(model: nn.Module, sizes: Sizes, rng: torch.Generator) -> None:
    """Small normal weights; those that end in a sum of 2 · depth terms are smaller by the root of that (GPT-2)."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue  # biases and normalisations: zeros below
        is_summed = name.endswith(("outwards.weight", "narrow.weight"))
        std = 0.02 / math.sqrt(2 * sizes.depth) if is_summed else 0.02
        nn.init.normal_(parameter, std=std, generator=rng)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def _meaningful(tokens: Tensor) -> Tensor:
    """Return where tokens (B, T) mean something; of a sample without any, the first counts, or nothing could attend."""
    meaningful = tokens != 0
    first = torch.arange(tokens.shape[1], device=tokens.device) == 0
    return meaningful | (first & ~meaningful.any(1, keepdim=True))


def _checked(sizes: Sizes) -> Sizes:
    if sizes.width % sizes.heads:
        raise ValueError(f"width {sizes.width} can't be shared by {sizes.heads} heads; make it a multiple of heads")
    return sizes
