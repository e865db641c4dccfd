"""What a model's shape depends on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """The sizes of an image classifier; with its name, all that is needed to build it again."""

    in_shape: tuple[int, int, int]
    """Channels, height, width."""
    n_classes: int
    width: int
    depth: int
    activation: str
    dropout: float
