"""The parameters of a task that trains several trials as one: those that all of them share.

A task is prepared once for a group, and what it keeps of its parameters then, it has for all members. So what is not
the same for all is not there to be read: it would be the first member's, and nobody would notice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict

from stepsize_workers.trainers.base import NotFusedError
from stepsize_workers.training.params import TrainingParams

P = TypeVar("P", bound=TrainingParams)


class SharedParams(Generic[P]):
    """What a group's members have in common, in a form that a task can keep as its parameters."""

    def __init__(self, first: P, free: frozenset[str]) -> None:
        """Begin with the first member's.

        Args:
            free: the names of those that may differ.
        """
        self._members: list[P] = []
        self._free = free & type(first).model_fields.keys()
        self._read: set[str] = set()
        """Those of the free ones that the task has read: they may differ no longer."""
        self._one: P | None = None
        self.view = _view_of(first, self._free, self._read_one, self._read_all)
        """What the task is given."""
        self.admit(first)

    def admit(self, params: P) -> None:
        """Take in another member.

        Raises:
            NotFusedError: the task has read something that is another for this one.
        """
        self._members.append(params)
        self._check_same(self._read)

    @contextmanager
    def all_of(self, one: P) -> Iterator[None]:
        """Let the task read in the body whatever it likes: it works for this member alone."""
        self._one = one
        try:
            yield
        finally:
            self._one = None

    def _read_one(self, name: str) -> object:
        return getattr(self._read_some({name}), name)

    def _read_all(self) -> P:
        return self._read_some(self._free)

    def _read_some(self, names: set[str] | frozenset[str]) -> P:
        if self._one is not None:
            return self._one
        self._read |= names
        self._check_same(names)
        return self._members[0]

    def _check_same(self, names: set[str] | frozenset[str]) -> None:
        for name in sorted(names):
            first, *others = (getattr(params, name) for params in self._members)
            if any(other != first for other in others):
                raise NotFusedError(f"the task reads {name} for all trials at once, and theirs differ")


def _view_of(params: P, free: frozenset[str], read_one: Callable[[str], object], read_all: Callable[[], P]) -> P:
    """Return parameters of the same class, of which those that are free are looked up elsewhere."""
    kind: Any = type(params)

    class View(kind):  # type: ignore[misc]
        model_config = ConfigDict(defer_build=True)  # it is never validated

        def __getattr__(self, name: str) -> object:  # asked for what is not in the instance
            return read_one(name) if name in free else super().__getattr__(name)

        @property
        def __dict__(self) -> dict[str, object]:  # type: ignore[override]  # what pydantic dumps, compares and shows
            return read_all().__dict__

        def model_dump_json(self, **how: Any) -> str:  # it would wrap what is raised
            return read_all().model_dump_json(**how)

        def __copy__(self) -> P:
            return read_all()

        def __deepcopy__(self, memo: object = None) -> P:
            return read_all()

        def __reduce_ex__(self, protocol: Any) -> Any:
            return copy, (read_all(),)

    view: P = View.__new__(View)
    shared = {name: value for name, value in params if name not in free}
    for name, value in {**shared, "__pydantic_fields_set__": params.model_fields_set}.items():
        object.__setattr__(view, name, value)
    for name in ("__pydantic_extra__", "__pydantic_private__"):
        object.__setattr__(view, name, None)
    return view
