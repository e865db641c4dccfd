"""Where the tests of one session keep parsed data sets: one place for all of them, as parsing takes seconds."""

import atexit
import shutil
import tempfile
from pathlib import Path

DATA_DIR = Path(tempfile.mkdtemp(prefix="stepsize-test-data-"))
atexit.register(shutil.rmtree, DATA_DIR)
