"""What counts as a picture, and what it is kept as."""

import pytest

from stepsize.domain.figures import MOST_BYTES, check_figure, media_type

PNG = b"\x89PNG\r\n\x1a\n rest"


def test_svg_is_text_and_png_is_bytes() -> None:
    assert check_figure("loss", "<svg xmlns='http://www.w3.org/2000/svg'/>")[0] == "loss.figure.svg"
    assert check_figure("a-b_1", PNG) == ("a-b_1.figure.png", PNG)
    with_head = '<?xml version="1.0"?>\n<!-- drawn by hand -->\n<svg>ä</svg>'
    assert check_figure("loss", with_head) == ("loss.figure.svg", with_head.encode())


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a.svg", ".a", "-a", "a" * 101, 3, "a b"])
def test_a_name_can_lead_nowhere(name: object) -> None:
    with pytest.raises(ValueError, match="a figure's name is 1 to 100 letters, digits, '_' and '-', not"):
        check_figure(name, PNG)


@pytest.mark.parametrize("picture", ["<html><svg></svg></html>", "hello", b"GIF89a", b"<svg></svg>"])
def test_anything_else_is_refused(picture: object) -> None:
    with pytest.raises(
        ValueError, match="figure 'loss' is neither SVG as text, which begins with <svg, nor PNG as bytes"
    ):
        check_figure("loss", picture)


def test_an_object_of_a_library_is_refused() -> None:
    with pytest.raises(TypeError, match="figure 'loss' is a list; give SVG as text, or PNG as bytes"):
        check_figure("loss", [])


def test_size_is_limited() -> None:
    largest = PNG + bytes(MOST_BYTES - len(PNG))
    assert check_figure("loss", largest)[1] == largest
    with pytest.raises(ValueError, match="figure 'loss' has 1,048,577 bytes; at most 1,048,576 are shown"):
        check_figure("loss", largest + b"\0")


def test_a_picture_is_told_by_its_name() -> None:
    assert media_type("loss.figure.svg") == "image/svg+xml"
    assert media_type("loss.figure.png") == "image/png"
    assert media_type("loss.svg") is None
