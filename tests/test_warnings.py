"""What is warned of: estimates that rest on one sample, and machines that are far worse than independent units."""

import math
import re
import warnings

import numpy as np
import pytest
from machines import DIGITS, ROWS, small

from wakesleep import HelmholtzMachine, PoorFitWarning, SampleSizeWarning, datasets, likelihood, monitor

HELD_OUT = DIGITS[1500:]


# ---- the effective sample size ----


def history(*sizes, share=0.0):
    return [{"effective_sample_size": size, "few_effective": share} if size else {} for size in sizes]


def warned(check, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(*arguments)
    return [w.category for w in caught]


@pytest.mark.parametrize(
    ("sizes", "warns"),
    [
        ([1.0] * 5, True), ([1.0] * 4, False), ([1.0] * 6, False), ([5, *[1.05] * 5], True), ([1, 1, 1, 1, 1.1], False),
        ([1, 1, 1.2, *[1] * 5], True), ([None, *[1] * 5], True), ([*[1] * 5, None], False), ([1, 1, None, 1, 1], False),
    ],
)  # fmt: skip
def test_it_warns_once_of_estimates_that_rest_on_one_sample(sizes, warns):
    assert warned(monitor.warn_of_few, history(*sizes)) == [SampleSizeWarning] * warns


@pytest.mark.parametrize(("share", "warns"), [(0.37, False), (0.39, True), (1.0, True)])
def test_it_warns_where_many_rows_rest_on_one_sample_though_the_mean_is_larger(share, warns):
    assert warned(monitor.warn_of_few, history(*[1.5] * 5, share=share)) == [SampleSizeWarning] * warns


@pytest.fixture(scope="module")
def good():
    return HelmholtzMachine((32, 16), n_iter=40, learning_rate=0.3, batch_size=20, random_state=0).fit(DIGITS[:1500])


def with_q(machine, factor):
    """The machine with all weights and biases of q times this."""
    q = [(factor * layer.weights, factor * layer.biases) for layer in machine.recognition_]
    return HelmholtzMachine.from_parameters(machine.prior_logits_, machine.generative_, q, random_state=0)


@pytest.mark.parametrize("method", ["auto", "importance"])
@pytest.mark.parametrize("n_particles", [100, 1000])
def test_scores_that_rest_on_one_sample_are_told_once_a_call(method, n_particles, good):
    how = {"method": method, "n_particles": n_particles}
    for factor in (0, -1):
        bad = with_q(good, factor)
        for measure in (bad.score_samples, bad.score):
            with pytest.warns(SampleSizeWarning, match=r"log p\(x\) of \d+ % of the rows rests on one of") as caught:
                measure(HELD_OUT, **how)
            assert [w.filename for w in caught] == [__file__]
    good.score(HELD_OUT, **how)  # a warning would be an error


def test_few_samples_are_no_reason_to_warn(good):
    for how in ({"n_particles": 99}, {"method": "elbo"}, {"method": "ais", "n_particles": 2, "n_steps": 2}):
        with_q(good, -1).score(HELD_OUT, **how)


@pytest.mark.parametrize(
    ("n_particles", "few", "warns"),
    [(99, 100, False), (100, 37, False), (100, 38, True), (999, 37, False), (1000, 21, False), (1000, 22, True)],
)
def test_how_many_rows_may_rest_on_one_sample_depends_on_their_number(n_particles, few, warns):
    sizes = np.where(np.arange(100) < few, 1.09, 1.1)
    assert warned(monitor.warn_of_single, sizes, n_particles) == [SampleSizeWarning] * warns


def test_the_share_of_rows_that_rest_on_one_sample_is_kept(good):
    _, sizes, _ = good._estimates(HELD_OUT, "importance", monitor.PARTICLES, None, 1)
    found = monitor.measure(good._state, ROWS, HELD_OUT)
    assert found["few_effective"] == (sizes < 1.1).mean()
    assert monitor.measure(with_q(good, -1)._state, ROWS, HELD_OUT)["few_effective"] > 0.38


def test_the_noise_that_equal_rows_share_is_part_of_the_standard_error(good):
    found = monitor.measure(good._state, ROWS, HELD_OUT[[0] * 9])
    expected = math.sqrt(8 / 9 * (1 / found["effective_sample_size"] - 1 / monitor.PARTICLES))
    assert found["standard_error"] == pytest.approx(expected, rel=1e-9)


# ---- machines that are far worse than independent units ----


@pytest.mark.parametrize(
    ("values", "warns"),
    [
        ([-100] * 5, True), ([-100] * 4, False), ([-100] * 6, False), ([-20, *[-100] * 5], True),
        ([-100] * 4 + [-49], False), ([-49] * 5, False), ([math.nan] * 5, True), ([-math.inf] * 5, True),
        ([None, *[-100] * 5], True), ([*[-100] * 5, None], False),
    ],
)  # fmt: skip
def test_it_warns_once_of_far_fewer_nats_than_independent_units_have(values, warns):
    entries = [{"reconstruction_cross_entropy": 30.0} | ({"log_likelihood": v} if v else {}) for v in values]
    assert warned(monitor.warn_of_poor_fit, entries, lambda: -25.0, 64) == [PoorFitWarning] * warns


@pytest.mark.parametrize(("share", "warns"), [(1.0, False), (1.09, False), (1.11, True)])
def test_a_machine_that_begins_as_fair_coins_is_not_warned_of(share, warns):
    coins = [{"log_likelihood": -share * 784 * math.log(2)}] * 5
    assert warned(monitor.warn_of_poor_fit, coins, lambda: -207.0, 784) == [PoorFitWarning] * warns


@pytest.mark.parametrize("how", [{"validation": HELD_OUT}, {"verbose": 1}, {}], ids=str)
@pytest.mark.parametrize("rate", [3.0, 1e30])
def test_a_rate_that_is_far_too_large_is_told(how, rate, capsys):
    validation = how.get("validation")
    machine = small(n_iter=8, learning_rate=rate, verbose=how.get("verbose", 0), hidden_layer_sizes=(32, 16))
    with pytest.warns(PoorFitWarning, match="learning_rate may be far too large") as caught:
        machine.fit(ROWS, validation=validation)
    assert [w.filename for w in caught] == [__file__]
    machine.set_params(learning_rate=0.3, n_iter=40).fit(ROWS, validation=validation)


@pytest.mark.parametrize(
    ("better", "best", "told"),  # by so many standard errors than independent units
    [
        (1.1, 0, None), (0.9, 0, "1,000 steps, more of them"), (-0.9, 1.1, "a larger n_iter"),
        (-1.1, 0.9, "another learning_rate"), (-2.1, 0.9, "learning_rate|unless the columns"),
        (-1.1, 1.1, "best after epoch 2"), (-1e4, 0, "far below"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("held_out", [None, HELD_OUT], ids=["learned", "held out"])
def test_what_is_no_better_than_independent_units_is_told_by_the_standard_error(
    better, best, told, held_out, good, monkeypatch
):
    noise = np.where(np.arange(100) % 2, 1.0, -1.0)
    error, independent = likelihood.standard_error(noise), np.full(100, -20.0)
    values = independent + noise + better * error
    monkeypatch.setattr(likelihood, "log_likelihood", lambda *arguments, **how: (values, None))
    monkeypatch.setattr(likelihood, "independent_log_likelihood", lambda train, rows: independent)
    history = [{"epoch": 1, "log_likelihood": -99.0}, {"epoch": 2, "log_likelihood": -20 + best * error, "step": 1000}]
    if told == "far below" and held_out is not None:
        told = None  # for it has been, while training went on
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.warn_of_poor_fit_in_the_end(good._state, ROWS, held_out, history, 1)
    assert [w.category for w in caught] == [PoorFitWarning] * (told is not None)
    assert all(told.split("|")[-(held_out is not None)] in str(w.message) for w in caught)


def test_the_error_of_what_is_told_in_the_end_has_the_noise_that_equal_rows_share(good, monkeypatch):
    independent = np.where(np.arange(100) % 2, -19.0, -21.0)
    monkeypatch.setattr(likelihood, "log_likelihood", lambda *arguments, **how: (independent + 0.5, None))
    monkeypatch.setattr(likelihood, "independent_log_likelihood", lambda train, rows: independent)
    for shared, warns in ((0.4**2, False), (0.6**2, True)):
        monkeypatch.setattr(likelihood, "shared_variance", lambda *arguments, shared=shared: shared)
        arguments = good._state, ROWS, HELD_OUT, [{"epoch": 1, "step": 1000}], 1
        assert warned(monitor.warn_of_poor_fit_in_the_end, *arguments) == [PoorFitWarning] * warns


@pytest.mark.parametrize(("n_steps", "gain", "told"), [(999, 0.39, True), (999, 0.41, False), (1000, 0.39, False)])
def test_after_few_steps_a_gain_of_less_than_two_percent_is_told(n_steps, gain, told, good, monkeypatch):
    independent = np.full(100, -20.0)
    monkeypatch.setattr(likelihood, "log_likelihood", lambda *arguments, **how: (independent + gain, None))
    monkeypatch.setattr(likelihood, "independent_log_likelihood", lambda train, rows: independent)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monitor.warn_of_poor_fit_in_the_end(good._state, ROWS, HELD_OUT, [{"epoch": 1, "step": n_steps}], 1)
    assert ["hardly above that of independent units" in str(w.message) for w in caught] == [True] * told


def columns(n_rows, seed, noise=0.15):
    """Rows of 40 cells, of which each follows one of two causes, save for this share of noise."""
    rng = np.random.default_rng(seed)
    causes = rng.random((n_rows, 2)) < 0.5
    return np.where(rng.random((n_rows, 40)) < noise, rng.random((n_rows, 40)) < 0.5, np.tile(causes, 20))


@pytest.mark.parametrize("held_out", [False, True])
def test_a_machine_that_has_not_learned_more_than_means_is_told(held_out):
    machine, X = HelmholtzMachine(random_state=0), columns(500, 0)
    validation = columns(500, 1) if held_out else None
    what = "held-out rows" if held_out else "rows that have been learned"
    message = rf"log p\(x\) of {what} is not clearly above .* nats: after 25 steps, more of them"
    with pytest.warns(PoorFitWarning, match=message) as caught:
        machine.set_params(n_iter=5, learning_rate=1e-4).fit(X, validation=validation)
    assert [w.filename for w in caught] == [__file__]
    machine.set_params(n_iter=4).fit(X, validation=validation)
    machine.set_params(n_iter=40, learning_rate=0.3, batch_size=20).fit(X, validation=validation)


def test_a_machine_that_has_learned_too_long_is_told_when_it_was_better():
    X, held_out = columns(150, 0, noise=0.6), columns(500, 1, noise=0.6)
    machine = HelmholtzMachine((10,), learning_rate=0.3, batch_size=4, n_iter=150, random_state=0)
    message = r"it was, best after epoch (\d+), so that patience or a smaller n_iter may help"
    with pytest.warns(PoorFitWarning, match=message) as caught:
        machine.fit(X, validation=held_out)
    epoch = int(re.search(message, str(caught[-1].message))[1])
    values = [entry["log_likelihood"] for entry in machine.history_]
    assert values[epoch - 1] == max(values)
    machine.set_params(patience=5).fit(X, validation=held_out)


def test_the_warning_names_the_line_that_called_fit(monkeypatch):
    monkeypatch.setattr(monitor, "FEWEST_EFFECTIVE", 1000)
    with pytest.warns(SampleSizeWarning, match="q is far from the posterior") as caught:
        machine = small(hidden_layer_sizes=(30,), n_iter=40, learning_rate=0.3).fit(ROWS, validation=HELD_OUT)
    assert [w.filename for w in caught] == [__file__]
    assert all(1 <= entry["effective_sample_size"] <= 100 for entry in machine.history_)


def test_of_one_row_there_is_no_standard_error(good):
    assert monitor.measure(good._state, ROWS, HELD_OUT[:1])["standard_error"] is None


def test_exact_values_have_no_sample_size():
    machine = small(hidden_layer_sizes=(4,)).fit(ROWS, validation=ROWS)
    assert [entry["effective_sample_size"] for entry in machine.history_] == [None] * 3


@pytest.mark.parametrize("how", [{}, {"verbose": 1}], ids=str)
def test_bad_reconstructions_through_one_unit_are_no_poor_fit(how):
    """A machine of the bars whose top unit cannot tell which of them are on: its reconstructions are bad, not it."""
    W = np.zeros((8, 16))
    for bar in range(4):
        W[bar].reshape(4, 4)[bar], W[4 + bar].reshape(4, 4)[:, bar] = 12, 12
    images, _ = datasets.make_bars(return_distribution=True)
    machine = HelmholtzMachine.from_parameters(
        [0.0], [(W, np.full(16, -6.0)), (np.zeros((1, 8)), np.full(8, -2.0))],
        [(W.T / 12 * 6, np.full(8, -21.0)), (np.zeros((8, 1)), [0.0])],
        n_iter=6, learning_rate=1e-6, random_state=0, **how,
    )  # fmt: skip
    machine.fit(images, resume=True)
    baseline = likelihood.independent_log_likelihood(images, images).mean()
    assert machine.reconstruction_cross_entropy(images) > -2 * baseline, "this test has no power"
    assert machine.score(images, method="exact") > baseline
