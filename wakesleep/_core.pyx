# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The verbs of the learning algorithm, compiled: recognise, dream, weigh, teach; and `train`, which is in `_learning`.

`_reference` is the same module in plain NumPy, and says what each function computes; the two agree in
every bit. All checks happen in the `def` functions; below them nothing can fail. Equation numbers are
those of docs/MATH.md.
"""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wakesleep cimport _verbs
from wakesleep._order cimport Order, make_order, row_at
from wakesleep._panels cimport (
    BLOCK, C_BINARIZE, C_DATASETS, C_FANTASY, C_IMPORTANCE, C_INIT, C_ORDER, C_SLEEP, C_TABLES, C_WAKE, C_WALK, GOAL,
    PANEL, Batch, Machine, Packed, Source, Unfolded, fold, kernels,
)
from wakesleep._verbs cimport teach_p, teach_q, weigh

from wakesleep import _learning
from wakesleep._border import check_array, check_bits, check_flat, check_machine, check_observed

WALK, TABLES = C_WALK, C_TABLES
INIT, ORDER, WAKE, SLEEP = C_INIT, C_ORDER, C_WAKE, C_SLEEP
IMPORTANCE, FANTASY, DATASETS, BINARIZE = C_IMPORTANCE, C_FANTASY, C_DATASETS, C_BINARIZE
STAGES, train = _learning.STAGES, _learning.train


cdef const float *row_credits(name, credits_, Py_ssize_t n) except? NULL:
    if credits_ is None:
        return NULL
    check_flat(name, credits_, n)
    cdef const float[::1] view = credits_
    return &view[0] if n else NULL


def random_words(uint64_t seed, uint32_t stream, Py_ssize_t n_samples, Py_ssize_t n_units, uint64_t first_sample=0):
    """words[t, u] = Philox(counter (u, t // 4, stream), key seed)[t % 4]      (eq. 8)"""
    words = np.empty((n_samples, n_units), np.uint32)
    cdef uint32_t[:, ::1] out = words
    cdef Source source = Source(seed, stream, first_sample)
    if n_samples and n_units:
        kernels().random_words(&source, n_samples, n_units, &out[0, 0])
    return words


def binarize(values, uint64_t one, words, uint64_t seed, uint64_t first_sample=0, keys=None):
    """words[r, u] = [word · one < values[r, u] · 2³²]: bits that are 1 with probability values / one      (eq. 9b)

    values : (B, D), uint8 from 0 to one, or float32 from 0 to 1, with one = 1.  words : (B, ⌈D/64⌉), overwritten.
    Row r is sample first_sample + r; but with keys, (B,), sample first_sample of its own key instead of the seed.
    """
    cdef bint whole = isinstance(values, np.ndarray) and values.dtype == np.uint8
    check_array("values", values, np.uint8 if whole else np.float32, (None, None))
    cdef Py_ssize_t n_rows = values.shape[0], n_units = values.shape[1], n_words = (n_units + 63) // 64
    if not 1 <= one <= (255 if whole else 1):
        raise ValueError(f"one: want 1, or with uint8 at most 255, got {one}")
    check_array("words", words, np.uint64, (n_rows, n_words))
    if keys is not None:
        check_array("keys", keys, np.uint64, (n_rows,))
    if not n_rows or not n_units:
        return
    cdef Py_ssize_t row, i, unit, n, together = 1 if keys is not None else 16
    drawn = np.empty((together, n_units), np.uint32)
    cells = np.zeros(64 * n_words, np.uint8)  # those beyond the last unit stay 0
    cdef const uint8_t[:, ::1] bytes_
    cdef const float[:, ::1] floats
    cdef const uint64_t[::1] own
    cdef uint32_t[:, ::1] word = drawn
    cdef uint8_t[::1] on = cells
    cdef uint64_t[:, ::1] out = words
    cdef uint64_t eight, packed
    cdef Source source = Source(seed, C_BINARIZE, first_sample)
    cdef double scale = one     # all products are exact
    if whole:
        bytes_ = values
    else:
        floats = values
    if keys is not None:
        own = keys
    with nogil:
        for row in range(n_rows):
            i = row % together
            if i == 0:
                n = min(together, n_rows - row)
                if together == 1:
                    source.seed = own[row]
                else:
                    source.first_sample = <uint64_t>row + first_sample
                kernels().random_words(&source, n, n_units, &word[0, 0])
            if whole:
                for unit in range(n_units):
                    on[unit] = <double>word[i, unit] * scale < <double>bytes_[row, unit] * 4294967296.0
            else:
                for unit in range(n_units):
                    on[unit] = <double>word[i, unit] < <double>floats[row, unit] * 4294967296.0
            for unit in range(n_words):
                packed = 0
                for n in range(8):
                    memcpy(&eight, &on[64 * unit + 8 * n], 8)
                    packed |= ((eight * <uint64_t>0x0102040810204080) >> 56) << (8 * n)
                out[row, unit] = packed


def epoch_order(uint64_t seed, uint64_t epoch, Py_ssize_t n_rows, Py_ssize_t first=0, count=None):
    """Rows number first … first + count − 1 of the keyed permutation that is the order of an epoch      (eq. 10)"""
    cdef Py_ssize_t i, n = n_rows - first if count is None else count
    if first < 0 or n < 0 or first + n > n_rows:
        raise ValueError(f"first, count: want a range within {n_rows} rows, got {first}, {count}")
    rows = np.empty(n, np.int64)
    cdef int64_t[::1] out = rows
    cdef Order order = make_order(kernels(), seed, epoch, n_rows)
    for i in range(n):
        out[i] = row_at(&order, first + i)
    return rows


cdef enum:
    ROWS = 256  # states at a time where the size of a batch does not matter


def recognise(parameters, sizes, methods, states, uint64_t seed, uint32_t stream=C_WAKE, uint64_t first_sample=0):
    """hˡ ~ q(hˡ | hˡ⁻¹) from the visible level up, in place.  states : (B, words), level 0 given      (eq. 3)"""
    draw_states(parameters, sizes, methods, states, Source(seed, stream, first_sample), True)


def dream(parameters, sizes, methods, states, uint64_t seed, uint32_t stream=C_SLEEP, uint64_t first_sample=0):
    """(x, h) ~ p(x, h) from the prior down, in place.  states : (B, words), all levels written      (eq. 2)"""
    draw_states(parameters, sizes, methods, states, Source(seed, stream, first_sample), False)


cdef draw_states(parameters, sizes, methods, states, Source source, bint up):
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("states", states, sizes, 1 if up else 0)
    states[:, (int(sizes[0]) + 63) // 64 if up else 0:] = 0  # drawing writes blocks that have units, no padding
    cdef uint64_t[:, ::1] view = states
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, ROWS)
    cdef Py_ssize_t part, row, n, n_rows = view.shape[0]
    cdef uint64_t first_sample = source.first_sample
    cdef Batch batch
    with nogil:
        for part in range((n_rows + ROWS - 1) // ROWS):
            row = part * ROWS
            n = min(<Py_ssize_t>ROWS, n_rows - row)
            batch = states_from(&unfolded.machine, &view[row, 0])
            source.first_sample = first_sample + <uint64_t>row
            if up:
                _verbs.recognise(&unfolded.machine, 0, &batch, n, source)
            else:
                _verbs.dream(&unfolded.machine, 0, &batch, n, source)


cdef Packed plane_of(observed, words) except *:
    """The plane of observed units, one row for each of the rows of words; none where all are."""
    cdef Packed plane = Packed(NULL, 0, 1)
    cdef const uint64_t[:, ::1] view
    check_observed(observed, words)
    if observed is not None and observed.size:
        view = observed
        plane.words, plane.row = <uint32_t *>&view[0, 0], 2 * view.shape[1]
    return plane


cdef inline Batch states_from(const Machine *m, const uint64_t *first) noexcept nogil:
    """States that stand one after the other."""
    cdef Batch batch
    batch.rows = Packed(<uint32_t *>first, m.stride, 1)
    batch.columns = batch.observed = Packed(NULL, 1, 0)
    return batch


def log_probabilities(parameters, sizes, methods, states, observed=None):
    """log p(x, h) and log q(h | x) of whole states, nats.  states : (B, words).  Returns (B,), (B,)      (eq. 5)

    observed : (B, words of level 0), which visible units are, where not all; the others are left out      (eq. 18)
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("states", states, sizes, len(sizes))
    cdef Packed plane = plane_of(observed, states[:, :(int(sizes[0]) + 63) // 64])
    log_p, log_q = np.zeros(len(states)), np.zeros(len(states))
    cdef const uint64_t[:, ::1] view = states
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, ROWS)
    cdef double[::1] p = log_p, q = log_q
    cdef Batch batch
    cdef Py_ssize_t part, row, n, n_rows = view.shape[0]
    with nogil:
        for part in range((n_rows + ROWS - 1) // ROWS):
            row = part * ROWS
            n = min(<Py_ssize_t>ROWS, n_rows - row)
            batch = states_from(&unfolded.machine, &view[row, 0])
            batch.observed = plane
            if plane.words != NULL:
                batch.observed.words += row * plane.row
            weigh(&unfolded.machine, 0, &batch, n, &p[row], &q[row])
    return log_p, log_q


def teach(parameters, sizes, methods, states, credits_p, credits_q, gradient, observed=None):
    """gradient += Σ_n credits_p[n] ∇log p(xₙ, hₙ) + credits_q[n] ∇log q(hₙ | xₙ)      (eq. 6)

    states : (B, words).  credits : (B,), or None to leave that model out.  gradient : like parameters.
    observed : as `log_probabilities` has it.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_flat("gradient", gradient, len(parameters))
    check_bits("states", states, sizes, len(sizes))
    cdef const uint64_t[:, ::1] view = states
    cdef Py_ssize_t n = view.shape[0]
    cdef const float *of_p = row_credits("credits_p", credits_p, n)
    cdef const float *of_q = row_credits("credits_q", credits_q, n)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, n, gradient)
    cdef Machine *m = &unfolded.machine
    cdef Batch batch = states_from(m, &view[0, 0] if n else NULL)
    batch.columns = unfolded.batch(n, True).columns
    batch.observed = plane_of(observed, states[:, :(int(sizes[0]) + 63) // 64])
    with nogil:
        m.kernels.transpose(&batch.rows, 0, 2 * m.stride, n, &batch.columns)
        if of_p != NULL:
            teach_p(m, 0, &batch, n, of_p, 1)
        if of_q != NULL:
            teach_q(m, 0, &batch, n, of_q, 1)
    cdef float[::1] summed = gradient
    fold(m, 0, &summed[0], GOAL)


def propagate(values, weights, biases):
    """σ(values·weights + biases), summed over the sources in index order.  values : (B, M).  Returns (B, N)."""
    check_array("weights", weights, np.float32, (None, None))
    check_array("values", values, np.float32, (None, len(weights)))
    check_array("biases", biases, np.float32, weights.shape[1:])
    cdef const float[:, ::1] v = values, w = weights
    cdef const float[::1] b = biases
    cdef Py_ssize_t n = v.shape[0], n_source = w.shape[0], n_target = w.shape[1]
    cdef Py_ssize_t panel, part, row, count, columns, i
    cdef int blocks
    out = np.empty((n, n_target), np.float32)
    if not n or not n_target:
        return out
    panel_rows = np.empty((n_source + 1) * PANEL + BLOCK, np.float32)
    tile = np.empty(ROWS * PANEL + BLOCK, np.float32)
    start = np.zeros(PANEL + BLOCK, np.float32)
    cdef float[:, ::1] result = out
    cdef float *inside = aligned(panel_rows)
    cdef float *z = aligned(tile)
    cdef float *first = aligned(start)
    with nogil:
        for panel in range((n_target + PANEL - 1) // PANEL):
            columns = min(<Py_ssize_t>PANEL, n_target - panel * PANEL)
            blocks = <int>((columns + BLOCK - 1) // BLOCK)
            memset(inside, 0, n_source * blocks * BLOCK * sizeof(float))
            memcpy(first, &b[panel * PANEL], columns * sizeof(float))
            for row in range(n_source):
                memcpy(inside + row * blocks * BLOCK, &w[row, panel * PANEL], columns * sizeof(float))
            for part in range((n + ROWS - 1) // ROWS):
                row = part * ROWS
                count = min(<Py_ssize_t>ROWS, n - row)
                kernels().propagate(&v[row, 0] if n_source else NULL, count, inside, blocks, n_source, first, z)
                for i in range(count):
                    memcpy(&result[row + i, panel * PANEL], z + i * blocks * BLOCK, columns * sizeof(float))
    return out


cdef float *aligned(float[::1] array) noexcept:
    return <float *>((<size_t>&array[0] + 63) // 64 * 64)
