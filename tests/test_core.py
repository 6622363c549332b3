"""The compiled core equals its twin in every bit, at every CPU level, and refuses what does not fit."""

import checks
import numpy as np
import pytest
from checks import TABLES, WALK, random_parameters, random_states, same_bits
from hypothesis import example, given
from hypothesis import strategies as st
from twin import twin

from wakesleep import _core, _reference
from wakesleep.parameters import Parameters

# Around the widths of words (64), panels (64), blocks (16) and groups (4); 130 is three panels.
SIZES = st.sampled_from([0, 1, 3, 5, 16, 17, 63, 64, 65, 130])
# Around the number of outputs from which tables pay (12), and the bits of a transposed word (32).
ROWS = st.sampled_from([1, 2, 3, 7, 11, 12, 13, 32, 33, 40])
SEEDS = st.integers(0, (1 << 64) - 1)
SAMPLES = st.integers(0, (1 << 40) + 3)


@st.composite
def machines(draw):
    """Parameters, sizes and methods of one to three hidden levels; ±0, small or saturated weights."""
    sizes = draw(st.lists(SIZES, min_size=2, max_size=4))
    methods = draw(st.lists(st.sampled_from([WALK, TABLES]), min_size=len(sizes), max_size=len(sizes)))
    scale = draw(st.sampled_from([-0.0, 0.1, 1.0, 20.0]))
    parameters = random_parameters(sizes, scale=scale, seed=draw(st.integers(0, 99)))
    return parameters, np.array(sizes), np.array(methods, np.uint8)


def both(call):
    """call(module) of the core and of its twin."""
    return call(_core), call(twin)


def assert_same(call):
    """The arrays that call(module) returns are the same bits from the core and from its twin."""
    for ours, twins in zip(*both(call), strict=True):
        assert same_bits(np.ascontiguousarray(ours), np.ascontiguousarray(twins))


# ---- randomness ----

KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, words):
    assert _reference.philox(np.array(counter, np.uint32), np.array(key, np.uint32)).tolist() == list(words)


def test_random_words_begin_with_the_known_answer(cpu_level):
    assert _core.random_words(0, 0, 4, 1)[:, 0].tolist() == list(KNOWN_ANSWERS[0][2])


@given(seed=SEEDS, stream=st.integers(0, (1 << 32) - 1), first=st.integers(0, (1 << 64) - 8),
       n_samples=st.integers(0, 7), n_units=SIZES)  # fmt: skip
@example(seed=(1 << 64) - 1, stream=(1 << 32) - 1, first=(1 << 34) - 2, n_samples=7, n_units=17)
def test_random_words_equal_the_twin(cpu_level, seed, stream, first, n_samples, n_units):
    assert_same(lambda m: [m.random_words(seed, stream, n_samples, n_units, first)])


@given(seed=SEEDS, first=st.integers(0, (1 << 64) - 40), n_rows=st.integers(0, 35), n_units=SIZES,
       one=st.integers(1, 255), whole=st.booleans(), keyed=st.booleans())  # fmt: skip
@example(seed=1, first=(1 << 34) - 2, n_rows=35, n_units=65, one=255, whole=True, keyed=False)
@example(seed=1, first=0, n_rows=17, n_units=64, one=255, whole=False, keyed=True)
def test_probabilities_are_drawn_as_the_twin_draws_them(cpu_level, seed, first, n_rows, n_units, one, whole, keyed):
    rng = np.random.default_rng(0)
    if whole:
        values = rng.integers(0, one, (n_rows, n_units), np.uint8, endpoint=True)
    else:
        one, values = 1, rng.choice(np.float32([0, 2.0**-40, 0.3, 0.5, 1 - 2.0**-24, 1]), (n_rows, n_units))
    keys = rng.integers(0, 2**64, n_rows, np.uint64) if keyed else None

    def drawn(module):
        words = np.full((n_rows, (n_units + 63) // 64), 12345, np.uint64)
        module.binarize(values, one, words, seed, first, keys)
        return [words]

    assert_same(drawn)


def test_uniform_numbers_are_inside_zero_and_one():
    ends = _reference.uniform(np.array([0, (1 << 23) - 1], np.uint32))
    assert ends.tolist() == [2.0**-24, 1 - 2.0**-24]


def test_epoch_order(cpu_level):
    checks.check_epoch_order(_core)


@given(seed=SEEDS, epoch=st.integers(0, 1 << 40), n=st.integers(0, 200), data=st.data())
def test_epoch_order_equals_the_twin(cpu_level, seed, epoch, n, data):
    first = data.draw(st.integers(0, n))
    count = data.draw(st.none() | st.integers(0, n - first))
    assert_same(lambda m: [m.epoch_order(seed, epoch, n, first, count)])


@pytest.mark.parametrize("n", [1000, (1 << 16) + 1, (1 << 33) + 1])
def test_epoch_order_of_many_rows_equals_the_twin(cpu_level, n):
    assert_same(lambda m: [m.epoch_order(1, 2, n, n - 300, 300)])


def test_bits_turn_on_at_the_uniform_number(cpu_level):
    checks.check_decisions(_core, np.float32)


def test_infinite_logits_are_certain(cpu_level):
    checks.check_certain(_core, np.float32)


def test_levels_phases_and_samples_have_their_own_randomness(cpu_level):
    checks.check_streams(_core, np.float32)


# ---- every function equals the twin ----


@given(machine=machines(), n_rows=st.sampled_from([0, 1, 2, 5, 13, 33]), seed=SEEDS, first=SAMPLES)
def test_recognise_equals_the_twin(cpu_level, machine, n_rows, seed, first):
    states = random_states(machine[1], n_rows)

    def call(module):
        mine = states.copy()
        module.recognise(*machine, mine, seed, first_sample=first)
        return [mine]

    assert_same(call)


@given(machine=machines(), n_rows=st.sampled_from([0, 1, 2, 5, 13, 33]), seed=SEEDS, first=SAMPLES)
def test_dream_equals_the_twin(cpu_level, machine, n_rows, seed, first):
    states = random_states(machine[1], n_rows)

    def call(module):
        mine = states.copy()
        module.dream(*machine, mine, seed, first_sample=first)
        return [mine]

    assert_same(call)


@given(machine=machines(), n_rows=st.sampled_from([0, 1, 2, 5, 13, 33]))
def test_log_probabilities_equal_the_twin(cpu_level, machine, n_rows):
    states = random_states(machine[1], n_rows)
    assert_same(lambda m: m.log_probabilities(*machine, states))


@given(machine=machines(), n_rows=st.just(0) | ROWS, of_p=st.booleans(), of_q=st.booleans())
def test_teach_equals_the_twin_and_accumulates(cpu_level, machine, n_rows, of_p, of_q):
    states = random_states(machine[1], n_rows)
    drawn = np.random.default_rng(1).normal(size=(2, n_rows)).astype(np.float32)
    credits_p, credits_q = drawn[0] if of_p else None, drawn[1] if of_q else None
    before = random_parameters(machine[1], seed=100)

    def call(module):
        gradient = before.copy()
        module.teach(*machine, states, credits_p, credits_q, gradient)
        return [gradient]

    assert_same(call)
    p, q = np.split(
        before, [before.size - sum((m + 1) * n for m, n in zip(machine[1][:-1], machine[1][1:], strict=True))]
    )
    gradient_p, gradient_q = np.split(call(_core)[0], [p.size])
    if not of_p:
        assert same_bits(gradient_p, p)
    if not of_q:
        assert same_bits(gradient_q, q)


@pytest.mark.parametrize("method", [WALK, TABLES])
def test_teach_with_credits_of_zero_keeps_the_sign_of_zero_like_the_twin(cpu_level, method):
    sizes, methods = (5, 3), np.full(2, method, np.uint8)
    parameters, states, nothing = random_parameters(sizes), random_states(sizes, 4), np.zeros(4, np.float32)

    def call(module):
        gradient = np.full_like(parameters, -0.0)
        module.teach(parameters, sizes, methods, states, nothing, nothing, gradient)
        return [gradient]

    assert_same(call)


@pytest.mark.parametrize("n_rows", [256, 257, 513])
@pytest.mark.parametrize("method", [WALK, TABLES])
def test_more_states_than_fit_at_a_time_equal_the_twin(cpu_level, n_rows, method):
    sizes, methods = (20, 70, 3), np.full(3, method, np.uint8)
    parameters, states = random_parameters(sizes), random_states(sizes, n_rows)

    def call(module):
        awake, asleep, gradient = states.copy(), np.zeros_like(states), random_parameters(sizes, seed=100)
        module.recognise(parameters, sizes, methods, awake, 1)
        module.dream(parameters, sizes, methods, asleep, 1)
        module.teach(
            parameters, sizes, methods, states, np.ones(n_rows, np.float32), np.ones(n_rows, np.float32), gradient
        )
        return [awake, asleep, gradient, *module.log_probabilities(parameters, sizes, methods, states)]

    assert_same(call)


@pytest.mark.parametrize("methods", [(WALK, TABLES), (TABLES, WALK), (WALK, WALK)])
@pytest.mark.parametrize("sizes", [(600, 20), (20, 600)])
def test_walks_of_several_chunks_equal_the_twin(cpu_level, sizes, methods):
    """More units, and more rows, than the 256 that a walk adds together."""
    machine = random_parameters(sizes, scale=0.1), np.array(sizes), np.array(methods, np.uint8)
    states = random_states(sizes, 300)

    def call(module):
        mine, gradient = states.copy(), random_parameters(sizes, seed=100)
        module.recognise(*machine, mine, 1)
        module.teach(*machine, mine, np.ones(300, np.float32), np.ones(300, np.float32), gradient)
        return [mine, gradient, *module.log_probabilities(*machine, mine)]

    assert_same(call)


@pytest.mark.parametrize("method", [WALK, TABLES])
def test_layers_too_large_for_near_caches_equal_the_twin(cpu_level, method):
    """Their rows are fetched ahead."""
    sizes = (1100, 1000)
    machine = random_parameters(sizes, scale=0.1), np.array(sizes), np.full(2, method, np.uint8)
    states = random_states(sizes, 13)

    def call(module):
        mine = states.copy()
        module.recognise(*machine, mine, 1)
        return [mine, *module.log_probabilities(*machine, mine)]

    assert_same(call)


def test_dream_writes_every_word(cpu_level):
    sizes, methods = (3, 20, 70), np.full(3, TABLES, np.uint8)
    parameters = random_parameters(sizes)
    states = np.full((5, 4), (1 << 64) - 1, np.uint64)
    clean = np.zeros_like(states)
    _core.dream(parameters, sizes, methods, states, 1)
    _core.dream(parameters, sizes, methods, clean, 1)
    np.testing.assert_array_equal(states, clean)


@given(n_rows=st.sampled_from([0, 1, 3, 4, 5, 257]), n_source=SIZES, n_target=SIZES, scale=st.sampled_from([0.1, 30]))
def test_propagate_equals_the_twin(cpu_level, n_rows, n_source, n_target, scale):
    rng = np.random.default_rng(0)
    values = rng.random((n_rows, n_source), np.float32)
    weights = (scale * rng.normal(size=(n_source, n_target))).astype(np.float32)
    biases = (scale * rng.normal(size=n_target)).astype(np.float32)
    assert_same(lambda m: [m.propagate(values, weights, biases)])


# ---- saturated machines ----


@pytest.mark.parametrize("method", [WALK, TABLES])
@pytest.mark.parametrize("logit", [30, 100, np.inf])
def test_saturated_biases(cpu_level, logit, method):
    sizes, methods = (17, 65, 3), np.full(3, method, np.uint8)
    rng = np.random.default_rng(0)
    on = [rng.random(size) < 0.5 for size in sizes]
    p = Parameters(sizes)
    for level, layer in enumerate([*p.generative, p.prior]):
        layer.biases[:] = np.where(on[level], logit, -logit)
    for level, layer in enumerate(p.recognition, 1):
        layer.biases[:] = np.where(on[level], logit, -logit)
    machine = p.flat, sizes, methods
    certain = checks.pack([np.tile(level, (9, 1)) for level in on])
    never = checks.pack([~np.tile(level, (9, 1)) for level in on])

    awake = checks.states_of(certain[:, :1], sizes)
    asleep = np.zeros_like(certain)
    _core.recognise(*machine, awake, 1)
    _core.dream(*machine, asleep, 1)
    np.testing.assert_array_equal(awake, certain)
    np.testing.assert_array_equal(asleep, certain)

    for states, expected in ((certain, (0, 0)), (never, (-logit * 85, -logit * 68))):
        assert_same(lambda m, states=states: m.log_probabilities(*machine, states))
        for log_probability, value in zip(_core.log_probabilities(*machine, states), expected, strict=True):
            np.testing.assert_allclose(log_probability, value, rtol=1e-6, atol=1e-10, err_msg="85 · e^−30 = 8e-12")

    credit = np.ones(9, np.float32)
    for states, each in ((certain, 0), (never, 9)):
        gradient = np.zeros_like(p.flat)
        _core.teach(*machine, states, credit, credit, gradient)
        g = Parameters(sizes, gradient)
        for level, layer in [*enumerate([*g.generative, g.prior]), *enumerate(g.recognition, 1)]:
            np.testing.assert_allclose(layer.biases, np.where(on[level], -each, each), rtol=1e-6, atol=1e-10)
        assert np.isfinite(gradient).all()
