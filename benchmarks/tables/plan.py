"""Which tables there are: each is a folder of job files, and the settings in which its jobs differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from benchmarks.guide.serving import ROOT
from stepsize.cli.job_file import read_job

FOLDER = ROOT / "examples" / "tables"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of its folder in examples/tables.
        settings: the settings whose tables of the report are shown; none: the jobs themselves.
        guide: the page of the guide that asks the same of jobs of its own; none: "".
        by_batch_size, by_learning_rate: whether these parts of the first job's own report are shown.
    """

    name: str
    title: str
    settings: Sequence[str] = ()
    guide: str = ""
    by_batch_size: bool = False
    by_learning_rate: bool = False

    @property
    def files(self) -> list[Path]:
        """Its job files."""
        return sorted((FOLDER / self.name).glob("*.yaml"))

    @property
    def specs(self) -> dict[str, dict[str, JsonValue]]:
        """The jobs by the names of their files, as they are posted."""
        return {path.stem: read_job(str(path)) for path in self.files}


TABLES = (
    Table("tasks", "The best rate of each task"),
    Table("architectures", "The best rate of each architecture", ("model",)),
    Table("activations", "The best rate of each activation", ("activation",), "model-and-data.md"),
    Table("batch_sizes", "The best rate at each batch size, and the law", guide="batch-size.md", by_batch_size=True),
    Table("rates", "Accuracy, loss and training time by rate", guide="rates.md", by_learning_rate=True),
    Table("decay", "A constant rate and ways to lower it", ("schedule",), "schedules.md"),
    Table("methods", "Constant, decaying and adaptive", ("optimizer", "schedule")),
    Table("regularisation", "Regularisation and the best rate", ("weight_decay", "dropout"), "regularisation.md"),
    Table("data_quality", "Wrong labels and the best rate", ("label_noise",), "model-and-data.md"),
    Table("sizes", "The size of the network and the best rate", ("width",), "model-and-data.md"),
)
