"""The fresh process that measures what an update takes: `python -m stepsize_workers.training.probe`.

It reads a `Probe` as JSON from standard input, and writes the peak memory at each batch size, in bytes.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from stepsize_workers.training.devices import use_device
from stepsize_workers.training.loop import make_one_update
from stepsize_workers.training.memory import Probe, forget_peak, peak_bytes
from stepsize_workers.training.task import Task


def measure_peaks(probe: Probe) -> list[int]:
    """Return the peak memory of an update at each batch size, in bytes."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # as workers find trainers beside which they were started
    module, _, name = probe.task.partition(":")
    task_class: type[Task[Any, Any]] = getattr(import_module(module), name)
    device = use_device(probe.device)
    peaks = []
    for size in (probe.sizes[0], *probe.sizes):  # the first time only loads libraries
        params = task_class.Params.model_validate(json.loads(probe.params) | {"batch_size": size})
        task = task_class()
        task.prepare(params, device=device, data_dir=Path(probe.data_dir))
        forget_peak(device)
        make_one_update(task, params, device)
        peaks.append(peak_bytes(device))
    return peaks[1:]


def main() -> None:
    """Read what to measure from standard input, and write the peaks to standard output."""
    given = json.load(sys.stdin)
    peaks = measure_peaks(Probe(**{**given, "sizes": tuple(given["sizes"])}))
    sys.stdout.write(json.dumps(peaks))


if __name__ == "__main__":
    main()
