# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A machine unfolded into panels for one compiled call, its verbs, and the choice of the kernels.

Nothing here is for Python but the choice of the kernels: `_core` and `_likelihood` are made of it.
Equation numbers are those of docs/MATH.md.
"""

import os

from libc.stdint cimport int64_t, uint32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

cdef const Kernels *chosen = NULL


def cpu_levels():
    """The instruction-set levels of this processor that there are kernels for, weakest first."""
    names, level = [], kernel_levels()
    cdef int i = 0
    while level[i] != NULL:
        names.append(level[i].decode())
        i += 1
    return names


def cpu_level():
    """The level in use."""
    return chosen.name.decode()


def set_cpu_level(level=None):
    """Use the kernels of one level, or with None the best there are. Results are the same bits at every level."""
    global chosen
    name = None if level is None else level.encode()
    found = kernels_for(NULL) if name is None else kernels_for(name)
    if found == NULL:
        raise ValueError(f"WAKESLEEP_CPU: want one of {', '.join(cpu_levels())}, got {level!r}")
    chosen = found


set_cpu_level(os.environ.get("WAKESLEEP_CPU") or None)


cdef const Kernels *kernels() noexcept nogil:
    return chosen


# ---- memory ----

cdef class Unfolded:
    """The memory of a machine while a compiled call lasts: panels of its layers, and what each thread works in.

    n_workers threads work at a time; of one layer, the panels are made for n_sharing of them.
    """

    def __cinit__(self, const float[::1] parameters, const int64_t[::1] sizes, const uint8_t[::1] methods,
                  Py_ssize_t capacity, const float[::1] gradient=None, int n_workers=1, int n_sharing=1):
        cdef Py_ssize_t widest = 0, padded, i, lists = 0, starts = 0
        cdef int level, which, n_levels = <int>sizes.shape[0]
        cdef Machine *m = &self.machine
        cdef Layer *layer
        cdef Worker *worker
        self.memory = []
        m.kernels = chosen
        m.n_hidden = n_levels - 1
        m.barrier.n_threads = 1
        m.levels = <Level *>self.allocate(n_levels * sizeof(Level))
        m.p = <Layer *>self.allocate(n_levels * sizeof(Layer))
        m.q = <Layer *>self.allocate(n_levels * sizeof(Layer))
        m.workers = <Worker *>self.allocate(n_workers * sizeof(Worker))
        for level in range(n_levels):
            m.levels[level] = Level(sizes[level], m.stride, methods[level])
            m.stride += 2 * ((sizes[level] + 63) // 64)
            widest = max(widest, sizes[level])
            if methods[level] == C_WALK:
                lists = max(lists, capacity * (sizes[level] + chunks(sizes[level])), sizes[level] * (capacity + chunks(capacity)))
                starts = max(starts, capacity * chunks(sizes[level]), sizes[level] * chunks(capacity))
        for level in range(n_levels):
            m.p[level].source, m.p[level].target = level + 1, level
            m.q[level].source, m.q[level].target = level, level + 1
        for i in range(2 * n_levels - 1):
            layer = layer_at(m, i)
            layer.number = i
            layer.n_target = sizes[layer.target]
            layer.n_source = sizes[layer.source] if layer.source < n_levels else 0
            layer.n_blocks = (layer.n_target + BLOCK - 1) // BLOCK
            layer.n_panels = ((layer.n_blocks + 3) // 4 + n_sharing - 1) // n_sharing * n_sharing
            layer.n_panels = min(layer.n_panels, layer.n_blocks)
            padded = layer.n_blocks * BLOCK
            layer.weights = <float *>self.allocate((layer.n_source + 16) * padded * sizeof(float))
            layer.biases = <float *>self.allocate(padded * sizeof(float))
            layer.goal, layer.goal_biases = layer.weights, layer.biases
            if gradient is not None:
                layer.goal = <float *>self.allocate((layer.n_source + 16) * padded * sizeof(float))
                layer.goal_biases = <float *>self.allocate(padded * sizeof(float))
        for i in range(n_workers):
            worker = &m.workers[i]
            for which in range(3):
                worker.index[which] = <uint8_t *>self.allocate(lists + 64)
                worker.start[which] = <int64_t *>self.allocate((starts + 1) * sizeof(int64_t))
            worker.tile = <float *>self.allocate((capacity + 16) * PANEL * sizeof(float))
            worker.sums = <float *>self.allocate(max(widest, 1) * PANEL * sizeof(float))
            worker.lanes = <float *>self.allocate(capacity * BLOCK * sizeof(float))
        self.unfold(parameters, False)
        if gradient is not None:
            self.unfold(gradient, True)

    def __dealloc__(self):
        for block in self.memory or ():
            free(<void *><size_t>block)

    cdef void *allocate(self, size_t n_bytes) except NULL:
        """Zeroed memory at a multiple of 64 bytes, freed with the machine."""
        cdef void *block = calloc(n_bytes + 64, 1)
        if block == NULL:
            raise MemoryError(f"no room for {n_bytes} bytes to work in: use a smaller batch_size or n_particles")
        self.memory.append(<size_t>block)
        return <void *>((<size_t>block + 63) // 64 * 64)

    cdef Batch batch(self, Py_ssize_t capacity, bint columns) except *:
        """Room for states, and for their columns. Words of neighbouring units lie apart: threads write to their own."""
        cdef Batch batch
        memset(&batch, 0, sizeof(Batch))
        batch.rows = Packed(NULL, 1, odd_lines(capacity))
        batch.rows.words = <uint32_t *>self.allocate(self.machine.stride * batch.rows.word * sizeof(uint32_t))
        if columns:
            batch.columns = Packed(NULL, 1, odd_lines(32 * self.machine.stride))
            batch.columns.words = <uint32_t *>self.allocate((capacity + 31) // 32 * batch.columns.word * sizeof(uint32_t))
        return batch

    cdef void unfold(self, const float[::1] flat, bint goal) noexcept:
        """Copy the flat vector into the panels of the weights, or of the goal."""
        cdef Py_ssize_t i, at = 0
        cdef Layer *layer
        for i in range(2 * self.machine.n_hidden + 1):
            layer = layer_at(&self.machine, i)
            at = copy_layer(layer, layer.goal if goal else layer.weights, layer.goal_biases if goal else layer.biases,
                            &flat[0], at, False)

    cdef void fold(self, float[::1] flat) noexcept:
        """Copy the panels of the goal back into the flat vector."""
        cdef Py_ssize_t i, at = 0
        cdef Layer *layer
        for i in range(2 * self.machine.n_hidden + 1):
            layer = layer_at(&self.machine, i)
            at = copy_layer(layer, layer.goal, layer.goal_biases, &flat[0], at, True)


cdef inline Py_ssize_t chunks(Py_ssize_t n_rows) noexcept nogil:
    """Chunks in which a walk over so many rows adds."""
    return (n_rows + CHUNK - 1) // CHUNK


cdef inline Py_ssize_t odd_lines(Py_ssize_t n_words) noexcept nogil:
    """At least so many words, in an odd number of cache lines: so that multiples of it do not fall on each other."""
    return ((n_words + 15) // 16 | 1) * 16


cdef Layer *layer_at(Machine *m, Py_ssize_t i) noexcept nogil:
    """The layers in the order of the flat vector: p from the bottom up, the prior, q from the bottom up."""
    return &m.p[i] if i <= m.n_hidden else &m.q[i - m.n_hidden - 1]


cdef Py_ssize_t first_block(Py_ssize_t n_blocks, Py_ssize_t n_panels, Py_ssize_t panel) noexcept nogil:
    """Where a panel begins, so that all have about the same number of blocks."""
    return n_blocks * panel // n_panels


cdef Py_ssize_t copy_layer(const Layer *layer, float *weights, float *biases, const float *flat, Py_ssize_t at,
                           bint out) noexcept:
    """Copy a layer from the flat vector at `at` into panels, or out of them; return where the next one begins."""
    cdef Py_ssize_t row, panel, column, width, rows = layer.n_source + 16
    cdef float *inside
    cdef float *outside
    for row in range(layer.n_source + 1):
        for panel in range(layer.n_panels):
            column = BLOCK * first_block(layer.n_blocks, layer.n_panels, panel)
            width = BLOCK * first_block(layer.n_blocks, layer.n_panels, panel + 1) - column
            outside = <float *>flat + at + row * layer.n_target + column
            inside = weights + column * rows + row * width if row < layer.n_source else biases + column
            width = min(width, layer.n_target - column)
            if out:
                memcpy(outside, inside, width * sizeof(float))
            else:
                memcpy(inside, outside, width * sizeof(float))
    return at + (layer.n_source + 1) * layer.n_target


# ---- one layer: each thread has its own panels of the targets, for logits, errors, gradient and update ----

cdef Py_ssize_t panel_of(const Machine *m, const Layer *layer, int me) noexcept nogil:
    """The first panel of a thread: all have about the same number of them."""
    return layer.n_panels * me // m.barrier.n_threads


cdef struct Panel:
    Py_ssize_t column       # where it begins
    Py_ssize_t n_units
    int blocks
    float *weights
    float *goal


cdef Panel panel_at(const Layer *layer, Py_ssize_t panel) noexcept nogil:
    cdef Py_ssize_t first = first_block(layer.n_blocks, layer.n_panels, panel)
    cdef Py_ssize_t end = first_block(layer.n_blocks, layer.n_panels, panel + 1)
    cdef Py_ssize_t skipped = BLOCK * first * (layer.n_source + 16)
    return Panel(BLOCK * first, min(BLOCK * end, layer.n_target) - BLOCK * first, <int>(end - first),
                 layer.weights + skipped, layer.goal + skipped)


cdef enum:
    FAR = 1 << 20  # weights of a layer that nearer caches do not keep from batch to batch


cdef inline void tick(Machine *m, int me, Py_ssize_t layer, int stage) noexcept nogil:
    """Book the time since the last tick, where somebody wants to know."""
    cdef Worker *worker = &m.workers[me]
    cdef double now
    if worker.clock != NULL:
        now = seconds()
        worker.clock[layer * N_STAGES + stage] += now - worker.last
        worker.last = now


cdef inline void meet(Machine *m, int me) noexcept nogil:
    """Wait until the bits that the other threads have drawn are there."""
    barrier_wait(&m.barrier)
    tick(m, me, 2 * m.n_hidden + 1, WAIT)


cdef inline Packed level_of(const Machine *m, const Packed *bits, int level) noexcept nogil:
    """The bits of one level, of states in rows."""
    return Packed(bits.words + m.levels[level].offset * bits.word, bits.row, bits.word)


cdef inline Packed units_of(const Machine *m, const Packed *columns, int level) noexcept nogil:
    """The bits of one level, of states in columns."""
    return Packed(columns.words + 32 * m.levels[level].offset * columns.row, columns.row, columns.word)


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


cdef Selection columns_of(Machine *m, int me, const Layer *layer, const Batch *batch, Py_ssize_t n) noexcept nogil:
    """The mirror: each unit selects the states in which it is on."""
    cdef Packed bits
    cdef Selection chosen
    if not layer.n_source:
        memset(&chosen, 0, sizeof(Selection))
        return chosen
    bits = units_of(m, &batch.columns, layer.source)
    chosen = selection(m, me, 1, layer.source, &bits, layer.n_source, n)
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
                       layer.goal_biases + panel.column)
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
            columns = columns_of(m, me, layer, batch, n)
    for i in range(first, end):
        panel = panel_at(layer, i)
        learn_panel(m, me, layer, &panel, &rows, &columns, batch, n, credit, scale)


cdef void learn_and_draw(Machine *m, int me, const Layer *layer, const Batch *awake, Py_ssize_t n, float scale,
                         const Batch *asleep, Py_ssize_t n_dreams, Source source) noexcept nogil:
    """`learn`, and then `draw` while the weights are at hand."""
    cdef Selection rows, columns, dreamt
    cdef Panel panel
    cdef Py_ssize_t i, first = panel_of(m, layer, me), end = panel_of(m, layer, me + 1)
    source.stream += <uint32_t>layer.target
    if first < end:
        rows = rows_of(m, me, 0, layer, awake, n)
        if n > 1:
            columns = columns_of(m, me, layer, awake, n)
        dreamt = rows_of(m, me, 2, layer, asleep, n_dreams)
    for i in range(first, end):
        panel = panel_at(layer, i)
        learn_panel(m, me, layer, &panel, &rows, &columns, awake, n, NULL, scale)
        draw_panel(m, me, layer, &panel, &dreamt, asleep, n_dreams, &source)


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


cdef void teach_p_and_dream(Machine *m, int me, const Batch *awake, Py_ssize_t n, float scale, const Batch *asleep,
                            Py_ssize_t n_dreams, Source source) noexcept nogil:
    """`teach_p`, and `dream`: each layer as soon as it has learned."""
    cdef int level
    for level in range(m.n_hidden, -1, -1):
        if level < m.n_hidden:
            meet(m, me)
        learn_and_draw(m, me, &m.p[level], awake, n, scale, asleep, n_dreams, source)


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
