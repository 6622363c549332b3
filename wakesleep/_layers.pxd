"""One layer: each thread has its own panels of the targets, for logits, errors, gradient and update."""

from libc.string cimport memset

from wakesleep._panels cimport (
    BITS, BLOCK, C_WALK, DRAW, GRADIENT, LEARN, RESIDUAL, SAMPLE, Batch, Layer, Machine, Packed, Selection, Source,
    Worker, first_block, level_of, mask_bits, observed_in, tick, units_of,
)


cdef enum:
    FAR = 1 << 20  # weights of a layer that nearer caches do not keep from batch to batch


cdef struct Panel:
    Py_ssize_t column       # where it begins
    Py_ssize_t n_units
    int blocks
    float *weights
    float *goal
    float *goal_biases


cdef inline Panel panel_at(const Layer *layer, Py_ssize_t panel) noexcept nogil:
    cdef Py_ssize_t first = first_block(layer.n_blocks, layer.n_panels, panel)
    cdef Py_ssize_t end = first_block(layer.n_blocks, layer.n_panels, panel + 1)
    cdef Py_ssize_t skipped = BLOCK * first * (layer.n_source + 16)
    return Panel(BLOCK * first, min(BLOCK * end, layer.n_target) - BLOCK * first, <int>(end - first),
                 layer.weights + skipped, layer.goal + skipped, layer.goal_biases + BLOCK * first)


cdef inline Selection selection(Machine *m, int me, int which, int level, const Packed *bits, Py_ssize_t n,
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


cdef inline Selection rows_of(Machine *m, int me, int which, const Layer *layer, const Batch *batch,
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


cdef inline Selection columns_of(Machine *m, int me, int which, const Layer *layer, const Batch *batch,
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


cdef inline void draw_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                            const Batch *batch, Py_ssize_t n, const Source *source) noexcept nogil:
    """target ~ P(target | source), and 0 where it is not observed      (eq. 9)"""
    cdef float *z = logits(m, me, layer, panel, rows, n)
    cdef Packed target = level_of(m, &batch.rows, layer.target), columns
    cdef const Packed *observed = observed_in(batch, layer.target)
    tick(m, me, layer.number, DRAW)
    m.kernels.sample(z, not layer.n_source, panel.blocks, n, panel.column // BLOCK, panel.n_units, source, &target)
    if observed != NULL:
        mask_bits(&target, observed, panel.column // BLOCK, panel.blocks, n)
    tick(m, me, layer.number, SAMPLE)
    if batch.columns.words != NULL and n > 1:
        columns = units_of(m, &batch.columns, layer.target)
        m.kernels.transpose(&target, panel.column // BLOCK, panel.blocks, n, &columns)
        tick(m, me, layer.number, BITS)


cdef inline void learn_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                             const Selection *columns, const Batch *batch, Py_ssize_t n, const float *credit,
                             float scale) noexcept nogil:
    """b += scale · Σ error,  W += scale · sourceᵀ error,  error = credit · (target − σ(z)), 0 if not observed   (eq. 7)
    """
    cdef float *z = logits(m, me, layer, panel, rows, n)
    cdef Packed target = level_of(m, &batch.rows, layer.target)
    tick(m, me, layer.number, LEARN)
    m.kernels.residual(z, not layer.n_source, panel.blocks, n, &target, observed_in(batch, layer.target),
                       panel.column // BLOCK, credit, scale, panel.goal_biases)
    tick(m, me, layer.number, RESIDUAL)
    if not layer.n_source:
        return
    if n == 1:
        m.kernels.add_row_into(&rows.bits, z, panel.blocks, layer.n_source, scale, panel.goal)
    else:
        m.kernels.add_rows_into(columns, z, panel.blocks, n, layer.n_source, scale, m.workers[me].sums, panel.goal)
    tick(m, me, layer.number, GRADIENT)
