# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""log p(x), compiled: by adding up all hidden states, and by importance sampling.

`_reference_measures` has the same functions in plain NumPy, and says what each computes. Equation numbers are
those of docs/MATH.md.
"""

import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, exp, fabs, log, log1p
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from wakesleep._panels cimport (
    C_IMPORTANCE, MOST_THREADS, Barrier, Batch, Machine, Source, Unfolded, team_run,
)
from wakesleep._verbs cimport recognise, weigh

from wakesleep import _core
from wakesleep.parameters import Parameters

cdef enum:
    PARTICLES = 256  # states at a time: memory does not grow with K
    DEAF = 1 << 24   # additions between looks at Ctrl-C

cdef double SAFE = 1e-260  # far above 2²⁴ times the smallest normal number: no sum above it has lost anything


cdef inline uint64_t scramble(uint64_t key) noexcept nogil:
    key *= <uint64_t>0x9E3779B97F4A7C15
    key = (key ^ (key >> 29)) * <uint64_t>0xBF58476D1CE4E5B9
    return key ^ (key >> 32)


cdef inline uint64_t hash_row(const uint64_t *row, Py_ssize_t words, uint64_t seed) noexcept nogil:
    """A 64-bit key of (seed, content of the row)."""
    cdef Py_ssize_t i
    cdef uint64_t key = scramble(seed)
    for i in range(words):
        key = scramble(key ^ row[i])
    return key


def hash_rows(data, uint64_t seed):
    """A 64-bit key of (seed, content of the row) for estimates that do not depend on where a row stands."""
    _core.check_array("data", data, np.uint64, (None, None))
    keys = np.empty(len(data), np.uint64)
    cdef const uint64_t[:, ::1] rows = data
    cdef uint64_t[::1] out = keys
    cdef Py_ssize_t i
    for i in range(rows.shape[0]):
        out[i] = hash_row(&rows[i, 0], rows.shape[1], seed)
    return keys


cdef struct Total:  # Σ w and Σ w² of weights given by their logarithms, relative to the largest
    double top
    double first
    double second


cdef inline void add_log(Total *total, double log_w) noexcept nogil:
    cdef double ratio
    if log_w > total.top:
        ratio = exp(total.top - log_w)
        total.first, total.second, total.top = total.first * ratio, total.second * ratio * ratio, log_w
    if log_w > -INFINITY:
        ratio = exp(log_w - total.top)
        total.first += ratio
        total.second += ratio * ratio


cdef struct Estimation:
    Machine *machine
    Barrier barrier
    const uint64_t *rows
    Py_ssize_t n_rows
    Py_ssize_t words
    uint64_t seed
    Py_ssize_t n_particles
    Py_ssize_t most         # particles at a time
    Batch *batches          # one for each thread
    double *log_p           # so many for each thread
    double *log_q
    double *estimates
    double *sizes


cdef void estimate_rows(void *job, int me) noexcept nogil:
    """What each thread does: its share of the rows, with a machine that is a team of one."""
    cdef Estimation *e = <Estimation *>job
    cdef Machine machine = e.machine[0]
    cdef Batch *batch = &e.batches[me]
    cdef double *log_p = e.log_p + me * e.most
    cdef double *log_q = e.log_q + me * e.most
    cdef Py_ssize_t row, k, n, word, done, n_threads = e.barrier.n_threads
    cdef const uint64_t *x
    cdef uint64_t key
    cdef Total total
    machine.workers = &e.machine.workers[me]
    for row in range(e.n_rows * me // n_threads, e.n_rows * (me + 1) // n_threads):
        x = e.rows + row * e.words
        key = hash_row(x, e.words, e.seed)
        for word in range(2 * e.words):
            for k in range(e.most):
                batch.rows.words[k * batch.rows.row + word * batch.rows.word] = (<const uint32_t *>x)[word]
        total = Total(-INFINITY, 0, 0)
        done = 0
        while done < e.n_particles:
            n = min(e.most, e.n_particles - done)
            recognise(&machine, 0, batch, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            memset(log_p, 0, n * sizeof(double))
            memset(log_q, 0, n * sizeof(double))
            weigh(&machine, 0, batch, n, log_p, log_q)
            for k in range(n):
                add_log(&total, log_p[k] - log_q[k])
            done += n
        e.estimates[row] = total.top + log(total.first / e.n_particles)
        e.sizes[row] = total.first * total.first / total.second if total.second > 0 else 0


def importance(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_threads=1):
    """log (1/K) Σ_k w_k and the effective sample size (Σ w)² / Σ w² of every row, nats      (eq. 11)

    data : (B, words).  Returns (B,), (B,) of float64, which do not depend on the number of threads.
    """
    parameters, sizes, methods = _core.check_machine(parameters, sizes, methods)
    _core.check_bits("data", data, sizes[:1], 1)
    if n_particles < 1:
        raise ValueError(f"n_particles: want 1 or more, got {n_particles}")
    if n_threads < 1:
        raise ValueError(f"n_threads: want 1 or more, got {n_threads}")
    estimate, size = np.empty(len(data)), np.empty(len(data))
    if not len(data):
        return estimate, size
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Py_ssize_t most = min(n_particles, <Py_ssize_t>PARTICLES)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    log_weights = np.empty((2, n_threads * most))
    cdef double[:, ::1] scratch = log_weights
    cdef double[::1] estimates = estimate, sizes_ = size
    cdef const uint64_t[:, ::1] rows = data
    cdef Estimation estimation
    estimation.machine, estimation.rows = &unfolded.machine, NULL
    estimation.batches = <Batch *>unfolded.allocate(n_threads * sizeof(Batch))
    for i in range(n_threads):
        estimation.batches[i] = unfolded.batch(most, False)
    if rows.shape[1]:
        estimation.rows = &rows[0, 0]
    estimation.n_rows, estimation.words = rows.shape[0], rows.shape[1]
    estimation.seed, estimation.n_particles, estimation.most = seed, n_particles, most
    estimation.log_p, estimation.log_q = &scratch[0, 0], &scratch[1, 0]
    estimation.estimates, estimation.sizes = &estimates[0], &sizes_[0]
    with nogil:
        team_run(<int>n_threads, &estimation.barrier, estimate_rows, &estimation)
    return estimate, size


# ---- by enumeration ----

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


cdef int subtract_normalizers(double *log_prior, const double[:, ::1] weights, const double[::1] biases,
                              double *z) except -1 nogil:
    """log_prior[s] −= Σ softplus(z(s)) for every state s of the sources: one bit flips from state to state."""
    cdef Py_ssize_t n_source = weights.shape[0], n_target = weights.shape[1], count, i, j
    cdef Py_ssize_t state = 0
    cdef double sign
    for count in range(<Py_ssize_t>1 << n_source):
        if count & 4095 == 0:  # afresh now and then, so that rounding does not build up, and Ctrl-C is heard
            with gil:
                PyErr_CheckSignals()
            for j in range(n_target):
                z[j] = biases[j]
                for i in range(n_source):
                    if state >> i & 1:
                        z[j] += weights[i, j]
        log_prior[state] -= sum_softplus(z, n_target)
        i = 0
        while i < n_source and (count + 1) >> i & 1 == 0:
            i += 1
        if i < n_source:
            state ^= <Py_ssize_t>1 << i
            sign = 1 if state >> i & 1 else -1
            for j in range(n_target):
                z[j] += sign * weights[i, j]
    return 0


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


cdef marginals(const double[:, ::1] weights, const double[::1] biases, double[::1] log_prior,
               const uint64_t[:, ::1] targets):
    """log Σ_s exp(log_prior[s] + log P(target | s)) of every row of target bits; log_prior is used up."""
    cdef Py_ssize_t n_source = weights.shape[0], n_target = weights.shape[1], n_states = log_prior.shape[0]
    cdef Py_ssize_t row, i, j, s, deaf = 0
    cdef double bias, value, top = -INFINITY
    result = np.empty(targets.shape[0])
    cdef double[::1] out = result, scaled = np.empty(n_states), work = np.empty(max(n_states // 2, 1))
    cdef double[::1] terms = np.empty(n_source + 1), z = np.empty(n_target + 1)
    cdef const double[:, ::1] columns = np.ascontiguousarray(np.asarray(weights).T)
    with nogil:
        subtract_normalizers(&log_prior[0], weights, biases, &z[0])
        for s in range(n_states):
            top = max(top, log_prior[s])
        for s in range(n_states):
            scaled[s] = exp(log_prior[s] - top)
        for row in range(targets.shape[0]):
            deaf += n_states + n_source * n_target
            if deaf > DEAF:
                deaf = 0
                with gil:
                    PyErr_CheckSignals()
            bias = 0
            for i in range(n_source):
                terms[i] = 0
            for j in range(n_target):
                if targets[row, j >> 6] >> (j & 63) & 1:
                    bias += biases[j]
                    for i in range(n_source):
                        terms[i] += columns[j, i]
            value = top + contract(&scaled[0], &terms[0], n_source, &work[0])
            if value == -INFINITY:
                value = contract_logs(&log_prior[0], &terms[0], n_source, &work[0])
            out[row] = bias + value
    return result


def exact(parameters, sizes, data):
    """log p(x) of every row by adding up all hidden states, float64, nats      (eq. 12)

    data : (B, words).  Takes memory of 2^H for the largest hidden level.
    """
    _core.check_bits("data", data, np.asarray(sizes, np.int64)[:1], 1)
    machine = Parameters(sizes, np.asarray(parameters, dtype=np.float64))
    log_prior = np.empty(1 << machine.sizes[len(machine.sizes) - 1])
    logits = np.ascontiguousarray(machine.prior_logits)
    cdef double[::1] prior = log_prior, a = np.append(logits, 0)
    prior[0] = -np.logaddexp(0, logits).sum()
    add_subsets(&prior[0], &a[0], len(logits))
    for level in range(len(machine.sizes) - 2, -1, -1):
        n_units = machine.sizes[level]
        targets = data if level == 0 else np.arange(1 << n_units, dtype=np.uint64)[:, None]
        weights, biases = machine.generative[level]
        log_prior = marginals(np.ascontiguousarray(weights), np.ascontiguousarray(biases), log_prior, targets)
    return log_prior
