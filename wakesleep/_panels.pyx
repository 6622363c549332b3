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


cdef class Machine:

    def __cinit__(self, float[::1] parameters, int64_t[::1] sizes, const uint8_t[::1] methods, Py_ssize_t capacity,
                  float[::1] gradient=None):
        cdef Py_ssize_t total = 0, widest = 0, padded, i
        cdef int level, n_levels = <int>sizes.shape[0]
        cdef Layer *layer
        self.kernels = chosen
        self.capacity = capacity
        self.n_hidden = n_levels - 1
        self.blocks = <void **>calloc(8 * n_levels + 16, sizeof(void *))
        if self.blocks == NULL:
            raise MemoryError
        self.levels = <Level *>self.allocate(n_levels * sizeof(Level))
        self.p = <Layer *>self.allocate(n_levels * sizeof(Layer))
        self.q = <Layer *>self.allocate(n_levels * sizeof(Layer))
        for level in range(n_levels):
            self.levels[level] = Level(sizes[level], total, methods[level])
            total += 2 * ((sizes[level] + 63) // 64)
            widest = max(widest, sizes[level])
        self.stride = total
        for level in range(n_levels):
            self.p[level].source, self.p[level].target = level + 1, level
            self.q[level].source, self.q[level].target = level, level + 1
        for i in range(2 * n_levels - 1):
            layer = &self.p[i] if i < n_levels else &self.q[i - n_levels]
            layer.n_target = sizes[layer.target]
            layer.n_source = sizes[layer.source] if layer.source < n_levels else 0
            layer.n_panels = panels(layer.n_target)
            padded = (layer.n_target + BLOCK - 1) // BLOCK * BLOCK
            layer.weights = <float *>self.allocate((layer.n_source + 16) * padded * sizeof(float))
            layer.biases = <float *>self.allocate(padded * sizeof(float))
            layer.goal, layer.goal_biases = layer.weights, layer.biases
            if gradient is not None:
                layer.goal = <float *>self.allocate((layer.n_source + 16) * padded * sizeof(float))
                layer.goal_biases = <float *>self.allocate(padded * sizeof(float))
        self.states = <uint32_t *>self.allocate(capacity * total * sizeof(uint32_t))
        self.transposed = <uint32_t *>self.allocate((widest + 32) * (capacity // 32 + 1) * sizeof(uint32_t))
        for i in range(2):
            self.index[i] = <uint32_t *>self.allocate((capacity + 1) * (widest + 1) * sizeof(uint32_t))
            self.start[i] = <int64_t *>self.allocate((max(capacity, widest) + 1) * sizeof(int64_t))
        self.tile = <float *>self.allocate((capacity + 16) * PANEL * sizeof(float))
        self.sums = <float *>self.allocate(max(widest, 1) * PANEL * sizeof(float))
        self.lanes = <float *>self.allocate(capacity * BLOCK * sizeof(float))
        self.unfold(parameters, False)
        self.flat = parameters if gradient is None else gradient
        if gradient is not None:
            self.unfold(gradient, True)

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_blocks):
            free(self.blocks[i])
        free(self.blocks)

    cdef void *allocate(self, size_t n_bytes) except NULL:
        """Zeroed memory at a multiple of 64 bytes, freed with the machine."""
        cdef void *block = calloc(n_bytes + 64, 1)
        if block == NULL:
            raise MemoryError(f"no room for {n_bytes} bytes of working memory: use a smaller batch_size or n_particles")
        self.blocks[self.n_blocks] = block
        self.n_blocks += 1
        return <void *>((<size_t>block + 63) // 64 * 64)

    cdef void unfold(self, float[::1] flat, bint goal) noexcept nogil:
        """Copy the flat vector into the panels of the weights, or of the goal."""
        cdef Py_ssize_t i, at = 0
        cdef Layer *layer
        for i in range(2 * self.n_hidden + 1):
            layer = &self.p[i] if i <= self.n_hidden else &self.q[i - self.n_hidden - 1]
            at = copy_layer(layer, layer.goal if goal else layer.weights, layer.goal_biases if goal else layer.biases,
                            flat, at, False)

    cdef void fold(self) noexcept nogil:
        """Copy the panels of the goal back into the flat vector."""
        cdef Py_ssize_t i, at = 0
        cdef Layer *layer
        for i in range(2 * self.n_hidden + 1):
            layer = &self.p[i] if i <= self.n_hidden else &self.q[i - self.n_hidden - 1]
            at = copy_layer(layer, layer.goal, layer.goal_biases, self.flat, at, True)

    # ---- one layer ----

    cdef Selection rows_of(self, int level, const uint32_t *states, Py_ssize_t n) noexcept nogil:
        """The units of a level as sources: each state selects the units that are on."""
        cdef Selection selection
        memset(&selection, 0, sizeof(Selection))
        selection.method = C_TABLES
        if level <= self.n_hidden:
            selection.bits = states + self.levels[level].offset
            selection.stride = self.stride
            selection.method = self.levels[level].method
            if selection.method == C_WALK:
                selection.index, selection.start = self.index[0], self.start[0]
                find_bits(selection.bits, selection.stride, n, self.levels[level].n_units, self.index[0], self.start[0])
        return selection

    cdef Selection columns_of(self, int level, const uint32_t *states, Py_ssize_t n) noexcept nogil:
        """The mirror: each unit selects the states in which it is on."""
        cdef Selection selection
        cdef Py_ssize_t n_units
        memset(&selection, 0, sizeof(Selection))
        selection.method = C_TABLES
        if level <= self.n_hidden:
            n_units = self.levels[level].n_units
            selection.bits = self.transposed
            selection.stride = (n + 31) // 32
            selection.method = self.levels[level].method
            transpose_bits(states + self.levels[level].offset, self.stride, n, n_units, self.transposed,
                           selection.stride)
            if selection.method == C_WALK:
                selection.index, selection.start = self.index[1], self.start[1]
                find_bits(selection.bits, selection.stride, n_units, n, self.index[1], self.start[1])
        return selection

    cdef float *logits(self, const Layer *layer, Py_ssize_t panel, const Selection *source,
                       Py_ssize_t n) noexcept nogil:
        """z = b + source·W for one panel of targets, into the tile      (eq. 4)"""
        self.kernels.add_rows(source, layer.weights + panel * PANEL * (layer.n_source + 16),
                              blocks_of(layer.n_target, panel), layer.n_source, n, layer.biases + panel * PANEL,
                              self.tile)
        return self.tile

    cdef void draw(self, const Layer *layer, uint32_t *states, Py_ssize_t n, Source source) noexcept nogil:
        """target ~ P(target | source)      (eq. 9)"""
        cdef Selection rows = self.rows_of(layer.source, states, n)
        cdef uint32_t *target = states + self.levels[layer.target].offset
        cdef Py_ssize_t panel
        source.stream += <uint32_t>layer.target
        for panel in range(layer.n_panels):
            self.kernels.sample(self.logits(layer, panel, &rows, n), blocks_of(layer.n_target, panel), n,
                                panel * PANEL, min(<Py_ssize_t>PANEL, layer.n_target - panel * PANEL), &source,
                                target + 2 * panel, self.stride)

    cdef void weigh(self, const Layer *layer, const uint32_t *states, Py_ssize_t n, double *log_p) noexcept nogil:
        """log_p[row] += log P(target | source)      (eq. 5)"""
        cdef Selection rows = self.rows_of(layer.source, states, n)
        cdef const uint32_t *target = states + self.levels[layer.target].offset
        cdef Py_ssize_t panel, row, lane
        memset(self.lanes, 0, n * BLOCK * sizeof(float))
        for panel in range(layer.n_panels):
            self.kernels.log_terms(self.logits(layer, panel, &rows, n), blocks_of(layer.n_target, panel), n,
                                   min(<Py_ssize_t>PANEL, layer.n_target - panel * PANEL), target + 2 * panel,
                                   self.stride, self.lanes)
        for row in range(n):
            for lane in range(BLOCK):
                log_p[row] -= self.lanes[row * BLOCK + lane]

    cdef void learn(self, const Layer *layer, const uint32_t *states, Py_ssize_t n, const float *credit,
                    float scale) noexcept nogil:
        """b += scale · Σ error,  W += scale · sourceᵀ error,  error = credit · (target − σ(z))      (eq. 7)"""
        cdef Selection rows = self.rows_of(layer.source, states, n)
        cdef Selection columns = self.columns_of(layer.source, states, n)
        cdef const uint32_t *target = states + self.levels[layer.target].offset
        cdef Py_ssize_t panel
        cdef int blocks
        cdef float *error
        for panel in range(layer.n_panels):
            blocks = blocks_of(layer.n_target, panel)
            error = self.logits(layer, panel, &rows, n)
            self.kernels.residual(error, blocks, n, target + 2 * panel, self.stride, credit, scale,
                                  layer.goal_biases + panel * PANEL)
            memset(error + n * blocks * BLOCK, 0, blocks * BLOCK * sizeof(float))
            self.kernels.add_rows_into(&columns, error, blocks, n, layer.n_source, scale, self.sums,
                                       layer.goal + panel * PANEL * (layer.n_source + 16))

    # ---- the verbs ----

    cdef void recognise(self, uint32_t *states, Py_ssize_t n, Source source) noexcept nogil:
        """h ~ q(h | x), from the visible level up      (eq. 3)"""
        cdef int level
        for level in range(self.n_hidden):
            self.draw(&self.q[level], states, n, source)

    cdef void dream(self, uint32_t *states, Py_ssize_t n, Source source) noexcept nogil:
        """(x, h) ~ p(x, h), from the prior down      (eq. 2)"""
        cdef int level
        for level in range(self.n_hidden, -1, -1):
            self.draw(&self.p[level], states, n, source)

    cdef void teach_p(self, const uint32_t *states, Py_ssize_t n, const float *credit, float scale) noexcept nogil:
        """θ += scale · Σ credit ∇log p(x, h)      (eq. 6)"""
        cdef int level
        for level in range(self.n_hidden, -1, -1):
            self.learn(&self.p[level], states, n, credit, scale)

    cdef void teach_q(self, const uint32_t *states, Py_ssize_t n, const float *credit, float scale) noexcept nogil:
        """φ += scale · Σ credit ∇log q(h | x)      (eq. 6)"""
        cdef int level
        for level in range(self.n_hidden):
            self.learn(&self.q[level], states, n, credit, scale)


cdef Py_ssize_t copy_layer(const Layer *layer, float *weights, float *biases, float[::1] flat, Py_ssize_t at,
                           bint out) noexcept nogil:
    """Copy a layer from the flat vector at `at` into panels, or out of them; return where the next one begins."""
    cdef Py_ssize_t row, panel, width, columns, rows = layer.n_source + 16
    cdef float *inside
    cdef float *outside
    for row in range(layer.n_source + 1):
        for panel in range(layer.n_panels):
            width = blocks_of(layer.n_target, panel) * BLOCK
            columns = min(<Py_ssize_t>PANEL, layer.n_target - panel * PANEL)
            outside = &flat[at + row * layer.n_target + panel * PANEL]
            if row < layer.n_source:
                inside = weights + panel * PANEL * rows + row * width
            else:
                inside = biases + panel * PANEL
            if out:
                memcpy(outside, inside, columns * sizeof(float))
            else:
                memcpy(inside, outside, columns * sizeof(float))
    return at + (layer.n_source + 1) * layer.n_target
