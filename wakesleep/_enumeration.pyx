# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""log p(x) by adding up all hidden states, compiled.

`_reference_measures` has the same function in plain NumPy. Equation numbers are those of docs/MATH.md.
"""

import numpy as np

from libc.math cimport INFINITY, exp, fabs, log, log1p
from libc.stdint cimport uint64_t

from wakesleep._interrupts cimport Watch, begin_watch, interrupted, raise_interruption
from wakesleep._panels cimport MOST_THREADS, Barrier, team_run

from wakesleep._border import check_bits
from wakesleep.parameters import Parameters

cdef enum:
    STATES = 4096    # whose logits follow from one another, before they are taken afresh
    DEAF = 1 << 22   # additions between looks at Ctrl-C
    SMALL = 1 << 20  # operations that are done before another thread has begun
    APART = 16       # numbers between what two threads write to

cdef double SAFE = 1e-260  # far above 2²⁴ times the smallest normal number: no sum above it has lost anything


cdef struct Marginal:  # of the targets of one layer, over all states of its sources
    Barrier barrier
    Watch watch
    Py_ssize_t n_source
    Py_ssize_t n_target
    const double *weights   # a row for each source unit
    const double *columns   # a row for each target unit
    const double *biases
    double *log_prior       # of each state; then with Σ softplus subtracted
    double *scaled          # exp(log_prior − top)
    double top
    const uint64_t *targets
    Py_ssize_t n_rows
    Py_ssize_t words
    double *z               # so much for each thread
    double *terms
    double *work
    double *out


cdef inline double sum_softplus(const double *z, Py_ssize_t n) noexcept nogil:
    """Σ log(1 + e^z_j): of each 512 units the logarithm of one product, whose factors are between 1 and 2."""
    cdef double total = 0, product = 1
    cdef Py_ssize_t j
    for j in range(n):
        total += z[j] if z[j] > 0 else 0
        product *= 1 + exp(-fabs(z[j]))
        if j & 511 == 511:
            total, product = total + log(product), 1
    return total + log(product)


cdef void add_subsets(double *sums, const double *terms, Py_ssize_t n_terms) noexcept nogil:
    """sums[s] = sums[0] + Σ terms[i] over the bits i of s, for all s < 2^n_terms."""
    cdef Py_ssize_t i, s
    for i in range(n_terms):
        for s in range(<Py_ssize_t>1 << i):
            sums[s + (<Py_ssize_t>1 << i)] = sums[s] + terms[i]


cdef void subtract_normalizers(void *job, int me) noexcept nogil:
    """log_prior[s] −= Σ softplus(z(s)) of a thread's share of the states s: one bit flips from state to state.

    After so many states z is taken afresh, so that rounding does not build up; a thread has whole runs of them.
    """
    cdef Marginal *m = <Marginal *>job
    cdef Py_ssize_t n_states = <Py_ssize_t>1 << m.n_source, n_runs = (n_states + STATES - 1) // STATES
    cdef Py_ssize_t run, count, state, i, j
    cdef const double *weights
    cdef double *z = m.z + me * (m.n_target + APART)
    cdef double sign
    for run in range(n_runs * me // m.barrier.n_threads, n_runs * (me + 1) // m.barrier.n_threads):
        if interrupted(&m.watch, me):
            return
        state = run * STATES ^ run * STATES >> 1
        for j in range(m.n_target):
            z[j] = m.biases[j]
        for i in range(m.n_source):
            if state >> i & 1:
                weights = m.weights + i * m.n_target
                for j in range(m.n_target):
                    z[j] += weights[j]
        for count in range(run * STATES + 1, min((run + 1) * STATES, n_states) + 1):
            m.log_prior[state] -= sum_softplus(z, m.n_target)
            i = 0
            while i < m.n_source and count >> i & 1 == 0:
                i += 1
            if i < m.n_source:
                state ^= <Py_ssize_t>1 << i
                sign = 1 if state >> i & 1 else -1
                weights = m.weights + i * m.n_target
                for j in range(m.n_target):
                    z[j] += sign * weights[j]


cdef double contract(const double *weights, const double *terms, Py_ssize_t n, double *work) noexcept nogil:
    """log Σ_s weights[s] exp(Σ terms[i] over the bits i of s): half of the states are folded onto the other half for
    each bit, 2ⁿ products in place of 2ⁿ exponentials.  work : 2ⁿ⁻¹.  Where the sum is tiny, states may be lost."""
    cdef Py_ssize_t i, s, half
    cdef double low, high, offset = 0
    cdef const double *source = weights
    for i in range(n - 1, -1, -1):
        half = <Py_ssize_t>1 << i
        low, high = exp(min(-terms[i], 0.)), exp(min(terms[i], 0.))
        offset += max(terms[i], 0.)
        for s in range(half):
            work[s] = low * source[s] + high * source[half + s]
        source = work
    return offset + log(source[0]) if source[0] > SAFE else -INFINITY


cdef inline double log_add(double a, double b) noexcept nogil:
    return max(a, b) + log1p(exp(-fabs(a - b)))


cdef double contract_logs(const double *logs, const double *terms, Py_ssize_t n, double *work) noexcept nogil:
    """`contract` of weights given by their logarithms: slower, and no state is lost."""
    cdef Py_ssize_t i, s, half
    cdef const double *source = logs
    for i in range(n - 1, -1, -1):
        half = <Py_ssize_t>1 << i
        for s in range(half):
            work[s] = log_add(source[s], terms[i] + source[half + s])
        source = work
    return source[0]


cdef void sum_over_states(void *job, int me) noexcept nogil:
    """out[row] = log Σ_s exp(log_prior[s] + log P(target | s)) of a thread's share of the rows of target bits."""
    cdef Marginal *m = <Marginal *>job
    cdef Py_ssize_t n_states = <Py_ssize_t>1 << m.n_source, row, i, j, deaf = 0, n_threads = m.barrier.n_threads
    cdef const uint64_t *target
    cdef double bias, value
    cdef double *terms = m.terms + me * (m.n_source + APART)
    cdef double *work = m.work + me * ((n_states + 1) // 2)
    for row in range(m.n_rows * me // n_threads, m.n_rows * (me + 1) // n_threads):
        deaf += n_states + m.n_source * m.n_target
        if deaf > DEAF:
            deaf = 0
            if interrupted(&m.watch, me):
                return
        target = m.targets + row * m.words
        bias = 0
        for i in range(m.n_source):
            terms[i] = 0
        for j in range(m.n_target):
            if target[j >> 6] >> (j & 63) & 1:
                bias += m.biases[j]
                for i in range(m.n_source):
                    terms[i] += m.columns[j * m.n_source + i]
        value = m.top + contract(m.scaled, terms, m.n_source, work)
        if value == -INFINITY:
            value = contract_logs(m.log_prior, terms, m.n_source, work)
        m.out[row] = bias + value


cdef marginals(layer, double[::1] log_prior, const uint64_t[:, ::1] targets, Py_ssize_t n_threads):
    """log Σ_s exp(log_prior[s] + log P(target | s)) of every row of target bits; log_prior is used up."""
    cdef Marginal m
    cdef Py_ssize_t s, n_states = log_prior.shape[0]
    m.n_source, m.n_target = layer.weights.shape
    m.n_rows, m.words = targets.shape[0], targets.shape[1]
    if n_states * (m.n_target + m.n_rows) < SMALL:
        n_threads = 1
    n_threads = min(n_threads, MOST_THREADS)
    result = np.empty(m.n_rows + 1)
    cdef const double[::1] weights = np.append(layer.weights, 0), columns = np.append(layer.weights.T, 0)
    cdef const double[::1] biases = np.append(layer.biases, 0)
    cdef double[::1] out = result, scaled = np.empty(n_states), work = np.empty(n_threads * ((n_states + 1) // 2))
    cdef double[::1] terms = np.empty(n_threads * (m.n_source + APART)), z = np.empty(n_threads * (m.n_target + APART))
    m.weights, m.columns, m.biases = &weights[0], &columns[0], &biases[0]
    m.log_prior, m.scaled, m.out = &log_prior[0], &scaled[0], &out[0]
    m.work, m.terms, m.z = &work[0], &terms[0], &z[0]
    m.targets, m.top = &targets[0, 0], -INFINITY
    begin_watch(&m.watch)
    with nogil:
        team_run(<int>n_threads, &m.barrier, subtract_normalizers, &m)
    raise_interruption(&m.watch)
    with nogil:
        for s in range(n_states):
            m.top = max(m.top, log_prior[s])
        for s in range(n_states):
            scaled[s] = exp(log_prior[s] - m.top)
        team_run(<int>n_threads, &m.barrier, sum_over_states, &m)
    raise_interruption(&m.watch)
    return result[:m.n_rows]


def exact(parameters, sizes, data, Py_ssize_t n_threads=1):
    """log p(x) of every row by adding up all hidden states, float64, nats      (eq. 12)

    data : (B, words).  Takes memory of 2^H for the largest hidden level, and of half of that for each thread.
    The result does not depend on the number of threads.
    """
    check_bits("data", data, np.asarray(sizes, np.int64)[:1], 1)
    if n_threads < 1:
        raise ValueError(f"n_threads: want 1 or more, got {n_threads}")
    machine = Parameters(sizes, np.asarray(parameters, dtype=np.float64))
    log_prior = np.empty(1 << machine.sizes[len(machine.sizes) - 1])
    cdef double[::1] prior = log_prior, a = np.append(machine.prior_logits, 0)
    prior[0] = -np.logaddexp(0, machine.prior_logits).sum()
    add_subsets(&prior[0], &a[0], len(machine.prior_logits))
    for level in range(len(machine.sizes) - 2, -1, -1):
        targets = data if level == 0 else np.arange(1 << machine.sizes[level], dtype=np.uint64)[:, None]
        log_prior = marginals(machine.generative[level], log_prior, targets, n_threads)
    return log_prior
