"""What the compiled modules share: the kernels, the team, and a machine unfolded into panels for one compiled call."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "_kernels/kernels.h" nogil:
    enum:
        BLOCK
        PANEL
        CHUNK
        C_WALK "WALK"
        C_TABLES "TABLES"
        C_INIT "INIT"
        C_ORDER "ORDER"
        C_WAKE "WAKE"
        C_SLEEP "SLEEP"
        C_IMPORTANCE "IMPORTANCE"
        C_FANTASY "FANTASY"
        C_DATASETS "DATASETS"
        C_BINARIZE "BINARIZE"
        C_ANNEALING "ANNEALING"

    ctypedef struct Packed:
        uint32_t *words
        Py_ssize_t row
        Py_ssize_t word

    ctypedef struct Selection:
        Packed bits
        const uint8_t *index
        const int64_t *start
        int method
        int far

    ctypedef struct Source:
        uint64_t seed
        uint32_t stream
        uint64_t first_sample

    enum:
        C_SGD "SGD"
        C_MOMENTUM "MOMENTUM"
        C_RMSPROP "RMSPROP"
        C_ADAM "ADAM"

    ctypedef struct Update:
        int optimizer
        float rate
        float factor
        float old_first
        float new_first
        float old_second
        float new_second
        float epsilon

    ctypedef struct Kernels:
        const char *name
        void (*find_bits)(const Packed *, Py_ssize_t, Py_ssize_t, uint8_t *, int64_t *) noexcept nogil
        void (*transpose)(const Packed *, Py_ssize_t, Py_ssize_t, Py_ssize_t, const Packed *) noexcept nogil
        void (*add_rows)(const Selection *, const float *, int, Py_ssize_t, Py_ssize_t, const float *,
                         float *) noexcept nogil
        void (*add_rows_into)(const Selection *, const float *, int, Py_ssize_t, Py_ssize_t, float, float *,
                              float *) noexcept nogil
        void (*add_row_into)(const Packed *, const float *, int, Py_ssize_t, float, float *) noexcept nogil
        void (*residual)(float *, int, int, Py_ssize_t, const Packed *, const Packed *, Py_ssize_t, const float *,
                         float, float *) noexcept nogil
        void (*sample)(const float *, int, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const Source *,
                       const Packed *) noexcept nogil
        void (*log_terms)(const float *, int, int, Py_ssize_t, Py_ssize_t, Py_ssize_t, const Packed *, const Packed *,
                          float *) noexcept nogil
        void (*weigh)(const float *, int, int, Py_ssize_t, const Packed *, const Packed *, Py_ssize_t, Py_ssize_t,
                      float *, float *, Py_ssize_t) noexcept nogil
        void (*credit_rows)(float *, int, Py_ssize_t, Py_ssize_t, const float *, float, float *) noexcept nogil
        void (*add_squares)(const float *, const float *, int, Py_ssize_t, Py_ssize_t, double *) noexcept nogil
        void (*update)(const Update *, Py_ssize_t, float, float *, float *, float *, float *) noexcept nogil
        void (*propagate)(const float *, Py_ssize_t, const float *, int, Py_ssize_t, const float *,
                          float *) noexcept nogil
        void (*random_words)(const Source *, Py_ssize_t, Py_ssize_t, uint32_t *) noexcept nogil

    const Kernels *kernels_for(const char *)
    const Kernels *kernels_in_tiles()
    const char *const *kernel_levels()
    void mask_bits(const Packed *, const Packed *, Py_ssize_t, int, Py_ssize_t)
    void want_large_pages(void *, size_t)
    void fetch(const void *, size_t)

cdef extern from "_kernels/team.h" nogil:
    enum:
        MOST_THREADS

    ctypedef struct Barrier:
        int n_threads

    void barrier_wait(Barrier *)
    double seconds()
    void team_run(int, Barrier *, void (*)(void *, int) noexcept nogil, void *)


cdef enum:  # stages of a layer, whose time may be booked; GATHER and WAIT belong to none of them
    BITS        # lists of set bits, and columns
    DRAW        # logits to draw from
    SAMPLE
    LEARN       # logits to learn from
    RESIDUAL
    GRADIENT
    N_STAGES
    GATHER = 0
    WAIT = 1


cdef struct Layer:  # P(target = 1 | source) = σ(source·W + b)      (eq. 1)
    int number          # in the flat vector
    int source          # level, or the number of levels for the prior, which has no source
    int target          # level
    Py_ssize_t n_source
    Py_ssize_t n_target
    Py_ssize_t n_blocks     # of the targets
    Py_ssize_t first_block  # of the targets, among those of all layers
    Py_ssize_t n_panels
    float *weights      # panels of n_source + 16 rows; the rows beyond n_source are zero
    float *biases
    float *goal         # what teaching adds to: the same panels, or those of a gradient
    float *goal_biases
    bint frozen             # the weights stay as they are
    bint frozen_biases
    float *moments[2]       # what an optimizer keeps: the same panels
    float *moment_biases[2]
    float *errors           # of each panel, as many rows as there are states, and 16; or NULL where none are kept


cdef struct Level:
    Py_ssize_t n_units
    Py_ssize_t offset   # of its bits within a state, in words of 32 bits
    int method          # how sums over its units are taken


cdef struct Batch:  # packed states
    Packed rows         # one row for each state
    Packed columns      # the same bits, one row for each unit; no words where nobody asks for them
    Packed observed     # which visible units are, the others being 0 in the states; no words where all are


cdef struct Worker:  # what a thread has for itself
    uint8_t *index[3]  # of the rows and of the columns that it learns from, and of others
    int64_t *start[3]
    float *tile
    float *sums
    float *lanes
    float *goal         # the gradient of one panel, or NULL where it is not kept apart
    float *goal_biases
    double *clock       # seconds spent on each stage of each layer, or NULL
    double last


cdef struct Machine:
    const Kernels *kernels
    int n_hidden
    Py_ssize_t stride           # words of 32 bits in a state
    Level *levels
    Layer *p                    # p[l] has level l as its target, p[n_hidden] is the prior
    Layer *q                    # q[l] has level l as its source
    Worker *workers
    Barrier barrier


cdef class Unfolded:
    cdef Machine machine
    cdef list memory

    cdef void *allocate(self, size_t n_bytes) except NULL
    cdef Batch batch(self, Py_ssize_t capacity, bint columns) except *
    cdef Packed plane(self, Py_ssize_t capacity, Py_ssize_t words) except *


cdef enum:  # parts that are laid out as the parameters are
    WEIGHTS
    GOAL
    MOMENTS     # and the next one


cdef Layer *layer_at(Machine *m, Py_ssize_t i) noexcept nogil
cdef void unfold(Machine *m, int me, const float *flat, int part) noexcept nogil
cdef void fold(Machine *m, int me, float *flat, int part) noexcept nogil
cdef const Kernels *kernels() noexcept nogil  # those in use
cdef const Kernels *kernels_at(precision) except NULL


cdef inline Py_ssize_t first_block(Py_ssize_t n_blocks, Py_ssize_t n_panels, Py_ssize_t panel) noexcept nogil:
    """Where a panel begins, so that all have about the same number of blocks."""
    return n_blocks * panel // n_panels


cdef inline Py_ssize_t panel_of(const Machine *m, const Layer *layer, int me) noexcept nogil:
    """The first panel of a thread: all have about the same number of them."""
    return layer.n_panels * me // m.barrier.n_threads


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


cdef inline const Packed *observed_in(const Batch *batch, int level) noexcept nogil:
    """Which units of a level are observed, or NULL where all are."""
    return &batch.observed if level == 0 and batch.observed.words != NULL else NULL


cdef inline Packed level_of(const Machine *m, const Packed *bits, int level) noexcept nogil:
    """The bits of one level, of states in rows."""
    return Packed(bits.words + m.levels[level].offset * bits.word, bits.row, bits.word)


cdef inline Packed units_of(const Machine *m, const Packed *columns, int level) noexcept nogil:
    """The bits of one level, of states in columns."""
    return Packed(columns.words + 32 * m.levels[level].offset * columns.row, columns.row, columns.word)
