# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What the particles of `_likelihood` say of missing cells, compiled.

`_reference_measures` has the same functions in plain NumPy, and says what each computes. Equation numbers are
those of docs/MATH.md.
"""

import numpy as np

from libc.math cimport INFINITY
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wakesleep._credits cimport exp
from wakesleep._interrupts cimport begin_watch, interrupted, raise_interruption
from wakesleep._layers cimport Panel, logits, panel_at, rows_of
from wakesleep._likelihood cimport PARTICLES, Sampling, begin_row, check_counts, sampling_of, weigh_particles
from wakesleep._panels cimport (
    BLOCK, C_IMPORTANCE, MOST_THREADS, Batch, Layer, Machine, Packed, Selection, Source, Unfolded, team_run,
)
from wakesleep._verbs cimport draw, recognise, share_logits

from wakesleep._border import check_bits, check_machine, check_observed


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
    cdef double top, before, total, squares, ratio
    machine.workers = &s.machine.workers[me]
    for row in range(s.n_rows * me // n_threads, s.n_rows * (me + 1) // n_threads):
        key = begin_row(s, batch, row)
        share_logits(&machine, batch, s.shared + me * s.n_shared)
        memset(sums, 0, n_units * sizeof(double))
        top, total, squares, done = -INFINITY, 0, 0, 0
        while done < s.n_particles:
            if interrupted(&s.watch, me):
                return
            n = min(s.most, s.n_particles - done)
            weigh_particles(s, &machine, me, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            before = top
            for k in range(n):
                w[k] -= log_q[k]
                top = max(top, w[k])
            ratio = exp(before - top) if before > -INFINITY else 0
            total *= ratio
            squares *= ratio * ratio
            for unit in range(n_units):
                sums[unit] *= ratio
            for k in range(n):
                w[k] = exp(w[k] - top)
                total += w[k]
                squares += w[k] * w[k]
            add_means(&machine, batch, n, w, sums)
            done += n
        s.sizes[row] = total * total / squares
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
    cdef double top, total, squares
    cdef Source source
    machine.workers = &s.machine.workers[me]
    for row in range(s.n_rows * me // n_threads, s.n_rows * (me + 1) // n_threads):
        key = begin_row(s, batch, row)
        share_logits(&machine, batch, s.shared + me * s.n_shared)
        top, total, squares, done = -INFINITY, 0, 0, 0
        while done < s.n_particles:
            if interrupted(&s.watch, me):
                return
            n = min(s.most, s.n_particles - done)
            weigh_particles(s, &machine, me, n, Source(key, C_IMPORTANCE, <uint64_t>done))
            for k in range(n):
                log_w[done + k] = log_p[k] - log_q[k]
                top = max(top, log_w[done + k])
            done += n
        for k in range(s.n_particles):
            log_w[k] = exp(log_w[k] - top)
            total += log_w[k]
            squares += log_w[k] * log_w[k]
        s.sizes[row] = total * total / squares
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
    effective = np.empty(len(data))
    if not result.size:
        return result, effective
    n_threads = min(n_threads, len(data), MOST_THREADS)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    cdef Sampling sampling = sampling_of(unfolded, data, observed, seed, n_particles, most, n_threads)
    cdef uint64_t[:, ::1] words
    cdef float[:, ::1] means
    cdef double[::1] effective_sizes = effective
    sampling.sizes = &effective_sizes[0]
    if draws:
        words = result
        sampling.drawn = &words[0, 0]
        sampling.log_w = <double *>unfolded.allocate(n_threads * n_particles * sizeof(double))
    else:
        means = result
        sampling.means = &means[0, 0]
        sampling.sums = <double *>unfolded.allocate(n_threads * n_units * sizeof(double))
    begin_watch(&sampling.watch)
    with nogil:
        team_run(<int>n_threads, &sampling.barrier, complete_rows if draws else average_rows, &sampling)
    raise_interruption(&sampling.watch)
    return result, effective


def imputed_means(parameters, sizes, methods, data, observed, uint64_t seed, Py_ssize_t n_particles,
                  Py_ssize_t n_threads=1):
    """E[x | observed cells of the row], with the particles of `importance` and their weights      (eq. 19)

    data, observed : (B, words).  Returns (B, D) of float32, and the effective sample sizes (B,), which do not depend on
    the number of threads; NaN where no particle has a weight.
    """
    return impute(parameters, sizes, methods, data, observed, seed, n_particles, n_threads, False)


def imputed_draws(parameters, sizes, methods, data, observed, uint64_t seed, Py_ssize_t n_particles,
                  Py_ssize_t n_threads=1):
    """x ~ p(x | observed cells of the row), as far as K particles tell: one by its weight, then x given it   (eq. 19)

    data, observed : (B, words).  Returns (B, words), and sizes like `imputed_means`.
    """
    return impute(parameters, sizes, methods, data, observed, seed, n_particles, n_threads, True)
