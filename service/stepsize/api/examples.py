"""Example bodies for /docs; a test submits each of them."""

from fastapi.openapi.models import Example

JOB_BODIES: dict[str, Example] = {
    "smallest": {
        "summary": "The smallest job: everything by default",
        "value": {"trainer": {"name": "synthetic"}},
    },
    "image_classifier": {
        "summary": "Learning rate × batch size × optimizer on MNIST",
        "value": {
            "name": "mnist-cnn",
            "labels": {"team": "vision"},
            "trainer": {"name": "image_classifier", "params": {"dataset": "mnist5k", "model": "cnn", "epochs": 5}},
            "search_space": {
                "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
                "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
                "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
                "momentum": {"type": "float", "low": 0.0, "high": 0.98, "when": {"optimizer": ["sgd"]}},
            },
            "objectives": [{"metric": "val_accuracy", "direction": "maximize", "target": 0.99}],
            "sampler": {"name": "tpe", "seed": 0},
            "pruner": {"name": "asha"},
            "budget": {"max_trials": 40, "max_parallel_trials": 4},
            "enqueue": [{"learning_rate": 0.1, "batch_size": 64}],
        },
    },
    "grid": {
        "summary": "A grid: every combination once",
        "value": {
            "trainer": {"name": "synthetic", "params": {"lr_opt": 0.03}},
            "search_space": {
                "learning_rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
                "batch_size": {"type": "int", "low": 16, "high": 128, "powers_of_two": True},
            },
            "sampler": {"name": "grid", "points": 5},
        },
    },
}
