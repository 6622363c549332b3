# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""log p(x) by importance sampling, compiled, the particles that it draws, and what they say of missing cells.

`_reference_measures` has the same functions in plain NumPy, and says what each computes. Equation numbers are
those of docs/MATH.md.
"""

import numpy as np

from libc.math cimport INFINITY, exp, log
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wakesleep._credits cimport exp as own_exp
from wakesleep._interrupts cimport Watch, begin_watch, interrupted, raise_interruption
from wakesleep._layers cimport Panel, logits, panel_at, rows_of
from wakesleep._panels cimport (
    BLOCK, C_IMPORTANCE, PANEL, MOST_THREADS, Barrier, Batch, Layer, Machine, Packed, Selection, Source, Unfolded,
    team_run,
)
from wakesleep._verbs cimport draw, recognise, recognise_and_weigh, share_logits

from wakesleep import _enumeration
from wakesleep._border import check_array, check_bits, check_machine, check_observed

exact = _enumeration.exact

cdef enum:
    PARTICLES = 256  # states at a time: memory does not grow with K


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


cdef struct Sampling:  # of particles of rows, which threads share out
    Machine *machine
    Barrier barrier
    Watch watch             # of `importance`
    const uint64_t *rows
    const uint64_t *observed    # which of their cells are, or NULL where all are
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
    float *means            # of `imputed_means`
    double *sums            # a number for each visible unit, for each thread
    uint64_t *drawn         # of `imputed_draws`
    double *log_w           # of all particles of a row, for each thread


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


# ---- missing cells ----

cdef void add_means(Machine *m, const Batch *batch, Py_ssize_t n, const double *weights, double *sums) noexcept nogil:
    """sums[unit] += Σ_k weights[k] P(unit = 1 | h¹ of particle k) of all visible units, by one thread alone"""
    cdef Layer *layer = &m.p[0]
    cdef Selection rows = rows_of(m, 0, 0, layer, batch, n)
    cdef uint32_t zero = 0
    cdef Packed off = Packed(&zero, 0, 0)
    cdef Panel panel
    cdef Py_ssize_t i, k, unit, width
    cdef float *z
    cdef float *tile = m.workers[0].tile
    for i in range(layer.n_panels):
        panel = panel_at(layer, i)
        width = panel.blocks * BLOCK
        z = logits(m, 0, layer, &panel, &rows, n)
        for k in range(0 if layer.n_source else n):     # one row of logits for all
            memcpy(tile + k * width, z, width * sizeof(float))
        m.kernels.residual(tile, False, panel.blocks, n, &off, NULL, 0, NULL, 0, m.workers[0].sums)   # 0 − σ(z)
        for k in range(n):
            for unit in range(panel.n_units):
                sums[panel.column + unit] -= weights[k] * tile[k * width + unit]


cdef inline bint is_on(const uint64_t *words, Py_ssize_t unit) noexcept nogil:
    return words[unit >> 6] >> (unit & 63) & 1


cdef void average_rows(void *job, int me) noexcept nogil:
    """The means of a thread's share of the rows; of observed cells, the cells themselves      (eq. 19)"""
    cdef Sampling *s = <Sampling *>job
    cdef Machine machine = s.machine[0]
    cdef Batch *batch = &s.batches[me]
    cdef Py_ssize_t row, k, n, unit, done, n_threads = s.barrier.n_threads, n_units = machine.levels[0].n_units
    cdef double *w = s.log_p + me * s.most
    cdef const double *log_q = s.log_q + me * s.most
    cdef double *sums = s.sums + me * n_units
    cdef const uint64_t *x
    cdef const uint64_t *seen
    cdef uint64_t key
    cdef double top, before, total, ratio
    machine.workers = &s.machine.workers[me]
    for row in range(s.n_rows * me // n_threads, s.n_rows * (me + 1) // n_threads):
        key = begin_row(s, batch, row)
        share_logits(&machine, batch, s.shared + me * s.n_shared)
        memset(sums, 0, n_units * sizeof(double))
        top, total, done = -INFINITY, 0, 0
        while done < s.n_particles:
            n = min(s.most, s.n_particles - done)
            weigh_particles(s, &machine, me, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            before = top
            for k in range(n):
                w[k] -= log_q[k]
                top = max(top, w[k])
            ratio = own_exp(before - top) if before > -INFINITY else 0
            total *= ratio
            for unit in range(n_units):
                sums[unit] *= ratio
            for k in range(n):
                w[k] = own_exp(w[k] - top)
                total += w[k]
            add_means(&machine, batch, n, w, sums)
            done += n
        x, seen = s.rows + row * s.words, s.observed + row * s.words
        for unit in range(n_units):
            if is_on(seen, unit):
                s.means[row * n_units + unit] = is_on(x, unit)
            else:
                s.means[row * n_units + unit] = <float>(sums[unit] / total)


cdef void complete_rows(void *job, int me) noexcept nogil:
    """The rows of a thread's share, completed by draws: of a particle by its weight, then of x by the particle."""
    cdef Sampling *s = <Sampling *>job
    cdef Machine machine = s.machine[0]
    cdef Batch *batch = &s.batches[me]
    cdef Batch whole
    cdef Py_ssize_t row, k, n, word, done, n_threads = s.barrier.n_threads
    cdef double *log_w = s.log_w + me * s.n_particles
    cdef const double *log_p = s.log_p + me * s.most
    cdef const double *log_q = s.log_q + me * s.most
    cdef uint32_t *drawn
    cdef const uint32_t *x
    cdef const uint32_t *seen
    cdef uint32_t random
    cdef uint64_t key
    cdef double top, total
    cdef Source source
    machine.workers = &s.machine.workers[me]
    for row in range(s.n_rows * me // n_threads, s.n_rows * (me + 1) // n_threads):
        key = begin_row(s, batch, row)
        share_logits(&machine, batch, s.shared + me * s.n_shared)
        top, total, done = -INFINITY, 0, 0
        while done < s.n_particles:
            n = min(s.most, s.n_particles - done)
            weigh_particles(s, &machine, me, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            for k in range(n):
                log_w[done + k] = log_p[k] - log_q[k]
                top = max(top, log_w[done + k])
            done += n
        for k in range(s.n_particles):
            log_w[k] = own_exp(log_w[k] - top)
            total += log_w[k]
        source = Source(key, C_IMPORTANCE + <uint32_t>machine.n_hidden + 1, 0)
        machine.kernels.random_words(&source, 1, 1, &random)
        total *= (random + 0.5) / 4294967296.0
        k = 0
        while k < s.n_particles - 1 and total >= log_w[k]:
            total -= log_w[k]
            k += 1
        source = Source(key, C_IMPORTANCE, <uint64_t>k)
        recognise(&machine, 0, batch, 1, source)    # the same particle again
        whole = batch[0]
        whole.observed.words = NULL
        draw(&machine, 0, &machine.p[0], &whole, 1, source)
        x, seen = <const uint32_t *>(s.rows + row * s.words), <const uint32_t *>(s.observed + row * s.words)
        drawn = <uint32_t *>(s.drawn + row * s.words)
        for word in range(2 * s.words):
            drawn[word] = x[word] | batch.rows.words[word * batch.rows.word] & ~seen[word]


cdef impute(parameters, sizes, methods, data, observed, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_threads,
            bint draws):
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 1)
    check_bits("observed", observed, sizes[:1], 1)
    check_observed(observed, data)
    check_counts(n_particles, n_threads)
    cdef Py_ssize_t n_units = sizes[0], most = min(n_particles, <Py_ssize_t>PARTICLES)
    result = np.zeros(data.shape, np.uint64) if draws else np.zeros((len(data), n_units), np.float32)
    if not result.size:
        return result
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    cdef Sampling sampling = sampling_of(unfolded, data, observed, seed, n_particles, most, n_threads)
    cdef uint64_t[:, ::1] words
    cdef float[:, ::1] means
    if draws:
        words = result
        sampling.drawn = &words[0, 0]
        sampling.log_w = <double *>unfolded.allocate(n_threads * n_particles * sizeof(double))
    else:
        means = result
        sampling.means = &means[0, 0]
        sampling.sums = <double *>unfolded.allocate(n_threads * n_units * sizeof(double))
    with nogil:
        team_run(<int>n_threads, &sampling.barrier, complete_rows if draws else average_rows, &sampling)
    return result


def imputed_means(parameters, sizes, methods, data, observed, uint64_t seed, Py_ssize_t n_particles,
                  Py_ssize_t n_threads=1):
    """E[x | observed cells of the row], with the particles of `importance` and their weights      (eq. 19)

    data, observed : (B, words).  Returns (B, D) of float32, which does not depend on the number of threads.
    """
    return impute(parameters, sizes, methods, data, observed, seed, n_particles, n_threads, False)


def imputed_draws(parameters, sizes, methods, data, observed, uint64_t seed, Py_ssize_t n_particles,
                  Py_ssize_t n_threads=1):
    """x ~ p(x | observed cells of the row), as far as K particles tell: one by its weight, then x given it   (eq. 19)

    data, observed : (B, words).  Returns (B, words), which does not depend on the number of threads.
    """
    return impute(parameters, sizes, methods, data, observed, seed, n_particles, n_threads, True)
