# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A machine unfolded into panels for one compiled call, and the choice of the kernels.

Nothing here is for Python but the choice of the kernels.
"""

import os

from libc.stdint cimport int64_t, uint32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

PRECISIONS = "float32", "bf16x2"

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


def has_amx():
    """Whether there are kernels for the precision "bf16x2" here. Linux is asked for its leave to use the tiles."""
    return cpu_level() == "avx512" and kernels_in_tiles() != NULL


def check_precision(precision):
    """Refuse a precision that is unknown, or that this processor has no kernels for."""
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision: want one of {', '.join(PRECISIONS)}, got {precision!r:.80}")
    if precision == "bf16x2" and not has_amx():
        raise ValueError("precision: want float32 on this processor (bf16x2 needs Linux on x86 with AMX), got 'bf16x2'")


cdef const Kernels *kernels_at(precision) except NULL:
    """The kernels of a precision, or a ValueError."""
    check_precision(precision)
    return kernels_in_tiles() if precision == "bf16x2" else chosen


# ---- memory ----

cdef enum:
    LARGE = 1 << 22  # bytes from which large pages pay


cdef class Unfolded:
    """The memory of a machine while a compiled call lasts: panels of its layers, and what each thread works in.

    n_workers threads work at a time; of one layer, the panels are made for n_sharing of them.
    parameters : None where the team unfolds them.
    """

    def __cinit__(self, const float[::1] parameters, const int64_t[::1] sizes, const uint8_t[::1] methods,
                  Py_ssize_t capacity, const float[::1] gradient=None, int n_workers=1, int n_sharing=1):
        cdef Py_ssize_t widest = 0, padded, i, lists = 0, starts = 0, n_blocks = 0
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
                lists = max(lists, capacity * (sizes[level] + chunks(sizes[level])),
                            sizes[level] * (capacity + chunks(capacity)))
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
            layer.first_block = n_blocks
            n_blocks += layer.n_blocks
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
        if parameters is not None:
            unfold(m, 0, &parameters[0], WEIGHTS)
        if gradient is not None:
            unfold(m, 0, &gradient[0], GOAL)

    def __dealloc__(self):
        for block in self.memory or ():
            free(<void *><size_t>block)

    cdef void *allocate(self, size_t n_bytes) except NULL:
        """Zeroed memory at a multiple of 64 bytes, freed with the machine."""
        cdef void *block = calloc(n_bytes + 64, 1)
        if block == NULL:
            raise MemoryError(f"no room for {n_bytes} bytes to work in: use a smaller batch_size or n_particles")
        self.memory.append(<size_t>block)
        if n_bytes >= LARGE:
            want_large_pages(block, n_bytes)
        return <void *>((<size_t>block + 63) // 64 * 64)

    cdef Batch batch(self, Py_ssize_t capacity, bint columns) except *:
        """Room for states, and for their columns. Words of neighbouring units lie apart: threads write to their own."""
        cdef Batch batch
        cdef Py_ssize_t padded
        memset(&batch, 0, sizeof(Batch))
        batch.rows = Packed(NULL, 1, odd_lines(capacity))
        batch.rows.words = <uint32_t *>self.allocate(self.machine.stride * batch.rows.word * sizeof(uint32_t))
        if columns:
            batch.columns = Packed(NULL, 1, odd_lines(32 * self.machine.stride))
            padded = (capacity + 31) // 32 * batch.columns.word
            batch.columns.words = <uint32_t *>self.allocate(padded * sizeof(uint32_t))
        return batch

    cdef Packed plane(self, Py_ssize_t capacity, Py_ssize_t words) except *:
        """Room for so many words of 64 bits of each state, laid out as the states are."""
        cdef Packed plane = Packed(NULL, 1, odd_lines(capacity))
        plane.words = <uint32_t *>self.allocate(2 * words * plane.word * sizeof(uint32_t))
        return plane


cdef inline Py_ssize_t chunks(Py_ssize_t n_rows) noexcept nogil:
    """Chunks in which a walk over so many rows adds."""
    return (n_rows + CHUNK - 1) // CHUNK


cdef inline Py_ssize_t odd_lines(Py_ssize_t n_words) noexcept nogil:
    """At least so many words, in an odd number of cache lines: so that multiples of it do not fall on each other."""
    return ((n_words + 15) // 16 | 1) * 16


cdef Layer *layer_at(Machine *m, Py_ssize_t i) noexcept nogil:
    """The layers in the order of the flat vector: p from the bottom up, the prior, q from the bottom up."""
    return &m.p[i] if i <= m.n_hidden else &m.q[i - m.n_hidden - 1]


cdef void unfold(Machine *m, int me, const float *flat, int part) noexcept nogil:
    """Copy a thread's columns of a flat vector into the panels of its weights, goal or moments.

    Of weights and goal −0 becomes 0: so a row that nothing is added to may be left alone.
    """
    copy_all(m, me, <float *>flat, part, False)


cdef void fold(Machine *m, int me, float *flat, int part) noexcept nogil:
    """Copy a thread's panels back into the flat vector."""
    copy_all(m, me, flat, part, True)


cdef void copy_all(Machine *m, int me, float *flat, int part, bint out) noexcept nogil:
    cdef Py_ssize_t i
    cdef Layer *layer
    cdef float *weights
    cdef float *biases
    for i in range(2 * m.n_hidden + 1):
        layer = layer_at(m, i)
        if part == WEIGHTS:
            weights, biases = layer.weights, layer.biases
        elif part == GOAL:
            weights, biases = layer.goal, layer.goal_biases
        else:
            weights, biases = layer.moments[part - MOMENTS], layer.moment_biases[part - MOMENTS]
        copy_panels(m, me, layer, weights, biases, flat, out, part < MOMENTS)
        flat += (layer.n_source + 1) * layer.n_target


cdef void copy_panels(Machine *m, int me, const Layer *layer, float *weights, float *biases, float *flat,
                      bint out, bint unsigned_zeros) noexcept nogil:
    """Copy a thread's panels of a layer from the flat vector, where the layer begins, or back into it."""
    cdef Py_ssize_t row, panel, column, width, i, rows = layer.n_source + 16
    cdef float *inside
    cdef float *outside
    for row in range(layer.n_source + 1):
        for panel in range(panel_of(m, layer, me), panel_of(m, layer, me + 1)):
            column = BLOCK * first_block(layer.n_blocks, layer.n_panels, panel)
            width = BLOCK * first_block(layer.n_blocks, layer.n_panels, panel + 1) - column
            outside = flat + row * layer.n_target + column
            inside = weights + column * rows + row * width if row < layer.n_source else biases + column
            width = min(width, layer.n_target - column)
            if out:
                memcpy(outside, inside, width * sizeof(float))
            else:
                memcpy(inside, outside, width * sizeof(float))
                for i in range(width if unsigned_zeros else 0):
                    inside[i] += 0
