"""A function tuned where it is: `stepsize.tune(train, search_space)`.

The function trains in this process, or in processes forked from it; the search, the record and the page are a
service's: one that is running, or one started for it on a directory of this machine.
"""

from stepsize.tuning.errors import NameTakenError, ServiceStartError, TrainingFailedError, TuneError
from stepsize.tuning.function import tune
from stepsize.tuning.result import TuneResult
from stepsize.tuning.trial import TuneTrial

__all__ = [
    "NameTakenError",
    "ServiceStartError",
    "TrainingFailedError",
    "TuneError",
    "TuneResult",
    "TuneTrial",
    "tune",
]
