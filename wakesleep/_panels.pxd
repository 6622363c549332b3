"""What the compiled modules share: the kernels, and a machine unfolded into panels for one compiled call."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "_kernels/kernels.h" nogil:
    enum:
        BLOCK
        PANEL
        C_WALK "WALK"
        C_TABLES "TABLES"
        C_INIT "INIT"
        C_ORDER "ORDER"
        C_WAKE "WAKE"
        C_SLEEP "SLEEP"
        C_IMPORTANCE "IMPORTANCE"
        C_FANTASY "FANTASY"
        C_DATASETS "DATASETS"

    ctypedef struct Selection:
        const uint32_t *bits
        Py_ssize_t stride
        const uint32_t *index
        const int64_t *start
        int method

    ctypedef struct Source:
        uint64_t seed
        uint32_t stream
        uint64_t first_sample

    ctypedef struct Kernels:
        const char *name
        void (*add_rows)(const Selection *, const float *, int, Py_ssize_t, Py_ssize_t, const float *, float *) noexcept nogil
        void (*add_rows_into)(const Selection *, const float *, int, Py_ssize_t, Py_ssize_t, float, float *, float *) noexcept nogil
        void (*residual)(float *, int, Py_ssize_t, const uint32_t *, Py_ssize_t, const float *, float, float *) noexcept nogil
        void (*sample)(const float *, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const Source *, uint32_t *, Py_ssize_t) noexcept nogil
        void (*log_terms)(const float *, int, Py_ssize_t, Py_ssize_t, const uint32_t *, Py_ssize_t, float *) noexcept nogil
        void (*propagate)(const float *, Py_ssize_t, const float *, int, Py_ssize_t, const float *, float *) noexcept nogil
        void (*random_words)(const Source *, Py_ssize_t, Py_ssize_t, uint32_t *) noexcept nogil

    const Kernels *kernels_for(const char *)
    const char *const *kernel_levels()
    void find_bits(const uint32_t *, Py_ssize_t, Py_ssize_t, Py_ssize_t, uint32_t *, int64_t *)
    void transpose_bits(const uint32_t *, Py_ssize_t, Py_ssize_t, Py_ssize_t, uint32_t *, Py_ssize_t)


cdef const Kernels *kernels() noexcept nogil  # those in use


cdef inline Py_ssize_t panels(Py_ssize_t n_units) noexcept nogil:
    return (n_units + PANEL - 1) // PANEL


cdef inline int blocks_of(Py_ssize_t n_units, Py_ssize_t panel) noexcept nogil:
    cdef Py_ssize_t left = n_units - panel * PANEL
    return PANEL // BLOCK if left >= PANEL else <int>((left + BLOCK - 1) // BLOCK)


cdef struct Layer:  # P(target = 1 | source) = σ(source·W + b)      (eq. 1)
    int source          # level, or the number of levels for the prior, which has no source
    int target          # level
    Py_ssize_t n_source
    Py_ssize_t n_target
    Py_ssize_t n_panels
    float *weights      # panels of n_source + 16 rows; the rows beyond n_source are zero
    float *biases
    float *goal         # what teaching adds to: the same panels, or those of a gradient
    float *goal_biases


cdef struct Level:
    Py_ssize_t n_units
    Py_ssize_t offset   # of its bits within a state, in words of 32 bits
    int method          # how sums over its units are taken


cdef class Machine:
    cdef const Kernels *kernels
    cdef int n_hidden
    cdef Py_ssize_t capacity    # rows at a time
    cdef Py_ssize_t stride      # words of 32 bits from state to state
    cdef Level *levels
    cdef Layer *p               # p[l] has level l as its target, p[n_hidden] is the prior
    cdef Layer *q               # q[l] has level l as its source
    cdef float[::1] flat        # where teaching ends up: the parameters, or a gradient
    cdef void **blocks          # all memory below and above, to be freed
    cdef int n_blocks
    cdef uint32_t *states
    cdef uint32_t *transposed
    cdef uint32_t *index[2]
    cdef int64_t *start[2]
    cdef float *tile
    cdef float *sums
    cdef float *lanes

    cdef void *allocate(self, size_t n_bytes) except NULL
    cdef void unfold(self, float[::1] flat, bint goal) noexcept nogil
    cdef void fold(self) noexcept nogil
    cdef Selection rows_of(self, int level, const uint32_t *states, Py_ssize_t n) noexcept nogil
    cdef Selection columns_of(self, int level, const uint32_t *states, Py_ssize_t n) noexcept nogil
    cdef float *logits(self, const Layer *layer, Py_ssize_t panel, const Selection *source, Py_ssize_t n) noexcept nogil
    cdef void draw(self, const Layer *layer, uint32_t *states, Py_ssize_t n, Source source) noexcept nogil
    cdef void weigh(self, const Layer *layer, const uint32_t *states, Py_ssize_t n, double *log_p) noexcept nogil
    cdef void learn(self, const Layer *layer, const uint32_t *states, Py_ssize_t n, const float *credit,
                    float scale) noexcept nogil
    cdef void recognise(self, uint32_t *states, Py_ssize_t n, Source source) noexcept nogil
    cdef void dream(self, uint32_t *states, Py_ssize_t n, Source source) noexcept nogil
    cdef void teach_p(self, const uint32_t *states, Py_ssize_t n, const float *credit, float scale) noexcept nogil
    cdef void teach_q(self, const uint32_t *states, Py_ssize_t n, const float *credit, float scale) noexcept nogil
