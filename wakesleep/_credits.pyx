# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The rules, compiled: how the log weights of an example's particles become credits.

`wakesleep.rules` is the same in NumPy, says where each is from, and agrees in every bit.
"""

from math import factorial

from libc.math cimport frexp, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy

cdef double[14] COEFFICIENTS    # 1/13! ... 1/0!
cdef double[12] ODD             # 1/23, 1/21 ... 1
cdef int i
for i in range(14):
    COEFFICIENTS[13 - i] = 1 / float(factorial(i))
for i in range(12):
    ODD[i] = 1.0 / (23 - 2 * i)


cdef double exp(double x) noexcept nogil:
    """e^x, with x clamped to ±700."""
    cdef double shifted, n, r, p, power
    cdef int64_t bits
    cdef int j
    if x < -700:
        x = -700
    if x > 700:
        x = 700
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    p = COEFFICIENTS[0]
    for j in range(1, 14):
        p = p * r + COEFFICIENTS[j]
    memcpy(&bits, &shifted, sizeof(double))
    bits = <int64_t>((<unsigned long long>bits + 1023) << 52)
    memcpy(&power, &bits, sizeof(double))
    return p * power


cdef double log(double x) noexcept nogil:
    """Natural logarithm of a positive number."""
    cdef double mantissa, s, t, series = 0
    cdef int exponent, j
    mantissa = frexp(x, &exponent)
    if mantissa < sqrt(0.5):
        mantissa, exponent = 2 * mantissa, exponent - 1
    s = (mantissa - 1) / (mantissa + 1)
    t = s * s
    for j in range(12):
        series = series * t + ODD[j]
    return 2 * s * series + exponent * 0.6931471805599453


# ---- of one example: K log weights ----

cdef double exponentials(Py_ssize_t n_particles, const double *x, double *e, Py_ssize_t *top) noexcept nogil:
    """e_k = e^(x_k − x_top), where x_top is the largest.  Returns Σ e."""
    cdef Py_ssize_t k
    cdef double total = 0
    top[0] = 0
    for k in range(1, n_particles):
        if x[k] > x[top[0]]:
            top[0] = k
    for k in range(n_particles):
        e[k] = exp(x[k] - x[top[0]])
        total += e[k]
    return total


cdef void log_sums_of_others(Py_ssize_t n_particles, const double *x, const double *e, Py_ssize_t top,
                             double *rest) noexcept nogil:
    """rest_k = log Σ_{j≠k} e^x_j; for the largest, relative to the second largest, next to which it may vanish."""
    cdef Py_ssize_t k, second = 0 if top else 1
    cdef double before = 0, after = 0
    for k in range(n_particles - 1, -1, -1):
        rest[k] = after
        after += e[k]
    for k in range(n_particles):
        if k != top:
            rest[k] = x[top] + log(before + rest[k])
        before += e[k]
    for k in range(n_particles):
        if k != top and x[k] > x[second]:
            second = k
    before = 0
    for k in range(n_particles):
        if k != top:
            before += exp(x[k] - x[second])
    rest[top] = x[second] + log(before)


cdef void give_credit(int rule, double gamma, Py_ssize_t n_particles, double *log_w, double *scratch, float *v,
                      float *u) noexcept nogil:
    """v for p and u for q from the log weights of an example.  log_w, v, u : (K,).  scratch : (2 K,)."""
    cdef double *e = scratch
    cdef double *rest = scratch + n_particles
    cdef double total, mean, whole, credit, without, sum_w = 0, uniform = log(1 - 1 / <double>n_particles)
    cdef Py_ssize_t k, top
    if rule == LEAVE_ONE_OUT:
        for k in range(n_particles):
            sum_w += log_w[k]
        for k in range(n_particles):
            mean = (sum_w - log_w[k]) / (n_particles - 1)
            v[k], u[k] = <float>(1 / <double>n_particles), <float>((log_w[k] - mean) / n_particles)
        return
    if rule == BIHM:
        for k in range(n_particles):
            log_w[k] = 0.5 * log_w[k]
    total = exponentials(n_particles, log_w, e, &top)
    whole = log_w[top] + log(total)
    if rule == VIMCO or rule == VIMCO_ARITHMETIC or rule == OVIS:
        log_sums_of_others(n_particles, log_w, e, top, rest)
    if rule == VIMCO:
        for k in range(n_particles):
            sum_w += log_w[k]
    for k in range(n_particles):
        credit = e[k] / total
        v[k] = <float>credit
        if rule == REWEIGHTED or rule == BIHM:
            u[k] = <float>(credit - 1 / <double>n_particles)
        elif rule == OVIS:
            u[k] = <float>((uniform - (rest[k] - whole)) - (1 - gamma) * (credit + uniform))
        else:
            if rule == VIMCO:
                mean = (sum_w - log_w[k]) / (n_particles - 1)
                without = log_sum(rest[k], mean) - log(<double>n_particles)
            else:
                without = rest[k] - log(<double>(n_particles - 1))
            u[k] = <float>(((whole - log(<double>n_particles)) - without) - credit)


cdef double log_sum(double x, double y) noexcept nogil:
    """log(e^x + e^y)"""
    if x > y:
        x, y = y, x
    return y + log(1 + exp(x - y))
