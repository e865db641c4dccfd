"""A net that has played against itself beats one that has not."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from stepsize_workers.trainers.base import Diverged
from stepsize_workers.trainers.board_game import BoardGame, BoardGameParams
from tests.fakes import RecordingContext

SMALL: dict[str, object] = {"columns": 5, "rows": 4, "games": 8, "simulations": 8, "width": 8}


def make_context(directory: Path, **params: object) -> RecordingContext[BoardGameParams]:
    return RecordingContext(params=BoardGameParams.model_validate(params), directory=directory)


@pytest.mark.slow  # 40 s of a busy core; measured over three seeds: 0.93 to 0.96, and 0.92 to 0.95
@pytest.mark.timeout(900)  # a busy machine took 237 s
def test_it_learns_to_win(tmp_path: Path) -> None:
    context = make_context(tmp_path, epochs=12)
    BoardGame().train(context)
    best = max((values for _, values in context.reports), key=lambda values: values["search_win_rate"])
    assert best["search_win_rate"] >= 0.6
    # Who always plays the third column has 0.81.
    assert max(values["policy_win_rate"] for _, values in context.reports) >= 0.85


def test_a_rate_a_hundred_times_too_high_shows(tmp_path: Path) -> None:
    small = {**SMALL, "columns": 6, "rows": 5, "games": 16}
    context = make_context(tmp_path, **small, epochs=2, learning_rate=0.5)
    with suppress(Diverged):
        BoardGame().train(context)
    # It explodes, or its loss stays far above that of guessing. Over two seeds 2.04 each; at 0.005 under 1.9.
    # Games against a random player don't tell: who always plays the same column wins four fifths of them.
    assert not context.reports or context.reports[-1][1]["train_loss"] > 1.95


def test_what_games_teach_is_how_they_went(tmp_path: Path) -> None:
    task, params = BoardGame(), BoardGameParams.model_validate({**SMALL, "window": 2})
    task.prepare(params, device=torch.device("cpu"), data_dir=tmp_path)
    model = task.build(params, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for epoch in range(1, params.window + 2):
            task.collect(model, epoch, torch.Generator().manual_seed(epoch))
    assert len(task.rounds) == params.window
    lessons = task.rounds[-1]
    np.testing.assert_allclose(lessons.visits.sum(1), 1, rtol=1e-6)
    assert not lessons.visits[~task.game.is_legal(lessons.positions)].any()
    assert (np.abs(lessons.values) <= 1).all()
    n = len(lessons) // 2  # then come the mirror images
    np.testing.assert_array_equal(lessons.visits[n:], lessons.visits[:n, ::-1])
    # The net knows nothing of worth: about half of a target is how the game ended.
    begins = lessons.positions.mine[:n] | lessons.positions.theirs[:n]
    assert int((begins == 0).sum()) == params.games
    again = BoardGame()
    again.prepare(params, device=torch.device("cpu"), data_dir=tmp_path)
    again.restore(task.state())
    for one, other in zip(task.rounds, again.rounds, strict=True):
        np.testing.assert_array_equal(one.positions.mine, other.positions.mine)
        np.testing.assert_array_equal(one.values, other.values)
