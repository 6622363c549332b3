"""Bars and the shifter: images of a known distribution, so that the best possible likelihood is known."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from wakesleep._core import DATASETS, random_words
from wakesleep.bits import Bits
from wakesleep.hyperparameters import MOST_SEED, count, flag, number

MOST_COINS = 16  # a distribution is enumerated: 2¹⁶ outcomes at most


# fmt: off
@overload
def make_bars(
    n_samples: int = ..., *, size: int = ..., p_vertical: float | None = ..., p_on: float = ..., blank: bool = ...,
    random_state: int = ..., return_distribution: Literal[False] = ...,
) -> Bits: ...
@overload
def make_bars(
    n_samples: int = ..., *, size: int = ..., p_vertical: float | None = ..., p_on: float = ..., blank: bool = ...,
    random_state: int = ..., return_distribution: Literal[True],
) -> tuple[Bits, NDArray[np.float64]]: ...
# fmt: on
def make_bars(
    n_samples: int = 1000,
    *,
    size: int = 4,
    p_vertical: float | None = 2 / 3,
    p_on: float = 0.2,
    blank: bool = True,
    random_state: int = 0,
    return_distribution: bool = False,
) -> Bits | tuple[Bits, NDArray[np.float64]]:
    """Square images of bars: columns of ones, or rows of ones, or both.

    First the direction of the bars is drawn, then every bar of that direction is on or off.
    The defaults are the toy of Hinton, Dayan, Frey and Neal (1995), of 3.42840 bits;
    ``size=3, p_on=0.5, blank=False`` has 3.50326 bits; ``size=5, p_vertical=None, p_on=0.1``, where
    bars of both directions cross, has 4.68989.

    Parameters
    ----------
    n_samples : int, default=1000
        N, the number of images to draw, at least 1.
    size : int, default=4
        Pixels per side; 1 to 16, or 1 to 8 where `p_vertical` is None.
    p_vertical : float or None, default=2/3
        Probability that the bars are vertical; None: both directions are in every image.
    p_on : float, default=0.2
        Probability that a bar is on.
    blank : bool, default=True
        Whether the blank and the full image, which show no direction, occur; False: draw again.
    random_state : int, default=0
        The seed, from 0 to 2**64 − 1.
    return_distribution : bool, default=False
        Return the distribution itself instead of a sample of it.

    Returns
    -------
    images : Bits of shape (N, size²)
        The images, row by row; with `return_distribution` the distinct ones.
    probabilities : ndarray of shape (N,), float64
        With `return_distribution` only: the probability of each distinct image.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range, or no image is left.

    Examples
    --------
    >>> from wakesleep.datasets import make_bars
    >>> make_bars(500, size=3).shape
    (500, 9)
    >>> images, p = make_bars(return_distribution=True)
    >>> print(images, f"{-(p @ np.log2(p)):.5f} bits")
    <Bits: 30 x 16, 50.0% ones> 3.42840 bits
    """
    size = count("size", size, most=MOST_COINS // 2 if p_vertical is None else MOST_COINS)
    p_on, blank = number("p_on", p_on, 0, 1), flag("blank", blank)
    return_distribution = flag("return_distribution", return_distribution)
    if p_vertical is None:
        coins, probabilities = _tosses(2 * size, p_on)
        images = coins[:, :size, None] | coins[:, None, size:]
    else:
        p_vertical = number("p_vertical", p_vertical, 0, 1)
        bars, p = _tosses(size, p_on)
        square = (len(bars), size, size)
        images = np.concatenate([np.broadcast_to(bars[:, None, :], square), np.broadcast_to(bars[:, :, None], square)])
        probabilities = np.concatenate([p_vertical * p, (1 - p_vertical) * p])
    images = images.reshape(len(images), size * size)
    if not blank:
        probabilities = np.where(images.all(axis=1) | ~images.any(axis=1), 0.0, probabilities)
        if not probabilities.any():
            raise ValueError(f"blank: want True for size={size}, p_on={p_on}, where no other image is left")
    distribution = _distinct(images, probabilities)
    return distribution if return_distribution else _draw(*distribution, n_samples, random_state)


# fmt: off
@overload
def make_shifter(
    n_samples: int = ..., *, width: int = ..., p_on: float = ..., random_state: int = ...,
    return_distribution: Literal[False] = ...,
) -> Bits: ...
@overload
def make_shifter(
    n_samples: int = ..., *, width: int = ..., p_on: float = ..., random_state: int = ...,
    return_distribution: Literal[True],
) -> tuple[Bits, NDArray[np.float64]]: ...
# fmt: on
def make_shifter(
    n_samples: int = 1000,
    *,
    width: int = 8,
    p_on: float = 0.3,
    random_state: int = 0,
    return_distribution: bool = False,
) -> Bits | tuple[Bits, NDArray[np.float64]]:
    """Images of four rows: a random row twice, then the same row shifted by one pixel twice.

    The shift is cyclic, to the left or to the right with equal probability. The defaults are the
    toy of Hinton, Dayan, Frey and Neal (1995), of 7.98872 bits.

    Parameters
    ----------
    n_samples : int, default=1000
        N, the number of images to draw, at least 1.
    width : int, default=8
        Pixels per row, 1 to 15.
    p_on : float, default=0.3
        Probability that a pixel of the random row is 1.
    random_state : int, default=0
        The seed, from 0 to 2**64 − 1.
    return_distribution : bool, default=False
        Return the distribution itself instead of a sample of it.

    Returns
    -------
    images : Bits of shape (N, 4·width)
        The images, row by row; with `return_distribution` the distinct ones.
    probabilities : ndarray of shape (N,), float64
        With `return_distribution` only: the probability of each distinct image.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range.

    Examples
    --------
    >>> from wakesleep.datasets import make_shifter
    >>> images, p = make_shifter(return_distribution=True)
    >>> images[100].reshape(4, 8)
    array([[0, 0, 1, 0, 0, 1, 1, 0],
           [0, 0, 1, 0, 0, 1, 1, 0],
           [0, 1, 0, 0, 1, 1, 0, 0],
           [0, 1, 0, 0, 1, 1, 0, 0]], dtype=uint8)
    """
    width, p_on = count("width", width, most=MOST_COINS - 1), number("p_on", p_on, 0, 1)
    return_distribution = flag("return_distribution", return_distribution)
    rows, p = _tosses(width, p_on)
    images = np.concatenate([np.hstack([rows, rows, *2 * [np.roll(rows, shift, axis=1)]]) for shift in (-1, 1)])
    distribution = _distinct(images, np.concatenate([0.5 * p, 0.5 * p]))
    return distribution if return_distribution else _draw(*distribution, n_samples, random_state)


def _tosses(n_coins: int, p_on: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """All outcomes of n coins, (2ⁿ, n), and their probabilities: products taken in one fixed order."""
    coins = (np.arange(1 << n_coins)[:, None] >> np.arange(n_coins) & 1).astype(bool)
    probabilities = np.ones(len(coins))
    for coin in coins.T:
        probabilities *= np.where(coin, p_on, 1 - p_on)
    return coins, probabilities


def _distinct(images: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[Bits, NDArray[np.float64]]:
    """The distinct images of positive weight, in the order of their words, and their probabilities."""
    images, weights = images[weights > 0], weights[weights > 0]
    words, index = np.unique(Bits.from_dense(images).words, axis=0, return_inverse=True)
    sums = np.zeros(len(words))
    np.add.at(sums, index.reshape(-1), weights)
    return Bits(words, images.shape[1]), sums / np.cumsum(sums)[-1]


def _draw(images: Bits, probabilities: NDArray[np.float64], n_samples: int, random_state: int) -> Bits:
    """Images number i(u), where i inverts the cumulative sum and u is uniform, of 53 bits from two words."""
    n_samples, seed = count("n_samples", n_samples), count("random_state", random_state, 0, MOST_SEED)
    high, low = random_words(seed, DATASETS, n_samples, 2).T
    u = ((high >> 5) * 2.0**26 + (low >> 6)) * 2.0**-53
    cumulative = np.cumsum(probabilities)
    index: NDArray[np.intp] = np.searchsorted(cumulative / cumulative[-1], u, side="right")
    return images[index]
