"""Pictures that trials keep: files among their artifacts, told by their names, which pages show as they are.

A picture is a user's: as SVG it may hold anything, so it is only ever shown as an image, and served so that nothing in
it runs.
"""

import re

MOST_BYTES = 1 << 20
MEDIA_TYPES = {".figure.svg": "image/svg+xml", ".figure.png": "image/png"}
"""By the end of a file's name."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_PNG = b"\x89PNG\r\n\x1a\n"
_SVG = re.compile(r"\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]", re.DOTALL)


def check_figure(name: object, picture: object) -> tuple[str, bytes]:
    """Return the name of a picture's file, and what is in it.

    Raises:
        TypeError, ValueError: it is no picture, too large, or the name can't be one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"a figure's name is 1 to 100 letters, digits, '_' and '-', not {str(name)[:120]!r}")
    match picture:
        case str():
            suffix, content = ".figure.svg", picture.encode()
            is_one = _SVG.match(picture) is not None
        case bytes():
            suffix, content = ".figure.png", picture
            is_one = picture.startswith(_PNG)
        case _:
            raise TypeError(f"figure {name!r} is a {type(picture).__name__}; give SVG as text, or PNG as bytes")
    if not is_one:
        raise ValueError(f"figure {name!r} is neither SVG as text, which begins with <svg, nor PNG as bytes")
    if len(content) > MOST_BYTES:
        raise ValueError(f"figure {name!r} has {len(content):,} bytes; at most {MOST_BYTES:,} are shown")
    return f"{name}{suffix}", content


def media_type(file: str) -> str | None:
    """Return what kind of picture a file of a trial is; None: it is none."""
    return next((kind for suffix, kind in MEDIA_TYPES.items() if file.endswith(suffix)), None)
