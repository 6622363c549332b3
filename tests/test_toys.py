"""The toys: their distributions against brute force and the published floors, and samples of them."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from wakesleep.datasets import make_bars, make_shifter, toys

BARS_3 = {"size": 3, "p_on": 0.5, "blank": False}
BARS_5 = {"size": 5, "p_vertical": None, "p_on": 0.1}
TOYS = [(make_bars, {}), (make_bars, BARS_3), (make_bars, BARS_5), (make_shifter, {})]
NAMES = ["bars 4x4", "bars 3x3", "bars 5x5", "shifter 4x8"]
Z_MAX = 4.5  # standard errors; some 1,500 counts are compared, with fixed seeds


def distribution(images, probabilities):
    return {tuple(row.tolist()): p for row, p in zip(images, probabilities, strict=True)}


def tosses(n_coins, p_on):
    for coins in product((0, 1), repeat=n_coins):
        yield coins, p_on ** sum(coins) * (1 - p_on) ** (n_coins - sum(coins))


def brute_force_bars(size, p_vertical, p_on):
    """The definition in words: a direction, then the bars of that direction."""
    total = Counter()
    for bars, p in tosses(size, p_on):
        total[tuple(bars[column] for row in range(size) for column in range(size))] += p_vertical * p
        total[tuple(bars[row] for row in range(size) for column in range(size))] += (1 - p_vertical) * p
    return total


def brute_force_crossing_bars(size, p_on):
    total = Counter()
    for bars, p in tosses(2 * size, p_on):
        total[tuple(bars[column] | bars[size + row] for row in range(size) for column in range(size))] += p
    return total


def brute_force_shifter(width, p_on):
    total = Counter()
    for row, p in tosses(width, p_on):
        for shifted in (row[1:] + row[:1], row[-1:] + row[:-1]):
            total[row + row + shifted + shifted] += p / 2
    return total


@pytest.mark.parametrize(
    ("toy", "n_images", "floor"),
    list(zip(TOYS, [30, 12, 962, 508], [3.42840, 3.50326, 4.68989, 7.98872], strict=True)),
    ids=NAMES,
)
def test_number_of_images_and_floor_in_bits(toy, n_images, floor):
    make, options = toy
    images, p = make(**options, return_distribution=True)
    assert len(images) == len(p) == n_images
    assert p.dtype == np.float64
    assert p.min() > 0
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert -(p @ np.log2(p)) == pytest.approx(floor, abs=1e-5)


@pytest.mark.parametrize(
    ("toy", "expected"),
    [
        ((make_bars, {}), brute_force_bars(4, 2 / 3, 0.2)),
        ((make_bars, {"size": 2, "p_vertical": 0.1, "p_on": 0.7}), brute_force_bars(2, 0.1, 0.7)),
        ((make_bars, BARS_5), brute_force_crossing_bars(5, 0.1)),
        ((make_shifter, {}), brute_force_shifter(8, 0.3)),
        ((make_shifter, {"width": 3, "p_on": 0.6}), brute_force_shifter(3, 0.6)),
        ((make_bars, {"size": 1}), {(0,): 0.8, (1,): 0.2}),
        ((make_shifter, {"width": 1, "p_on": 0.25}), {(0, 0, 0, 0): 0.75, (1, 1, 1, 1): 0.25}),
    ],
)
def test_distribution_is_that_of_the_definition(toy, expected):
    make, options = toy
    assert distribution(*make(**options, return_distribution=True)) == pytest.approx(expected, rel=1e-12, abs=0)


def test_bars_without_blanks_are_twice_as_often_vertical():
    images, p = make_bars(**BARS_3, return_distribution=True)
    for row, probability in zip(images, p, strict=True):
        vertical = (row.reshape(3, 3) == row[:3]).all()
        assert probability == pytest.approx(2 / 18 if vertical else 1 / 18, abs=1e-15)
        assert 0 < row.sum() < 9


def test_images_of_probability_zero_are_left_out():
    assert distribution(*make_bars(p_on=0, return_distribution=True)) == {(0,) * 16: 1}
    assert len(make_bars(p_vertical=1, return_distribution=True)[0]) == 16


# ---- samples ----


def largest_deviation(sample, images, p):
    """Of the count of any image, in standard errors; images that are too rare are counted together."""
    counts = Counter(row.tobytes() for row in sample.words)
    observed = np.array([counts.pop(row.tobytes(), 0) for row in images.words])
    assert not counts, "an image outside the distribution"
    expected = len(sample) * p
    rare = expected < 10
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], max(1, expected[rare].sum()))
    return np.abs((observed - expected) / np.sqrt(expected)).max()


@pytest.mark.parametrize(("make", "options"), TOYS, ids=NAMES)
def test_samples_have_the_distribution(make, options):
    images, p = make(**options, return_distribution=True)
    sample = make(200_000, **options, random_state=1)
    assert largest_deviation(sample, images, p) < Z_MAX
    skewed = p * np.where(images.to_dense()[:, 1] == 1, 1.1, 1)
    assert largest_deviation(sample, images, skewed / skewed.sum()) > Z_MAX, "this test has no power"


def test_a_sample_repeats_and_grows_and_depends_on_the_seed():
    sample = make_bars(200, random_state=3)
    assert sample == make_bars(200, random_state=3)
    assert sample[:50] == make_bars(50, random_state=3)
    assert sample != make_bars(200, random_state=4)
    assert sample != make_bars(200, random_state=3 + 2**32)


def test_samples_stay_what_they_are():
    assert make_bars(6).words.ravel().tolist() == [3840, 3840, 0, 13107, 13107, 3840]
    assert make_shifter(3, random_state=2**64 - 1).words.ravel().tolist() == [0, 2172715779, 2155888704]


@pytest.mark.parametrize(("word", "chosen"), [(0, 0), (2**32 - 1, -1)])
def test_extreme_random_words_give_the_first_and_the_last_image(monkeypatch, word, chosen):
    monkeypatch.setattr(toys, "random_words", lambda seed, stream, n, m: np.full((n, m), word, np.uint32))
    images, _ = make_shifter(return_distribution=True)
    np.testing.assert_array_equal(make_shifter(1)[0], images[chosen])


@pytest.mark.parametrize("p_off", [0.5, 0.5 + 2.0**-40])
def test_the_second_image_begins_exactly_where_the_first_one_ends(monkeypatch, p_off):
    end = int(p_off * 2**53)  # of the 53-bit uniforms that mean the first image
    uniforms = np.array([end - 1, end], np.uint64)
    words = np.stack([uniforms >> np.uint64(26) << np.uint64(5), uniforms % np.uint64(1 << 26) << np.uint64(6)], 1)
    monkeypatch.setattr(toys, "random_words", lambda *_: words.astype(np.uint32))
    assert make_bars(2, size=1, p_on=1 - p_off).to_dense().ravel().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("make", "options", "fault"),
    [
        (make_bars, {"n_samples": 0}, "n_samples: want a whole number from 1 to 2147483647, got 0"),
        (make_bars, {"n_samples": 2.5}, "n_samples: want a whole number, got 2.5"),
        (make_bars, {"n_samples": True}, "n_samples: want a whole number, got True"),
        (make_bars, {"size": 0}, "size: want a whole number from 1 to 16, got 0"),
        (make_bars, {"size": 17}, "size: want a whole number from 1 to 16, got 17"),
        (make_bars, {"size": 9, "p_vertical": None}, "size: want a whole number from 1 to 8, got 9"),
        (make_bars, {"size": np.array(3)}, r"size: want a whole number, got array\(3\)"),
        (make_bars, {"p_on": 1.5}, "p_on: want a number from 0 to 1, got 1.5"),
        (make_bars, {"p_on": None}, "p_on: want a number, got None"),
        (make_bars, {"p_on": True}, "p_on: want a number, got True"),
        (make_bars, {"p_vertical": -0.1}, "p_vertical: want a number from 0 to 1, got -0.1"),
        (make_bars, {"p_vertical": float("nan")}, "p_vertical: want a number from 0 to 1, got nan"),
        (make_bars, {"blank": "no"}, "blank: want True or False, got 'no'"),
        (make_bars, {"return_distribution": "no"}, "return_distribution: want True or False, got 'no'"),
        (make_bars, {"size": 1, "blank": False}, "blank: want True for size=1, p_on=0.2, where no other image is left"),
        (make_bars, {"p_on": 0, "blank": False}, "blank: want True for size=4, p_on=0.0, where no other image is left"),
        (make_bars, {"random_state": -1}, "random_state: want a whole number from 0 to 18446744073709551615, got -1"),
        (make_bars, {"random_state": 2**64}, "random_state: want a whole number from 0 to 18446744073709551615, got"),
        (make_shifter, {"random_state": None}, "random_state: want a whole number, got None"),
        (make_shifter, {"random_state": "0"}, "random_state: want a whole number, got '0'"),
        (make_shifter, {"width": 16}, "width: want a whole number from 1 to 15, got 16"),
        (make_shifter, {"p_on": 2}, "p_on: want a number from 0 to 1, got 2"),
        (make_shifter, {"return_distribution": 1}, "return_distribution: want True or False, got 1"),
    ],
)
def test_what_no_argument_can_be_is_refused(make, options, fault):
    with pytest.raises((ValueError, TypeError), match=f"^{fault}"):
        make(**options)
