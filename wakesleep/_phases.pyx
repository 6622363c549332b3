# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What each thread does in the phases of a step: recognise, weigh, give credits, teach p and dream, teach q.

Each thread has its own panels of the targets, for logits, errors, gradients and updates: only bits, log-probabilities
and credits go from one to another. Equation numbers are those of docs/MATH.md.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from wakesleep._credits cimport CALLABLE, WAKE_SLEEP, give_credit
from wakesleep._layers cimport Panel, columns_of, draw_panel, learn_panel, logits, panel_at, rows_of
from wakesleep._panels cimport (
    BITS, BLOCK, DRAW, GRADIENT, LEARN, RESIDUAL, SAMPLE, Batch, Layer, Machine, Packed, Selection, Source,
    Update, Worker, level_of, meet, observed_in, panel_of, tick, units_of,
)
from wakesleep._updates cimport factor_of, square_panel, update_of, update_panel

# ---- awake: particles, and their log weights ----

cdef float *errors_at(const Learning *job, const Layer *layer, const Panel *panel) noexcept nogil:
    return layer.errors + panel.column * (job.capacity + 16)


cdef Batch examples_of(const Learning *job, const Step *step) noexcept nogil:
    """The visible level once for each example, and not for each of its particles."""
    cdef Batch batch = job.examples
    batch.rows = step.awake.rows
    batch.rows.row *= job.n_particles
    return batch


cdef void recognise(Learning *job, int me, const Step *step, Source source) noexcept nogil:
    """h ~ q(h | x) for all particles, and what they say about q      (eqs. 3, 5)

    The first layer's logits are the same for all particles of an example, and summed once.
    """
    cdef Machine *m = job.machine
    cdef Layer *layer
    cdef Batch sources
    cdef Selection rows
    cdef Panel panel
    cdef Packed target, columns
    cdef float *z = m.workers[me].tile
    cdef int level
    cdef Py_ssize_t i, first, end, given, n = step.count * job.n_particles
    for level in range(m.n_hidden):
        if level:
            meet(m, me)
        layer = &m.q[level]
        first, end = panel_of(m, layer, me), panel_of(m, layer, me + 1)
        sources, given = step.awake[0], n
        if not level:
            sources, given = examples_of(job, step), step.count
        source.stream += 1
        if first < end:
            rows = rows_of(m, me, 2, layer, &sources, given)
        for i in range(first, end):
            panel = panel_at(layer, i)
            m.kernels.add_rows(&rows, panel.weights, panel.blocks, layer.n_source, given,
                               layer.biases + panel.column, z)
            expand(z, panel.blocks * BLOCK, given, n // given)
            target = level_of(m, &step.awake.rows, layer.target)
            tick(m, me, layer.number, DRAW)
            m.kernels.sample(z, False, panel.blocks, n, panel.column // BLOCK, panel.n_units, &source, &target)
            tick(m, me, layer.number, SAMPLE)
            if n > 1:
                columns = units_of(m, &step.awake.columns, layer.target)
                m.kernels.transpose(&target, panel.column // BLOCK, panel.blocks, n, &columns)
                tick(m, me, layer.number, BITS)
            if job.rule != WAKE_SLEEP:
                weigh_panel(job, me, layer, &panel, z, False, step.awake, n)


cdef void expand(float *z, Py_ssize_t width, Py_ssize_t given, Py_ssize_t copies) noexcept nogil:
    """Each of the given rows so many times, in place, from the last one on."""
    cdef Py_ssize_t row
    if copies > 1:
        for row in range(given * copies - 1, 0, -1):
            memcpy(z + row * width, z + row // copies * width, width * sizeof(float))


cdef void weigh_panel(Learning *job, int me, const Layer *layer, const Panel *panel, float *z, bint one,
                      const Batch *batch, Py_ssize_t n) noexcept nogil:
    """errors = target − σ(z), where they are kept, and the terms of log P(target | source)      (eqs. 5, 7)

    one : z is one row, the same for all n.
    """
    cdef float *terms = job.terms + layer.first_block * job.capacity
    cdef float *errors = z if layer.errors == NULL else errors_at(job, layer, panel)
    cdef Packed target = level_of(job.machine, &batch.rows, layer.target)
    job.machine.kernels.weigh(z, one, panel.blocks, n, &target, observed_in(batch, layer.target),
                              panel.column // BLOCK, panel.n_units, errors,
                              terms + panel.column // BLOCK * job.capacity, job.capacity)
    tick(job.machine, me, layer.number, RESIDUAL)


cdef void weigh(Learning *job, int me, const Step *step) noexcept nogil:
    """The errors of p, and the terms of log p(x, h); and the examples' columns, for q to learn from."""
    cdef Machine *m = job.machine
    cdef Layer *layer
    cdef Selection rows
    cdef Panel panel
    cdef float *z
    cdef int level
    cdef Py_ssize_t i, first, end, n = step.count * job.n_particles
    if job.wake_q and step.count > 1:
        transpose_examples(job, me, step)
    for level in range(m.n_hidden, -1, -1):
        layer = &m.p[level]
        first, end = panel_of(m, layer, me), panel_of(m, layer, me + 1)
        if first < end:
            rows = rows_of(m, me, 0, layer, step.awake, n)
        for i in range(first, end):
            panel = panel_at(layer, i)
            z = logits(m, me, layer, &panel, &rows, n)
            tick(m, me, layer.number, LEARN)
            weigh_panel(job, me, layer, &panel, z, not layer.n_source, step.awake, n)


cdef void transpose_examples(Learning *job, int me, const Step *step) noexcept nogil:
    """This thread's share of the columns."""
    cdef Machine *m = job.machine
    cdef Batch batch = examples_of(job, step)
    cdef Packed visible = level_of(m, &batch.rows, 0), columns = units_of(m, &batch.columns, 0)
    cdef Py_ssize_t n_blocks = (m.levels[0].n_units + BLOCK - 1) // BLOCK
    cdef Py_ssize_t first = n_blocks * me // m.barrier.n_threads, end = n_blocks * (me + 1) // m.barrier.n_threads
    m.kernels.transpose(&visible, first, end - first, step.count, &columns)


cdef void give_credits(Learning *job, int me, const Step *step) noexcept nogil:
    """log w = log p(x, h) − log q(h | x), and the rule's credits, of a thread's share of the examples."""
    cdef Machine *m = job.machine
    cdef Py_ssize_t k = job.n_particles
    cdef Py_ssize_t first = step.count * me // m.barrier.n_threads, end = step.count * (me + 1) // m.barrier.n_threads
    cdef Py_ssize_t of_p = m.p[m.n_hidden].first_block + m.p[m.n_hidden].n_blocks
    cdef Py_ssize_t n_blocks = m.q[m.n_hidden - 1].first_block + m.q[m.n_hidden - 1].n_blocks, block, state, i
    cdef const float *terms = job.terms
    for state in range(first * k, end * k):
        job.log_w[state] = 0
    for block in range(n_blocks):
        if block < of_p:
            for state in range(first * k, end * k):
                job.log_w[state] -= terms[state]
        else:
            for state in range(first * k, end * k):
                job.log_w[state] += terms[state]
        terms += job.capacity
    if job.rule != CALLABLE:
        for i in range(first, end):
            give_credit(job.rule, job.gamma, k, job.log_w + i * k, job.scratch + 2 * k * me, job.v + i * k,
                        job.u + i * k)


# ---- from errors to parameters ----

cdef Panel panel_to_teach(const Learning *job, int me, const Layer *layer, Py_ssize_t number) noexcept nogil:
    """A panel whose goal is a gradient where one is kept apart."""
    cdef Panel panel = panel_at(layer, number)
    cdef Worker *worker = &job.machine.workers[me]
    if worker.goal != NULL:
        panel.goal, panel.goal_biases = worker.goal, worker.goal_biases
    return panel


cdef void teach_by_credit(Learning *job, int me, const Layer *layer, const Panel *panel, const Selection *columns,
                          const Batch *batch, Py_ssize_t n, Py_ssize_t n_particles, const float *credit,
                          float scale) noexcept nogil:
    """b += scale · Σ error,  W += scale · sourceᵀ error,  where those of `n_particles` are one error      (eq. 7)"""
    cdef Machine *m = job.machine
    cdef float *errors
    cdef Packed bits
    if layer.errors == NULL:    # there are no sources
        bits = level_of(m, &batch.rows, layer.target)
        m.kernels.residual(layer.biases + panel.column, True, panel.blocks, n, &bits,
                           observed_in(batch, layer.target), panel.column // BLOCK, credit, scale, panel.goal_biases)
        tick(m, me, layer.number, RESIDUAL)
        return
    errors = errors_at(job, layer, panel)
    m.kernels.credit_rows(errors, panel.blocks, n, n_particles, credit, scale, panel.goal_biases)
    tick(m, me, layer.number, RESIDUAL)
    if n == 1:
        bits = level_of(m, &batch.rows, layer.source)
        m.kernels.add_row_into(&bits, errors, panel.blocks, layer.n_source, scale, panel.goal)
    else:
        m.kernels.add_rows_into(columns, errors, panel.blocks, n, layer.n_source, scale, m.workers[me].sums,
                                panel.goal)
    tick(m, me, layer.number, GRADIENT)


cdef inline double per_row(const Learning *job, double rate, double weight, Py_ssize_t n_states=1) noexcept nogil:
    """What errors of so many states to a row are multiplied with, for a part of this weight, whatever the step has."""
    return (rate * weight if job.updates.plain else weight) / (job.capacity // job.n_particles * n_states)


# ---- p awake, and its dreams ----

cdef void teach_p_panel(Learning *job, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                        const Selection *columns, const Step *step) noexcept nogil:
    cdef Py_ssize_t n = step.count * job.n_particles
    if job.rule == WAKE_SLEEP:
        learn_panel(job.machine, me, layer, panel, rows, columns, step.awake, n, NULL,
                    <float>per_row(job, step.rate_p, 1, job.n_particles))
    else:
        teach_by_credit(job, me, layer, panel, columns, step.awake, n, 1, job.v,
                        <float>per_row(job, step.rate_p, 1))


cdef void teach_p_and_dream(Learning *job, int me, const Step *step, Source source) noexcept nogil:
    """θ follows Σ v ∇log p(x, h), and (x, h) ~ p(x, h): each layer as soon as it has learned      (eqs. 6, 2)"""
    cdef Machine *m = job.machine
    cdef Layer *layer
    cdef Selection rows, columns, dreamt
    cdef Panel panel
    cdef Update update
    cdef uint32_t stream = source.stream
    cdef bint dreams = job.sleep_weight > 0
    cdef int level
    cdef Py_ssize_t i, first, end, n = step.count * job.n_particles
    cdef float kept = <float>(1 - step.rate_p * job.updates.weight_decay)
    if not job.updates.plain:
        update = update_of(&job.updates, step.rate_p, step.number_p)
    if job.updates.clipped:
        gather_gradient_of_p(job, me, step)
        meet(m, me)
        update.factor = factor_of(&job.updates, &m.p[0], &m.p[m.n_hidden])
    for level in range(m.n_hidden, -1, -1):
        if level < m.n_hidden:
            meet(m, me)
        layer = &m.p[level]
        source.stream = stream + <uint32_t>level
        first, end = panel_of(m, layer, me), panel_of(m, layer, me + 1)
        if first < end and not job.updates.clipped:
            if job.rule == WAKE_SLEEP:
                rows = rows_of(m, me, 0, layer, step.awake, n)
            if n > 1:
                columns = columns_of(m, me, 1, layer, step.awake, n)
        if first < end and dreams:
            dreamt = rows_of(m, me, 2, layer, step.asleep, step.count)
        for i in range(first, end):
            panel = panel_to_teach(job, me, layer, i)
            if not job.updates.clipped:
                teach_p_panel(job, me, layer, &panel, &rows, &columns, step)
            if not job.updates.plain:
                update_panel(m, me, layer, &panel, &update, kept)
            if dreams:
                draw_panel(m, me, layer, &panel, &dreamt, step.asleep, step.count, &source)


cdef void gather_gradient_of_p(Learning *job, int me, const Step *step) noexcept nogil:
    """All of it, before any of it is followed, and its squares."""
    cdef Machine *m = job.machine
    cdef Layer *layer
    cdef Selection rows, columns
    cdef Panel panel
    cdef int level
    cdef Py_ssize_t i, first, end, n = step.count * job.n_particles
    meet(m, me)
    for level in range(m.n_hidden + 1):
        layer = &m.p[level]
        first, end = panel_of(m, layer, me), panel_of(m, layer, me + 1)
        if first < end:
            if job.rule == WAKE_SLEEP:
                rows = rows_of(m, me, 0, layer, step.awake, n)
            if n > 1:
                columns = columns_of(m, me, 1, layer, step.awake, n)
        for i in range(first, end):
            panel = panel_to_teach(job, me, layer, i)
            teach_p_panel(job, me, layer, &panel, &rows, &columns, step)
            square_panel(m, &job.updates, layer, &panel)


# ---- q, asleep and awake ----

cdef void teach_q(Learning *job, int me, const Step *step, bint awake_too) noexcept nogil:
    """φ follows s · ∇log q(h | x) of the dreams, and (1 − s) · Σ u ∇log q(h | x) of the particles      (eq. 6)"""
    cdef Machine *m = job.machine
    cdef Layer *layer
    cdef Selection rows, columns, awake
    cdef Panel panel
    cdef Batch sources
    cdef Update update
    cdef bint dreamt = job.sleep_weight > 0
    cdef int level
    cdef Py_ssize_t i, first, end, n_awake = 0, n_particles = 1
    cdef float kept = <float>(1 - step.rate_q * job.updates.weight_decay)
    cdef float of_dreams = <float>per_row(job, step.rate_q, job.sleep_weight)
    cdef float of_particles = <float>per_row(job, step.rate_q, 1 - job.sleep_weight)
    if not job.updates.plain:
        update = update_of(&job.updates, step.rate_q, step.number_q)
    meet(m, me)
    for level in range(m.n_hidden):
        layer = &m.q[level]
        first, end = panel_of(m, layer, me), panel_of(m, layer, me + 1)
        if first < end and dreamt:
            rows = rows_of(m, me, 0, layer, step.asleep, step.count)
            if step.count > 1:
                columns = columns_of(m, me, 1, layer, step.asleep, step.count)
        if first < end and awake_too:
            sources, n_awake, n_particles = step.awake[0], step.count * job.n_particles, 1
            if not level:
                sources, n_awake, n_particles = examples_of(job, step), step.count, job.n_particles
            if n_awake > 1:
                awake = columns_of(m, me, 2, layer, &sources, n_awake)
        for i in range(first, end):
            panel = panel_to_teach(job, me, layer, i)
            if dreamt:
                learn_panel(m, me, layer, &panel, &rows, &columns, step.asleep, step.count, NULL, of_dreams)
            if awake_too:
                teach_by_credit(job, me, layer, &panel, &awake, &sources, n_awake, n_particles, job.u, of_particles)
            if job.updates.clipped:
                square_panel(m, &job.updates, layer, &panel)
            elif not job.updates.plain:
                update_panel(m, me, layer, &panel, &update, kept)
    if job.updates.clipped:
        meet(m, me)
        update.factor = factor_of(&job.updates, &m.q[0], &m.q[m.n_hidden - 1])
        for level in range(m.n_hidden):
            layer = &m.q[level]
            for i in range(panel_of(m, layer, me), panel_of(m, layer, me + 1)):
                panel = panel_to_teach(job, me, layer, i)
                update_panel(m, me, layer, &panel, &update, kept)
