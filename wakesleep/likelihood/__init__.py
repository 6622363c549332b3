"""Measuring a machine: its log-likelihood, what can be known exactly, mean-field passes, and diagnostics."""

from wakesleep.likelihood.diagnosis import FEW, N_PARTICLES, Diagnostics, LevelDiagnostics, diagnostics
from wakesleep.likelihood.enumeration import Distribution, exact_distribution, exact_kl, exact_posterior
from wakesleep.likelihood.estimates import (
    METHODS,
    N_STEPS,
    annealed,
    chosen,
    log_likelihood,
    shared_variance,
    simulated_bounds,
)
from wakesleep.likelihood.imputation import WAYS, impute
from wakesleep.likelihood.mean_field import (
    decode,
    encode,
    independent_log_likelihood,
    reconstruction_cross_entropy,
    standard_error,
)

__all__ = [
    "FEW", "METHODS", "N_PARTICLES", "N_STEPS", "WAYS", "Diagnostics", "Distribution", "LevelDiagnostics", "annealed",
    "chosen", "decode", "diagnostics", "encode", "exact_distribution", "exact_kl", "exact_posterior", "impute",
    "independent_log_likelihood", "log_likelihood", "reconstruction_cross_entropy", "shared_variance",
    "simulated_bounds", "standard_error",
]  # fmt: skip
