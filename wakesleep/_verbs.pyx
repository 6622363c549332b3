# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What each thread of a team does with a layer, and the verbs: recognise, dream, teach, weigh.

`_core` and `_likelihood` are made of them. Equation numbers are those of docs/MATH.md.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from wakesleep._panels cimport (
    BITS, BLOCK, C_WALK, DRAW, GRADIENT, LEARN, RESIDUAL, SAMPLE, Batch, Layer, Machine, Packed, Selection,
    Source, Worker, first_block, level_of, meet, tick, units_of,
)

# ---- one layer: each thread has its own panels of the targets, for logits, errors, gradient and update ----

cdef Py_ssize_t panel_of(const Machine *m, const Layer *layer, int me) noexcept nogil:
    """The first panel of a thread: all have about the same number of them."""
    return layer.n_panels * me // m.barrier.n_threads


cdef Panel panel_at(const Layer *layer, Py_ssize_t panel) noexcept nogil:
    cdef Py_ssize_t first = first_block(layer.n_blocks, layer.n_panels, panel)
    cdef Py_ssize_t end = first_block(layer.n_blocks, layer.n_panels, panel + 1)
    cdef Py_ssize_t skipped = BLOCK * first * (layer.n_source + 16)
    return Panel(BLOCK * first, min(BLOCK * end, layer.n_target) - BLOCK * first, <int>(end - first),
                 layer.weights + skipped, layer.goal + skipped, layer.goal_biases + BLOCK * first)


cdef enum:
    FAR = 1 << 20  # weights of a layer that nearer caches do not keep from batch to batch


cdef Selection selection(Machine *m, int me, int which, int level, const Packed *bits, Py_ssize_t n,
                         Py_ssize_t n_bits) noexcept nogil:
    """Each of n rows of bits selects those of n_bits rows whose bit is set, in the level's order of sums."""
    cdef Selection chosen
    cdef Worker *worker = &m.workers[me]
    chosen.bits = bits[0]
    chosen.method = m.levels[level].method
    chosen.far = False
    chosen.index, chosen.start = worker.index[which], worker.start[which]
    if chosen.method == C_WALK:
        m.kernels.find_bits(bits, n, n_bits, worker.index[which], worker.start[which])
    return chosen


cdef Selection rows_of(Machine *m, int me, int which, const Layer *layer, const Batch *batch,
                       Py_ssize_t n) noexcept nogil:
    """The sources of a layer: each state selects the units that are on."""
    cdef Packed bits
    cdef Selection chosen
    if not layer.n_source:
        memset(&chosen, 0, sizeof(Selection))
        return chosen
    bits = level_of(m, &batch.rows, layer.source)
    chosen = selection(m, me, which, layer.source, &bits, n, layer.n_source)
    chosen.far = layer.n_source * layer.n_target > FAR
    tick(m, me, layer.number, BITS)
    return chosen


cdef Selection columns_of(Machine *m, int me, int which, const Layer *layer, const Batch *batch,
                          Py_ssize_t n) noexcept nogil:
    """The mirror: each unit selects the states in which it is on."""
    cdef Packed bits
    cdef Selection chosen
    if not layer.n_source:
        memset(&chosen, 0, sizeof(Selection))
        return chosen
    bits = units_of(m, &batch.columns, layer.source)
    chosen = selection(m, me, which, layer.source, &bits, layer.n_source, n)
    tick(m, me, layer.number, BITS)
    return chosen


cdef inline float *logits(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *source,
                          Py_ssize_t n) noexcept nogil:
    """z = b + source·W for one panel of targets, in the tile; without sources it is one row, b itself      (eq. 4)"""
    cdef float *z = layer.biases + panel.column
    if layer.n_source:
        m.kernels.add_rows(source, panel.weights, panel.blocks, layer.n_source, n, z, m.workers[me].tile)
        z = m.workers[me].tile
    return z


cdef void draw_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                     const Batch *batch, Py_ssize_t n, const Source *source) noexcept nogil:
    """target ~ P(target | source)      (eq. 9)"""
    cdef float *z = logits(m, me, layer, panel, rows, n)
    cdef Packed target = level_of(m, &batch.rows, layer.target), columns
    tick(m, me, layer.number, DRAW)
    m.kernels.sample(z, not layer.n_source, panel.blocks, n, panel.column // BLOCK, panel.n_units, source, &target)
    tick(m, me, layer.number, SAMPLE)
    if batch.columns.words != NULL and n > 1:
        columns = units_of(m, &batch.columns, layer.target)
        m.kernels.transpose(&target, panel.column // BLOCK, panel.blocks, n, &columns)
        tick(m, me, layer.number, BITS)


cdef void learn_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                      const Selection *columns, const Batch *batch, Py_ssize_t n, const float *credit,
                      float scale) noexcept nogil:
    """b += scale · Σ error,  W += scale · sourceᵀ error,  error = credit · (target − σ(z))      (eq. 7)"""
    cdef float *z = logits(m, me, layer, panel, rows, n)
    cdef Packed target = level_of(m, &batch.rows, layer.target)
    tick(m, me, layer.number, LEARN)
    m.kernels.residual(z, not layer.n_source, panel.blocks, n, &target, panel.column // BLOCK, credit, scale,
                       panel.goal_biases)
    tick(m, me, layer.number, RESIDUAL)
    if not layer.n_source:
        return
    if n == 1:
        m.kernels.add_row_into(&rows.bits, z, panel.blocks, layer.n_source, scale, panel.goal)
    else:
        m.kernels.add_rows_into(columns, z, panel.blocks, n, layer.n_source, scale, m.workers[me].sums, panel.goal)
    tick(m, me, layer.number, GRADIENT)


cdef void draw(Machine *m, int me, const Layer *layer, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil:
    """A thread's targets ~ P(target | source)      (eq. 9)"""
    cdef Selection rows
    cdef Panel panel
    cdef Py_ssize_t i, first = panel_of(m, layer, me), end = panel_of(m, layer, me + 1)
    source.stream += <uint32_t>layer.target
    if first < end:
        rows = rows_of(m, me, 2, layer, batch, n)
    for i in range(first, end):
        panel = panel_at(layer, i)
        draw_panel(m, me, layer, &panel, &rows, batch, n, &source)


cdef void learn(Machine *m, int me, const Layer *layer, const Batch *batch, Py_ssize_t n, const float *credit,
                float scale) noexcept nogil:
    """A thread's parameters += scale · Σ credit ∇log P(target | source)      (eq. 7)"""
    cdef Selection rows, columns
    cdef Panel panel
    cdef Py_ssize_t i, first = panel_of(m, layer, me), end = panel_of(m, layer, me + 1)
    if first < end:
        rows = rows_of(m, me, 0, layer, batch, n)
        if n > 1:
            columns = columns_of(m, me, 1, layer, batch, n)
    for i in range(first, end):
        panel = panel_at(layer, i)
        learn_panel(m, me, layer, &panel, &rows, &columns, batch, n, credit, scale)


cdef void add_log_p(Machine *m, int me, const Layer *layer, const Batch *batch, Py_ssize_t n,
                    double *log_p) noexcept nogil:
    """log_p[row] += log P(target | source), by one thread alone      (eq. 5)"""
    cdef Selection rows = rows_of(m, me, 0, layer, batch, n)
    cdef Packed target = level_of(m, &batch.rows, layer.target)
    cdef Panel panel
    cdef Py_ssize_t i, row, lane
    cdef float *lanes = m.workers[me].lanes
    memset(lanes, 0, n * BLOCK * sizeof(float))
    for i in range(layer.n_panels):
        panel = panel_at(layer, i)
        m.kernels.add_rows(&rows, panel.weights, panel.blocks, layer.n_source, n, layer.biases + panel.column,
                           m.workers[me].tile)
        m.kernels.log_terms(m.workers[me].tile, panel.blocks, n, panel.column // BLOCK, panel.n_units, &target, lanes)
    for row in range(n):
        for lane in range(BLOCK):
            log_p[row] -= lanes[row * BLOCK + lane]


# ---- the verbs, in which the team of threads meets before it looks at what the others have drawn ----

cdef void recognise(Machine *m, int me, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil:
    """h ~ q(h | x), from the visible level up      (eq. 3)"""
    cdef int level
    for level in range(m.n_hidden):
        if level:
            meet(m, me)
        draw(m, me, &m.q[level], batch, n, source)


cdef void dream(Machine *m, int me, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil:
    """(x, h) ~ p(x, h), from the prior down      (eq. 2)"""
    cdef int level
    for level in range(m.n_hidden, -1, -1):
        if level < m.n_hidden:
            meet(m, me)
        draw(m, me, &m.p[level], batch, n, source)


cdef void teach_p(Machine *m, int me, const Batch *batch, Py_ssize_t n, const float *credit,
                  float scale) noexcept nogil:
    """θ += scale · Σ credit ∇log p(x, h)      (eq. 6)"""
    cdef int level
    for level in range(m.n_hidden, -1, -1):
        if level == m.n_hidden - 1:
            meet(m, me)
        learn(m, me, &m.p[level], batch, n, credit, scale)


cdef void teach_q(Machine *m, int me, const Batch *batch, Py_ssize_t n, const float *credit,
                  float scale) noexcept nogil:
    """φ += scale · Σ credit ∇log q(h | x)      (eq. 6)"""
    cdef int level
    meet(m, me)
    for level in range(m.n_hidden):
        learn(m, me, &m.q[level], batch, n, credit, scale)


cdef void weigh(Machine *m, int me, const Batch *batch, Py_ssize_t n, double *log_p, double *log_q) noexcept nogil:
    """log_p += log p(x, h),  log_q += log q(h | x)"""
    cdef int level
    for level in range(m.n_hidden, -1, -1):
        add_log_p(m, me, &m.p[level], batch, n, log_p)
    for level in range(m.n_hidden):
        add_log_p(m, me, &m.q[level], batch, n, log_q)
