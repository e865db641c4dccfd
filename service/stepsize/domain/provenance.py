"""What is said of a job whose trials came from different code, packages or machines."""

from collections.abc import Sequence

from stepsize.spec.provenance import Provenance, differences

WARNING = "its trials ran under different provenance: "
_TOLD = 4


def differs(found: Sequence[Provenance]) -> str:
    """Return a sentence for the job's warnings: what differs, and how to see which trials it is about."""
    unlike = [f"{name.removeprefix('packages.')} {' and '.join(values)}" for name, values in differences(found).items()]
    more = f", and {len(unlike) - _TOLD} more" if len(unlike) > _TOLD else ""
    return f"{WARNING}{', '.join(unlike[:_TOLD])}{more}; compare them with that in mind (`stepsize provenance JOB`)"


def is_about_provenance(warning: str) -> bool:
    """Tell whether a warning is such a sentence."""
    return warning.startswith(WARNING)
