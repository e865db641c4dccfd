"""Pictures of what a model does, drawn by hand as SVG: a page is all it takes, and slots need no plotting library.

Shapes: N samples, C classes, H × W image.
"""

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import torch
from torch import Tensor

_FONT = 'font-family="system-ui, sans-serif"'
_INK, _QUIET, _GRID = "#1f2430", "#667085", "#e4e7ec"
_BLUE, _RED = "#2563eb", "#c2410c"
_SKY, _CORAL = "#38bdf8", "#fb7185"
"""The same on dark ground."""
_LETTER = 7
"""Pixels that a letter is wide, at most on average."""
_LONGEST_NAME = 30
"""Letters of a class's name; what is longer is cut."""
_SLANT = math.radians(45)
"""Of names that are wider than their columns."""
_MOST_POINTS = 600
"""Of a plot; more are thinned evenly."""
_LARGEST = 1e30
"""What lies further out is not drawn."""


def confusion_matrix(predicted: Tensor, labels: Tensor, classes: Sequence[str]) -> str:
    """Return how often samples of each class (rows) were taken for which (columns).

    Args:
        predicted, labels: shape (N,), from 0 to C − 1.
        classes: their names.
    """
    n = len(classes)
    counts = torch.bincount(labels * n + predicted, minlength=n * n).view(n, n).tolist()
    names = [_short(name, _LONGEST_NAME) for name in classes]
    longest = _LETTER * max(map(len, names))
    cell = max(18, min(56, 480 // n))
    is_slanted = longest > cell
    rise = longest * math.sin(_SLANT) if is_slanted else 0  # how far the columns' names reach, up and to the right
    left, top = max(110, 16 + longest), 62 + rise
    parts = [
        _text(left + n * cell / 2, 20, "predicted", anchor="middle", fill=_QUIET),
        _text(left - 8, top - 8, "true class", anchor="end", fill=_QUIET),
    ]
    for row, (name, line) in enumerate(zip(names, counts, strict=True)):
        middle = top + (row + 0.5) * cell
        parts.append(_text(left - 8, middle + 4, name, anchor="end"))
        x, y = left + (row + 0.5) * cell, top - 8
        head = _text(x, y, name, anchor="start" if is_slanted else "middle")
        slant = f'<g transform="rotate({-math.degrees(_SLANT):g} {x:g} {y:g})">{head}</g>'
        parts.append(slant if is_slanted else head)
        total = max(1, sum(line))
        for column, count in enumerate(line):
            share = count / total
            colour = _BLUE if row == column else _RED
            x, y = left + column * cell, top + row * cell
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell - 1}" height="{cell - 1}" fill="{colour}"'
                f' fill-opacity="{0.06 + 0.94 * share:.3f}"/>'
            )
            if count:
                ink = "#ffffff" if share > 0.55 else _INK
                parts.append(_text(x + cell / 2, middle + 4, str(count), anchor="middle", fill=ink))
    return _svg(left + n * cell + 20 + rise, top + n * cell + 16, parts)


def scatter(x: Tensor, y: Tensor, *, x_label: str, y_label: str, is_zero_marked: bool = False) -> str:
    """Return points (N,), (N,) against each other; a line marks y = 0 where asked, else y = x."""
    xs, ys = _drawable(_thin(x), _thin(y))
    frame = _Frame(_limits(xs), _limits(ys))
    low, high = frame.x_limits
    ends = ((low, 0.0), (high, 0.0)) if is_zero_marked else ((low, low), (high, high))
    line = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in ends)
    points = [
        f'<circle cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="3" fill="{_BLUE}" fill-opacity="0.55"/>'
        for a, b in zip(xs.tolist(), ys.tolist(), strict=True)
    ]
    return frame.draw(
        [f'<polyline points="{line}" stroke="{_RED}" clip-path="url(#in)" fill="none"/>', *points], x_label, y_label
    )


def curves(
    lines: Sequence[tuple[str, Tensor, Tensor]],
    *,
    x_label: str,
    y_label: str,
    points: tuple[Tensor, Tensor] | None = None,
) -> str:
    """Return at most two lines, each a name with its x (N,) and y (N,), over pale points (N,), (N,)."""
    thinned = [_drawable(_thin(x), _thin(y)) for x, y in ([points] if points else [])]
    drawn = [(name, *_drawable(_thin(x), _thin(y))) for name, x, y in lines]
    frame = _Frame(
        _limits(torch.cat([*(x for _, x, _ in drawn), *(x for x, _ in thinned)])),
        _limits(torch.cat([*(y for _, _, y in drawn), *(y for _, y in thinned)])),
    )
    parts = [
        f'<circle cx="{frame.x(a):.1f}" cy="{frame.y(b):.1f}" r="2" fill="{_QUIET}" fill-opacity="0.4"/>'
        for x, y in thinned
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    ]
    for index, ((name, x, y), colour) in enumerate(zip(drawn, (_BLUE, _RED), strict=False)):
        line = " ".join(f"{frame.x(a):.1f},{frame.y(b):.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
        parts.append(f'<polyline points="{line}" stroke="{colour}" stroke-width="2" fill="none"/>')
        place, anchor = ((64, "start"), (464, "end"))[index]  # beside the label below: lines may be anywhere
        parts.append(_text(place, 306, name, anchor=anchor, fill=colour))
    return frame.draw(parts, x_label, y_label)


def histograms(groups: Sequence[tuple[str, Tensor]], *, x_label: str, n_bins: int = 40) -> str:
    """Return how the numbers (N,) of at most two groups are spread, each as shares of its own group."""
    numbers = [values[_fits_an_axis(values)].double().cpu() for _, values in groups]
    limits = _limits(torch.cat(numbers))
    shares = [torch.histc(values, n_bins, *limits) / max(1, len(values)) for values in numbers]
    highest = max(float(share.max()) for share in shares) or 1.0
    frame = _Frame(limits, (0.0, 1.2 * highest))  # above the bars there is room for the groups' names
    parts = []
    width = (limits[1] - limits[0]) / n_bins
    for index, ((name, values), share, colour) in enumerate(zip(groups, shares, (_BLUE, _RED), strict=False)):
        for bin_, height in enumerate(share.tolist()):
            left, top = frame.x(limits[0] + bin_ * width), frame.y(height)
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{frame.x(limits[0] + width) - frame.x(limits[0]):.1f}"'
                f' height="{frame.y(0) - top:.1f}" fill="{colour}" fill-opacity="0.5"/>'
            )
        parts.append(_text(452, 26 + 18 * index, f"{name} ({len(values):,})", anchor="end", fill=colour))
    return frame.draw(parts, x_label, "share")


def image_grid(images: Tensor, captions: Sequence[str], is_right: Sequence[bool], *, n_columns: int = 8) -> str:
    """Return small images (N, channels, H, W), pixels in [0, 1], each with a caption, in red where it is wrong."""
    cell, line = 72, 18
    n_rows = -(-len(images) // n_columns)
    parts = []
    for index, (image, caption, right) in enumerate(zip(images, captions, is_right, strict=True)):
        row, column = divmod(index, n_columns)
        x, y = 10 + column * (cell + 6), 10 + row * (cell + line + 6)
        parts.append(_image(image, x, y, cell))
        ink = _INK if right else _RED
        parts.append(_text(x + cell / 2, y + cell + 13, _short(caption, 12), anchor="middle", fill=ink))
    return _svg(14 + n_columns * (cell + 6), 14 + n_rows * (cell + line + 6), parts)


@dataclass(frozen=True)
class Box:
    """What was found in an image."""

    corners: tuple[float, ...]
    """Left, top, right and bottom, in pixels."""
    caption: str
    is_right: bool


def boxed_images(images: Tensor, boxes: Sequence[Sequence[Box]], *, n_columns: int = 4) -> str:
    """Return images (N, channels, H, W), pixels in [0, 1], with boxes in each; those that are wrong are red."""
    cell, gap = 168, 8
    scale = cell / images.shape[-1]
    parts = []
    for index, (image, found) in enumerate(zip(images, boxes, strict=True)):
        row, column = divmod(index, n_columns)
        x, y = gap + column * (cell + gap), gap + row * (cell + gap)
        parts.append(_image(image, x, y, cell))
        for box in found:
            left, top, right, bottom = (scale * edge for edge in box.corners)
            colour = _SKY if box.is_right else _CORAL
            parts.append(
                f'<rect x="{x + left:.1f}" y="{y + top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
                f' stroke="{colour}" stroke-width="2" fill="none"/>'
            )
            above = y + top - 4 if top > 16 else y + top + 14
            parts.append(_text(x + left + 2, above, _short(box.caption), anchor="start", fill=colour))
    n_rows = -(-len(images) // n_columns)
    return _svg(gap + n_columns * (cell + gap), gap + n_rows * (cell + gap), parts)


def board(stones: Sequence[tuple[int, int]], *, rows: int, columns: int, players: tuple[str, str]) -> str:
    """Return a board with the stones of two players, who took turns, each with the number of its move.

    Args:
        stones: column from the left and row from the bottom of each, in order.
        players: names; the first moved first.
    """
    cell, edge = 56, 14
    width, height = columns * cell, rows * cell
    parts = [f'<rect x="{edge}" y="{edge}" width="{width}" height="{height}" rx="8" fill="{_GRID}"/>']
    for column in range(columns):
        for row in range(rows):
            x, y = edge + (column + 0.5) * cell, edge + (row + 0.5) * cell
            parts.append(f'<circle cx="{x}" cy="{y}" r="{0.4 * cell}" fill="#ffffff"/>')
    for number, (column, row) in enumerate(stones):
        x, y = edge + (column + 0.5) * cell, edge + height - (row + 0.5) * cell
        colour = (_BLUE, _RED)[number % 2]
        parts.append(f'<circle cx="{x}" cy="{y}" r="{0.4 * cell}" fill="{colour}"/>')
        parts.append(_text(x, y + 4, str(number + 1), anchor="middle", fill="#ffffff"))
    below = edge + height + 22
    parts.append(_text(edge, below, players[0], anchor="start", fill=_BLUE))
    parts.append(_text(edge + width, below, players[1], anchor="end", fill=_RED))
    return _svg(2 * edge + width, below + 12, parts)


def text_page(text: str, *, n_marked: int = 0) -> str:
    """Return a text, its lines cut at 96 characters; its first `n_marked` characters, which were given, are pale."""
    lines = [line[:96] for line in text.split("\n")]
    parts, seen = [], 0
    for number, line in enumerate(lines):
        pale = max(0, min(len(line), n_marked - seen))
        seen += len(line) + 1
        spans = f'<tspan fill="{_QUIET}">{_readable(line[:pale])}</tspan><tspan>{_readable(line[pale:])}</tspan>'
        parts.append(
            f'<text x="14" y="{26 + 18 * number}" font-family="ui-monospace, monospace" font-size="13"'
            f' fill="{_INK}" xml:space="preserve">{spans}</text>'
        )
    return _svg(28 + 8 * max(40, *map(len, lines)), 30 + 18 * len(lines), parts)


def png(image: Tensor) -> bytes:
    """Return an image (channels, H, W) of one or three channels, pixels in [0, 1], as a PNG."""
    channels, height, width = image.shape
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


class _Frame:
    """Axes of a plot of 480 × 320."""

    _LEFT, _RIGHT, _TOP, _BOTTOM = 64, 464, 12, 268

    def __init__(self, x_limits: tuple[float, float], y_limits: tuple[float, float]) -> None:
        self.x_limits, self.y_limits = x_limits, y_limits

    def x(self, value: float) -> float:
        low, high = self.x_limits
        return self._LEFT + (value - low) / (high - low) * (self._RIGHT - self._LEFT)

    def y(self, value: float) -> float:
        low, high = self.y_limits
        return self._BOTTOM - (value - low) / (high - low) * (self._BOTTOM - self._TOP)

    def draw(self, marks: Sequence[str], x_label: str, y_label: str) -> str:
        """Return the plot with its axes."""
        left, right, top, bottom = self._LEFT, self._RIGHT, self._TOP, self._BOTTOM
        parts = [
            f'<clipPath id="in"><rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/></clipPath>'
        ]
        for value in _ticks(self.x_limits):
            parts.append(f'<path d="M{self.x(value):.1f} {top}V{bottom}" stroke="{_GRID}"/>')
            parts.append(_text(self.x(value), bottom + 16, f"{value:g}", anchor="middle", fill=_QUIET))
        for value in _ticks(self.y_limits):
            parts.append(f'<path d="M{left} {self.y(value):.1f}H{right}" stroke="{_GRID}"/>')
            parts.append(_text(left - 6, self.y(value) + 4, f"{value:g}", anchor="end", fill=_QUIET))
        middle = (top + bottom) / 2
        parts += [
            *marks,
            _text((left + right) / 2, bottom + 38, x_label, anchor="middle"),
            f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, y_label, anchor="middle")}</g>',
        ]
        return _svg(480, 320, parts)


def _thin(values: Tensor) -> Tensor:
    """Return at most `_MOST_POINTS` of values (N,), evenly spread."""
    return values[:: max(1, -(-len(values) // _MOST_POINTS))].double().cpu()


def _limits(values: Tensor) -> tuple[float, float]:
    """Return the ends of an axis for drawable values, which may be none; they differ however large those are."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    room = max(0.04 * (high - low), 1e-6 * max(abs(low), abs(high))) or 0.5
    return low - room, high + room


def _fits_an_axis(values: Tensor) -> Tensor:
    """Return which values (N,) are numbers that can be drawn: a training may end with huge ones, or none."""
    return values.abs() <= _LARGEST


def _drawable(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points (N,), (N,) that can be drawn."""
    kept = _fits_an_axis(x) & _fits_an_axis(y)
    return x[kept], y[kept]


def _ticks(limits: tuple[float, float], n: int = 5) -> list[float]:
    """Return about `n` round numbers between limits."""
    low, high = limits
    rough = (high - low) / n
    power = 10.0 ** torch.tensor(rough).log10().floor().item()
    step = power * next((round_ for round_ in (1, 2, 5) if round_ * power >= rough), 10)
    first = -int(-low // step)
    return [number * step for number in range(first, int(high // step) + 1)]


def _image(image: Tensor, x: float, y: float, side: float) -> str:
    """Return an image (channels, H, W) as a square."""
    picture = base64.b64encode(png(image)).decode()
    return (
        f'<image x="{x}" y="{y}" width="{side}" height="{side}" style="image-rendering:pixelated"'
        f' href="data:image/png;base64,{picture}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str, fill: str = _INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} {_FONT} font-size="12" fill="{fill}">{_readable(text)}</text>'


def _readable(text: str) -> str:
    """Return text as XML may hold it."""
    return escape("".join(character if character.isprintable() else " " for character in text))


def _short(text: str, longest: int = 14) -> str:
    return text if len(text) <= max(1, longest) else text[: max(1, longest - 1)] + "…"


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )
