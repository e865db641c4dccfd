"""Models: shapes, initialisation, and the way from files back to a model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stepsize_workers.training.models import MODELS, Sizes, build_model, load
from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.artifact import describe_layers, write_model

SIZES = Sizes(in_shape=(1, 28, 28), n_classes=10, width=64, depth=3, activation="relu", dropout=0.0)


def build(name: str, sizes: Sizes = SIZES, seed: int = 0) -> nn.Sequential:
    return build_model(name, sizes, rng=torch.Generator().manual_seed(seed))


def images(n: int, shape: tuple[int, ...] = SIZES.in_shape) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", list(MODELS))
class TestEveryModel:
    @pytest.mark.parametrize("activation", list(ACTIVATIONS))
    def test_gives_one_logit_a_class(self, name: str, activation: str) -> None:
        model = build(name, replace(SIZES, activation=activation, dropout=0.5))
        assert model(images(3)).shape == (3, 10)

    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)])
    @pytest.mark.parametrize("depth", [0, 1, 6])
    def test_takes_any_image_and_depth(self, name: str, shape: tuple[int, int, int], depth: int) -> None:
        model = build(name, replace(SIZES, in_shape=shape, depth=depth))
        assert model(images(2, shape)).shape == (2, 10)

    def test_weights_come_from_the_generator_alone(self, name: str) -> None:
        torch.manual_seed(1)
        one = build(name).state_dict()
        torch.manual_seed(2)
        same, other = build(name).state_dict(), build(name, seed=1).state_dict()
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)

    @pytest.mark.parametrize("activation", list(ACTIVATIONS))
    def test_signals_survive_the_layers(self, name: str, activation: str) -> None:
        """Differences between inputs must reach the output, or no gradient can say which way to go."""
        model = build(name, replace(SIZES, activation=activation, depth=4))
        spread = model(images(200)).std(0).mean().item()
        # Unit inputs. Measured over 5 seeds: 0.044 (cnn, sigmoid) to 2.6; with PyTorch's own defaults 0.0002 for
        # sigmoid and 0.01 for relu.
        assert 0.03 < spread < 10

    def test_dropout_acts_in_training_only(self, name: str) -> None:
        model, x = build(name, replace(SIZES, dropout=0.5)), images(2)
        assert not torch.equal(model(x), model(x))
        model.eval()
        assert torch.equal(model(x), model(x))

    def test_files_give_the_model_back(self, name: str, tmp_path: Path) -> None:
        model = build(name, replace(SIZES, dropout=0.1)).eval()
        normalisation = {"mean": [0.25], "std": [0.5], "shape": [1, -1, 1, 1]}
        config = {"layers": describe_layers(model), "normalisation": normalisation}
        write_model(tmp_path / "model.safetensors", tmp_path / "config.json", state=model.state_dict(), config=config)
        pixels = torch.rand(5, 1, 28, 28)
        loaded = load(tmp_path)
        assert not loaded.training
        # The same operations on the same numbers.
        torch.testing.assert_close(loaded(pixels), model((pixels - 0.25) / 0.5), rtol=0, atol=0)
