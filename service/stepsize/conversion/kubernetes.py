"""What files for Kubernetes have in common: where the program stands in them, and what runs it."""

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from stepsize.conversion.part import Part

_BRACES = re.compile(r"\{\w+\}")
_CLUSTER = "a cluster's; the worker runs the program on its own machine"


def find_containers(data: JsonValue, place: str) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Yield every container below some part of a manifest, with its place."""
    if isinstance(data, list):
        for at, entry in enumerate(data):
            yield from find_containers(entry, f"{place}[{at}]")
    elif isinstance(data, dict):
        for name, below in data.items():
            inside = f"{place}.{name}"
            if name == "containers" and isinstance(below, list):
                yield from ((f"{inside}[{n}]", one) for n, one in enumerate(below) if isinstance(one, dict))
            else:
                yield from find_containers(below, inside)


def read_command(container: Part, stand_ins: Mapping[str, str]) -> list[str] | None:
    """Return a container's command and arguments; None: it has none, or one that can't be described.

    Args:
        stand_ins: text in them → what stands for it here.
    """
    command = []
    for name in ("command", "args"):
        for word in map(str, container.items(name)):
            argument, rest = word, word
            for theirs, ours in stand_ins.items():
                argument, rest = argument.replace(theirs, ours), rest.replace(theirs, "")
            if "${trialParameters." in rest:
                raise container.error(name, f"{word!r} names a parameter that trialParameters doesn't list")
            if found := _BRACES.search(rest):
                container.note(name, f"not carried over: {found[0]} would be taken for a parameter; write a script")
                return None
            command.append(argument)
    if not command:
        container.note("command", "there is none, and what the image starts is not known here; clients are to train")
    return command or None


def note_container(container: Part) -> None:
    """Tell what a container has that no worker of ours does for its program."""
    if image := container.maybe_text("image"):
        container.note("image", f"not carried over: the worker runs the program where it is; install what {image} has")
    container.drop("env", "envFrom", said="the program has the worker's environment, and STEPSIZE_PARAM_NAME for each")
    container.drop("resources", "resourcesPerNode", said="a job's resources are gpus and cpus; set them in it")
    container.drop("volumeMounts", "workingDir", said="set `directory` in the program's description")
    container.drop("imagePullPolicy", "ports", "securityContext", "numNodes", "numProcPerNode", said=_CLUSTER)
    container.take("name")
    container.close()
