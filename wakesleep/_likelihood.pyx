# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""log p(x) by importance sampling, compiled, and the particles that it draws.

`_reference_measures` has the same functions in plain NumPy, and says what each computes. Equation numbers are
those of docs/MATH.md.
"""

import numpy as np

from libc.math cimport INFINITY, exp, log
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from wakesleep._interrupts cimport Watch, begin_watch, interrupted, raise_interruption
from wakesleep._panels cimport (
    BLOCK, C_IMPORTANCE, PANEL, MOST_THREADS, Barrier, Batch, Machine, Source, Unfolded, team_run,
)
from wakesleep._verbs cimport recognise, recognise_and_weigh, share_logits

from wakesleep import _enumeration
from wakesleep._border import check_array, check_bits, check_machine

exact = _enumeration.exact

cdef enum:
    PARTICLES = 256  # states at a time: memory does not grow with K


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
    check_array("data", data, np.uint64, (None, None))
    keys = np.empty(len(data), np.uint64)
    cdef const uint64_t[:, ::1] rows = data
    cdef uint64_t[::1] out = keys
    cdef Py_ssize_t i
    for i in range(rows.shape[0]):
        out[i] = hash_row(&rows[i, 0], rows.shape[1], seed)
    return keys


cdef int check_counts(Py_ssize_t n_particles, Py_ssize_t n_threads) except -1:
    for name, value in (("n_particles", n_particles), ("n_threads", n_threads)):
        if value < 1:
            raise ValueError(f"{name}: want 1 or more, got {value}")
    return 0


cdef struct Sampling:  # of particles of rows, which threads share out
    Machine *machine
    Barrier barrier
    Watch watch             # of `importance`
    const uint64_t *rows
    Py_ssize_t n_rows
    Py_ssize_t words
    uint64_t seed
    Py_ssize_t n_particles
    Py_ssize_t most         # particles at a time
    Batch *batches          # one for each thread
    uint32_t *states        # of `particles`
    float *shared           # of `importance`: logits of the first recognition layer, so many for each thread
    Py_ssize_t n_shared
    double *log_p           # so many for each thread
    double *log_q
    double *estimates
    double *sizes
    double *elbos


cdef Sampling sampling_of(Unfolded unfolded, const uint64_t[:, ::1] rows, uint64_t seed, Py_ssize_t n_particles,
                          Py_ssize_t most, Py_ssize_t n_threads):
    """What `particles` and `importance` have in common."""
    cdef Sampling s
    cdef Py_ssize_t i
    s.machine, s.rows = &unfolded.machine, NULL
    if rows.shape[1]:
        s.rows = &rows[0, 0]
    s.n_rows, s.words = rows.shape[0], rows.shape[1]
    s.seed, s.n_particles, s.most = seed, n_particles, most
    s.batches = <Batch *>unfolded.allocate(n_threads * sizeof(Batch))
    for i in range(n_threads):
        s.batches[i] = unfolded.batch(most, False)
    return s


cdef void draw_rows(void *job, int me) noexcept nogil:
    """The particles of a thread's share of the rows, with a machine that is a team of one."""
    cdef Sampling *d = <Sampling *>job
    cdef Machine machine = d.machine[0]
    cdef Batch *batch = &d.batches[me]
    cdef Py_ssize_t row, k, n, word, done, n_threads = d.barrier.n_threads
    cdef const uint64_t *x
    cdef uint32_t *state
    machine.workers = &d.machine.workers[me]
    for row in range(d.n_rows * me // n_threads, d.n_rows * (me + 1) // n_threads):
        x = d.rows + row * d.words
        repeat_row(x, d.words, batch, d.most)
        done = 0
        while done < d.n_particles:
            n = min(d.most, d.n_particles - done)
            recognise(&machine, 0, batch, n, Source(hash_row(x, d.words, d.seed), C_IMPORTANCE, <uint64_t>done))
            for k in range(n):
                state = d.states + (row * d.n_particles + done + k) * machine.stride
                for word in range(machine.stride):
                    state[word] = batch.rows.words[k * batch.rows.row + word * batch.rows.word]
            done += n


def particles(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_threads=1):
    """The states (x, h) with h ~ q(h | x) that `importance` weighs: K of the first row, K of the second, …

    data : (B, words).  Returns (B · K, words of all levels), which does not depend on the number of threads.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 1)
    check_counts(n_particles, n_threads)
    result = np.empty((len(data) * n_particles, ((sizes + 63) // 64).sum()), np.uint64)
    if not result.size:
        return result
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Py_ssize_t most = min(n_particles, <Py_ssize_t>PARTICLES)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    cdef uint64_t[:, ::1] states = result
    cdef Sampling sampling = sampling_of(unfolded, data, seed, n_particles, most, n_threads)
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
    cdef float *shared = e.shared + me * e.n_shared
    cdef double *log_p = e.log_p + me * e.most
    cdef double *log_q = e.log_q + me * e.most
    cdef Py_ssize_t row, k, n, done, n_threads = e.barrier.n_threads
    cdef const uint64_t *x
    cdef uint64_t key
    cdef Total total
    cdef double log_w, sum_of_logs
    machine.workers = &e.machine.workers[me]
    for row in range(e.n_rows * me // n_threads, e.n_rows * (me + 1) // n_threads):
        x = e.rows + row * e.words
        key = hash_row(x, e.words, e.seed)
        repeat_row(x, e.words, batch, e.most)
        share_logits(&machine, batch, shared)
        total = Total(-INFINITY, 0, 0)
        sum_of_logs = 0
        done = 0
        while done < e.n_particles:
            n = min(e.most, e.n_particles - done)
            memset(log_p, 0, n * sizeof(double))
            memset(log_q, 0, n * sizeof(double))
            recognise_and_weigh(&machine, batch, n, Source(key, C_IMPORTANCE, <uint64_t>done), shared, log_p, log_q)
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


def importance(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_threads=1):
    """log (1/K) Σ_k w_k, the effective sample size (Σ w)² / Σ w² and (1/K) Σ_k log w_k of every row      (eq. 11)

    data : (B, words).  Returns (B,), (B,), (B,) of float64, which do not depend on the number of threads.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 1)
    check_counts(n_particles, n_threads)
    estimate, size, elbo = np.empty(len(data)), np.empty(len(data)), np.empty(len(data))
    if not len(data):
        return estimate, size, elbo
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Py_ssize_t most = min(n_particles, <Py_ssize_t>PARTICLES)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    log_weights = np.empty((2, n_threads * most))
    cdef double[:, ::1] scratch = log_weights
    cdef double[::1] estimates = estimate, sizes_ = size, elbos = elbo
    cdef Sampling sampling = sampling_of(unfolded, data, seed, n_particles, most, n_threads)
    sampling.n_shared = unfolded.machine.q[0].n_blocks * BLOCK + PANEL
    sampling.shared = <float *>unfolded.allocate(n_threads * sampling.n_shared * sizeof(float))
    sampling.log_p, sampling.log_q = &scratch[0, 0], &scratch[1, 0]
    sampling.estimates, sampling.sizes = &estimates[0], &sizes_[0]
    sampling.elbos = &elbos[0]
    begin_watch(&sampling.watch)
    with nogil:
        team_run(<int>n_threads, &sampling.barrier, estimate_rows, &sampling)
    raise_interruption(&sampling.watch)
    return estimate, size, elbo
