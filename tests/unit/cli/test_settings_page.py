"""docs/settings.md lists exactly the settings there are."""

import re
from pathlib import Path

from stepsize.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
ROW = re.compile(r"^\| `STEPSIZE_(\w+)` \| (?:`([^`]*)`|(empty)[^|]*) \| \S", re.MULTILINE)


def test_every_setting_is_listed_with_its_default() -> None:
    listed = {name.lower(): default for name, default, _ in ROW.findall(PAGE.read_text())}
    assert listed.pop("server") == "http://127.0.0.1:8000"
    assert listed == {name: as_written(field.default) for name, field in Settings.model_fields.items()}


def as_written(default: object) -> str:
    if default is None:
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)
