"""Where the tests keep parsed data sets: one place for all of them, as parsing takes seconds."""

import tempfile
from pathlib import Path

DATA_DIR = Path(tempfile.gettempdir()) / "stepsize-test-data"
