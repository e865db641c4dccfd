"""How an exception that ends a trial is told to its worker."""

from stepsize.domain.said import LONGEST_NAME, clean_text
from stepsize.domain.trial import TrialError
from stepsize.infeasibility import Diverged, is_out_of_memory
from stepsize_workers.engines.base import Outcome


def outcome_of(exception: BaseException) -> Outcome:
    """Return the outcome of an attempt that an exception ended."""
    if isinstance(exception, Diverged):
        return Outcome.DIVERGED
    return Outcome.OOM if isinstance(exception, Exception) and is_out_of_memory(exception) else Outcome.ERROR


def error_of(exception: BaseException) -> TrialError:
    """Return an exception in words, with the notes it carries."""
    name = clean_text(type(exception).__name__, LONGEST_NAME) or "Error"
    words = [_words_of(exception), *(clean_text(note) for note in getattr(exception, "__notes__", ()))]
    return TrialError(name, clean_text("\n".join(word for word in words if word)))


def _words_of(exception: BaseException) -> str:
    if isinstance(exception, SystemExit) and isinstance(exception.code, int | None):
        code = "" if exception.code is None else exception.code
        return f"its code called sys.exit({code}); see what it printed before"
    return clean_text(exception)
