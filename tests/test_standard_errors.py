"""Standard errors of means over rows: what rows share of their noise is part of them."""

import numpy as np
import pytest
from machines import random_machine, random_rows

from wakesleep import Bits, likelihood


def test_standard_error():
    assert likelihood.standard_error(np.array([1.0, 3.0])) == 1
    assert np.isnan(likelihood.standard_error(np.array([1.0])))
    assert likelihood.standard_error(np.array([1.0, 3.0]), 8.0) == 3


@pytest.mark.parametrize("missing", [False, True])
def test_equal_rows_share_their_noise_and_the_standard_error_tells_of_it(missing):
    """Over seeds, the mean is as far off as it says; every noise on its own would leave a fifth of that."""
    machine, cells = random_machine((12, 6, 4), 0.4), random_rows(4, 12).to_dense(float)
    if missing:
        cells[2:4, ::3] = np.nan
        cells[1] = cells[0]
        cells[1, :2] = np.nan
    rows = Bits.from_dense(np.repeat(cells, [150, 40, 9, 1], axis=0), missing="marginalise")
    means, variances = [], []
    for seed in range(300):
        values, sizes = likelihood.log_likelihood(
            machine.parameters_, machine._state.methods, rows, method="importance", n_particles=50, seed=seed
        )
        means.append(values.mean())
        variances.append(likelihood.shared_variance(rows, sizes, 50))
    np.testing.assert_allclose(np.sqrt(np.mean(variances)), np.std(means), rtol=0.2)


def test_rows_that_differ_share_no_noise():
    rows, sizes = Bits.from_dense(np.eye(4)), np.full(4, 2.0)
    assert likelihood.shared_variance(rows, sizes, 50) == 0
    assert likelihood.shared_variance(rows[[0, 0]], sizes[:2], 10) == pytest.approx((0.5 - 0.1) / 2)
    assert likelihood.shared_variance(rows[[0, 0]], None, 10) == 0
    gaps = Bits.from_dense([[0, np.nan], [np.nan, 0]], missing="marginalise")
    assert likelihood.shared_variance(gaps, sizes[:2], 10) == 0
