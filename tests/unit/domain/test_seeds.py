"""Training seeds: a function of the job's seed, its rule and the trial's number."""

from stepsize.domain.seeds import training_seed
from stepsize.spec.seeds import SeedBlocks, SeedRule


def seeds_of(job_seed: int, rule: SeedRule | SeedBlocks, n: int = 12) -> list[int]:
    return [training_seed(job_seed, rule, number) for number in range(n)]


def test_fresh_seeds_all_differ_and_follow_from_the_job() -> None:
    assert len(set(seeds_of(3, SeedRule.FRESH))) == 12
    assert seeds_of(3, SeedRule.FRESH) == seeds_of(3, SeedRule.FRESH)
    assert seeds_of(3, SeedRule.UNKNOWN) == seeds_of(3, SeedRule.FRESH)  # a client may train with them all the same
    assert not set(seeds_of(3, SeedRule.FRESH)) & set(seeds_of(4, SeedRule.FRESH))


def test_a_shared_seed_is_one_for_all() -> None:
    assert len(set(seeds_of(3, SeedRule.SHARED))) == 1
    assert seeds_of(3, SeedRule.SHARED) != seeds_of(4, SeedRule.SHARED)


def test_blocks_take_their_seeds_in_turn() -> None:
    found = seeds_of(3, SeedBlocks(blocks=4))
    assert len(set(found[:4])) == 4
    assert found == found[:4] * 3
