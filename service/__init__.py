"""The Stepsize service: specification, record, HTTP API and command line. Never imports torch or `workers`."""

__version__ = "0.1.0"
