"""The Stepsize service: specification, record, HTTP API and command line. Never imports torch, Optuna's searches or `workers`."""

__version__ = "0.1.0"
