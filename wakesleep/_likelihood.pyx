# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""log p(x) by importance sampling, compiled, and the particles that it draws.

`_reference_measures` has the same functions in plain NumPy, and says what each computes. Equation numbers are
those of docs/MATH.md.
"""

import numpy as np

from libc.math cimport INFINITY, exp, log
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from wakesleep._interrupts cimport begin_watch, interrupted, raise_interruption
from wakesleep._panels cimport (
    BLOCK, C_IMPORTANCE, PANEL, MOST_THREADS, Batch, Machine, Packed, Source, Unfolded, team_run,
)
from wakesleep._verbs cimport recognise, recognise_and_weigh, share_logits

from wakesleep import _enumeration
from wakesleep._border import check_array, check_bits, check_machine, check_observed

exact = _enumeration.exact

cdef inline uint64_t scramble(uint64_t key) noexcept nogil:
    key *= <uint64_t>0x9E3779B97F4A7C15
    key = (key ^ (key >> 29)) * <uint64_t>0xBF58476D1CE4E5B9
    return key ^ (key >> 32)


cdef inline uint64_t hash_row(const uint64_t *row, const uint64_t *observed, Py_ssize_t words, Py_ssize_t n_units,
                              uint64_t seed) noexcept nogil:
    """A 64-bit key of (seed, content of the row), to which belongs which cells are missing, if any are.

    observed : or NULL, where all of n_units are.
    """
    cdef Py_ssize_t i
    cdef uint64_t key = scramble(seed), missing = 0
    for i in range(words):
        key = scramble(key ^ row[i])
    if observed != NULL:
        for i in range(n_units >> 6):
            missing |= ~observed[i]
        if n_units & 63:
            missing |= ~observed[n_units >> 6] << (64 - (n_units & 63))
    if missing:
        for i in range(words):
            key = scramble(key ^ observed[i])
    return key


def hash_rows(data, uint64_t seed):
    """A 64-bit key of (seed, content of the row) for estimates that do not depend on where a row stands."""
    check_array("data", data, np.uint64, (None, None))
    keys = np.empty(len(data), np.uint64)
    cdef const uint64_t[:, ::1] rows = data
    cdef uint64_t[::1] out = keys
    cdef Py_ssize_t i
    for i in range(rows.shape[0]):
        out[i] = hash_row(&rows[i, 0], NULL, rows.shape[1], 0, seed)
    return keys


cdef int check_counts(Py_ssize_t n_particles, Py_ssize_t n_threads) except -1:
    for name, value in (("n_particles", n_particles), ("n_threads", n_threads)):
        if value < 1:
            raise ValueError(f"{name}: want 1 or more, got {value}")
    return 0


cdef Sampling sampling_of(Unfolded unfolded, const uint64_t[:, ::1] rows, observed, uint64_t seed,
                          Py_ssize_t n_particles, Py_ssize_t most, Py_ssize_t n_threads):
    """What all have in common."""
    cdef Sampling s
    cdef Py_ssize_t i
    cdef const uint64_t[:, ::1] seen
    memset(&s, 0, sizeof(Sampling))
    s.machine = &unfolded.machine
    if rows.shape[1]:
        s.rows = &rows[0, 0]
        if observed is not None:
            seen = observed
            s.observed = &seen[0, 0]
    s.n_rows, s.words = rows.shape[0], rows.shape[1]
    s.seed, s.n_particles, s.most = seed, n_particles, most
    s.batches = <Batch *>unfolded.allocate(n_threads * sizeof(Batch))
    for i in range(n_threads):
        s.batches[i] = unfolded.batch(most, False)
    s.n_shared = unfolded.machine.q[0].n_blocks * BLOCK + PANEL
    s.shared = <float *>unfolded.allocate(n_threads * s.n_shared * sizeof(float))
    s.log_p = <double *>unfolded.allocate(n_threads * most * sizeof(double))
    s.log_q = <double *>unfolded.allocate(n_threads * most * sizeof(double))
    return s


cdef uint64_t begin_row(const Sampling *s, Batch *batch, Py_ssize_t row) noexcept nogil:
    """Let all states of a batch begin with a row.  Returns the row's key."""
    cdef const uint64_t *x = s.rows + row * s.words
    cdef const uint64_t *seen = NULL
    if s.observed != NULL:
        seen = s.observed + row * s.words
    batch.observed = Packed(<uint32_t *>seen, 0, 1)
    repeat_row(x, s.words, batch, s.most)
    return hash_row(x, seen, s.words, s.machine.levels[0].n_units, s.seed)


cdef void weigh_particles(const Sampling *s, Machine *machine, int me, Py_ssize_t n, Source source) noexcept nogil:
    """log p(x, h) and log q(h | x) of n particles of the row that was begun."""
    cdef double *log_p = s.log_p + me * s.most
    cdef double *log_q = s.log_q + me * s.most
    memset(log_p, 0, n * sizeof(double))
    memset(log_q, 0, n * sizeof(double))
    recognise_and_weigh(machine, &s.batches[me], n, source, s.shared + me * s.n_shared, log_p, log_q)


cdef void draw_rows(void *job, int me) noexcept nogil:
    """The particles of a thread's share of the rows, with a machine that is a team of one."""
    cdef Sampling *d = <Sampling *>job
    cdef Machine machine = d.machine[0]
    cdef Batch *batch = &d.batches[me]
    cdef Py_ssize_t row, k, n, word, done, n_threads = d.barrier.n_threads
    cdef uint64_t key
    cdef uint32_t *state
    machine.workers = &d.machine.workers[me]
    for row in range(d.n_rows * me // n_threads, d.n_rows * (me + 1) // n_threads):
        key = begin_row(d, batch, row)
        done = 0
        while done < d.n_particles:
            n = min(d.most, d.n_particles - done)
            recognise(&machine, 0, batch, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            for k in range(n):
                state = d.states + (row * d.n_particles + done + k) * machine.stride
                for word in range(machine.stride):
                    state[word] = batch.rows.words[k * batch.rows.row + word * batch.rows.word]
            done += n


def particles(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_threads=1,
              observed=None):
    """The states (x, h) with h ~ q(h | x) that `importance` weighs: K of the first row, K of the second, …

    data : (B, words).  observed : like data, where cells are missing.
    Returns (B · K, words of all levels), which does not depend on the number of threads.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 1)
    check_observed(observed, data)
    check_counts(n_particles, n_threads)
    result = np.empty((len(data) * n_particles, ((sizes + 63) // 64).sum()), np.uint64)
    if not result.size:
        return result
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Py_ssize_t most = min(n_particles, <Py_ssize_t>PARTICLES)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    cdef uint64_t[:, ::1] states = result
    cdef Sampling sampling = sampling_of(unfolded, data, observed, seed, n_particles, most, n_threads)
    sampling.states = <uint32_t *>&states[0, 0]
    with nogil:
        team_run(<int>n_threads, &sampling.barrier, draw_rows, &sampling)
    return result


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


cdef void estimate_rows(void *job, int me) noexcept nogil:
    """What each thread does: its share of the rows, with a machine that is a team of one."""
    cdef Sampling *e = <Sampling *>job
    cdef Machine machine = e.machine[0]
    cdef Batch *batch = &e.batches[me]
    cdef const double *log_p = e.log_p + me * e.most
    cdef const double *log_q = e.log_q + me * e.most
    cdef Py_ssize_t row, k, n, done, n_threads = e.barrier.n_threads
    cdef uint64_t key
    cdef Total total
    cdef double log_w, sum_of_logs
    machine.workers = &e.machine.workers[me]
    for row in range(e.n_rows * me // n_threads, e.n_rows * (me + 1) // n_threads):
        key = begin_row(e, batch, row)
        share_logits(&machine, batch, e.shared + me * e.n_shared)
        total = Total(-INFINITY, 0, 0)
        sum_of_logs = 0
        done = 0
        while done < e.n_particles:
            n = min(e.most, e.n_particles - done)
            weigh_particles(e, &machine, me, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            for k in range(n):
                log_w = log_p[k] - log_q[k]
                sum_of_logs += log_w
                add_log(&total, log_w)
            done += n
            if interrupted(&e.watch, me):
                return
        e.estimates[row] = total.top + log(total.first / e.n_particles)
        e.sizes[row] = total.first * total.first / total.second if total.second > 0 else 0
        e.elbos[row] = sum_of_logs / e.n_particles


def importance(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_threads=1,
               observed=None):
    """log (1/K) Σ_k w_k, the effective sample size (Σ w)² / Σ w² and (1/K) Σ_k log w_k of every row      (eq. 11)

    data : (B, words).  observed : like data, where cells are missing; log p(x) is that of the others      (eq. 18)
    Returns (B,), (B,), (B,) of float64, which do not depend on the number of threads.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 1)
    check_observed(observed, data)
    check_counts(n_particles, n_threads)
    estimate, size, elbo = np.empty(len(data)), np.empty(len(data)), np.empty(len(data))
    if not len(data):
        return estimate, size, elbo
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Py_ssize_t most = min(n_particles, <Py_ssize_t>PARTICLES)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    cdef double[::1] estimates = estimate, sizes_ = size, elbos = elbo
    cdef Sampling sampling = sampling_of(unfolded, data, observed, seed, n_particles, most, n_threads)
    sampling.estimates, sampling.sizes = &estimates[0], &sizes_[0]
    sampling.elbos = &elbos[0]
    begin_watch(&sampling.watch)
    with nogil:
        team_run(<int>n_threads, &sampling.barrier, estimate_rows, &sampling)
    raise_interruption(&sampling.watch)
    return estimate, size, elbo
