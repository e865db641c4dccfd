"""`make guide`: runs the guide's jobs on a service of its own and writes docs/guide.

About 2,800 small trials; some twenty minutes on two busy cores. `--only NAME` runs some experiments again and keeps the
others' results; `--render` writes the pages from the results there are; `--tiny` tries everything in a minute.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from benchmarks.guide import running
from benchmarks.guide.experiments import EXPERIMENTS, RANGE_TEST, Experiment, cyclical, tiny
from benchmarks.guide.figures import all_figures
from benchmarks.guide.rendering import render_pages
from benchmarks.guide.results import Results
from benchmarks.guide.serving import ROOT, running_service
from stepsize.analysis.figures.style import render
from stepsize.client import Client, Job

PAGES = ROOT / "docs" / "guide"
FOLDER = ROOT / "build" / "guide"
RESULTS = "results.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guide", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="experiments to run, or range_test")
    parser.add_argument("--render", action="store_true", help="run nothing")
    parser.add_argument("--tiny", action="store_true", help="a few small trials each")
    parser.add_argument("--output", type=Path, default=PAGES)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the service's data; emptied first")
    chosen = parser.parse_args(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)
    if not chosen.render:
        with running_service(chosen.folder) as url, Client(url) as client:
            Measurement(client, url, output=chosen.output, is_tiny=chosen.tiny).run(chosen.only)
    results = Results.read(chosen.output / RESULTS)
    names = [*(experiment.name for experiment in EXPERIMENTS), "cyclical"]
    if missing := [name for name in names if name not in results.runs]:
        print(f"no pages yet: still to run are {', '.join(missing)}")  # noqa: T201 - a command's output
    else:
        write_guide(results, chosen.output)


def write_guide(results: Results, folder: Path) -> None:
    """Write the pages and the guide's own figures; the service's figures are written when its jobs run."""
    for name, page in render_pages(results).items():
        (folder / name).write_text(page)
    for name, draw in all_figures(results).items():
        (folder / f"{name}.svg").write_bytes(render(draw, image_format="svg", theme="light"))


class Measurement:
    """One run over the experiments; what is done is written at once, so that a run may be ended and continued."""

    def __init__(self, client: Client, url: str, *, output: Path, is_tiny: bool) -> None:
        self._client = client
        self._url = url
        self._output = output
        self._is_tiny = is_tiny
        self._results = Results.read(output / RESULTS)
        self._started = time.monotonic()

    def run(self, only: Sequence[str]) -> None:
        """Run these experiments; none: all."""
        if not only or "range_test" in only:
            self.run_range_test()
        for experiment in EXPERIMENTS:
            if not only or experiment.name in only:
                self.run_experiment(experiment)
        if not only or "cyclical" in only:
            self.run_experiment(self._cyclical())

    def run_experiment(self, experiment: Experiment) -> None:
        """Run an experiment and keep what it measured."""
        used = tiny(experiment) if self._is_tiny else experiment
        jobs = running.submit(self._client, used)
        runs = running.collect(self._client, self._url, used, jobs)
        self._results.runs[used.name] = runs
        self._results.specs[used.name] = used.spec(0)
        if used.name == "many":
            self._results.importances = running.read_importances(self._url, jobs[0].id)
        self._save_plots(used.name, jobs[0])
        self._save(used.name, len(runs))

    def run_range_test(self) -> None:
        """Run the range tests and keep what they say."""
        spec: dict[str, JsonValue] = {**RANGE_TEST, "seeds": 2, "batch_sizes": [64]} if self._is_tiny else RANGE_TEST
        test = running.run_range_test(self._client, spec)
        self._results.sweeps = running.sweeps_of(test)
        self._results.specs["range_test"] = spec
        running.save_plot(self._url, f"range-tests/{test.id}/plot.svg", self._output / "range_test.svg")
        self._save("range_test", len(test.results))

    def _cyclical(self) -> Experiment:
        """Return the searchless trainings, between the bounds that the range test found at their batch size."""
        (sweep,) = (sweep for sweep in self._results.sweeps if sweep.batch_size == 64)
        low, high = sweep.low[0], sweep.high[0]
        if low is None or high is None:
            raise RuntimeError(f"the range test found no bounds: {sweep.inconclusive}")
        return cyclical(low, high)

    def _save_plots(self, name: str, job: Job) -> None:
        kinds = {"batch_sizes": "heatmap", "search_1_tpe": "history", "many": "importances"}
        if (kind := kinds.get(name)) is not None:
            running.save_plot(self._url, f"jobs/{job.id}/plots/{kind}.svg", self._output / f"{kind}.svg")

    def _save(self, name: str, n: int) -> None:
        self._results.write(self._output / RESULTS)
        print(f"{time.monotonic() - self._started:7.1f} s  {name}: {n}", flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
