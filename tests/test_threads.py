"""A team of threads learns the same bits as one thread alone, whatever else happens."""

import multiprocessing
import threading

import numpy as np
import pytest
from checks import TABLES, WALK, random_parameters, random_states, same_bits

from wakesleep import _core, _likelihood, _reference

SIZES = np.array([130, 70, 33])  # with forty rows a step has work for more than eight threads
METHODS = np.array([WALK, TABLES, TABLES], np.uint8)
DATA = random_states(SIZES[:1], 90)


def learned(n_threads, module=_core, seed=1):
    parameters, position = random_parameters(SIZES, scale=0.1), np.zeros(3, np.int64)
    module.train(parameters, SIZES, METHODS, DATA, position, seed, 40, 2, 7, (0.1, 0.2), n_threads)
    return parameters


def test_any_number_of_threads_learns_the_bits_of_the_twin(cpu_level):
    alone = learned(1, _reference)
    for n_threads in (1, 2, 3, 4, 5, 8, 64, 1000):
        assert same_bits(learned(n_threads), alone), n_threads
    assert not same_bits(learned(2, seed=2), alone)


def test_any_number_of_threads_estimates_the_same_likelihoods():
    def estimates(n_threads):
        return _likelihood.importance(random_parameters(SIZES, scale=0.1), SIZES, METHODS, DATA, 3, 300, n_threads)

    alone = estimates(1)
    for n_threads in (2, 3, 8, 1000):
        assert all(same_bits(one, other) for one, other in zip(estimates(n_threads), alone, strict=True)), n_threads


def test_machines_trained_at_once_do_not_disturb_each_other():
    wanted = [learned(1, seed=seed) for seed in range(4)]
    found = [None] * 4

    def train(seed):
        for _ in range(5):
            found[seed] = learned(2, seed=seed)

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same_bits(one, other) for one, other in zip(found, wanted, strict=True))


def send_learned(pipe):
    pipe.send(learned(2))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_team_works_after_a_fork():
    before = learned(2)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=send_learned, args=(there,))
    child.start()
    assert here.poll(30), "the child hangs"
    assert same_bits(here.recv(), before)
    child.join()
