"""What a model's shape depends on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of a classifier; with its name, all that is needed to build it again."""

    in_shape: tuple[int, ...]
    """Of one sample: (channels, height, width), or (features,)."""
    n_classes: int
    width: int
    depth: int
    activation: str
    dropout: float
