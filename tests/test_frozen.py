"""Frozen parts: they stay as they are, and the others learn as if nothing were frozen, but for what they hear of it."""

import numpy as np
import pytest
from checks import TABLES, WALK, random_parameters, random_states, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import random_machine
from test_core import ROWS, SEEDS, assert_same, machines
from test_steps import LEARNERS, OPTIMIZER, trained

from wakesleep import HelmholtzMachine, _core, datasets
from wakesleep.optimizers import OPTIMIZERS, Optimizer
from wakesleep.parameters import Parameters, names_of_layers
from wakesleep.rules import Rule

SIZES = np.array([70, 20, 5])
NAMES = [name for pair in names_of_layers(2) for name in pair if name is not None]
SOME = ("prior_logits", "generative.0.biases", "generative.1.weights", "recognition.0.weights", "recognition.1.biases")
HOW = [Optimizer(name, 0.1, clip_norm) for name in OPTIMIZERS for clip_norm in (None, 0.5)] + [Optimizer()]


def learned(optimizer, n_batches=5, batch_size=8):
    """The parts before and after, by name."""
    machine = random_parameters(SIZES), SIZES, np.array([WALK, TABLES, TABLES], np.uint8)
    data = random_states(SIZES[:1], 40)
    after = trained(_core, machine, data, [n_batches], 3, batch_size, (0.1, 0.1), Rule("reweighted", 3, 0.5), optimizer)
    return Parameters(SIZES, machine[0]).named(), Parameters(SIZES, after[0]).named()


@settings(max_examples=200)
@given(
    machine=machines(), n_rows=ROWS, batch_size=ROWS, rule=LEARNERS, optimizer=OPTIMIZER,
    chosen=st.sets(st.sampled_from(NAMES)), seed=SEEDS,
)  # fmt: skip
def test_every_rule_and_optimizer_with_frozen_parts_equals_the_twin(
    cpu_level, machine, n_rows, batch_size, rule, optimizer, chosen, seed
):
    data = random_states(machine[1][:1], n_rows)
    known = {name for pair in names_of_layers(len(machine[1]) - 1) for name in pair}
    optimizer = optimizer._replace(frozen=frozenset(chosen & known))
    assert_same(lambda m: trained(m, machine, data, [2, 1], seed, batch_size, (0.5, 0.05), rule, optimizer))


def test_the_names_are_those_of_the_parts():
    parameters = Parameters(SIZES)
    assert set(NAMES) == set(parameters.named())
    parameters.named()["generative.1.biases"][:] = 1
    assert parameters.generative[1].biases.all()
    assert parameters.flat.sum() == 20


@pytest.mark.parametrize("optimizer", HOW, ids=str)
@pytest.mark.parametrize("batch_size", [1, 8])
def test_frozen_parts_stay_and_all_others_move(cpu_level, optimizer, batch_size):
    before, after = learned(optimizer._replace(frozen=frozenset(SOME)), 20, batch_size)
    for name in NAMES:
        assert (before[name] == after[name]).all() == (name in SOME), name


@pytest.mark.parametrize("optimizer", [how for how in HOW if how.clip_norm is None], ids=str)
def test_the_other_parts_of_p_learn_in_a_step_what_they_would_learn_anyway(cpu_level, optimizer):
    _, free = learned(optimizer, 1)
    _, after = learned(optimizer._replace(frozen=frozenset(SOME)), 1)
    for name in NAMES:
        assert name in SOME or name.startswith("recognition") or same_bits(free[name], after[name]), name


def test_the_norm_is_that_of_the_gradient_of_what_learns(cpu_level):
    p_alone = frozenset(name for name in NAMES if name.startswith("recognition") or name == "generative.0.weights")
    before, after = learned(Optimizer(clip_norm=0.01, frozen=p_alone), 1)
    moved = np.sqrt(sum(np.square(after[name].astype(float) - before[name]).sum() for name in NAMES))
    assert moved == pytest.approx(0.1 * 0.01, rel=1e-3)  # the rate times the norm, rounded where it is added


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_machine_freezes_and_thaws_and_what_it_kept_of_gradients_waits(optimizer):
    rows = datasets.make_bars(300)
    machine = HelmholtzMachine((8, 2), optimizer=optimizer, learning_rate=0.01, n_iter=1, random_state=0).fit(rows)
    before = machine._state
    machine.set_params(frozen=SOME, n_iter=2).fit(rows, resume=True)
    for flat, old in ((machine._state.parameters.flat, before.parameters.flat),
                      *zip(machine._state.moments, before.moments, strict=True)):  # fmt: skip
        parts = [Parameters((16, 8, 2), vector).named() for vector in (old, flat)]
        assert [name for name in parts[0] if same_bits(parts[0][name], parts[1][name])] == [
            name for name in parts[0] if name in SOME
        ]
    machine.set_params(frozen=(), n_iter=3)
    assert not same_bits(machine.fit(rows, resume=True).prior_logits_, before.parameters.prior_logits)


def test_what_is_frozen_is_saved(tmp_path):
    rows = datasets.make_bars(100)
    machine = HelmholtzMachine((8,), frozen=["prior_logits"], n_iter=1, random_state=0).fit(rows)
    machine.save(tmp_path / "machine.npz")
    loaded = HelmholtzMachine.load(tmp_path / "machine.npz").set_params(n_iter=2).fit(rows, resume=True)
    assert loaded.frozen == ("prior_logits",)
    assert not loaded.prior_logits_.any()
    assert loaded.generative_[0].biases.any()


@pytest.mark.parametrize(
    ("sizes", "name", "known"),
    [((4, 3), "generative.1.biases", False), ((4, 3, 2, 2), "generative.2.biases", True),
     ((4, 3, 2, 2), "recognition.3.weights", False), ((4, 3), "recognition.0.weights", True)],
)  # fmt: skip
def test_of_weights_from_elsewhere_the_parts_are_those_that_there_are(sizes, name, known):
    if known:
        assert random_machine(sizes, frozen=[name]).frozen == [name]
    else:
        with pytest.raises(ValueError, match=rf"^frozen: want one of .*, got '{name}'$"):
            random_machine(sizes, frozen=[name])


CAUSES = ("prior_logits", "generative.1.weights", "generative.1.biases", "generative.0.biases")


@pytest.mark.parametrize("seed", [0, 2])  # of the first eight seeds, half come as far in so few steps
@pytest.mark.parametrize(("frozen", "below", "above"), [(CAUSES, 0.06, 0), ((), 2, 0.3)])
def test_units_that_are_held_rare_find_all_bars(seed, frozen, below, above):
    """KL(data || model) in bits, by plain wake-sleep; a bar that no unit makes costs 0.2."""
    rows, (images, p) = datasets.make_bars(20_000, random_state=seed), datasets.make_bars(return_distribution=True)
    begun = HelmholtzMachine((8, 1), n_iter=0, random_state=seed).fit(rows)
    (low, high), (up, top) = begun.generative_, begun.recognition_
    machine = HelmholtzMachine.from_parameters(
        begun.prior_logits_, [(low.weights, np.full(16, -2)), (high.weights, np.full(8, -3))],
        [(up.weights, np.full(8, -3)), top], random_state=seed, batch_size=1,
    )  # fmt: skip
    for n_iter, rate, held in ((4, 0.2, frozen), (6, 0.2, ()), (7, 0.07, ()), (8, 0.02, ())):
        machine.set_params(learning_rate=rate, n_iter=n_iter, frozen=held).fit(rows, resume=True)
    kl = p @ (np.log2(p) - machine.score_samples(images, method="exact") / np.log(2))
    assert above < kl < below
