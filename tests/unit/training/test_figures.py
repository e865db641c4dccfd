"""Pictures: well formed, showing the numbers they were given."""

import io
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
import torch
from PIL import Image

from stepsize.domain.figures import check_figure
from stepsize_workers.training.figures import confusion_matrix, histograms, image_grid, png, scatter, text_page

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>"&\x00'


def texts(picture: str) -> list[str]:
    """Return what is written in a picture, which must be well formed."""
    check_figure("any", picture)
    return ["".join(element.itertext()) for element in fromstring(picture).iter(f"{SVG}text")]


def test_a_confusion_matrix_counts() -> None:
    labels, predicted = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1])
    written = texts(confusion_matrix(predicted, labels, ["cat", HOSTILE]))
    assert [word for word in written if word.isdigit()] == ["2", "1", "2"]
    assert "cat" in written


def test_a_class_without_samples_leaves_a_row_empty() -> None:
    assert texts(confusion_matrix(torch.tensor([0, 2]), torch.tensor([0, 2]), ["a", "b", "c"])).count("1") == 2


@pytest.mark.parametrize("n", [1, 5, 5000])
def test_a_scatter_plot_is_thinned(n: int) -> None:
    x = torch.linspace(-1, 1, n)
    picture = scatter(x, 3 * x, x_label="x", y_label="y")
    assert {"x", "y"} <= set(texts(picture))
    assert picture.count("<circle") == (n if n < 600 else 556)


def test_histograms_show_shares_of_each_group() -> None:
    normal, odd = torch.zeros(90), torch.ones(10)
    picture = histograms((("normal", normal), ("odd", odd)), x_label="error")
    assert {"normal (90)", "odd (10)", "error", "share"} <= set(texts(picture))
    heights = [
        float(each.get("height", "0")) for each in fromstring(picture).iter(f"{SVG}rect") if each.get("fill-opacity")
    ]
    assert sorted(height for height in heights if height > 1) == pytest.approx(
        [heights[heights.index(max(heights))]] * 2
    )


def test_images_stand_with_their_captions() -> None:
    picture = image_grid(torch.rand(9, 3, 4, 5), [str(number) for number in range(9)], [True] * 8 + [False])
    assert texts(picture) == [str(number) for number in range(9)]
    assert picture.count("<image") == 9


def test_a_text_is_shown_as_it_is() -> None:
    assert texts(text_page("one\n\n<two> & three", n_marked=2)) == ["one", "", "<two> & three"]


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_what_others_read(channels: int) -> None:
    image = torch.arange(channels * 6).view(channels, 2, 3).float() / (channels * 6)
    with Image.open(io.BytesIO(png(image))) as read:
        pixels = np.asarray(read).reshape(2, 3, channels)
    np.testing.assert_array_equal(pixels, (image * 255).round().permute(1, 2, 0).numpy().astype(np.uint8))
