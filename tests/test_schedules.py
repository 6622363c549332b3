"""Schedules: what the factors are, that they depend on nothing but where training stands, and what is refused."""

import hashlib
import math
import re

import numpy as np
import pytest
from machines import ROWS, small

from wakesleep import schedules
from wakesleep.schedules import Schedule, factors, parse

LIBM = 4e-16  # absolute, of a cosine between 0 and 1 in float64
SCHEDULES = [
    *("constant", "linear", "cosine", "decay:factor=0.9", "constant:warm_up=2", "linear:final=0.25"),
    *("cosine:warm_up=3,final=0.1", "linear:warm_up=1", "decay:warm_up=2,factor=0.5", "cosine:warm_up=99"),
]


def whole(text, n_iter, n_batches, n_epochs=None):
    """The factors of all minibatches of a training."""
    return np.concatenate([factors(parse(text), e, n_batches, n_iter) for e in range(n_epochs or n_iter)])


def test_the_curves_are_what_they_are_called():
    t = np.arange(20)
    for text, expected in (
        ("constant", np.ones(20)),
        ("linear", 1 - t / 20),
        ("linear:final=0.5", 1 - t / 40),
        ("cosine", (1 + np.cos(np.pi * t / 20)) / 2),
        ("cosine:final=0.2", 0.2 + 0.4 * (1 + np.cos(np.pi * t / 20))),
        ("decay:factor=0.9", 0.9 ** (t // 5)),
        ("constant:warm_up=1", np.minimum((t + 1) / 5, 1)),
        ("linear:warm_up=2", np.where(t < 10, (t + 1) / 10, 1 - (t - 10) / 10)),
        ("decay:warm_up=1,factor=0.5", np.where(t < 5, (t + 1) / 5, 0.5 ** (t // 5 - 1))),
    ):
        np.testing.assert_allclose(whole(text, 4, 5), expected, rtol=0, atol=LIBM, err_msg=text)


def test_the_cosine_is_good_to_the_last_digits():
    x = np.linspace(0, 1, 10_001)
    exact = np.array([math.cos(math.pi * value / 2) ** 2 for value in x])
    np.testing.assert_allclose(schedules._half_cosine(x), exact, rtol=0, atol=LIBM)
    assert schedules._half_cosine(np.array([0.0, 0.5, 1.0])).tolist() == [1.0, 0.5, 0.0]


def test_the_factors_are_these_bits_everywhere():
    bits = whole("cosine:warm_up=1,final=0.05", 3, 4).tobytes() + whole("decay:factor=0.97", 40, 1).tobytes()
    assert hashlib.sha256(bits).hexdigest()[:16] == "f1e52942d7b1507f"


@pytest.mark.parametrize("text", SCHEDULES)
def test_a_part_of_an_epoch_has_the_factors_of_the_whole(text):
    schedule = parse(text)
    for epoch in (0, 2, 7):
        everything = factors(schedule, epoch, 11, 5)
        assert everything.dtype == np.float64
        for first, count in ((0, 11), (0, 1), (3, 4), (10, 1), (11, 0)):
            np.testing.assert_array_equal(factors(schedule, epoch, 11, 5, first, count), everything[first:][:count])


@pytest.mark.parametrize("text", SCHEDULES)
def test_every_factor_is_positive_within_n_iter_and_none_is_above_one(text):
    within, all_of_them = whole(text, 6, 7), whole(text, 6, 7, n_epochs=9)
    assert within.min() > 0
    assert all_of_them.min() >= 0
    assert all_of_them.max() <= 1


def test_beyond_the_last_epoch_the_curve_stays_at_its_end():
    for text, end in (("linear", 0), ("cosine", 0), ("linear:final=0.5", 0.5), ("cosine:final=0.25", 0.25)):
        np.testing.assert_array_equal(factors(parse(text), 4, 3, 4), [end] * 3)


def test_strings_are_parsed():
    assert parse("constant") == schedules.CONSTANT == Schedule("constant")
    assert parse("decay:factor=0.99") == Schedule("decay", factor=0.99)
    assert parse("cosine:final=1e-2,warm_up=5") == Schedule("cosine", warm_up=5, final=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "schedule: want one of constant, linear, cosine, decay, got ''"),
        ("Cosine", "want one of constant, linear, cosine, decay, got 'Cosine'"),
        ("cosine:", "want warm_up=VALUE, final=VALUE after the colon of 'cosine', got '' in 'cosine:'"),
        ("cosine:factor=1", "want warm_up=VALUE, final=VALUE after the colon of 'cosine', got 'factor=1' in"),
        ("cosine:final=0,final=0", "want final once, got it twice in"),
        ("constant:final=0", "want warm_up=VALUE after the colon of 'constant', got 'final=0' in"),
        ("decay", "want a factor, as in 'decay:factor=0.99', got 'decay'"),
        ("decay:factor=0", "want factor to be a number above 0 and at most 1, got '0'"),
        ("decay:factor=1.01", "want factor to be a number above 0 and at most 1"),
        ("decay:factor=nan", "want factor to be a number above 0 and at most 1, got 'nan'"),
        ("linear:final=-0.1", "want final to be a number from 0 to 1"),
        ("linear:final", "want final to be a number from 0 to 1, got ''"),
        ("linear:warm_up=1.5", "want warm_up to be a whole number of epochs, got '1.5'"),
        ("linear:warm_up=-1", "want warm_up to be a whole number of epochs"),
        ("linear:warm_up=9999999999", "want warm_up to be a whole number of epochs"),
    ],
)
def test_what_is_no_schedule_is_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


@pytest.mark.parametrize("value", [None, 0.9, ("decay", 0.9), b"linear"], ids=repr)
def test_a_schedule_is_a_string(value):
    with pytest.raises(TypeError, match=r"^sleep_weight: want a string such as"):
        parse(value, "sleep_weight")


@pytest.mark.parametrize("curve", ["linear", "cosine"])
def test_a_curve_that_would_end_before_its_warm_up_is_refused(curve):
    machine = small(schedule=f"{curve}:warm_up=3", n_iter=3)
    for train in (machine.fit, machine.partial_fit):
        with pytest.raises(ValueError, match=f"^schedule: want warm_up below n_iter, 3, .*'{curve}' ends, got 3$"):
            train(ROWS)
    machine.set_params(n_iter=0).fit(ROWS)  # to begin with
    machine.set_params(n_iter=4).fit(ROWS, resume=True)
    machine.set_params(schedule="constant:warm_up=9").fit(ROWS)  # may go on later
