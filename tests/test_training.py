"""Learning: passes over the data, the record they leave, and that nothing but what should matter does."""

import re

import numpy as np
import pytest
from checks import Z_MAX
from machines import DIGITS, ROWS, learned, measured, parts, small
from steps import train
from twin import twin

from wakesleep import DivergenceError, HelmholtzMachine, _core, _reference, likelihood, monitor, training
from wakesleep.rules import Rule

ROUNDING = 1e-5  # relative, of float32 sums of some hundred terms
BIAS = 2e-6  # absolute, of the difference of two float32 biases that are below 8
MARGIN = 4.0  # nats per digit; 40 epochs reach 5.0 to 5.3 below independent pixels
DIVERGES = {"learning_rate": 4e38, "batch_size": 20, "random_state": 16}  # in the second epoch, see below


def p_and_q(machine):
    """The parts of p, and those of q."""
    n_parts = 1 + 2 * len(machine.generative_)
    return parts(machine)[:n_parts], parts(machine)[n_parts:]


# ---- what learning is ----


@pytest.mark.parametrize("sizes", [(5,), (5, 3), (6, 5, 4)], ids=str)
@pytest.mark.parametrize("n_particles", [1, 3])
def test_fit_does_what_the_reference_does(sizes, n_particles):
    params = {"hidden_layer_sizes": sizes, "n_particles": n_particles, "learning_rate": (0.3, 0.2)}
    begun = small(**params, n_iter=0).fit(ROWS)
    flat, position = begun._state.parameters.flat.copy(), np.zeros(3, np.int64)
    rule, methods = Rule("wake-sleep", n_particles), begun._state.methods
    train(twin, flat, (64, *sizes), methods, ROWS.words, position, 7, 32, 10, (0.3, 0.2), rule)
    machine = small(**params, n_iter=2).fit(ROWS)
    assert machine._state.parameters.flat.tobytes() == flat.tobytes()
    assert begun._state.parameters.flat.tobytes() != flat.tobytes()


@pytest.mark.parametrize("sizes", [(16,), (32, 16), (24, 12, 8)], ids=str)
def test_machines_of_one_to_three_levels_learn(sizes):
    order = np.random.default_rng(0).permutation(len(DIGITS))
    train, held_out = DIGITS[order[:1397]], DIGITS[order[1397:]]
    independent = likelihood.independent_log_likelihood(train, held_out)

    def gain(n_iter):
        machine = HelmholtzMachine(sizes, n_iter=n_iter, batch_size=20, random_state=0).fit(train)
        gained = machine.score_samples(held_out) - independent
        return gained.mean(), Z_MAX * gained.std() / np.sqrt(len(gained))

    mean, error = gain(40)
    assert mean - error > MARGIN
    mean, error = gain(0)
    assert mean + error < MARGIN, "this test has no power"


def test_a_row_that_always_comes_is_learned_by_heart():
    X = np.tile([[1, 0, 1, 1, 0]], (50, 1))
    machine = HelmholtzMachine(3, n_iter=200, learning_rate=0.5, initial_biases="zero", random_state=0).fit(X)
    assert np.exp(machine.score(X[:1])) > 0.9
    np.testing.assert_array_equal(np.median(machine.sample(99), axis=0), X[0])


# ---- passes ----


@pytest.mark.parametrize("params", [{}, {"batch_size": 130}, {"n_particles": 2}, {"hidden_layer_sizes": (4, 3, 2)}])
def test_n_partial_fits_are_one_fit(params):
    machine = small(**params)
    for n_iter in (1, 2, 3):
        machine.partial_fit(ROWS)
        whole = small(**params, n_iter=n_iter).fit(ROWS)
        assert learned(machine) == learned(whole)
        assert measured(machine) == measured(whole)


def test_partial_fit_goes_on_after_fit():
    assert learned(small(n_iter=2).fit(ROWS).partial_fit(ROWS)) == learned(small(n_iter=3).fit(ROWS))


def test_partial_fit_takes_as_many_other_rows_as_there_are():
    machine = small().partial_fit(ROWS)
    for rows in (DIGITS[200:900], DIGITS[:1], ROWS):
        before = learned(machine)
        machine.partial_fit(rows)
        assert machine.step_ == before[2] + -(-len(rows) // 32)
        assert learned(machine)[0] != before[0]
    assert machine.n_iter_ == 4


@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")
def test_fit_begins_anew_and_resume_goes_on():
    machine = small().fit(DIGITS[500:600])
    assert learned(machine.fit(ROWS)) == learned(small().fit(ROWS))
    assert len(machine.history_) == 3
    machine.set_params(n_iter=5).fit(ROWS, resume=True)
    assert learned(machine) == learned(small(n_iter=5).fit(ROWS))
    assert measured(machine) == measured(small(n_iter=5).fit(ROWS))
    before = learned(machine)
    assert learned(machine.fit(ROWS, resume=True)) == before  # n_iter epochs are done


def test_resume_of_a_machine_that_never_began_begins():
    assert learned(small().fit(ROWS, resume=True)) == learned(small().fit(ROWS))


def test_the_batch_is_at_most_the_data():
    assert learned(small(batch_size=10**6).fit(ROWS)) == learned(small(batch_size=130).fit(ROWS))
    assert learned(small(batch_size=130).fit(ROWS)) != learned(small(batch_size=129).fit(ROWS))


# ---- what matters, and what does not ----


@pytest.mark.parametrize(
    "other",
    [
        *({"random_state": 8}, {"random_state": 7 + 2**32}, {"batch_size": 31}, {"learning_rate": 0.2}),
        *({"learning_rate": (0.1, 0.2)}, {"learning_rate": (0.2, 0.1)}, {"n_particles": 2}, {"n_iter": 4}),
        *({"initial_biases": "zero"}, {"hidden_layer_sizes": (3, 5)}),
    ],
    ids=str,
)
def test_what_is_asked_for_makes_a_difference(other):
    assert learned(small(**other).fit(ROWS))[0] != learned(small().fit(ROWS))[0]


@pytest.mark.parametrize(
    "same",
    [
        *({"learning_rate": (0.1, 0.1)}, {"learning_rate": [0.1, 0.1]}, {"n_particles": 1}, {"verbose": 1}),
        *({"random_state": np.uint64(7)}, {"n_threads": 1}, {"n_threads": 2}, {"n_threads": 3}),
    ],
    ids=str,
)
def test_what_says_the_same_learns_the_same_bits(same):
    assert learned(small(**same).fit(ROWS)) == learned(small().fit(ROWS))


@pytest.mark.parametrize("density", [0.1, 0.6], ids=["walk", "tables"])
@pytest.mark.parametrize("n_particles", [1, 2])
def test_any_number_of_threads_learns_the_same_bits(monkeypatch, density, n_particles):
    X = np.random.default_rng(0).random((700, 200)) < density

    def fit(n_threads=None):
        sizes = (70, 65)  # with these rows enough work for four threads
        return learned(
            small(hidden_layer_sizes=sizes, n_particles=n_particles, batch_size=300, n_threads=n_threads).fit(X)
        )

    alone = fit(1)
    assert fit(2) == fit(3) == alone
    for n_threads in ("1", "2", "3"):
        monkeypatch.setenv("WAKESLEEP_NUM_THREADS", n_threads)
        assert fit() == alone


def test_how_sums_are_taken_follows_from_the_rows_where_training_begins():
    rng = np.random.default_rng(0)
    sparse, dense = rng.random((2, 100, 80)) < [[[0.2]], [[0.4]]]
    walk, tables = [_reference.WALK, *[_reference.TABLES] * 2], [_reference.TABLES] * 3
    for X, other, expected in ((sparse, dense, walk), (dense, sparse, tables)):
        machine = small().fit(X)
        assert machine._state.methods.tolist() == expected
        assert machine.partial_fit(other)._state.methods.tolist() == expected
        assert (
            HelmholtzMachine.from_parameters(
                machine.prior_logits_, machine.generative_, machine.recognition_
            )._state.methods.tolist()
            == expected
        )
    assert small().fit(sparse[:, :64])._state.methods.tolist() == tables  # so few units are faster by tables
    quarter = np.arange(100 * 80).reshape(100, 80) % 4 == 0
    assert small().fit(quarter)._state.methods.tolist() == tables
    quarter[0, 0] = False
    assert small().fit(quarter)._state.methods.tolist() == walk


@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")  # 220 steps at a low rate
@pytest.mark.parametrize("seconds", [0, 1e-4, 1e9])
def test_how_the_clock_cuts_the_loop_does_not_matter(monkeypatch, seconds):
    machine = small(n_iter=5, batch_size=3).fit(ROWS)
    monkeypatch.setattr(training, "SECONDS_PER_CALL", seconds)
    other = small(n_iter=5, batch_size=3).fit(ROWS)
    assert learned(other) == learned(machine)
    assert measured(other) == measured(machine)


def test_seeds_of_their_own_are_fresh_and_those_of_a_generator_follow_from_it():
    assert learned(small(random_state=None).fit(ROWS))[0] != learned(small(random_state=None).fit(ROWS))[0]
    for kind in (np.random.default_rng, np.random.RandomState):
        one, two = kind(0), kind(0)
        first = learned(small(random_state=one).fit(ROWS))
        assert learned(small(random_state=two).fit(ROWS)) == first
        assert learned(small(random_state=one).fit(ROWS))[0] != first[0]


def test_the_rates_of_p_and_q_are_two():
    def moves(rate_p, rate_q):
        """By how much one step moves every part of p, and every part of q."""
        machines = [small(learning_rate=(rate_p, rate_q), n_iter=n, batch_size=130).fit(ROWS) for n in (0, 1)]
        (p_before, q_before), (p_after, q_after) = (p_and_q(machine) for machine in machines)
        return (
            np.concatenate([(after - before).ravel() for after, before in zip(p_after, p_before, strict=True)]),
            np.concatenate([(after - before).ravel() for after, before in zip(q_after, q_before, strict=True)]),
        )

    p, q = moves(0.5, 0.5)
    fast_p, _ = moves(1.0, 0.5)
    same_p, fast_q = moves(0.5, 1.0)
    for slow, fast in ((p, fast_p), (q, fast_q)):
        np.testing.assert_allclose(fast, 2 * slow, rtol=ROUNDING, atol=BIAS)
        assert np.abs(slow).max() > 1000 * BIAS, "this test has no power"
    assert same_p.tobytes() == p.tobytes()  # q learns after p


def test_initial_biases_are_those_of_the_data_or_zero():
    n_ones = ROWS.to_dense(int).sum(axis=0)
    for how, expected in (("data", np.log((n_ones + 1) / (131 - n_ones))), ("zero", np.zeros(64))):
        machine = small(initial_biases=how, n_iter=0).fit(ROWS)
        np.testing.assert_allclose(machine.generative_[0].biases, expected, rtol=ROUNDING)
        others = [machine.prior_logits_, machine.generative_[1].biases, *(q.biases for q in machine.recognition_)]
        assert not any(biases.any() for biases in others)
        assert machine.history_ == []
        assert (machine.n_iter_, machine.step_) == (0, 0)


def test_initial_weights_are_uniform_in_a_tenth_of_the_range_of_glorot():
    machine = small(hidden_layer_sizes=(50, 40), n_iter=0).fit(ROWS)
    weights = [layer.weights for layer in (*machine.generative_, *machine.recognition_)]
    for array in weights:
        range_ = 0.1 * np.sqrt(6 / sum(array.shape))
        assert np.abs(array).max() <= range_
        assert abs(array.mean()) < Z_MAX * range_ / np.sqrt(3 * array.size)
        error = np.sqrt((1 / 5 - 1 / 9) / array.size)  # of the mean of squares of a uniform number
        assert abs(((array / range_) ** 2).mean() - 1 / 3) < Z_MAX * error
    assert len(np.unique(np.concatenate([array.ravel() for array in weights]))) > 0.99 * sum(w.size for w in weights)


# ---- records, callbacks, what is measured and printed ----


def test_the_loop_yields_records_and_leaves_its_state_alone():
    begun = small(n_iter=0).fit(ROWS)._state
    before = begun.parameters.flat.copy()
    records = list(training.train(begun, ROWS, n_epochs=2, learning_rates=(0.1, 0.1), batch_size=32))
    assert [record.epoch for record in records if record.epoch_done] == [1, 2]
    assert [record.rows for record in records if record.epoch_done] == [130, 130]
    assert [record.state.step for record in records if record.epoch_done] == [5, 10]
    assert all(record.seconds > 0 for record in records)
    for record in records:
        assert record.state.position.tolist() == [
            record.epoch - 1 + record.epoch_done,
            0 if record.epoch_done else record.rows,
            130 * (record.epoch - 1) + record.rows,
        ]
    np.testing.assert_array_equal(begun.parameters.flat, before)
    assert (begun.step, begun.position.tolist()) == (0, [0, 0, 0])


def test_callbacks_see_every_epoch_as_it_ends():
    machine, seen = small(), []
    machine.fit(ROWS, callbacks=[lambda entry: seen.append((entry, machine.n_iter_, len(machine.history_)))] * 2)
    assert seen == [(entry, i, i) for i, entry in enumerate(machine.history_, 1) for _ in range(2)]


def test_callbacks_may_be_any_iterable():
    seen = []
    small().fit(ROWS, callbacks=iter([seen.append]))
    assert [entry["epoch"] for entry in seen] == [1, 2, 3]


def test_history_tells_what_was_done():
    machine = small().fit(ROWS)
    assert measured(machine) == [{"epoch": 1, "step": 5}, {"epoch": 2, "step": 10}, {"epoch": 3, "step": 15}]
    machine.partial_fit(DIGITS)
    for entry, n_rows in zip(machine.history_, (130, 130, 130, len(DIGITS)), strict=True):
        assert entry["seconds"] > 0
        assert entry["rows_per_second"] == pytest.approx(n_rows / entry["seconds"])


@pytest.mark.parametrize(("sizes", "n_particles"), [((4, 2), None), ((20, 9), 100)], ids=["exact", "importance"])
def test_held_out_rows_are_measured_after_every_epoch(sizes, n_particles):
    machine, values = small(hidden_layer_sizes=sizes), []
    chosen = np.sort(_core.epoch_order(small().random_state, 2**32, len(DIGITS), 0, monitor.MOST_ROWS))
    rows = DIGITS[chosen]
    assert not np.array_equal(chosen, np.arange(len(chosen)))  # sorted rows are no trap

    def measure(entry):
        log_p, sizes, _ = machine._estimates(rows, "auto", monitor.PARTICLES, None, 1)
        error = likelihood.standard_error(log_p, likelihood.shared_variance(rows, sizes, monitor.PARTICLES))
        values.append((machine.reconstruction_cross_entropy(rows), log_p.mean(), error, n_particles))

    machine.fit(ROWS, validation=DIGITS, callbacks=[measure])
    names = ("reconstruction_cross_entropy", "log_likelihood", "standard_error", "n_particles")
    assert [tuple(entry[name] for name in names) for entry in machine.history_] == values
    assert len(set(values)) == 3
    assert learned(machine) == learned(small(hidden_layer_sizes=sizes).fit(ROWS))


def ends(text, cell):
    """Where the cells of a line end."""
    return [match.end() for match in re.finditer(cell, text)]


def assert_aligned(text, n_cells):
    header = monitor.HEADER if n_cells == 4 else monitor.HELD_OUT_HEADER
    columns = ends(header, r"\S+( \S+)*")  # two spaces or more between columns
    assert ends(text, r"\S+") == columns
    assert len(columns) == n_cells


@pytest.mark.parametrize(("how", "n_cells"), [({}, 4), ({"validation": DIGITS}, 7)], ids=["alone", "held out"])
def test_verbose_prints_a_line_per_epoch_under_the_header(capsys, how, n_cells):
    small(verbose=1).fit(ROWS, **how)
    title, header, *lines = capsys.readouterr().out.splitlines()
    measured = f"{len(ROWS)}" if n_cells == 4 else "1,000 of 1,797 held-out rows"
    assert title == f"{len(ROWS)} rows to learn from; {measured} measured after each epoch; levels 64-5-3"
    assert header == (monitor.HEADER if n_cells == 4 else monitor.HELD_OUT_HEADER)
    assert [text.split()[0] for text in lines] == ["1", "2", "3"]
    for text in lines:
        assert_aligned(text, n_cells)


@pytest.mark.parametrize("n_particles", [None, monitor.PARTICLES])
def test_large_numbers_stay_in_their_columns(n_particles):
    entry = {"epoch": 99_999, "seconds": 3600.0, "rows_per_second": 5e8, "reconstruction_cross_entropy": 54321.0}
    assert_aligned(monitor.line(entry), 4)
    entry |= {"log_likelihood": -54321.0, "standard_error": 1234.5, "n_particles": n_particles}
    assert_aligned(monitor.line(entry), 7)


def test_silence_is_the_default(capsys):
    small().fit(ROWS, validation=ROWS).partial_fit(ROWS)
    assert capsys.readouterr().out == ""


# ---- divergence ----


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_squares_beyond_float32_are_a_divergence(optimizer):
    """By which rates are divided, so that nothing would be learned any more."""
    machine = small(rule=lambda log_w: 2 * (np.full_like(log_w, 1e30),), optimizer=optimizer)
    with pytest.raises(DivergenceError, match="diverged in epoch 1"):
        machine.fit(ROWS)


@pytest.mark.parametrize("seconds", [0, 1e9])
def test_diverging_training_says_so_and_keeps_the_parameters_from_before(monkeypatch, tmp_path, seconds):
    monkeypatch.setattr(training, "SECONDS_PER_CALL", seconds)
    X = np.random.default_rng(0).random((60, 7)) < 0.4
    machine = HelmholtzMachine((4, 3), n_iter=300, **DIVERGES)
    with pytest.raises(DivergenceError, match=r"diverged in epoch 2: .*use a smaller learning_rate \(now 4e\+38 for p"):
        machine.fit(X)
    assert machine.n_iter_ == len(machine.history_) == 1
    assert machine.step_ >= 3
    assert all(np.isfinite(part).all() for part in parts(machine))
    machine.save(tmp_path / "machine.npz")
    loaded = HelmholtzMachine.load(tmp_path / "machine.npz")
    assert learned(loaded) == learned(machine)
    with pytest.raises(DivergenceError, match="epoch 2"):
        loaded.fit(X, resume=True)
    assert all(np.isfinite(part).all() for part in parts(loaded))
