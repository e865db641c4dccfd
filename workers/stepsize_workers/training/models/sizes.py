"""What a model's shape depends on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model; with its name, all that is needed to build it again."""

    in_shape: tuple[int, ...]
    """Of one sample: (channels, height, width), (features,), or (context,) where it is a row of token numbers."""
    n_out: int
    """Numbers a model gives for a sample: classes, or 1, or as many as it was given."""
    width: int
    depth: int
    activation: str
    dropout: float
    vocabulary: int = 0
    """Different tokens; 0: samples aren't tokens. Token 0 fills up short samples and means nothing."""
    heads: int = 1
    """Parts of the width that attend apart (gpt, transformer)."""
    each_token: bool = False
    """Whether `n_out` numbers are wanted for every token, knowing those before it, not for the whole sample."""
    bottleneck: int = 0
    """Units in the middle (autoencoder)."""
    large_stem: bool = False
    """Whether images lose three quarters of their sides at once, as those of 224 × 224 pixels do (resnet)."""
