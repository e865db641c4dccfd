"""Where each public name lives, for type checkers: at run time each is imported when it is first asked for."""

from stepsize.client import ApiError as ApiError
from stepsize.client import AsyncClient as AsyncClient
from stepsize.client import Client as Client
from stepsize.client import ClientError as ClientError
from stepsize.client import Event as Event
from stepsize.client import ExternalTrial as ExternalTrial
from stepsize.client import Job as Job
from stepsize.client import JobReport as JobReport
from stepsize.client import RangeTest as RangeTest
from stepsize.client import ServerLateError as ServerLateError
from stepsize.client import ServerUnreachableError as ServerUnreachableError
from stepsize.client import Trial as Trial
from stepsize.client import WaitTimeoutError as WaitTimeoutError
from stepsize.client import WrongValueError as WrongValueError
from stepsize.domain.trainer import Capabilities as Capabilities
from stepsize.domain.trainer import Metric as Metric
from stepsize.infeasibility import Diverged as Diverged
from stepsize.spec.job import JobSpec as JobSpec
from stepsize.spec.objective import Direction as Direction
from stepsize.spec.objective import Objective as Objective
from stepsize.spec.shorthand import Bool as Bool
from stepsize.spec.shorthand import Choice as Choice
from stepsize.spec.shorthand import Float as Float
from stepsize.spec.shorthand import Int as Int
from stepsize.spec.space import SearchSpace as SearchSpace
from stepsize.tuning import TuneError as TuneError
from stepsize.tuning import TuneResult as TuneResult
from stepsize.tuning import TuneTrial as TuneTrial
from stepsize.tuning import tune as tune
from stepsize_workers.trainers.base import ONE_FOR_ALL as ONE_FOR_ALL
from stepsize_workers.trainers.base import Checkpoint as Checkpoint
from stepsize_workers.trainers.base import Params as Params
from stepsize_workers.trainers.base import Sweep as Sweep
from stepsize_workers.trainers.base import Trainer as Trainer
from stepsize_workers.trainers.base import TrialContext as TrialContext
from stepsize_workers.trainers.base import applies_when as applies_when
from stepsize_workers.trainers.function import trainer as trainer
from stepsize_workers.training import figures as figures
from stepsize_workers.training.models import load as load_model
from stepsize_workers.training.optimizers import ParameterGroup as ParameterGroup
from stepsize_workers.training.params import FUSING as FUSING
from stepsize_workers.training.params import TrainingParams as TrainingParams
from stepsize_workers.training.sweeping import sweep_learning_rate as sweep_learning_rate
from stepsize_workers.training.task import LOOP_METRICS as LOOP_METRICS
from stepsize_workers.training.task import Extent as Extent
from stepsize_workers.training.task import Metrics as Metrics
from stepsize_workers.training.trainer import TaskTrainer as Task

__version__: str
__all__ = [
    "FUSING",
    "LOOP_METRICS",
    "ONE_FOR_ALL",
    "ApiError",
    "AsyncClient",
    "Bool",
    "Capabilities",
    "Checkpoint",
    "Choice",
    "Client",
    "ClientError",
    "Direction",
    "Diverged",
    "Event",
    "Extent",
    "ExternalTrial",
    "Float",
    "Int",
    "Job",
    "JobReport",
    "JobSpec",
    "Metric",
    "Metrics",
    "Objective",
    "ParameterGroup",
    "Params",
    "RangeTest",
    "SearchSpace",
    "ServerLateError",
    "ServerUnreachableError",
    "Sweep",
    "Task",
    "Trainer",
    "TrainingParams",
    "Trial",
    "TrialContext",
    "TuneError",
    "TuneResult",
    "TuneTrial",
    "WaitTimeoutError",
    "WrongValueError",
    "__version__",
    "applies_when",
    "figures",
    "load_model",
    "sweep_learning_rate",
    "trainer",
    "tune",
]
