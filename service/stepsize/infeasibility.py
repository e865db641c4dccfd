"""Which exceptions say that a configuration can't be trained: the search learns to avoid its like.

A leaf: trainers, slots and functions tuned in a process of the user's own go by the same rule.
"""

import errno

_WORDS = (
    "MemoryError",
    "OutOfMemoryError",
    "can't allocate memory",  # torch's allocator on the CPU
    "CUDA out of memory",  # torch's allocator on CUDA
    "CUDA error: out of memory",  # CUDA itself
    "_ALLOC_FAILED",  # cuBLAS, and cuDNN before version 9
    "ALLOCATION_FAILED",  # cuDNN since
    "RESOURCE_EXHAUSTED: Out of memory",  # XLA: JAX and TensorFlow
    "std::bad_alloc",
)


class Diverged(Exception):  # noqa: N818 - an outcome, not a mistake
    """Training exploded: the trial ends as `infeasible, diverged`.

    Attributes:
        step: the step being worked on when it happened, where known.
        learning_rate: the rate at that moment, where known.
    """

    def __init__(
        self, message: str = "training diverged", *, step: int | None = None, learning_rate: float | None = None
    ) -> None:
        super().__init__(message)
        self.step = step
        self.learning_rate = learning_rate


def says_out_of_memory(text: str) -> bool:
    """Tell whether a message, or what a program wrote to standard error, says that memory ran out."""
    return any(words in text for words in _WORDS)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an exception says so; torch need not be imported for its sake."""
    match error:
        case MemoryError():  # numpy's own derives from it
            return True
        case OSError(errno=errno.ENOMEM):
            return True
        case RuntimeError():  # torch's own derive from it, and CUDA's libraries raise nothing better
            return says_out_of_memory(f"{type(error).__name__}: {error}")
        case _:
            return type(error).__name__ == "OutOfMemoryError"
