"""Connect Four: its rules beside slow and simple ones, and what a search finds."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from stepsize_workers.training.connect_four import ConnectFour, Positions
from stepsize_workers.training.matches import at_random, openings, play_match
from stepsize_workers.training.tree_search import Floats, Judge, TreeSearch

GAME = ConnectFour(rows=4, columns=5)


def after(*moves: int, game: ConnectFour = GAME) -> Positions:
    """Return the position after some moves, one board."""
    positions = game.begin(1)
    for move in moves:
        positions = game.play(positions, np.array([move]))
    return positions


def has_four(stones: NDArray[np.float32]) -> bool:
    """Return whether a board (rows, columns) has four in a line, looked at one by one."""
    height, width = stones.shape
    for row, column, (down, right) in product(range(height), range(width), ((0, 1), (1, 0), (1, 1), (1, -1))):
        places = [(row + step * down, column + step * right) for step in range(4)]
        if all(0 <= r < height and 0 <= c < width and stones[r, c] for r, c in places):
            return True
    return False


@pytest.mark.parametrize("game", [GAME, ConnectFour(rows=6, columns=7)])
def test_random_games_end_as_simple_rules_say(game: ConnectFour) -> None:
    rng = np.random.default_rng(0)
    choose = at_random(game, rng)
    positions, n_ended = game.begin(25), 0
    for number in range(game.rows * game.columns):
        planes, is_legal = game.planes(positions), game.is_legal(positions)
        assert (planes.sum((1, 2, 3)) == number).all()
        np.testing.assert_array_equal(is_legal, planes.sum(1)[:, 0] == 0)  # the top row is free
        moves = choose(positions)
        assert is_legal[np.arange(len(moves)), moves].all()
        heights = game.height(positions, moves)
        positions = game.play(positions, moves)
        planes = game.planes(positions)
        for board, move, height in zip(planes, moves, heights, strict=True):
            assert board[1, game.rows - 1 - height, move]  # the stone is the other's now, and lies where it was told
        is_over, worth = game.results(positions)
        is_won = np.array([has_four(board[1]) for board in planes])
        is_full = planes.sum((1, 2, 3)) == game.rows * game.columns
        np.testing.assert_array_equal(is_over, is_won | is_full)
        np.testing.assert_array_equal(worth, -is_won.astype(np.float32))
        n_ended += int(is_over.sum())
        positions = positions[~is_over]
        if not len(positions):
            break
    assert n_ended == 25


def test_a_mirror_image_is_the_board_from_behind() -> None:
    positions = after(0, 1, 1, 4, 3)
    mirrored = Positions(GAME.mirror(positions.mine), GAME.mirror(positions.theirs))
    np.testing.assert_array_equal(GAME.planes(mirrored), GAME.planes(positions)[..., ::-1])


def test_openings_are_all_there_are() -> None:
    positions = openings(GAME, 2)
    assert len({(int(mine), int(theirs)) for mine, theirs in zip(positions.mine, positions.theirs, strict=True)}) == 25
    assert (GAME.planes(positions).sum((1, 2, 3)) == 2).all()


def always(column: int) -> NDArray[np.int64]:
    return np.array([column])


def test_a_match_tells_who_won() -> None:
    empty = GAME.begin(1)
    assert play_match(GAME, lambda _: always(0), lambda _: always(1), empty).tolist() == [1]
    assert play_match(GAME, lambda _: always(1), lambda _: always(0), after(0, 2, 0, 2, 0)).tolist() == [-1]


def know_nothing(positions: Positions) -> tuple[Floats, Floats]:
    is_legal = GAME.is_legal(positions)
    return (is_legal / np.maximum(1, is_legal.sum(1, keepdims=True))).astype(np.float32), np.zeros(
        len(positions), dtype=np.float32
    )


def test_a_search_wins_at_once_and_prevents_the_others_win() -> None:
    to_win, to_prevent = after(0, 1, 0, 1, 0, 1), after(0, 1, 0, 1, 0)
    both = Positions(*(np.concatenate(pair) for pair in zip(*((p.mine, p.theirs) for p in (to_win, to_prevent)))))  # noqa: B905
    shares, worth = TreeSearch(GAME, 200).look(know_nothing, both)
    assert shares.argmax(1).tolist() == [0, 0]
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert worth[0] > 0.8
    assert worth[1] < 0.3


def test_games_do_not_know_of_each_other() -> None:
    search = TreeSearch(GAME, 30)
    alone = [after(0, 1, 0, 1, 0, 1), after(2, 2), after(3)]
    together = Positions(
        np.concatenate([p.mine for p in alone]),
        np.concatenate([p.theirs for p in alone]),
    )
    for row, positions in enumerate(alone):
        np.testing.assert_array_equal(
            search.look(know_nothing, together)[0][row], search.look(know_nothing, positions)[0][0]
        )


def test_a_search_goes_where_its_judge_says() -> None:
    def like_the_last(positions: Positions) -> tuple[Floats, Floats]:
        chances = np.where(np.arange(5) == 4, 0.9, 0.025).astype(np.float32) * GAME.is_legal(positions)
        return chances, np.zeros(len(positions), dtype=np.float32)

    judges: list[Judge] = [know_nothing, like_the_last]
    shares = [TreeSearch(GAME, 20).look(judge, GAME.begin(1))[0][0, 4] for judge in judges]
    assert shares[0] < 0.4 < shares[1]
