"""All jobs whose answers are judged, played on as many cores as there are."""

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch

from benchmarks.honesty.comparing import SAME, Claim, compare, different
from benchmarks.honesty.jobs import Kept, Live, Source, play_job
from benchmarks.honesty.scores import Score, score
from benchmarks.truth.data import TRACES
from benchmarks.truth.valleys import Landscape
from stepsize.domain.seeds import derive_seed


@dataclass(frozen=True)
class Play:
    """One job to play, and perhaps two more of the same landscape that compare choices."""

    landscape: Landscape
    index: int
    """Which of the jobs on this landscape."""
    is_live: bool
    compares: bool
    compares_live: bool


def plays_of(landscapes: Sequence[Landscape], n_jobs: int, *, is_live_too: bool) -> Iterator[Play]:
    """Yield what to play: a round of one job a landscape after another."""
    n_played, n_compared = 0, 0
    for index in range(n_jobs):
        for place, landscape in enumerate(landscapes):
            compares = (index + place) % 2 == 0  # they take longest
            # Every tenth job of all, whichever landscape it falls on, and of the comparisons as many.
            is_live, compares_live = is_live_too and n_played % 10 == 0, is_live_too and n_compared % 5 == 0
            yield Play(landscape, index, is_live, compares, compares and compares_live)
            n_played, n_compared = n_played + 1, n_compared + compares


def play(one: Play, deadline: float) -> tuple[list[Score], list[Claim]]:
    """Return what the jobs said; nothing after the deadline."""
    if time.monotonic() > deadline:
        return [], []
    landscape, claims = one.landscape, []
    seed = derive_seed(0, landscape.name, one.index)
    scores = [score(play_job(landscape, _source(landscape, seed, is_live=one.is_live), seed=seed))]
    for factors in (SAME, different(landscape)) if one.compares else ():
        drawn = derive_seed(seed, "choices", len(set(factors.values())))
        is_live = one.compares_live and factors is SAME
        claims.append(compare(landscape, _source(landscape, drawn, is_live=is_live), factors, seed=seed))
    return scores, claims


def play_all(plays: Sequence[Play], deadline: float, n_processes: int) -> tuple[list[Score], list[Claim]]:
    """Return what all jobs said that were begun in time."""
    scores: list[Score] = []
    claims: list[Claim] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, spawn, torch.set_num_threads, (1,)) as processes:
        for n_done, (found, claimed) in enumerate(processes.map(play, plays, repeat(deadline)), start=1):
            scores += found
            claims += claimed
            if not n_done % 10:
                sys.stderr.write(f"{n_done} of {len(plays)}\n")
    return scores, claims


def _source(landscape: Landscape, seed: int, *, is_live: bool) -> Source:
    return Live(landscape, seed, TRACES) if is_live else Kept(landscape, np.random.default_rng(seed))
