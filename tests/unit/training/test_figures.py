"""Pictures: well formed, showing the numbers they were given."""

import io
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
import torch
from PIL import Image

from stepsize.domain.figures import check_figure
from stepsize_workers.training.figures import (
    Box,
    board,
    boxed_images,
    confusion_matrix,
    curves,
    histograms,
    image_grid,
    png,
    scatter,
    text_page,
)

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


@pytest.mark.parametrize("n", [2, 12, 30])
def test_long_names_of_classes_head_rows_and_columns_in_full_and_inside(n: int) -> None:
    names = [f"malignant melanoma {number}" for number in range(n)]
    picture = confusion_matrix(torch.arange(n), torch.arange(n), names)
    written = texts(picture)
    assert [written.count(name) for name in names] == [2] * n
    root = fromstring(picture)
    starts = [float(text.get("x", "")) for group in root.iter(f"{SVG}g") for text in group.iter(f"{SVG}text")]
    reach = 7 * len(names[-1]) / 2**0.5  # of a name of letters 7 pixels wide, slanted by 45°
    assert max(starts) + reach <= float(root.get("width", ""))
    assert reach <= min(float(text.get("y", "")) for group in root.iter(f"{SVG}g") for text in group.iter(f"{SVG}text"))


def test_a_class_without_samples_leaves_a_row_empty() -> None:
    assert texts(confusion_matrix(torch.tensor([0, 2]), torch.tensor([0, 2]), ["a", "b", "c"])).count("1") == 2


@pytest.mark.parametrize("n", [1, 5, 5000])
def test_a_scatter_plot_is_thinned(n: int) -> None:
    x = torch.linspace(-1, 1, n)
    picture = scatter(x, 3 * x, x_label="x", y_label="y")
    assert {"x", "y"} <= set(texts(picture))
    assert picture.count("<circle") == (n if n < 600 else 556)


@pytest.mark.parametrize(
    "values",
    [[1e20, 1e20], [1e20, 1.0000001e20], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), float("-inf")], [1e300, 0.0]],
)
def test_what_a_failed_training_predicts_is_drawn_as_far_as_it_can_be(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    texts(scatter(x, x, x_label="x", y_label="y"))
    texts(scatter(x, -x, x_label="x", y_label="y", is_zero_marked=True))
    texts(curves([("one", x, x)], x_label="x", y_label="y", points=(x, x)))
    texts(histograms((("normal", x), ("odd", -x)), x_label="error"))


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


def test_lines_are_named_and_points_lie_under_them() -> None:
    x = torch.arange(900)
    picture = curves([("one", x, x), (HOSTILE, x, -x)], x_label="step", y_label="value", points=(x, 2 * x))
    assert {"one", "step", "value"} <= set(texts(picture))
    lines = [len(each.get("points", "").split()) for each in fromstring(picture).iter(f"{SVG}polyline")]
    assert lines == [450, 450]  # thinned, as the points are
    assert picture.count("<circle") == 450
    assert texts(curves([("alone", torch.tensor([1.0]), torch.tensor([2.0]))], x_label="x", y_label="y"))


def test_boxes_lie_where_they_were_found() -> None:
    boxes = [[Box((8.0, 16.0, 24.0, 32.0), "cat", True)], [Box((0.0, 0.0, 1.0, 1.0), "dog", False)], []]
    picture = boxed_images(torch.rand(3, 1, 64, 64), boxes)
    assert texts(picture) == ["cat", "dog"]
    assert picture.count("<image") == 3
    right, wrong = (each for each in fromstring(picture).iter(f"{SVG}rect") if each.get("stroke"))
    scale = 168 / 64
    place = [float(right.get(name, "0")) for name in ("x", "y", "width", "height")]
    assert place == pytest.approx([8 + 8 * scale, 8 + 16 * scale, 16 * scale, 16 * scale], abs=0.06)  # a digit
    assert right.get("stroke") != wrong.get("stroke")


def test_a_board_numbers_its_stones_from_the_bottom() -> None:
    picture = board([(0, 0), (2, 0), (0, 1)], rows=4, columns=5, players=("one", HOSTILE))
    assert texts(picture)[:4] == ["1", "2", "3", "one"]
    stones = [each for each in fromstring(picture).iter(f"{SVG}circle") if each.get("fill") != "#ffffff"]
    first, second, third = ((float(each.get("cx", "0")), float(each.get("cy", "0"))) for each in stones)
    assert first[1] == second[1] > third[1]
    assert first[0] == third[0] < second[0]
    assert stones[0].get("fill") == stones[2].get("fill") != stones[1].get("fill")


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
