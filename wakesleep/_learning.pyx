# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The loop over minibatches, compiled. `_reference_learning` is the same in plain NumPy; the two agree in every bit."""

import numpy as np

from libc.math cimport HUGE_VAL
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wakesleep cimport _phases, _verbs
from wakesleep._credits cimport (
    BIHM, CALLABLE, LEAVE_ONE_OUT, OVIS, REWEIGHTED, VIMCO, VIMCO_ARITHMETIC, WAKE_SLEEP,
)
from wakesleep._layers cimport panel_at
from wakesleep._order cimport Order, make_order, row_at
from wakesleep._panels cimport (
    BLOCK, C_SLEEP, C_WAKE, GATHER, MOMENTS, MOST_THREADS, N_STAGES, WEIGHTS, Batch, Kernels, Layer, Machine, Packed,
    Source, Unfolded, fold, kernels_at, layer_at, level_of, meet, panel_of, seconds, team_run, tick, unfold,
)
from wakesleep._phases cimport Learning, Step
from wakesleep._updates cimport set_optimizer

from wakesleep import optimizers
from wakesleep._border import check_array, check_bits, check_machine
from wakesleep.parameters import names_of_layers
from wakesleep.rules import BASELINES, checked

STAGES = "bits", "logits to draw", "sample", "logits to learn", "residual", "gradient"  # of a layer, for the clock

RULES = {
    "wake-sleep": WAKE_SLEEP, "reweighted": REWEIGHTED, "vimco": VIMCO, "ovis": OVIS, "leave-one-out": LEAVE_ONE_OUT,
    "bihm": BIHM,
}

cdef enum:
    MOST_SAMPLES = 0x7fffffff
    WORK = 1 << 18  # parameters times rows of a step that a further thread pays for


cdef struct Training:
    Learning learning
    float *parameters       # the flat vectors
    float *moments
    Py_ssize_t n_parameters
    int n_moments
    const uint64_t *data
    const uint64_t *observed    # which of their cells are, or NULL where all are
    const int64_t *chosen   # or NULL; rows of the data, of which n_rows are meant
    Py_ssize_t n_rows
    uint64_t seed
    Py_ssize_t batch_size
    int sleep_steps
    Py_ssize_t n_batches
    const double *rates     # of p and of q, for each minibatch
    int64_t position[3]
    int64_t n_updates[2]    # of p and of q before
    Batch awake[3]          # states of the wake phase, of this step and of the two to come
    Batch asleep            # states of the sleep phase
    void *own_rule          # a callable, and a list for what it raises
    bint asleep_only        # q learns so, because the callable has no credits for it
    void *raised
    bint stopped


cdef inline void copy_row(const Training *t, const uint64_t *given, Py_ssize_t example,
                          const Packed *bits) noexcept nogil:
    """The bits of the visible units in the row given, once for each particle of an example."""
    cdef Py_ssize_t k, state, word, n_units = t.learning.machine.levels[0].n_units, whole = n_units // 32
    cdef uint32_t last = (<uint32_t>1 << (n_units & 31)) - 1    # of the word that is not whole
    cdef const uint32_t *row = <const uint32_t *>given
    for k in range(t.learning.n_particles):
        state = example * t.learning.n_particles + k
        for word in range(whole):
            bits.words[state * bits.row + word * bits.word] = row[word]
        if last:
            bits.words[state * bits.row + whole * bits.word] = row[whole] & last


cdef struct Place:  # of a minibatch among the epochs
    int64_t epoch
    Py_ssize_t row, count


cdef inline Place place_of(const Training *t, int64_t epoch, Py_ssize_t row) noexcept nogil:
    if row == t.n_rows:
        epoch, row = epoch + 1, 0
    return Place(epoch, row, min(t.batch_size, t.n_rows - row))


cdef inline Place after(const Training *t, const Place *place) noexcept nogil:
    return place_of(t, place.epoch, place.row + place.count)


cdef struct Rows:  # that a thread gathers
    Place place
    Order order
    Py_ssize_t before, share, shares    # of each minibatch so many parts, behind so many, of so many


cdef Rows rows_from(const Training *t, int me, int64_t epoch, Py_ssize_t row) noexcept nogil:
    """The fewer columns of q a thread has, the more rows it gathers: all of them take as long as a block of q."""
    cdef Machine *m = t.learning.machine
    cdef Rows rows
    cdef Layer *layer
    cdef Py_ssize_t panel, share, blocks, n_blocks = 0, words = (m.levels[0].n_units + 63) // 64
    cdef int level, i, n_threads = m.barrier.n_threads
    rows.place = place_of(t, epoch, row)
    rows.order = make_order(m.kernels, t.seed, rows.place.epoch, t.n_rows, t.data, words, t.chosen)
    for level in range(m.n_hidden):
        n_blocks += m.q[level].n_blocks
    rows.shares = 0
    for i in range(n_threads):
        blocks = 0
        for level in range(m.n_hidden):
            layer = &m.q[level]
            for panel in range(panel_of(m, layer, i), panel_of(m, layer, i + 1)):
                blocks += panel_at(layer, panel).blocks
        share = max(n_blocks + 1 - n_threads * blocks, 0)
        if i == me:
            rows.before, rows.share = rows.shares, share
        rows.shares += share
    return rows


cdef void gather(const Training *t, int me, Rows *rows, const Batch *awake) noexcept nogil:
    """Copy this thread's share of a minibatch into the states of the wake phase, each row once per particle."""
    cdef Machine *m = t.learning.machine
    cdef Py_ssize_t i, row, count = rows.place.count, words = (m.levels[0].n_units + 63) // 64
    cdef int64_t epoch = rows.place.epoch
    cdef Packed bits = level_of(m, &awake.rows, 0)
    for i in range(count * rows.before // rows.shares, count * (rows.before + rows.share) // rows.shares):
        row = row_at(&rows.order, rows.place.row + i) * words
        copy_row(t, t.data + row, i, &bits)
        if t.observed != NULL:
            copy_row(t, t.observed + row, i, &awake.observed)
    rows.place = after(t, &rows.place)
    if rows.place.epoch != epoch:
        rows.order = make_order(m.kernels, t.seed, rows.place.epoch, t.n_rows, t.data, words, t.chosen)
    tick(m, me, 2 * m.n_hidden + 1, GATHER)


cdef void unfold_all(Training *t, int me) noexcept nogil:
    cdef int i
    unfold(t.learning.machine, me, t.parameters, WEIGHTS)
    for i in range(t.n_moments):
        unfold(t.learning.machine, me, t.moments + i * t.n_parameters, MOMENTS + i)


cdef void fold_all(Training *t, int me) noexcept nogil:
    cdef int i
    fold(t.learning.machine, me, t.parameters, WEIGHTS)
    for i in range(t.n_moments):
        fold(t.learning.machine, me, t.moments + i * t.n_parameters, MOMENTS + i)


cdef void ask_own_rule(Training *t, Py_ssize_t count) noexcept nogil:
    """Credits from a callable. What it raises ends the call."""
    cdef Learning *job = &t.learning
    cdef double[:, ::1] log_w
    cdef float[:, ::1] v, u
    with gil:
        try:
            log_w = np.empty((count, job.n_particles))
            memcpy(&log_w[0, 0], job.log_w, count * job.n_particles * sizeof(double))
            of_p, of_q = checked((<object>t.own_rule)(np.asarray(log_w)), (count, job.n_particles), job.sleep_weight)
            v = np.ascontiguousarray(of_p, np.float32)
            memcpy(job.v, &v[0, 0], count * job.n_particles * sizeof(float))
            t.asleep_only = of_q is None
            if not t.asleep_only:
                u = np.ascontiguousarray(of_q, np.float32)
                memcpy(job.u, &u[0, 0], count * job.n_particles * sizeof(float))
        except BaseException as error:
            (<list>t.raised).append(error)
            t.stopped = True


cdef void train_batches(void *training, int me) noexcept nogil:
    """What each thread does; only bits, log-probabilities and credits go from one to another.

    Wake: q explains the data, and p learns to make them. Sleep: p dreams, and q learns to explain the dream.
    """
    cdef Training *t = <Training *>training
    cdef Learning *job = &t.learning
    cdef Machine *m = job.machine
    cdef Step now
    cdef Batch asleep = t.asleep
    cdef int64_t seen = t.position[2]
    cdef uint64_t of_p = <uint64_t>t.n_updates[0], of_q = <uint64_t>t.n_updates[1]
    cdef Place place = place_of(t, t.position[0], t.position[1])
    cdef Rows rows = rows_from(t, me, place.epoch, place.row)
    cdef Py_ssize_t step
    cdef int again, sleep_steps = t.sleep_steps if job.sleep_weight > 0 else 1
    cdef Source wake = Source(t.seed, C_WAKE, 0), sleep = Source(t.seed, C_SLEEP, 0)
    now.asleep = &asleep
    m.workers[me].last = seconds()
    unfold_all(t, me)
    for step in range(min(t.n_batches, 2)):
        gather(t, me, &rows, &t.awake[step])
    meet(m, me)
    for step in range(t.n_batches):
        now.awake, now.count = &t.awake[step % 3], place.count
        asleep.observed = now.awake.observed  # a dream lacks what its example lacks
        asleep.observed.row *= job.n_particles
        now.rate_p, now.rate_q = t.rates[2 * step], t.rates[2 * step + 1]
        of_p += 1
        now.number_p = of_p
        wake.first_sample = <uint64_t>seen * <uint64_t>job.n_particles
        sleep.first_sample = <uint64_t>seen * <uint64_t>t.sleep_steps
        _phases.recognise(job, me, &now, wake)
        if job.rule != WAKE_SLEEP:
            meet(m, me)
            _phases.weigh(job, me, &now)
            meet(m, me)
            _phases.give_credits(job, me, &now)
            if job.rule == CALLABLE:
                meet(m, me)
                if me == 0:
                    ask_own_rule(t, now.count)
            meet(m, me)
            if t.stopped:
                return
        _phases.teach_p_and_dream(job, me, &now, sleep)
        for again in range(sleep_steps):
            if again:
                meet(m, me)
                sleep.first_sample += <uint64_t>now.count
                _verbs.dream(m, me, &asleep, now.count, sleep)
            of_q += 1
            now.number_q = of_q
            _phases.teach_q(job, me, &now, job.wake_q and not again and not t.asleep_only)
        if step + 2 < t.n_batches:  # where the rows of the last step were, which nobody needs any more
            gather(t, me, &rows, &t.awake[(step + 2) % 3])
        seen += place.count
        place = after(t, &place)
    fold_all(t, me)  # columns that nobody else has changed
    if me == 0:
        t.position[0], t.position[1], t.position[2] = place.epoch, place.row, seen
        t.n_updates[0], t.n_updates[1] = <int64_t>of_p, <int64_t>of_q


# ---- the border ----

def check_rule(rule):
    """Refuse a rule that cannot be followed."""
    if not callable(rule.name) and rule.name not in RULES:
        raise ValueError(f"rule: want a callable or one of {', '.join(RULES)}, got {rule.name!r}")
    fewest = 1 if callable(rule.name) or rule.name == "wake-sleep" else 2
    for name, value, least in (("n_particles", rule.n_particles, fewest), ("sleep_steps", rule.sleep_steps, 1)):
        if not least <= value <= MOST_SAMPLES:
            raise ValueError(f"{name}: want {least} or more with this rule, got {value}")
    if not 0 <= rule.sleep_weight <= 1:
        raise ValueError(f"sleep_weight: want a number from 0 to 1, got {rule.sleep_weight!r}")
    if rule.baseline not in BASELINES:
        raise ValueError(f"baseline: want one of {', '.join(BASELINES)}, got {rule.baseline!r}")


def check_optimizer(optimizer, moments, n_parameters, n_hidden):
    """Refuse an optimizer that is unknown, or whose moments are not those of this one."""
    if optimizer.name not in optimizers.OPTIMIZERS:
        raise ValueError(f"optimizer: want one of {', '.join(optimizers.OPTIMIZERS)}, got {optimizer.name!r}")
    if not 0 <= optimizer.weight_decay < HUGE_VAL:
        raise ValueError(f"weight_decay: want a finite number from 0, got {optimizer.weight_decay!r}")
    if optimizer.clip_norm is not None and not optimizer.clip_norm > 0:
        raise ValueError(f"clip_norm: want a positive number or None, got {optimizer.clip_norm!r}")
    known = {name for pair in names_of_layers(n_hidden) for name in pair if name is not None}
    if not optimizer.frozen <= known:
        raise ValueError(f"frozen: want parts of {', '.join(sorted(known))}, got {sorted(optimizer.frozen - known)}")
    check_array("moments", moments, np.float32, (optimizers.MOMENTS[optimizer.name], n_parameters))


def train(parameters, moments, sizes, methods, data, position, n_updates, uint64_t seed, Py_ssize_t batch_size, rates,
          rule, optimizer, Py_ssize_t n_threads=1, clock=None, precision="float32", chosen=None, observed=None):
    """Learn from the next minibatches, in place: one for each row of `rates`.

    moments : (0, 1 or 2, n_parameters), what the optimizer keeps, in the layout of the parameters; moved along.
    position : (3,) epochs done, rows done of the present one, rows seen since training began; moved along.
    n_updates : (2,) those of p and of q that the moments have seen, which began with zero; moved along.
    rates : (n_batches, 2), of p and of q, per mean gradient of `batch_size` rows; that of fewer is as much smaller.
    rule, optimizer : `rules.Rule`, whose name may be a callable, and `optimizers.Optimizer`.
    The result does not depend on the number of threads, which is also the most that are used: small steps
    are not shared. Bits beyond the last unit are ignored. What a callable raises is raised; then, nothing
    has been learned.
    chosen : (n,) int64, the rows of data that are trained on, where these are not all.
    observed : like data, which of its cells are, where these are not all; the others must be 0. They are left out of
    p(x | h), and a dream lacks those that the row of its number in the minibatch lacks      (eq. 18)
    clock : (threads, layers + 1, N_STAGES), to which the seconds of each stage of each layer are added.
    precision : "float32", or "bf16x2" for sums of tables by matrix tiles, from rows that are split into two halves of
    bfloat16: faster, but not the same bits as on other processors, nor as the twin's.
    """
    cdef const Kernels *wanted = kernels_at(precision)
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 0)
    check_array("position", position, np.int64, (3,))
    check_array("n_updates", n_updates, np.int64, (2,))
    check_array("rates", rates, np.float64, (None, 2))
    check_rule(rule)
    check_optimizer(optimizer, moments, len(parameters), len(sizes) - 1)
    if observed is not None:
        check_array("observed", observed, np.uint64, data.shape)
    cdef const uint64_t[:, ::1] rows = data, seen = None
    cdef const double[:, ::1] all_rates = rates
    cdef const int64_t[::1] indices = None
    cdef Py_ssize_t words = rows.shape[1], n_rows = rows.shape[0]
    if chosen is not None:
        check_array("chosen", chosen, np.int64, (None,))
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < n_rows:
            raise ValueError(f"chosen: want rows of 0 to {n_rows - 1}, got {chosen.min()} to {chosen.max()}")
        indices, n_rows = chosen, len(chosen)
    for name, value in (("batch_size", batch_size), ("n_threads", n_threads)):
        if value < 1:
            raise ValueError(f"{name}: want 1 or more, got {value}")
    batch_size = max(min(batch_size, n_rows), 1)
    if rule.n_particles > MOST_SAMPLES // batch_size:
        raise ValueError(f"n_particles: want at most {MOST_SAMPLES} samples in a batch of {batch_size}, "
                         f"got {rule.n_particles} for each")
    if position.min() < 0 or (len(rates) and position[1] >= n_rows):
        raise ValueError(f"position: want numbers from 0, the second one below {n_rows} rows, got {position.tolist()}")
    if n_updates.min() < 0:
        raise ValueError(f"n_updates: want numbers from 0, got {n_updates.tolist()}")
    if clock is not None:
        check_array("clock", clock, np.float64, (None, 2 * len(sizes), N_STAGES))
    if not len(rates):
        return
    cdef Py_ssize_t n = batch_size * <Py_ssize_t>rule.n_particles, i
    n_threads = min(n_threads, max(n * len(parameters) // WORK, 1), MOST_THREADS)
    cdef Unfolded unfolded = Unfolded(None, sizes, methods, n, None, <int>n_threads, <int>n_threads)
    cdef Training training
    cdef double[:, :, ::1] booked
    cdef float[::1] flat = parameters
    cdef float[:, ::1] kept = moments
    unfolded.machine.kernels = wanted
    memset(&training, 0, sizeof(Training))
    training.learning.machine = &unfolded.machine
    training.parameters, training.n_moments = &flat[0], len(moments)
    training.n_parameters = len(parameters)
    training.moments = &kept[0, 0] if len(moments) else NULL
    training.data = &rows[0, 0] if words else NULL
    training.chosen = &indices[0] if chosen is not None else NULL
    training.n_rows, training.seed = n_rows, seed
    training.batch_size, training.n_batches, training.rates = batch_size, len(rates), &all_rates[0, 0]
    training.position[0], training.position[1], training.position[2] = position[0], position[1], position[2]
    training.n_updates[0], training.n_updates[1] = n_updates[0], n_updates[1]
    training.asleep = unfolded.batch(batch_size, True)
    if observed is not None and words:
        seen = observed
        training.observed = &seen[0, 0]
    for i in range(3):
        training.awake[i] = unfolded.batch(n, True)
        if training.observed != NULL:
            training.awake[i].observed = unfolded.plane(n, words)
    training.sleep_steps = rule.sleep_steps
    raised = []
    training.own_rule, training.raised = <void *>rule.name, <void *>raised
    set_rule(&training.learning, unfolded, rule, batch_size, n_threads)
    set_optimizer(&training.learning.updates, unfolded, optimizer, n_threads)
    if clock is not None:
        booked = clock
        for i in range(min(n_threads, len(clock))):
            unfolded.machine.workers[i].clock = &booked[i, 0, 0]
    with nogil:
        team_run(<int>n_threads, &unfolded.machine.barrier, train_batches, &training)
    if raised:
        raise raised[0]
    for i in range(3):
        position[i] = training.position[i]
    n_updates[0], n_updates[1] = training.n_updates[0], training.n_updates[1]


cdef set_rule(Learning *job, Unfolded unfolded, rule, Py_ssize_t batch_size, Py_ssize_t n_threads):
    """What a rule takes, and room for the errors and log weights of its particles."""
    cdef Machine *m = &unfolded.machine
    cdef Layer *layer
    cdef Py_ssize_t i, n_blocks = m.q[m.n_hidden - 1].first_block + m.q[m.n_hidden - 1].n_blocks
    job.rule = CALLABLE if callable(rule.name) else RULES[rule.name]
    if job.rule == VIMCO and rule.baseline == "arithmetic":
        job.rule = VIMCO_ARITHMETIC
    job.gamma, job.n_particles, job.sleep_weight = rule.gamma, rule.n_particles, rule.sleep_weight
    job.capacity = batch_size * job.n_particles
    job.wake_q = job.rule != WAKE_SLEEP and job.sleep_weight < 1
    if job.rule == WAKE_SLEEP:
        return
    job.terms = <float *>unfolded.allocate(n_blocks * job.capacity * sizeof(float))
    job.log_w = <double *>unfolded.allocate(job.capacity * sizeof(double))
    job.v = <float *>unfolded.allocate(job.capacity * sizeof(float))
    job.u = <float *>unfolded.allocate(job.capacity * sizeof(float))
    job.scratch = <double *>unfolded.allocate(2 * job.n_particles * n_threads * sizeof(double))
    if job.wake_q:
        job.examples = unfolded.batch(batch_size, True)
    for i in range(2 * m.n_hidden + 1):
        layer = layer_at(m, i)
        if (layer.n_source if i <= m.n_hidden else job.wake_q):
            layer.errors = <float *>unfolded.allocate(layer.n_blocks * BLOCK * (job.capacity + 16) * sizeof(float))
