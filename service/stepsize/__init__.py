"""Stepsize tunes hyperparameters as a service, and understands the learning rate.

`Client` speaks to a running service. The service itself (specification, record, HTTP API, command line) lives in the
sub-packages; none of them imports torch or `stepsize_workers`.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepsize.client import ApiError, Client, ServerUnreachableError

__version__ = "0.1.0"
__all__ = ["ApiError", "Client", "ServerUnreachableError", "__version__"]


def __getattr__(name: str) -> object:
    """Import what is public when it is first asked for: a slot process never pays for the client."""
    if name in __all__:
        return getattr(importlib.import_module("stepsize.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
