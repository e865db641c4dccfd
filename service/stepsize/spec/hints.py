"""Hints for mistyped names, and for the names that other tools have for the same things."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args

from stepsize.spec.optimizers import Optimizer
from stepsize.spec.pruners import Pruner
from stepsize.spec.samplers import Sampler
from stepsize.spec.schedules import Schedule

_MOST_LISTED = 20
_FAMILIES: Mapping[str, tuple[Any, str]] = {
    "sampler": (Sampler, "under sampler"),
    "pruner": (Pruner, "under pruner"),
    "schedule": (Schedule, "as the trainer's parameter schedule"),
    "optimizer": (Optimizer, "as the trainer's parameter optimizer"),
}
"""Kind of thing → the union of its members and where its names belong."""
_ARTICLE = {"optimizer": "an"}
_SYNONYMS: dict[str, tuple[str, ...]] = {
    # samplers
    "bayes": ("tpe", "gp"),
    "bayesian": ("tpe", "gp"),
    "bayesianoptimization": ("tpe", "gp"),
    "bayesopt": ("tpe", "gp"),
    "bo": ("tpe", "gp"),
    "smbo": ("tpe", "gp"),
    "hyperopt": ("tpe",),
    "parzen": ("tpe",),
    "optuna": ("tpe",),
    "gaussianprocess": ("gp",),
    "botorch": ("gp",),
    "ax": ("gp",),
    "kriging": ("gp",),
    "skopt": ("gp",),
    "cma": ("cmaes",),
    "evolution": ("cmaes", "nsgaii"),
    "evolutionary": ("cmaes", "nsgaii"),
    "genetic": ("nsgaii",),
    "ga": ("nsgaii",),
    "nsga": ("nsgaii",),
    "nsga2": ("nsgaii",),
    "nsgaiii": ("nsgaii",),
    "nsga3": ("nsgaii",),
    "motpe": ("tpe",),
    "sobol": ("qmc",),
    "halton": ("qmc",),
    "quasirandom": ("qmc",),
    "quasimontecarlo": ("qmc",),
    "lowdiscrepancy": ("qmc",),
    "latinhypercube": ("qmc",),
    "lhs": ("qmc",),
    "randomsearch": ("random",),
    "uniform": ("random",),
    "montecarlo": ("random",),
    "gridsearch": ("grid",),
    "bruteforce": ("grid",),
    "exhaustive": ("grid",),
    # pruners
    "successivehalving": ("asha",),
    "sha": ("asha",),
    "halving": ("asha",),
    "asynchyperband": ("asha",),
    "hb": ("hyperband",),
    "bohb": ("hyperband",),
    "earlystopping": ("patient",),
    "patience": ("patient",),
    "plateau": ("patient",),
    "medianstopping": ("median",),
    "medianstoppingrule": ("median",),
    "quantile": ("percentile",),
    "nop": ("none",),
    "off": ("none",),
    # schedules
    "cosineannealing": ("cosine",),
    "cosinedecay": ("cosine",),
    "cosinewarmrestarts": ("cosine_restarts",),
    "cosineannealingwarmrestarts": ("cosine_restarts",),
    "sgdr": ("cosine_restarts",),
    "warmrestarts": ("cosine_restarts",),
    "steplr": ("step",),
    "multisteplr": ("multi_step",),
    "exponentiallr": ("exponential",),
    "expdecay": ("exponential",),
    "poly": ("polynomial",),
    "clr": ("cyclical",),
    "cyclic": ("cyclical",),
    "triangular": ("cyclical",),
    "superconvergence": ("one_cycle",),
    "noam": ("inverse_sqrt",),
    "rsqrt": ("inverse_sqrt",),
    "trapezoidal": ("warmup_stable_decay",),
    "wsd": ("warmup_stable_decay",),
    "fixed": ("constant",),
    # optimizers
    "momentum": ("sgd",),
    "nesterov": ("sgd",),
    "stochasticgradientdescent": ("sgd",),
    "adamweightdecay": ("adamw",),
    "rectifiedadam": ("radam",),
    "amsgrad": ("adam", "adamw"),
    # directions
    "max": ("maximize",),
    "maximum": ("maximize",),
    "higher": ("maximize",),
    "highest": ("maximize",),
    "ascending": ("maximize",),
    "min": ("minimize",),
    "minimum": ("minimize",),
    "lower": ("minimize",),
    "lowest": ("minimize",),
    "descending": ("minimize",),
    # lists
    "cursor": ("page_token",),
    "nextcursor": ("page_token",),
    "nextpagetoken": ("page_token",),
    "token": ("page_token",),
    "page": ("page_token",),
    "offset": ("page_token",),
    "skip": ("page_token",),
    "after": ("page_token",),
    "startingafter": ("page_token",),
    "marker": ("page_token",),
    "continue": ("page_token",),
    "pagesize": ("limit",),
    "perpage": ("limit",),
    "size": ("limit",),
    "count": ("limit",),
    "maxresults": ("limit",),
    "order": ("sort",),
    "orderby": ("sort",),
    "sortby": ("sort",),
}
"""Another tool's word, its letters and digits alone → our names for it."""
_KINDS = re.compile(r"(?<=.)(sampler|pruner|scheduler|search|optimizer|lr)$")
"""What other tools' classes end in: `TPESampler`, `ASHAScheduler`, `CosineAnnealingLR`."""


def hint(name: str, known: Iterable[str]) -> str:
    """Return what to add to "there is no …": what was meant, where it belongs instead, or all the names there are."""
    names = list(known)
    if meant := _meant(name, names):
        return f"did you mean {' or '.join(map(repr, meant))}?"
    if elsewhere := _elsewhere(name, names):
        return elsewhere
    if nearest := get_close_matches(name, names, n=1):
        return f"did you mean {nearest[0]!r}?"
    if not names:
        return "there are none"
    listed = ", ".join(sorted(names)[:_MOST_LISTED])
    return f"known: {listed}" + (", …" if len(names) > _MOST_LISTED else "")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the one known name that was most likely meant; None: it is like none of them."""
    names = list(known)
    return next(iter(_meant(name, names) or get_close_matches(name, names, n=1)), None)


def _meant(name: str, names: list[str]) -> list[str]:
    """Return the known names that are this one in other letters or in another tool's words."""
    for key in dict.fromkeys((_key(name), _KINDS.sub("", _key(name)))):
        alike = [one for one in names if _key(one) == key]
        if meant := alike or [one for one in _SYNONYMS.get(key, ()) if one in names]:
            return meant
    return []


def _elsewhere(name: str, names: list[str]) -> str | None:
    """Return where a name belongs that is asked for among things of another kind, `asha` among samplers."""
    if not any(set(names) == set(members) for members in _members().values()):
        return None
    for family, members in _members().items():
        for one in _meant(name, list(members)):
            said = (
                f"{name!r} is {_ARTICLE.get(family, 'a')} {family}"
                if one == name
                else f"{name!r} means the {family} {one!r}"
            )
            return f"{said}, which is named {_FAMILIES[family][1]}; known here: {', '.join(sorted(names))}"
    return None


@cache
def _members() -> dict[str, tuple[str, ...]]:
    return {
        family: tuple(model.model_fields["name"].default for model in get_args(get_args(union)[0]))
        for family, (union, _) in _FAMILIES.items()
    }


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
