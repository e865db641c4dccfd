"""Models: shapes, initialisation, and the way from files back to a model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stepsize_workers.training.models import MODELS, Init, Sizes, Use, build_model, describe_model, load, names_for
from stepsize_workers.training.models.activations import ACTIVATIONS
from stepsize_workers.training.models.artifact import write_model

SIZES = Sizes(in_shape=(1, 28, 28), n_out=10, width=64, depth=3, activation="relu", dropout=0.0)
TEXTS = replace(SIZES, in_shape=(12,), width=16, depth=2, vocabulary=30, heads=4)
NEXT = replace(TEXTS, n_out=30, each_token=True)
ROWS = replace(SIZES, in_shape=(9,), n_out=9, width=16, depth=2, bottleneck=3)
PLAIN = ("mlp", "cnn")
SIZES_OF = {Use.IMAGES: replace(SIZES, width=8), Use.ROWS: ROWS, Use.TEXTS: TEXTS, Use.NEXT_TOKEN: NEXT}
SIZES_OF[Use.MOVES] = replace(SIZES, in_shape=(2, 4, 5), n_out=5, width=4, depth=1)
SIZES_OF[Use.BOXES] = replace(SIZES, in_shape=(1, 32, 48), width=4, depth=1)
SIZES_OF[Use.RECONSTRUCTION] = SIZES_OF[Use.ACTIONS] = ROWS
USES = [(use, name) for use in Use for name in names_for(use)]


def build(name: str, sizes: Sizes = SIZES, seed: int = 0, init: Init = Init.OURS) -> nn.Module:
    return build_model(name, sizes, rng=torch.Generator().manual_seed(seed), init=init)


def samples(use: Use, n: int) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    if use in (Use.TEXTS, Use.NEXT_TOKEN):
        return torch.randint(1, TEXTS.vocabulary, (n, *TEXTS.in_shape), generator=rng)
    return torch.randn(n, *SIZES_OF[use].in_shape, generator=rng)


def as_one(output: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Return what a model gives, with a value (B,) beside logits (B, A) as one more column: (B, A + 1)."""
    return output if isinstance(output, Tensor) else torch.cat([output[0], output[1].unsqueeze(1)], 1)


def images(n: int, shape: tuple[int, ...] = SIZES.in_shape) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("use", "name"), USES)
class TestEveryModel:
    def test_gives_what_its_use_says(self, use: Use, name: str) -> None:
        sizes = SIZES_OF[use]
        shape: tuple[int, ...] = (3, sizes.n_out + (use in (Use.ACTIONS, Use.MOVES)))
        if use is Use.NEXT_TOKEN:
            shape = (3, *sizes.in_shape, sizes.n_out)
        elif use is Use.BOXES:
            shape = (3, 5 + sizes.n_out, 4, 6)
        for activation in ACTIVATIONS:
            model = build(name, replace(sizes, activation=activation, dropout=0.5))
            assert as_one(model(samples(use, 3))).shape == shape

    @pytest.mark.parametrize("init", list(Init))
    def test_weights_come_from_one_generator(self, use: Use, name: str, init: Init) -> None:
        def weights(*, given: int, everywhere: int) -> dict[str, Tensor]:
            torch.manual_seed(everywhere)
            return dict(build(name, SIZES_OF[use], seed=given, init=init).state_dict())

        if init is Init.OURS:
            one, same, other = (weights(given=a, everywhere=b) for a, b in ((0, 1), (0, 2), (1, 1)))
        else:  # the loop seeds the global generator
            one, same, other = (weights(given=a, everywhere=b) for a, b in ((0, 1), (1, 1), (0, 2)))
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)

    def test_every_weight_trains(self, use: Use, name: str) -> None:
        model = build(name, SIZES_OF[use], init=Init.TORCH)
        loss = as_one(model(samples(use, 3))).pow(2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]

    def test_files_give_it_back(self, use: Use, name: str, tmp_path: Path) -> None:
        model = build(name, SIZES_OF[use]).eval()
        config = describe_model(name, SIZES_OF[use], model)
        write_model(tmp_path / "model.safetensors", tmp_path / "config.json", state=model.state_dict(), config=config)
        x = samples(use, 3)
        torch.testing.assert_close(load(tmp_path)(x), model(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", names_for(Use.NEXT_TOKEN))
def test_no_token_knows_those_after_it(name: str) -> None:
    model, x = build(name, NEXT).eval(), samples(Use.NEXT_TOKEN, 2)
    changed = x.clone()
    changed[:, 7:] = 1 + changed[:, 7:] % 20
    # Sums over other numbers of terms round otherwise.
    torch.testing.assert_close(model(x)[:, :7], model(changed)[:, :7], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(model(x)[:, 7:], model(changed)[:, 7:])


@pytest.mark.parametrize("name", names_for(Use.TEXTS))
def test_what_fills_up_a_text_means_nothing(name: str) -> None:
    model, x = build(name, TEXTS).eval(), samples(Use.TEXTS, 2)
    filled = torch.cat([x[:, :8], torch.zeros(2, 4, dtype=torch.int64)], dim=1)
    torch.testing.assert_close(model(filled), model(x[:, :8]), rtol=1e-4, atol=1e-5)


def test_a_text_without_a_known_word_gives_numbers() -> None:
    for name in names_for(Use.TEXTS):
        assert build(name, TEXTS).eval()(torch.zeros(2, 12, dtype=torch.int64)).isfinite().all()


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ValueError, match="width 16 can't be shared by 3 heads"):
        build("gpt", replace(NEXT, heads=3))


@pytest.mark.parametrize(
    ("name", "published"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
def test_residual_nets_have_the_published_sizes(name: str, published: int) -> None:
    sizes = replace(SIZES, in_shape=(3, 224, 224), n_out=1000, width=64, large_stem=True)
    with torch.device("meta"):
        model = MODELS[name].build(sizes)
        shapes = []
        x = torch.empty(2, 3, 224, 224)
        for part in model.children():
            x = part(x)
            shapes.append(tuple(x.shape[1:]))
    assert sum(parameter.numel() for parameter in model.parameters()) == published
    n = 4 if name == "resnet50" else 1
    stages = [(64 * n, 56, 56), (128 * n, 28, 28), (256 * n, 14, 14), (512 * n, 7, 7)]
    assert shapes[:5] == [(64, 56, 56), *stages]
    assert shapes[-1] == (1000,)


def test_a_small_stem_keeps_small_images() -> None:
    model = build("resnet18", replace(SIZES, in_shape=(1, 8, 8), width=4))
    stem, *_ = model.children()
    assert stem(images(2, (1, 8, 8))).shape == (2, 4, 8, 8)


def test_gpt_2_small_has_its_published_size() -> None:
    sizes = Sizes((1024,), 50257, 768, 12, "gelu", 0.1, vocabulary=50257, heads=12, each_token=True)
    with torch.device("meta"):
        model = MODELS["gpt"].build(sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) == 124_439_808


@pytest.mark.parametrize("name", PLAIN)
class TestEveryPlainModel:
    @pytest.mark.parametrize("activation", list(ACTIVATIONS))
    def test_gives_one_logit_a_class(self, name: str, activation: str) -> None:
        model = build(name, replace(SIZES, activation=activation, dropout=0.5))
        assert model(images(3)).shape == (3, 10)

    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)])
    @pytest.mark.parametrize("depth", [0, 1, 6])
    def test_takes_any_image_and_depth(self, name: str, shape: tuple[int, int, int], depth: int) -> None:
        model = build(name, replace(SIZES, in_shape=shape, depth=depth))
        assert model(images(2, shape)).shape == (2, 10)

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
        config = {**describe_model(name, SIZES, model), "normalisation": normalisation}
        write_model(tmp_path / "model.safetensors", tmp_path / "config.json", state=model.state_dict(), config=config)
        pixels = torch.rand(5, 1, 28, 28)
        loaded = load(tmp_path)
        assert not loaded.training
        # The same operations on the same numbers.
        torch.testing.assert_close(loaded(pixels), model((pixels - 0.25) / 0.5), rtol=0, atol=0)
