"""Files of other tools, each as small as its shape allows.

The shapes are those of files in public repositories, named in `like`; the texts are our own.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """One file, and what it becomes."""

    like: str
    text: str
    job: dict[str, object]
    """Parts of the job."""
    runs: list[str] | None = None
    """The command; None: clients train."""
    told: tuple[str, ...] = ()
    """Places of the notes that matter here."""


SWEEP = "wandb/examples"
KATIB = "kubeflow/katib"
TRAINER = "kubeflow/trainer"
RAY = "ray-project/ray"

_LR = {"type": "float", "low": 0.01, "high": 0.05}
_GOAL = {"metric": "loss", "direction": "minimize", "target": 0.001}
_EXPERIMENT = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: tuned}
spec:
  parallelTrialCount: 2
  maxTrialCount: 12
  maxFailedTrialCount: 3
  objective: {type: minimize, goal: 0.001, objectiveMetricName: loss}
  algorithm: {algorithmName: ALGORITHM}
  parameters:
    - {name: lr, parameterType: double, feasibleSpace: {min: "0.01", max: "0.05"}}
    - {name: num-epochs, parameterType: int, feasibleSpace: {min: "1", max: "9"}}
  trialTemplate:
    primaryContainerName: main
    trialParameters:
      - {name: learningRate, description: the rate, reference: lr}
      - {name: epochs, description: how long, reference: num-epochs}
    trialSpec: TRIAL
"""
_JOB = """
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: main
                image: me/train:1
                command: [python3, train.py, "--lr=${trialParameters.learningRate}"]
                args: [--epochs, "${trialParameters.epochs}"]
"""
_RUNS = ["python3", "train.py", "--lr={lr}", "--epochs", "{num_epochs}"]


def _experiment(algorithm: str = "random", trial: str = _JOB, more: str = "") -> str:
    return _EXPERIMENT.replace("ALGORITHM", algorithm).replace("TRIAL", trial) + more


def _replicas(kind: str, replicas: str, roles: tuple[str, ...]) -> str:
    one = "{spec: {containers: [{name: NAME, command: [python3, train.py, '--lr=${trialParameters.learningRate}']}]}}"
    below = ", ".join(
        f"{role}: {{replicas: 1, template: {one.replace('NAME', 'main' if not at else 'other')}}}"
        for at, role in enumerate(roles)
    )
    return f"{{apiVersion: kubeflow.org/v1, kind: {kind}, spec: {{{replicas}: {{{below}}}}}}}"


SHAPES = {
    "bayes over ranges and lists": Shape(
        f"{SWEEP} pointnet-classification",
        """
        program: train.py
        method: bayes
        metric: {name: Validation/Accuracy, goal: maximize}
        parameters:
          batch_size: {values: [8, 16]}
          dropout: {min: 0.1, max: 0.7}
        """,
        {
            "trainer": {"name": "train"},
            "search_space": {
                "batch_size": {"type": "categorical", "choices": [8, 16]},
                "dropout": {"type": "float", "low": 0.1, "high": 0.7},
            },
            "objectives": [{"metric": "Validation/Accuracy", "direction": "maximize"}],
            "sampler": {"name": "gp"},
        },
        ["/usr/bin/env", "python", "-u", "train.py", "--batch_size={batch_size}", "--dropout={dropout}"],
        ("run_cap", "program"),
    ),
    "named distributions, log_uniform by exponents": Shape(
        f"{SWEEP} fastai1-simpsons",
        """
        program: train_sweep.py
        method: bayes
        run_cap: 900
        metric: {name: accuracy, goal: maximize}
        parameters:
          epochs: {distribution: constant, value: 20}
          one_cycle: {distribution: categorical, values: [true, false]}
          learning_rate: {distribution: log_uniform, min: -11, max: -2}
        """,
        {
            "trainer": {"name": "train_sweep", "params": {"epochs": 20}},
            "search_space": {
                "one_cycle": {"type": "categorical", "choices": [True, False]},
                "learning_rate": {"type": "float", "low": 1.67017e-05, "high": 0.135335, "log": True},
            },
            "sampler": {"name": "tpe"},
            "budget": {"max_trials": 900},
        },
        [
            *("/usr/bin/env", "python", "-u", "train_sweep.py"),
            *("--epochs={epochs}", "--one_cycle={one_cycle}", "--learning_rate={learning_rate}"),
        ],
        ("method", "parameters"),
    ),
    "hyperband by max_iter and s": Shape(
        f"{SWEEP} keras-cnn-fashion",
        """
        program: train.py
        method: random
        metric: {goal: minimize, name: val_loss}
        parameters: {decay: {values: [1e-5, 1e-6]}, epochs: {value: 27}}
        early_terminate: {type: hyperband, s: 2, eta: 3, max_iter: 27}
        """,
        {
            "sampler": {"name": "random"},
            "pruner": {"name": "asha", "min_resource": 3, "reduction_factor": 3},
            "trainer": {"name": "train", "params": {"epochs": 27}},
        },
        ["/usr/bin/env", "python", "-u", "train.py", "--decay={decay}", "--epochs={epochs}"],
        ("early_terminate.type",),
    ),
    "grid": Shape(
        f"{SWEEP} pytorch-cnn-fashion",
        """
        program: train.py
        method: grid
        metric: {goal: minimize, name: loss}
        parameters: {channels: {values: [10, 12]}, learning_rate: {values: [0.001, 0.005]}}
        """,
        {"sampler": {"name": "grid"}},
        ["/usr/bin/env", "python", "-u", "train.py", "--channels={channels}", "--learning_rate={learning_rate}"],
    ),
    "int_uniform": Shape(
        f"{SWEEP} sweeps-cross-validation",
        """
        program: train-cross-validation.py
        method: random
        metric: {goal: maximize, name: val_accuracy}
        parameters: {batch_size: {distribution: int_uniform, min: 32, max: 128}}
        """,
        {
            "trainer": {"name": "train_cross_validation"},
            "search_space": {"batch_size": {"type": "int", "low": 32, "high": 128}},
        },
        ["/usr/bin/env", "python", "-u", "train-cross-validation.py", "--batch_size={batch_size}"],
    ),
    "Hydra: dotted names, no hyphens": Shape(
        f"{SWEEP} minimal-hydra-example",
        """
        program: main.py
        method: random
        metric: {goal: minimize, name: val_loss}
        parameters: {optimizer.config.lr: {min: !!float 1e-5, max: 0.1}, optimizer: {values: [sgd, adam]}}
        command: ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
        """,
        {
            "search_space": {
                "optimizer_config_lr": {"type": "float", "low": 1e-5, "high": 0.1},
                "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
            }
        },
        [
            *("/usr/bin/env", "python", "-u", "main.py"),
            *("optimizer.config.lr={optimizer_config_lr}", "optimizer={optimizer}"),
        ],
        ("parameters.optimizer.config.lr",),
    ),
    "Launch: a job instead of a program": Shape(
        f"{SWEEP} launch-sweeps quickstart",
        """
        description: on a queue
        method: grid
        run_cap: 10
        job: team/project/job:latest
        metric: {name: epoch/val_loss, goal: minimize}
        parameters: {learning_rate: {values: [0, 0.1]}, epochs: {distribution: int_uniform, min: 10, max: 20}}
        scheduler: {num_workers: 8}
        """,
        {"engine": "external", "budget": {"max_trials": 10}},
        told=("description", "job", "scheduler", "program"),
    ),
    "Launch: a scheduler that searches": Shape(
        f"{SWEEP} launch-sweeps optuna-scheduler",
        """
        run_cap: 5
        job: team/project/job:latest
        metric: {name: val_loss, goal: minimize}
        scheduler: {job: team/project/scheduler:latest, settings: {pruner: {type: PercentilePruner}}}
        parameters: {learning_rate: {min: 0.0001, max: 1.0}}
        """,
        {"engine": "external", "search_space": {"learning_rate": {"type": "float", "low": 0.0001, "high": 1.0}}},
        told=("method", "scheduler"),
    ),
    "nested parameters, probabilities, rounding": Shape(
        "wandb/wandb sweeps documentation",
        """
        name: nested
        program: train.py
        method: random
        run_cap: 30
        metric: {name: loss}
        parameters:
          optimizer:
            parameters:
              momentum: {distribution: q_uniform, min: 0.0, max: 0.9, q: 0.1}
              kind: {values: [sgd, adam], probabilities: [0.9, 0.1]}
          width: {distribution: q_log_uniform_values, q: 8, min: 16, max: 512}
          init: {distribution: normal, mu: 0, sigma: 0.5}
          layers: {values: [[64, 64], [128]]}
        """,
        {
            "name": "nested",
            "search_space": {
                "optimizer_momentum": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.1},
                "optimizer_kind": {"type": "categorical", "choices": ["sgd", "adam"]},
                "width": {"type": "int", "low": 16, "high": 512, "log": True},
                "init": {"type": "float", "low": -1.5, "high": 1.5},
                "layers": {"type": "categorical", "choices": ["[64, 64]", "[128]"]},
            },
        },
        [
            *("/usr/bin/env", "python", "-u", "train.py"),
            *("--optimizer.momentum={optimizer_momentum}", "--optimizer.kind={optimizer_kind}"),
            *("--width={width}", "--init={init}", "--layers={layers}"),
        ],
        (
            "parameters.optimizer.parameters.kind.probabilities",
            "parameters.width.q",
            "parameters.init.distribution",
            "parameters.layers.values",
        ),
    ),
    **{
        f"Katib: {algorithm}": Shape(
            f"{KATIB} examples/v1beta1/hp-tuning",
            _experiment(algorithm),
            {
                "name": "tuned",
                "trainer": {"name": "tuned"},
                "search_space": {"lr": _LR, "num_epochs": {"type": "int", "low": 1, "high": 9}},
                "objectives": [_GOAL],
                "sampler": {"name": sampler},
                "budget": {"max_trials": 12, "max_parallel_trials": 2, "max_failed_trials": 3},
            },
            _RUNS,
            ("spec.parameters[1]", "spec.objective.type"),
        )
        for algorithm, sampler in {
            "random": "random",
            "tpe": "tpe",
            "multivariate-tpe": "tpe",
            "bayesianoptimization": "gp",
            "cmaes": "cmaes",
            "sobol": "qmc",
        }.items()
    },
    "Katib: grid": Shape(
        f"{KATIB} examples/v1beta1/hp-tuning/grid",
        _experiment("grid").replace('max: "0.05"', 'max: "0.05", step: "0.01"'),
        {
            "search_space": {"lr": _LR | {"step": 0.01}, "num_epochs": {"type": "int", "low": 1, "high": 9}},
            "sampler": {"name": "grid"},
        },
        _RUNS,
    ),
    "Katib: hyperband": Shape(
        f"{KATIB} examples/v1beta1/hp-tuning/hyperband",
        _experiment().replace(
            "{algorithmName: random}",
            "{algorithmName: hyperband, algorithmSettings: [{name: resource_name, value: num-epochs}, "
            '{name: eta, value: "3"}, {name: r_l, value: "9"}]}',
        ),
        {
            "trainer": {"name": "tuned", "params": {"num_epochs": 9}},
            "search_space": {"lr": _LR},
            "pruner": {"name": "hyperband", "max_resource": 9, "reduction_factor": 3},
        },
        _RUNS,
    ),
    "Katib: settings and distributions": Shape(
        f"{KATIB} examples/v1beta1/hp-tuning/optuna-distribution",
        _experiment()
        .replace(
            "{algorithmName: random}",
            "{algorithmName: tpe, algorithmSettings: [{name: n_startup_trials, value: '5'}, "
            "{name: random_state, value: '7'}, {name: gamma, value: '0.2'}]}",
        )
        .replace('{min: "0.01", max: "0.05"}', '{min: "0.01", max: "0.05", distribution: logUniform}')
        .replace('{min: "1", max: "9"}', '{min: "1", max: "9", step: "2", distribution: normal}'),
        {
            "sampler": {"name": "tpe", "n_startup_trials": 5, "seed": 7},
            "search_space": {
                "lr": _LR | {"log": True},
                "num_epochs": {"type": "int", "low": 1, "high": 9, "step": 2},
            },
        },
        _RUNS,
        ("spec.algorithm.algorithmSettings[2]", "spec.parameters[1].feasibleSpace.distribution"),
    ),
    "Katib: medianstop": Shape(
        f"{KATIB} examples/v1beta1/early-stopping/median-stop",
        _experiment(
            more="  earlyStopping: {algorithmName: medianstop, algorithmSettings: "
            "[{name: min_trials_required, value: '1'}]}\n"
        ),
        {"pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 4}},
        _RUNS,
    ),
    "Katib: collectors and strategies": Shape(
        f"{KATIB} examples/v1beta1/metrics-collector",
        _experiment(more="  metricsCollectorSpec: {collector: {kind: StdOut}}\n  resumePolicy: Never\n").replace(
            "objectiveMetricName: loss",
            "objectiveMetricName: loss, additionalMetricNames: [accuracy], "
            "metricStrategies: [{name: loss, value: latest}, {name: accuracy, value: max}]",
        ),
        {"objectives": [_GOAL]},
        _RUNS,
        ("spec.metricsCollectorSpec", "spec.resumePolicy"),
    ),
    "Katib: PyTorchJob": Shape(
        f"{KATIB} kubeflow-training-operator/pytorchjob-mnist",
        _experiment(trial=_replicas("PyTorchJob", "pytorchReplicaSpecs", ("Master", "Worker"))),
        {},
        ["python3", "train.py", "--lr={lr}"],
        ("spec.trialTemplate.trialSpec",),
    ),
    "Katib: TFJob": Shape(
        f"{KATIB} kubeflow-training-operator/tfjob-mnist-with-summaries",
        _experiment(trial=_replicas("TFJob", "tfReplicaSpecs", ("Worker",))),
        {},
        ["python3", "train.py", "--lr={lr}"],
    ),
    "Katib: TrainJob": Shape(
        f"{KATIB} kubeflow-trainer/trainjob-pytorch",
        _experiment(
            trial="{apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob, spec: {runtimeRef: {name: torch}, "
            "trainer: {numNodes: 2, command: [python3, '--lr=${trialParameters.learningRate}']}}}"
        ),
        {},
        ["python3", "--lr={lr}"],
        ("spec.trialTemplate.trialSpec", "spec.trialTemplate.trialSpec.spec.trainer.numNodes"),
    ),
    "Katib: a workflow": Shape(
        f"{KATIB} argo/argo-workflow",
        _experiment(trial="{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {entrypoint: hp}}"),
        {"engine": "external"},
        told=("spec.trialTemplate.trialSpec",),
    ),
    "Katib: metadata of the trial": Shape(
        f"{KATIB} trial-template/trial-metadata-substitution",
        _experiment().replace(
            "    trialSpec:", "      - {name: trial, reference: '${trialSpec.Name}'}\n    trialSpec:", 1
        ),
        {},
        _RUNS,
        ("spec.trialTemplate.trialParameters[2].reference",),
    ),
    "OptimizationJob": Shape(
        f"{TRAINER} pkg/apis/trainer/v1alpha1/optimizationjob_types.go",
        """
        apiVersion: trainer.kubeflow.org/v1alpha1
        kind: OptimizationJob
        metadata: {name: tuned}
        spec:
          objectives: [{metric: accuracy, direction: Maximize}]
          searchAlgorithm: {random: {seed: 3}}
          parameters:
            - {name: lr, searchSpace: {logUniform: {min: "0.0001", max: "0.1", type: Float}}}
            - {name: layers, searchSpace: {uniform: {min: "1", max: "8", type: Int}}}
            - {name: batch_size, searchSpace: {categorical: {choices: ["16", "32"]}}}
          numTrials: 20
          parallelTrials: 4
          trainJobTemplate:
            spec: {runtimeRef: {name: torch}, trainer: {image: me/train:1, command: [python, train.py]}}
        """,
        {
            "name": "tuned",
            "search_space": {
                "lr": {"type": "float", "low": 0.0001, "high": 0.1, "log": True},
                "layers": {"type": "int", "low": 1, "high": 8},
                "batch_size": {"type": "categorical", "choices": ["16", "32"]},
            },
            "sampler": {"name": "random", "seed": 3},
            "budget": {"max_trials": 20, "max_parallel_trials": 4},
        },
        ["python", "train.py"],
        ("spec.trainJobTemplate.spec.trainer.command", "spec.trainJobTemplate.spec.runtimeRef"),
    ),
    "Ray: an experiment of RLlib": Shape(
        f"{RAY} rllib/tuned_examples/cartpole-grid-search-example",
        """
        cartpole-ppo:
          env: CartPole-v0
          run: PPO
          stop: {episode_reward_mean: 200, time_total_s: 180}
          config: {num_workers: 2, num_sgd_iter: {grid_search: [1, 4]}, batch: {grid_search: [128, 256]}}
        """,
        {
            "name": "cartpole-ppo",
            "trainer": {"name": "PPO", "params": {"env": "CartPole-v0", "num_workers": 2}},
            "engine": "external",
            "sampler": {"name": "grid"},
            "objectives": [{"metric": "episode_reward_mean", "direction": "maximize", "target": 200}],
            "budget": {"trial_timeout_s": 180},
        },
        told=("cartpole-ppo.run",),
    ),
    "Ray: a tuner": Shape(
        f"{RAY} python/ray/tune/examples",
        """
        {"param_space": {"lr": {"loguniform": [1e-4, 0.1]}, "model": {"width": {"randint": [16, 65]}},
                         "momentum": {"quniform": {"lower": 0.1, "upper": 0.9, "q": 0.1}}, "epochs": 10},
         "tune_config": {"metric": "loss", "mode": "min", "num_samples": 50, "max_concurrent_trials": 4,
                         "search_alg": "optuna",
                         "scheduler": {"name": "asha", "grace_period": 2, "reduction_factor": 3, "max_t": 27}},
         "run_config": {"name": "mine", "stop": {"loss": 0.01, "training_iteration": 27}}}
        """,
        {
            "name": "mine",
            "engine": "external",
            "trainer": {"name": "external", "params": {"epochs": 10}},
            "search_space": {
                "lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
                "model_width": {"type": "int", "low": 16, "high": 64},
                "momentum": {"type": "float", "low": 0.1, "high": 0.9, "step": 0.1},
            },
            "objectives": [{"metric": "loss", "direction": "minimize", "target": 0.01}],
            "sampler": {"name": "tpe"},
            "pruner": {"name": "asha", "min_resource": 2, "reduction_factor": 3},
            "budget": {"max_trials": 50, "max_parallel_trials": 4},
        },
        told=("tune_config.scheduler.max_t", "run_config.stop.training_iteration", "param_space.model.width.randint"),
    ),
}
