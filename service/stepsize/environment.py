"""Which `STEPSIZE_` variables there are, so that a misspelt one is told instead of silently meaning the default."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

PREFIX = "STEPSIZE_"
SERVER = "STEPSIZE_SERVER"
"""Read by commands that talk to a service."""

_BETWEEN_PROCESSES = frozenset(
    {
        *("STEPSIZE_PARENT_PID", "STEPSIZE_WORKER_ID"),  # `stepsize up` to its worker
        # A trial to the program it runs, which may itself use the command line.
        *("STEPSIZE_PARAMS_FILE", "STEPSIZE_ARTIFACTS_DIR", "STEPSIZE_SEED", "STEPSIZE_DEVICE", "STEPSIZE_ATTEMPT"),
    }
)
_OF_OTHERS = re.compile(r"STEPSIZE_(PARAM_.*|(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+(_.*)?)?))")
"""A trial's parameters, and what Kubernetes and our compose file set beside a service that is called stepsize."""


def misspelt_variables(environment: Iterable[str], settings: Iterable[str]) -> list[str]:
    """Return a sentence about each variable that nothing reads.

    Args:
        environment: the names of all variables set.
        settings: the names of all settings, as the program has them.
    """
    known = [SERVER, *(PREFIX + name.upper() for name in settings)]
    read = {*known, *_BETWEEN_PROCESSES}
    ours = (name for name in sorted(environment) if name.startswith(PREFIX) and not _OF_OTHERS.fullmatch(name))
    return [f"{name}: there is no such setting; {_hint(name, known)}" for name in ours if name not in read]


def misspelt_server(environment: Iterable[str]) -> str | None:
    """Return what to tell who meant to name the service's address and misspelt the variable, or None."""
    names = set(environment)
    if SERVER in names:
        return None
    ours = [name.removeprefix(PREFIX) for name in sorted(names) if name.startswith(PREFIX)]
    meant = get_close_matches(SERVER.removeprefix(PREFIX), ours, n=1, cutoff=0.8)
    return f"{PREFIX}{meant[0]}: there is no such setting; did you mean {SERVER}?" if meant else None


def _hint(name: str, known: list[str]) -> str:
    nearest = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1)
    return f"did you mean {PREFIX}{nearest[0]}?" if nearest else f"known: {', '.join(known)}"
