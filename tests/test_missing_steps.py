"""Training on rows with missing cells: the compiled loop and its twin, in every bit; and what a plane may change."""

import numpy as np
import pytest
import steps
from checks import TABLES, WALK, random_parameters, random_states, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from test_core import ROWS, SEEDS, assert_same, machines
from test_steps import LEARNERS, OPTIMIZER, RATES

from wakesleep import _core
from wakesleep._packing import every_cell
from wakesleep.optimizers import MOMENTS, SGD, Optimizer
from wakesleep.rules import RULES, Rule

SIZES = np.array([150, 70, 33, 5])
METHODS = [WALK, TABLES, TABLES, WALK]


def incomplete(n_units, n_rows, density=0.7):
    """Rows, and which of their cells are observed."""
    observed = random_states([n_units], n_rows, density, seed=1)
    return random_states([n_units], n_rows) & observed, observed


def trained(module, machine, data, observed, calls, seed, batch_size, rates, rule, optimizer=SGD, **how):
    """Parameters, moments and position after these numbers of minibatches, one call for each."""
    parameters, position, updates = machine[0].copy(), np.zeros(3, np.int64), np.zeros(2, np.int64)
    moments = np.zeros((MOMENTS[optimizer.name], parameters.size), np.float32)
    for n_batches in calls:
        steps.train(module, parameters, *machine[1:], data, position, seed, batch_size, n_batches, rates, rule,
                    optimizer, moments, updates, observed=observed, **how)  # fmt: skip
    return [parameters, moments, position, updates]


@settings(max_examples=120)
@given(
    machine=machines(),
    n_rows=ROWS,
    density=st.sampled_from([0.0, 0.5, 0.95]),
    batch_size=ROWS | st.just(1000),
    rule=LEARNERS,
    optimizer=OPTIMIZER,
    calls=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    seed=SEEDS,
    rates=st.tuples(RATES, RATES),
)
def test_training_equals_the_twin(cpu_level, machine, n_rows, density, batch_size, rule, optimizer, calls, seed, rates):
    data, observed = incomplete(machine[1][0], n_rows, density)
    assert_same(lambda m: trained(m, machine, data, observed, calls, seed, batch_size, rates, rule, optimizer))


@given(machine=machines(), n_rows=ROWS, seed=SEEDS)
def test_the_verbs_equal_the_twin(cpu_level, machine, n_rows, seed):
    parameters, sizes, methods = machine
    states = random_states(sizes, n_rows)
    _, observed = incomplete(sizes[0], n_rows)
    states[:, : observed.shape[1]] &= observed
    credit = np.random.default_rng(0).normal(size=(2, n_rows)).astype(np.float32)

    def call(module):
        gradient = np.ones_like(parameters)
        module.teach(parameters, sizes, methods, states, *credit, gradient, observed)
        return [gradient, *module.log_probabilities(parameters, sizes, methods, states, observed)]

    assert_same(call)


CASES = [
    *(Rule(name, 3, s, sleep_steps) for name in RULES for s in (0.4, 1.0) for sleep_steps in (1, 2)),
    *(Rule(), Rule(n_particles=2), Rule("vimco", 3, 0.0)),
]


@pytest.mark.parametrize("batch_size", [1, 16, 40])
@pytest.mark.parametrize("rule", CASES, ids=lambda rule: f"{rule.name}-{rule.n_particles}-{rule[2:4]}")
def test_a_plane_with_every_cell_changes_no_bit_and_threads_do_not_matter(cpu_level, rule, batch_size):
    machine = random_parameters(SIZES, scale=0.3), SIZES, np.array(METHODS, np.uint8)
    for optimizer in (SGD, Optimizer("adam", 0.01, 0.5)):
        data, observed = incomplete(150, 40)
        how = [5], 3, batch_size, (0.1, 0.1), rule, optimizer
        full = trained(_core, machine, data, every_cell(40, 150), *how)
        assert all(map(same_bits, full, trained(_core, machine, data, None, *how)))
        lacking = trained(_core, machine, data, observed, *how)
        assert not same_bits(lacking[0], full[0])
        for n_threads in (2, 3):
            assert all(map(same_bits, lacking, trained(_core, machine, data, observed, *how, n_threads=n_threads)))


def test_chosen_rows_come_with_their_missing_cells(cpu_level):
    machine = random_parameters(SIZES, scale=0.3), SIZES, np.array(METHODS, np.uint8)
    data, observed = incomplete(150, 40)
    chosen, how = np.array([30, 3, 17, 8, 9, 0, 39]), ([4], 3, 3, (0.1, 0.1), Rule("reweighted", 3, 0.5))
    assert_same(lambda m: trained(m, machine, data, observed, *how, chosen=chosen))
    by_hand = trained(_core, machine, data[chosen], observed[chosen], *how)
    assert all(map(same_bits, by_hand, trained(_core, machine, data, observed, *how, chosen=chosen)))


def test_a_unit_that_nobody_has_observed_keeps_its_parameters_of_p_and_q(cpu_level):
    machine = random_parameters(SIZES, scale=0.3), SIZES, np.array(METHODS, np.uint8)
    data, observed = incomplete(150, 40)
    never = np.uint64(1 << 7)
    data[:, 1] &= ~never
    observed[:, 1] &= ~never
    for rule in (Rule(), Rule("reweighted", 3, 0.5)):
        moved = trained(_core, machine, data, observed, [9], 3, 7, (0.1, 0.1), rule)[0] != machine[0]
        n_visible, n_hidden = 150, 70
        of_p, biases = np.split(moved[: (n_hidden + 1) * n_visible], [n_hidden * n_visible])
        of_p = of_p.reshape(n_hidden, n_visible)
        first = (n_hidden + 1) * n_visible + (33 + 1) * 70 + (5 + 1) * 33 + 5
        of_q = moved[first : first + n_visible * n_hidden].reshape(n_visible, n_hidden)
        assert not of_p[:, 71].any()
        assert not biases[71]
        assert not of_q[71].any()
        assert np.delete(of_p, 71, axis=1).any(axis=0).all()
        assert np.delete(of_q, 71, axis=0).any(axis=1).all()


@pytest.mark.parametrize(
    ("observed", "fault"),
    [
        (np.zeros((9, 1), np.int64), r"observed: want C-contiguous uint64 of shape \(9, 1\), got int64"),
        (np.zeros((8, 1), np.uint64), r"observed: want C-contiguous uint64 of shape \(9, 1\), got uint64 of shape"),
        (np.zeros((9, 2), np.uint64), r"observed: want C-contiguous uint64 of shape \(9, 1\), got uint64 of shape"),
        ([[0]] * 9, r"observed: want C-contiguous uint64 of shape \(9, 1\), got list"),
    ],
)
def test_planes_that_do_not_fit_are_refused(observed, fault):
    sizes = np.array([5, 3])
    machine, data = (random_parameters(sizes), sizes, np.zeros(2, np.uint8)), random_states([5], 9)
    with pytest.raises(ValueError, match=fault):
        trained(_core, machine, data, observed, [1], 1, 3, (0.1, 0.1), Rule())
    states = random_states(sizes, 9)
    with pytest.raises(ValueError, match=fault):
        _core.log_probabilities(*machine, states, observed)
    with pytest.raises(ValueError, match=fault):
        _core.teach(*machine, states, None, None, np.zeros_like(machine[0]), observed)


def test_ones_in_missing_cells_are_refused():
    sizes = np.array([5, 3])
    machine, none = (random_parameters(sizes), sizes, np.zeros(2, np.uint8)), np.zeros((9, 1), np.uint64)
    with pytest.raises(ValueError, match="observed: want ones wherever the rows have ones, got zeros"):
        _core.log_probabilities(*machine, random_states(sizes, 9), none)
