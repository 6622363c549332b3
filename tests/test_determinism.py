"""Whatever should not matter does not: each machine of `trainings` has one SHA-256, and it is the golden one."""

import pytest
import trainings
from trainings import CASES, CHUNKS, THREADS, sha256
from twin import mutant, twin

every_case = pytest.mark.parametrize("name", CASES)


@every_case
@pytest.mark.parametrize("n_threads", THREADS)
def test_threads_levels_and_chunks_do_not_matter(cpu_level, name, n_threads):
    for chunk in CHUNKS:
        assert sha256(trainings.learned(CASES[name], n_threads, chunk)) == trainings.golden()[name], chunk


@every_case
@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_interruption_does_not_matter(cpu_level, name, n_threads):
    assert sha256(trainings.resumed(CASES[name], n_threads)) == trainings.golden()[name]


def test_all_that_follows_from_a_seed_is_golden(cpu_level):
    assert trainings.hashes() == trainings.golden()


@every_case
def test_another_seed_gives_another_hash(name):
    case = CASES[name]
    for other in (case.seed + 1, case.seed + 2**32):
        assert sha256(trainings.learned(case._replace(seed=other))) != trainings.golden()[name]


# Constants of the random numbers, and of the orders of sums, in the twin: (text, its replacement).
PLANTED = {
    "multiplier of Philox": ("0xD2511F53", "0xD2511F55"),
    "key of Philox": ("+ 0x9E3779B9)", "+ 0x9E3779BB)"),
    "rounds of Philox": ("range(10)", "range(9)"),
    "streams": ("phase << 24", "phase << 23"),
    "uniform numbers": ("+ dtype(2.0**-24)", "+ dtype(2.0**-12)"),
    "order of an epoch": ("0xD6E8FEB86659FD93", "0xD6E8FEB86659FD95"),
    "coefficient of exp": ("0.24022242", "0.24022244"),
    "rows of a table": ("i - block) // 4]", "i - block) // 8]"),
    "chains of a walk": ("turn[chosen] ^= 1", "turn[chosen] ^= 0"),
}


@every_case
def test_the_twin_has_the_golden_hash(name):
    assert sha256(trainings.learned(CASES[name], module=twin)) == trainings.golden()[name]


@pytest.mark.parametrize("constant", PLANTED)
def test_a_planted_change_of_one_constant_gives_another_hash(constant):
    module = mutant(*PLANTED[constant])
    assert sha256(trainings.learned(CASES["walk"], module=module)) != trainings.golden()["walk"]
