# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What each thread of a team does with a layer, and the verbs: recognise, dream, teach, weigh.

`_core` and `_likelihood` are made of them. Equation numbers are those of docs/MATH.md.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from wakesleep._layers cimport Panel, columns_of, draw_panel, learn_panel, logits, panel_at, rows_of
from wakesleep._panels cimport (
    BLOCK, Batch, Layer, Machine, Packed, Selection, Source, level_of, meet, observed_in, panel_of,
)

# ---- a thread's share of a layer ----

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
    cdef Py_ssize_t i
    cdef float *lanes = m.workers[me].lanes
    memset(lanes, 0, n * BLOCK * sizeof(float))
    for i in range(layer.n_panels):
        panel = panel_at(layer, i)
        m.kernels.log_terms(logits(m, me, layer, &panel, &rows, n), not layer.n_source, panel.blocks, n,
                            panel.column // BLOCK, panel.n_units, &target, observed_in(batch, layer.target), lanes)
    subtract_lanes(lanes, n, log_p)


cdef void draw_and_add_log_q(Machine *m, int me, const Layer *layer, const Batch *batch, Py_ssize_t n, Source source,
                             float *shared, double *log_q) noexcept nogil:
    """targets ~ P(target | source) and log_q[row] += log P(target | source), by one thread alone      (eq. 5, 9)

    shared : the logits, where they are the same for all n, else NULL.
    """
    cdef Selection rows
    cdef Packed target = level_of(m, &batch.rows, layer.target)
    cdef Panel panel
    cdef Py_ssize_t i, first
    cdef float *z
    cdef bint one = shared != NULL
    cdef float *lanes = m.workers[me].lanes
    source.stream += <uint32_t>layer.target
    memset(lanes, 0, n * BLOCK * sizeof(float))
    if not one:
        rows = rows_of(m, me, 0, layer, batch, n)
    for i in range(layer.n_panels):
        panel = panel_at(layer, i)
        first = panel.column // BLOCK
        z = shared + panel.column if one else logits(m, me, layer, &panel, &rows, n)
        m.kernels.sample(z, one, panel.blocks, n, first, panel.n_units, &source, &target)
        m.kernels.log_terms(z, one, panel.blocks, n, first, panel.n_units, &target, NULL, lanes)
    subtract_lanes(lanes, n, log_q)


cdef inline void subtract_lanes(const float *lanes, Py_ssize_t n, double *log_p) noexcept nogil:
    cdef Py_ssize_t row, lane
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


cdef void share_logits(Machine *m, const Batch *batch, float *shared) noexcept nogil:
    """The logits of the first recognition layer for the first state of a batch: one row, and room for a panel."""
    cdef Layer *layer = &m.q[0]
    cdef Selection rows = rows_of(m, 0, 0, layer, batch, 1)
    cdef Panel panel
    cdef Py_ssize_t i
    for i in range(layer.n_panels):
        panel = panel_at(layer, i)
        m.kernels.add_rows(&rows, panel.weights, panel.blocks, layer.n_source, 1, layer.biases + panel.column,
                           shared + panel.column)


cdef void recognise_and_weigh(Machine *m, const Batch *batch, Py_ssize_t n, Source source, float *shared,
                              double *log_p, double *log_q) noexcept nogil:
    """`recognise`, then `weigh`, of n particles of one row, by one thread alone, with each logit taken once."""
    cdef int level
    for level in range(m.n_hidden):
        draw_and_add_log_q(m, 0, &m.q[level], batch, n, source, NULL if level else shared, log_q)
    for level in range(m.n_hidden, -1, -1):
        add_log_p(m, 0, &m.p[level], batch, n, log_p)


cdef void weigh(Machine *m, int me, const Batch *batch, Py_ssize_t n, double *log_p, double *log_q) noexcept nogil:
    """log_p += log p(x, h),  log_q += log q(h | x)"""
    cdef int level
    for level in range(m.n_hidden, -1, -1):
        add_log_p(m, me, &m.p[level], batch, n, log_p)
    for level in range(m.n_hidden):
        add_log_p(m, me, &m.q[level], batch, n, log_q)
