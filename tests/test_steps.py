"""The compiled loop learns the same bits as its twin, by every rule and optimizer, at every CPU level."""

import numpy as np
import pytest
import steps
from checks import TABLES, WALK, random_parameters, random_states, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import TWO_PARTICLES
from test_core import ROWS, SEEDS, assert_same, machines

from wakesleep import _core, _reference
from wakesleep.optimizers import MOMENTS, OPTIMIZERS, SGD, Optimizer
from wakesleep.parameters import Parameters
from wakesleep.rules import BASELINES, RULES, Rule

RATES = st.sampled_from([0.0, 0.05, 0.5])


def trained(
    module, machine, data, calls, seed, batch_size, rates, rule=TWO_PARTICLES, optimizer=SGD, n_threads=1
):
    """Parameters, moments, position and updates after these numbers of minibatches, one call for each."""
    parameters, position, updates = machine[0].copy(), np.zeros(3, np.int64), np.zeros(2, np.int64)
    moments = np.zeros((MOMENTS[optimizer.name], parameters.size), np.float32)
    for n_batches in calls:
        steps.train(module, parameters, *machine[1:], data, position, seed, batch_size, n_batches, rates, rule,
                    optimizer, moments, updates, n_threads=n_threads)  # fmt: skip
    return [parameters, moments, position, updates]


@settings(max_examples=300)
@given(
    machine=machines(),
    n_rows=ROWS,
    batch_size=ROWS | st.just(1000),
    n_particles=st.integers(1, 3),
    calls=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    seed=SEEDS,
    rates=st.tuples(RATES, RATES),
)
def test_training_equals_the_twin(cpu_level, machine, n_rows, batch_size, n_particles, calls, seed, rates):
    data = random_states(machine[1][:1], n_rows)
    rule = Rule("wake-sleep", n_particles)
    assert_same(lambda m: trained(m, machine, data, calls, seed, batch_size, rates, rule))


def own_rule(log_w):
    """A rule of the user's own."""
    v = _reference.sigmoid(log_w)
    return v, v - 0.5


def asleep_only(log_w):
    """Another one, with no credits for q."""
    return _reference.sigmoid(log_w), None


LEARNERS = st.builds(
    Rule, st.sampled_from([*RULES, own_rule, asleep_only]), st.integers(2, 5), st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 3), st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from(BASELINES),
).filter(lambda rule: rule.sleep_weight or rule.name != asleep_only)  # fmt: skip
OPTIMIZER = st.builds(
    Optimizer, st.sampled_from(OPTIMIZERS), st.sampled_from([0.0, 0.1]), st.sampled_from([None, None, 0.5, 1e9]),
    st.just(frozenset()),
)  # fmt: skip


@settings(max_examples=400)
@given(
    machine=machines(),
    n_rows=ROWS,
    batch_size=ROWS | st.just(1000),
    rule=LEARNERS,
    optimizer=OPTIMIZER,
    calls=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    seed=SEEDS,
    rates=st.tuples(RATES, RATES),
)
def test_every_rule_and_optimizer_equals_the_twin(
    cpu_level, machine, n_rows, batch_size, rule, optimizer, calls, seed, rates
):
    data = random_states(machine[1][:1], n_rows)
    assert_same(lambda m: trained(m, machine, data, calls, seed, batch_size, rates, rule, optimizer))


@given(machine=machines(), cuts=st.lists(st.integers(0, 5), min_size=2, max_size=4))
def test_training_in_several_calls_is_training_in_one(cpu_level, machine, cuts):
    data = random_states(machine[1][:1], 13)
    whole = trained(_core, machine, data, [sum(cuts)], 1, 5, (0.1, 0.2))
    parts = trained(_core, machine, data, cuts, 1, 5, (0.1, 0.2))
    assert all(map(same_bits, whole, parts))


def test_training_moves_every_parameter_and_depends_on_the_seed(cpu_level):
    sizes = np.array([70, 20, 5])
    machine = random_parameters(sizes), sizes, np.array([WALK, TABLES, TABLES], np.uint8)
    data = random_states(sizes[:1], 40)
    one, two = (trained(_core, machine, data, [20], seed, 8, (0.1, 0.1))[0] for seed in (1, 2))
    assert (one != machine[0]).all()
    assert (one != two).any()


def test_a_clock_changes_nothing_and_books_every_layer(cpu_level):
    sizes = np.array([70, 20, 5])
    machine = random_parameters(sizes), sizes, np.array([WALK, TABLES, TABLES], np.uint8)
    data, clock = random_states(sizes[:1], 40), np.zeros((1, 6, len(_core.STAGES)))
    parameters, position = machine[0].copy(), np.zeros(3, np.int64)
    steps.train(_core, parameters, *machine[1:], data, position, 1, 8, 20, (0.1, 0.1), TWO_PARTICLES, clock=clock)
    unclocked, *_ = trained(_core, machine, data, [20], 1, 8, (0.1, 0.1))
    assert same_bits(parameters, unclocked)
    assert (clock >= 0).all()
    assert clock.any(axis=2).all()


def test_train_equals_its_parts_by_hand(cpu_level):
    steps.check_train_by_hand(_core, np.float32)


@pytest.mark.parametrize("method", [WALK, TABLES])
@pytest.mark.parametrize("rates", [(0.0, 0.0), (1e-50, 1e-50)])
def test_learning_rates_of_zero_leave_the_parameters(cpu_level, method, rates):
    sizes = np.array([5, 3, 2])
    machine = random_parameters(sizes), sizes, np.full(3, method, np.uint8)
    parameters, _, position, _ = trained(_core, machine, random_states(sizes[:1], 9), [3], 1, 4, rates, Rule())
    assert same_bits(parameters, machine[0])
    assert position.tolist() == [1, 0, 9]


def test_bits_beyond_the_visible_units_are_not_data(cpu_level):
    sizes = np.array([5, 130])
    machine = random_parameters(sizes), sizes, np.array([WALK, TABLES], np.uint8)
    data = random_states(sizes[:1], 9)
    clean, dirty = (trained(_core, machine, x, [5], 1, 4, (0.1, 0.1), Rule()) for x in (data, data | ~np.uint64(31)))
    assert all(map(same_bits, clean, dirty))


@pytest.mark.parametrize("method", [WALK, TABLES])
def test_training_a_machine_with_infinite_biases_keeps_out_nan(cpu_level, method):
    sizes = np.array([17, 65, 3])
    p = Parameters(sizes.tolist(), random_parameters(sizes))
    for layer in (*p.generative, p.prior, *p.recognition):
        layer.biases[::2], layer.biases[1::3] = np.inf, -np.inf
    machine = p.flat, sizes, np.full(3, method, np.uint8)
    data = random_states(sizes[:1], 20)
    assert_same(lambda m: trained(m, machine, data, [5], 1, 8, (0.1, 0.1)))
    assert not np.isnan(trained(_core, machine, data, [5], 1, 8, (0.1, 0.1))[0]).any()
