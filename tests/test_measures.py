"""What measures a machine: its own bounds, and how functions refuse what is not for them."""

import numpy as np
import pytest
from checks import Z_MAX, same_bits
from machines import everything, random_machine, random_rows

from wakesleep import HelmholtzMachine, _core, likelihood, machine
from wakesleep.likelihood.arguments import check

MACHINE = random_machine((6, 4, 3), scale=0.5)
ROWS, DENSE = random_rows(5, 6), random_rows(5, 6).to_dense()
P, METHODS = MACHINE.parameters_, MACHINE._state.methods
SAMPLED = {"n_particles": 3, "seed": 1}
ANNEALED = {**SAMPLED, "n_steps": 4}


# ---- bounds on simulated rows ----


def test_a_machine_bounds_log_p_of_rows_that_it_dreams():
    rows, lower, upper = MACHINE.simulated_bounds(400, n_particles=20, n_steps=20, random_state=3)
    assert same_bits(rows.words, MACHINE.sample(400, random_state=3, bits=True).words)
    by_hand = likelihood.simulated_bounds(P, METHODS, 400, n_particles=20, n_steps=20, seed=3)
    assert all(map(same_bits, (lower, upper), by_hand[1:]))
    annealed = MACHINE.score_samples(rows, method="ais", n_particles=20, n_steps=20, random_state=3)
    assert same_bits(lower, annealed)
    exact = MACHINE.score_samples(rows, method="exact")
    for bound, sign in ((lower, 1), (upper, -1)):
        ratio = np.exp(sign * (bound - exact))  # of the mean 1
        error = ratio.std() / np.sqrt(400)
        assert abs(ratio.mean() - 1) < Z_MAX * error < 0.2
    assert np.abs((lower + upper) / 2 - exact).mean() < 0.1


def test_without_a_seed_the_bounds_are_repeated():
    one, two = MACHINE.simulated_bounds(5), MACHINE.simulated_bounds(5)
    assert all(map(same_bits, one[1:], two[1:]))
    other = MACHINE.simulated_bounds(5, random_state=1)
    assert not same_bits(one[1], other[1])
    assert [len(part) for part in MACHINE.simulated_bounds(0)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_rows", -1), ("n_rows", 1.5), ("n_particles", 0), ("n_steps", 0), ("n_steps", "9"), ("random_state", -1)],
)
def test_bounds_of_no_sense_are_refused(name, value):
    before = everything(MACHINE)
    with pytest.raises((ValueError, TypeError), match=f"^{name}: want a whole number"):
        MACHINE.simulated_bounds(**{"n_rows": 3, name: value})
    assert everything(MACHINE) == before


def test_there_are_no_bounds_before_it_has_learned():
    with pytest.raises(ValueError, match="call fit before this method"):
        HelmholtzMachine().simulated_bounds(3)


@pytest.mark.parametrize(
    ("method", "function"),
    [("score_samples", "log_likelihood"), *((name, name) for name in ("diagnostics", "impute", "simulated_bounds"))],
)
def test_a_machine_gives_its_threads_to_what_measures_it(method, function, monkeypatch):
    given, measure = [], getattr(likelihood, function)
    monkeypatch.setattr(likelihood, function, lambda *a, **how: given.append(how["n_threads"]) or measure(*a, **how))
    getattr(random_machine((6, 4, 3), n_threads=3), method)(2 if method == "simulated_bounds" else DENSE)
    assert given == [3]


# ---- arguments of functions ----

CALLS = {
    "log_likelihood": lambda p, data, **how: likelihood.log_likelihood(
        p, METHODS, data, **{"method": "importance", **SAMPLED, **how}),
    "annealed": lambda p, data, **how: likelihood.annealed(p, METHODS, data, **{**ANNEALED, **how}),
    "simulated_bounds": lambda p, data, n_rows=3, **how: likelihood.simulated_bounds(
        p, METHODS, n_rows, **{**ANNEALED, **how}),
    "diagnostics": lambda p, data, **how: likelihood.diagnostics(p, METHODS, data, **{**SAMPLED, **how}),
    "exact_kl": lambda p, data, **how: likelihood.exact_kl(p, data, np.full(5, 0.2), **how),
    "exact_posterior": lambda p, data: likelihood.exact_posterior(p, data),
    "exact_distribution": lambda p, data, **how: likelihood.exact_distribution(p, **how),
    "encode": lambda p, data: likelihood.encode(p, data, 0),
    "decode": lambda p, data: likelihood.decode(p, np.zeros((2, 3), np.float32), 1),
    "reconstruction_cross_entropy": likelihood.reconstruction_cross_entropy,
}  # fmt: skip
WITH_DATA = sorted(set(CALLS) - {"simulated_bounds", "exact_distribution", "decode"})


@pytest.mark.parametrize("name", CALLS)
def test_calls_like_the_refused_ones_are_accepted(name):
    CALLS[name](P, ROWS)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("wrong", [MACHINE, P.flat, None, [P]], ids=["machine", "flat", "None", "list"])
def test_what_are_no_parameters_is_refused(name, wrong):
    with pytest.raises(TypeError, match=r"^parameters: want those of a machine, which are its parameters_, got "):
        CALLS[name](wrong, ROWS)


@pytest.mark.parametrize("name", WITH_DATA)
def test_rows_that_are_not_packed_or_of_another_machine_are_refused(name):
    for wrong in (DENSE, DENSE.tolist(), ROWS.words, None):
        with pytest.raises(TypeError, match=r"^data: want Bits, such as .* makes, got (ndarray|list|NoneType)$"):
            CALLS[name](P, wrong)
    with pytest.raises(ValueError, match=r"^data: want 6 features, got 7$"):
        CALLS[name](P, random_rows(5, 7))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, {"seed": seed}) for name in ("log_likelihood", "annealed", "simulated_bounds", "diagnostics")
          for seed in (-1, 2**64, 1.0, None, True, np.arange(3), np.array(2))),
        *((name, {"n_threads": 0}) for name in CALLS if name.startswith(("exact_k", "exact_d", "log", "diag"))),
        *((name, {"n_particles": 0}) for name in ("log_likelihood", "annealed", "simulated_bounds", "diagnostics")),
        *((name, {"n_steps": 1.5}) for name in ("log_likelihood", "annealed", "simulated_bounds")),
        ("simulated_bounds", {"n_rows": -1}), ("simulated_bounds", {"n_rows": 2.5}),
    ],
)  # fmt: skip
def test_numbers_of_no_sense_are_refused_by_name(name, how):
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(how))}: want a whole number"):
        CALLS[name](P, ROWS, **how)


def test_levels_are_counted_from_the_bottom_or_from_the_top():
    for level in (0, 1):
        values = MACHINE.transform(ROWS, level)
        for layer in (level, level - 2, np.int64(level)):
            assert same_bits(likelihood.encode(P, ROWS, layer), values)
            assert same_bits(likelihood.decode(P, values, layer), MACHINE.reconstruct(ROWS, level))


@pytest.mark.parametrize("layer", [2, 5, -3, 10**30, 1.0, True, "0", None, [0], np.arange(2)], ids=repr)
def test_a_level_that_is_not_there_is_refused(layer):
    for passed in (lambda: likelihood.encode(P, ROWS, layer), lambda: likelihood.decode(P, ROWS.to_dense("f4"), layer)):
        with pytest.raises(ValueError, match=r"^layer: want a hidden level from -2 to 1, got "):
            passed()


@pytest.mark.parametrize("method", ["iwae", None, 1, np.arange(3), ["exact"]], ids=repr)
def test_a_method_that_is_not_there_is_refused(method):
    for measured in (
        lambda: CALLS["log_likelihood"](P, ROWS, method=method),
        lambda: likelihood.impute(P, METHODS, ROWS, n_particles=3, method=method),
        lambda: MACHINE.score_samples(DENSE, method=method),
        lambda: MACHINE.impute(DENSE, method=method),
    ):
        with pytest.raises(ValueError, match=r"^method: want one of auto, exact, importance.*, got "):
            measured()


@pytest.mark.parametrize(("how", "fault"), [
    ({"draws": "no"}, "draws: want True or False, got 'no'"), ({"draws": 1}, "draws: want True or False, got 1"),
    ({"n_particles": 0}, "n_particles: want a whole number from 1"), ({"n_particles": True}, "n_particles: want a wh"),
])  # fmt: skip
def test_how_missing_cells_are_filled_in_is_checked_by_name(how, fault):
    for impute in (lambda **how: likelihood.impute(P, METHODS, ROWS, **how), lambda **how: MACHINE.impute(None, **how)):
        with pytest.raises((ValueError, TypeError), match=f"^{fault}"):
            impute(**{"n_particles": 3, **how})


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.uint64(2**64 - 1), np.int32(5)])
def test_whole_numbers_of_any_kind_are_seeds(seed):
    check(P, seed=seed)


# ---- fantasies, some at a time ----


@pytest.mark.parametrize("n_samples", [0, 1, 8, 99, 100])
def test_fantasies_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch, n_samples):
    whole, calls, dream = MACHINE.sample(n_samples, bits=True), [], _core.dream

    def counted(flat, sizes, methods, states, *how):
        calls.append(len(states))
        dream(flat, sizes, methods, states, *how)

    monkeypatch.setattr(_core, "dream", counted)
    monkeypatch.setattr(machine, "AT_ONCE", 9 * MACHINE.parameters_.flat.size)
    assert same_bits(MACHINE.sample(n_samples, bits=True).words, whole.words)
    assert sum(calls) == n_samples
    assert max(calls, default=0) == min(n_samples, 9)  # few, so that Ctrl-C is heard
