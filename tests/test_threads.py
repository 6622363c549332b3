"""A team of threads learns the same bits as one thread alone, whatever else happens."""

import os
import threading
import time
from functools import cache

import numpy as np
import pytest
import trainings
from checks import TABLES, WALK, assert_a_signal_stops, random_parameters, random_states, same_bits
from steps import TWO_PARTICLES, train
from twin import twin

from wakesleep import _core, _likelihood
from wakesleep._reference import words_of
from wakesleep.optimizers import OPTIMIZERS, SGD, Optimizer
from wakesleep.rules import RULES, Rule

SIZES = np.array([130, 70, 33])  # with forty rows, two particles each, a step has work for seven threads
METHODS = np.array([WALK, TABLES, TABLES], np.uint8)
DATA = random_states(SIZES[:1], 90)


def learned(n_threads, module=_core, seed=1, rule=TWO_PARTICLES, optimizer=SGD):
    parameters, position = random_parameters(SIZES, scale=0.1), np.zeros(3, np.int64)
    how = (rule, optimizer)
    train(module, parameters, SIZES, METHODS, DATA, position, seed, 40, 7, (0.1, 0.2), *how, n_threads=n_threads)
    return parameters


def test_any_number_of_threads_learns_the_bits_of_the_twin(cpu_level):
    alone = learned(1, twin)
    for n_threads in (1, 2, 3, 4, 5, 8, 64, 1000):
        assert same_bits(learned(n_threads), alone), n_threads
    assert not same_bits(learned(2, seed=2), alone)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_chosen_rows_are_learned_as_a_copy_of_them_is(n_threads):
    chosen = np.arange(3, 80, 7)[::-1].copy()

    def rows_learned(module, data, **how):
        parameters, position = random_parameters(SIZES, scale=0.1), np.zeros(3, np.int64)
        train(module, parameters, SIZES, METHODS, data, position, 1, 4, 7, (0.1, 0.2), n_threads=n_threads, **how)
        return parameters

    copied = rows_learned(_core, DATA[chosen])
    assert same_bits(rows_learned(_core, DATA, chosen=chosen), copied)
    assert same_bits(rows_learned(twin, DATA, chosen=chosen), copied)
    assert not same_bits(rows_learned(_core, DATA[:11]), copied)


@pytest.mark.parametrize("optimizer", [*map(Optimizer, OPTIMIZERS), Optimizer("adam", 0.1, 0.1)], ids=str)
@pytest.mark.parametrize("name", RULES)
def test_any_number_of_threads_learns_the_bits_of_the_twin_by_every_rule(cpu_level, name, optimizer):
    rule = Rule(name, 3, 0.5, 2)
    alone = twins(rule, optimizer)
    for n_threads in (1, 2, 3, 4):
        assert same_bits(learned(n_threads, rule=rule, optimizer=optimizer), alone), n_threads


@cache
def twins(rule, optimizer):
    return learned(1, twin, rule=rule, optimizer=optimizer)


def test_no_batches_change_nothing():
    parameters, position = random_parameters(SIZES), np.array([3, 50, 500], np.int64)
    train(_core, parameters, SIZES, METHODS, DATA, position, 1, 40, 0, (0.1, 0.2), n_threads=4)
    assert same_bits(parameters, random_parameters(SIZES))
    assert position.tolist() == [3, 50, 500]


def test_any_number_of_threads_estimates_the_same_likelihoods():
    def estimates(n_threads):
        return _likelihood.importance(random_parameters(SIZES, scale=0.1), SIZES, METHODS, DATA, 3, 300, n_threads)

    alone = estimates(1)
    for n_threads in (2, 3, 8, 1000):
        assert all(same_bits(one, other) for one, other in zip(estimates(n_threads), alone, strict=True)), n_threads


@pytest.mark.parametrize("sizes", [(300, 15), (20, 13, 11)], ids=str)
def test_any_number_of_threads_adds_up_the_same_states(sizes):
    data = random_states(sizes[:1], 60)

    def exact(n_threads):
        return _likelihood.exact(random_parameters(sizes), sizes, data, n_threads)

    alone = exact(1)
    for n_threads in (2, 3, 7, 1000):
        assert same_bits(exact(n_threads), alone), n_threads


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("sizes", "n_rows"), [((3000, 24), 1), ((6, 18), 1 << 20)], ids=["states", "rows"])
def test_a_signal_stops_enumeration(n_threads, sizes, n_rows):
    data, parameters = np.zeros((n_rows, words_of(sizes[0])), np.uint64), random_parameters(sizes)
    assert_a_signal_stops(lambda: _likelihood.exact(parameters, sizes, data, n_threads))  # which takes minutes


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_signal_stops_importance_sampling_within_a_row(n_threads, n_rows):
    sizes, methods = np.array([64, 32, 16]), np.array([WALK, TABLES, TABLES], np.uint8)
    data = random_states(sizes[:1], n_rows)
    how = random_parameters(sizes), sizes, methods, data, 1, 2**40, n_threads  # for months
    assert_a_signal_stops(lambda: _likelihood.importance(*how))


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


def most_threads(train, times, enough):
    """The most new threads that this process had at any time, while one of them ran train() so many times."""

    def tasks():
        return set(os.listdir("/proc/self/task"))

    before, most, wanted = tasks(), 0, threading.Event()

    def run():
        for _ in range(times):
            if not wanted.is_set():
                train()

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        most = max(most, len(tasks() - before))
        if most >= enough:
            wanted.set()
        time.sleep(0.001)
    thread.join()
    return most


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads cannot be counted here")
@pytest.mark.parametrize("n_threads", [2, 4])
def test_large_steps_are_shared_and_small_ones_are_not(n_threads):
    sizes = np.array([20, 5])

    def small():
        parameters, position = random_parameters(sizes), np.zeros(3, np.int64)
        train(_core, parameters, sizes, METHODS[:2], random_states(sizes[:1], 90), position, 1, 4, 30_000, (0.1, 0.1),
              n_threads=n_threads)  # fmt: skip

    def large():
        trainings.learned(trainings.CASES["walk"], n_threads)

    assert most_threads(large, 10_000, enough=n_threads) >= n_threads
    assert most_threads(small, 10, enough=2) == 1
