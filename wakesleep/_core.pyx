# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The learning algorithm, compiled: recognise, dream, weigh, teach, and the loop over minibatches.

`_reference` is the same module in plain NumPy, and says what each function computes; the two agree in
every bit. All checks happen in the `def` functions; below them nothing can fail. Equation numbers are
those of docs/MATH.md.
"""

from itertools import pairwise

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wakesleep cimport _verbs
from wakesleep._order cimport Order, make_order, row_at
from wakesleep._panels cimport (
    BLOCK, C_BINARIZE, C_DATASETS, C_FANTASY, C_IMPORTANCE, C_INIT, C_ORDER, C_SLEEP, C_TABLES, C_WAKE, C_WALK, GATHER,
    MOST_THREADS, N_STAGES, PANEL, Batch, Machine, Packed, Source, Unfolded, kernels, level_of, meet, seconds, team_run,
    tick,
)
from wakesleep._verbs cimport teach_p, teach_p_and_dream, teach_q, weigh

WALK, TABLES = C_WALK, C_TABLES
INIT, ORDER, WAKE, SLEEP = C_INIT, C_ORDER, C_WAKE, C_SLEEP
IMPORTANCE, FANTASY, DATASETS, BINARIZE = C_IMPORTANCE, C_FANTASY, C_DATASETS, C_BINARIZE
STAGES = "bits", "logits to draw", "sample", "logits to learn", "residual", "gradient"  # of a layer, for the clock

# ---- the border ----


def check_machine(parameters, sizes, methods):
    """The three arrays that describe a machine, as contiguous arrays of the right types, or a ValueError."""
    sizes, methods = np.asarray(sizes), np.asarray(methods)
    if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or len(sizes) < 2 or (sizes < 0).any():
        raise ValueError(f"sizes: want two or more levels of 0 or more units, got {sizes.tolist()}")
    if methods.dtype.kind not in "iu" or methods.shape != sizes.shape or methods.min() < WALK or methods.max() > TABLES:
        raise ValueError(f"methods: want WALK or TABLES for each of {len(sizes)} levels, got {methods.tolist()}")
    sizes = np.ascontiguousarray(sizes, dtype=np.int64)
    methods = np.ascontiguousarray(methods, dtype=np.uint8)
    both_ways = sum((low + 1) * high + (high + 1) * low for low, high in pairwise(sizes.tolist()))
    check_flat("parameters", parameters, both_ways + int(sizes[len(sizes) - 1]))
    return parameters, sizes, methods


def check_flat(name, array, length):
    """Refuse what is not a contiguous float32 vector of this length."""
    check_array(name, array, np.float32, (length,))


def check_array(name, array, dtype, shape):
    """Refuse what is not a C-contiguous array of this type and shape, where None stands for any number."""
    wanted = str(tuple("n" if size is None else size for size in shape)).replace("'", "")
    what = f"{name}: want C-contiguous {np.dtype(dtype).name} of shape {wanted}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{what}, got {type(array).__name__}")
    fits = len(array.shape) == len(shape) and all(size in (None, n) for size, n in zip(shape, array.shape))
    if array.dtype != dtype or not fits or not array.flags.c_contiguous:
        raise ValueError(f"{what}, got {array.dtype} of shape {array.shape} and strides {array.strides}")


def check_bits(name, words, sizes, given):
    """Refuse rows that are not whole words per level, or that have ones beyond the last unit of a given level."""
    n_words = (sizes + 63) // 64
    check_array(name, words, np.uint64, (None, int(n_words.sum())))
    for level in range(given):
        used = int(sizes[level]) % 64
        last = words[:, int(n_words[:level + 1].sum()) - 1] if used else words[:0]
        if (last >> np.uint64(used)).any():
            raise ValueError(f"{name}: want zeros beyond unit {sizes[level] - 1} of level {level}, got ones")


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
    MOST_SAMPLES = 0x7fffffff
    WORK = 1 << 18  # parameters times rows of a step that a further thread pays for


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


cdef inline Batch states_from(const Machine *m, const uint64_t *first) noexcept nogil:
    """States that stand one after the other."""
    cdef Batch batch
    batch.rows = Packed(<uint32_t *>first, m.stride, 1)
    batch.columns = Packed(NULL, 1, 0)
    return batch


def log_probabilities(parameters, sizes, methods, states):
    """log p(x, h) and log q(h | x) of whole states, nats.  states : (B, words).  Returns (B,), (B,)      (eq. 5)"""
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("states", states, sizes, len(sizes))
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
            weigh(&unfolded.machine, 0, &batch, n, &p[row], &q[row])
    return log_p, log_q


def teach(parameters, sizes, methods, states, credits_p, credits_q, gradient):
    """gradient += Σ_n credits_p[n] ∇log p(xₙ, hₙ) + credits_q[n] ∇log q(hₙ | xₙ)      (eq. 6)

    states : (B, words).  credits : (B,), or None to leave that model out.  gradient : like parameters.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_flat("gradient", gradient, len(parameters))
    check_bits("states", states, sizes, len(sizes))
    cdef const uint64_t[:, ::1] view = states
    cdef Py_ssize_t n = view.shape[0]
    cdef const float *of_p = row_credits("credits_p", credits_p, n)
    cdef const float *of_q = row_credits("credits_q", credits_q, n)
    gradient += 0  # no −0: so a row that nothing is added to may be left alone
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, n, gradient)
    cdef Machine *m = &unfolded.machine
    cdef Batch batch = states_from(m, &view[0, 0] if n else NULL)
    batch.columns = unfolded.batch(n, True).columns
    with nogil:
        m.kernels.transpose(&batch.rows, 0, 2 * m.stride, n, &batch.columns)
        if of_p != NULL:
            teach_p(m, 0, &batch, n, of_p, 1)
        if of_q != NULL:
            teach_q(m, 0, &batch, n, of_q, 1)
    unfolded.fold(gradient)


# ---- the loop over minibatches ----

cdef struct Training:
    Machine *machine
    const uint64_t *data
    const int64_t *chosen
    Py_ssize_t n_rows
    uint64_t seed
    Py_ssize_t batch_size
    Py_ssize_t n_particles
    Py_ssize_t n_batches
    double rate_p
    double rate_q
    int64_t position[3]
    Batch awake[2]      # states of the wake phase, of this step and of the next
    Batch asleep        # states of the sleep phase


cdef void gather(const Training *t, int me, Order *order, Py_ssize_t first, Py_ssize_t count,
                 const Batch *awake) noexcept nogil:
    """Copy this thread's share of a minibatch into the states of the wake phase, each row once per particle."""
    cdef Py_ssize_t i, k, state, n_threads = t.machine.barrier.n_threads, n_units = t.machine.levels[0].n_units
    cdef Py_ssize_t word, words = 2 * ((n_units + 63) // 64), whole = n_units // 32
    cdef uint32_t last = (<uint32_t>1 << (n_units & 31)) - 1    # of the word that is not whole
    cdef Packed bits = level_of(t.machine, &awake.rows, 0)
    cdef const uint32_t *row
    for i in range(count * me // n_threads, count * (me + 1) // n_threads):
        row = <const uint32_t *>t.data + row_at(order, first + i) * words
        for k in range(t.n_particles):
            state = i * t.n_particles + k
            for word in range(whole):
                bits.words[state * bits.row + word * bits.word] = row[word]
            if last:
                bits.words[state * bits.row + whole * bits.word] = row[whole] & last
    tick(t.machine, me, 2 * t.machine.n_hidden + 1, GATHER)


cdef void train_batches(void *job, int me) noexcept nogil:
    """What each thread does; only bits go from one to another.

    Wake: q explains the data, and p learns to make them. Sleep: p dreams, and q learns to explain the dream.
    """
    cdef Training *t = <Training *>job
    cdef Machine *m = t.machine
    cdef Batch *awake
    cdef int64_t epoch = t.position[0], row = t.position[1], seen = t.position[2]
    cdef Py_ssize_t words = (m.levels[0].n_units + 63) // 64
    cdef Order order = make_order(m.kernels, t.seed, epoch, t.n_rows, t.data, words, t.chosen)
    cdef Py_ssize_t step, n, count = min(t.batch_size, t.n_rows - row)
    cdef Source wake = Source(t.seed, C_WAKE, 0), sleep = Source(t.seed, C_SLEEP, 0)
    m.workers[me].last = seconds()
    gather(t, me, &order, row, count, &t.awake[0])
    meet(m, me)
    for step in range(t.n_batches):
        awake, n = &t.awake[step & 1], count * t.n_particles
        wake.first_sample, sleep.first_sample = <uint64_t>seen * <uint64_t>t.n_particles, seen
        _verbs.recognise(m, me, awake, n, wake)
        teach_p_and_dream(m, me, awake, n, <float>(t.rate_p / n), &t.asleep, count, sleep)
        n, row, seen = count, row + count, seen + count
        if row == t.n_rows:
            epoch, row = epoch + 1, 0
            order = make_order(m.kernels, t.seed, epoch, t.n_rows, t.data, words, t.chosen)
        count = min(t.batch_size, t.n_rows - row)
        if step + 1 < t.n_batches:  # the next rows, while this step's are still in use elsewhere
            gather(t, me, &order, row, count, &t.awake[(step + 1) & 1])
        teach_q(m, me, &t.asleep, n, NULL, <float>(t.rate_q / n))
    if me == 0:
        t.position[0], t.position[1], t.position[2] = epoch, row, seen


def train(parameters, sizes, methods, data, position, uint64_t seed, Py_ssize_t batch_size, Py_ssize_t n_particles,
          Py_ssize_t n_batches, learning_rates, Py_ssize_t n_threads=1, clock=None, chosen=None):
    """Wake-sleep (Hinton, Dayan, Frey & Neal 1995) over the next n_batches minibatches, in place.

    position : (3,) epochs done, rows done of the present one, rows seen since training began; moved along.
    The p and q rates are per mean gradient. The result does not depend on the number of threads, which
    is also the most that are used: small steps are not shared. Bits beyond the last unit are ignored.
    chosen : (n,) int64, the rows of data that are trained on, where these are not all.
    clock : (threads, layers + 1, N_STAGES), to which the seconds of each stage of each layer are added.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 0)
    check_array("position", position, np.int64, (3,))
    cdef const uint64_t[:, ::1] rows = data
    cdef const int64_t[::1] indices = None
    cdef Py_ssize_t words = rows.shape[1], n_rows = rows.shape[0]
    if chosen is not None:
        check_array("chosen", chosen, np.int64, (None,))
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < n_rows:
            raise ValueError(f"chosen: want rows of 0 to {n_rows - 1}, got {chosen.min()} to {chosen.max()}")
        indices, n_rows = chosen, len(chosen)
    for name, value in (("batch_size", batch_size), ("n_particles", n_particles), ("n_threads", n_threads)):
        if value < 1:
            raise ValueError(f"{name}: want 1 or more, got {value}")
    batch_size = max(min(batch_size, n_rows), 1)
    if n_particles > MOST_SAMPLES // batch_size:
        raise ValueError(f"n_particles: want at most {MOST_SAMPLES} samples in a batch of {batch_size}, "
                         f"got {n_particles} for each")
    if position.min() < 0 or (n_batches > 0 and position[1] >= n_rows):
        raise ValueError(f"position: want numbers from 0, the second one below {n_rows} rows, got {position.tolist()}")
    if len(learning_rates) != 2:
        raise ValueError(f"learning_rates: want a pair, for p and for q, got {learning_rates!r}")
    if clock is not None:
        check_array("clock", clock, np.float64, (None, 2 * len(sizes), N_STAGES))
    parameters += 0  # no −0: so a row that nothing is added to may be left alone
    if n_batches < 1:
        return
    cdef Py_ssize_t n = batch_size * n_particles
    n_threads = min(n_threads, max(n * len(parameters) // WORK, 1), MOST_THREADS)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, n, None, <int>n_threads, <int>n_threads)
    cdef Training training
    cdef double[:, :, ::1] booked
    training.machine = &unfolded.machine
    training.data = NULL
    if words:
        training.data = &rows[0, 0]
    training.chosen = NULL
    if chosen is not None:
        training.chosen = &indices[0]
    training.n_rows, training.seed = n_rows, seed
    training.batch_size, training.n_particles, training.n_batches = batch_size, n_particles, n_batches
    training.rate_p, training.rate_q = learning_rates[0], learning_rates[1]
    training.position[0], training.position[1], training.position[2] = position[0], position[1], position[2]
    training.awake[0], training.awake[1] = unfolded.batch(n, True), unfolded.batch(n, True)
    training.asleep = unfolded.batch(batch_size, True)
    if clock is not None:
        booked = clock
        for i in range(min(n_threads, len(clock))):
            unfolded.machine.workers[i].clock = &booked[i, 0, 0]
    with nogil:
        team_run(<int>n_threads, &unfolded.machine.barrier, train_batches, &training)
    for i in range(3):
        position[i] = training.position[i]
    unfolded.fold(parameters)


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
