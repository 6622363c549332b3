"""What is the same in every estimate that draws several particles for one row."""

from libc.stdint cimport uint32_t, uint64_t

from wakesleep._interrupts cimport Watch
from wakesleep._panels cimport Barrier, Batch, Machine, Source, Unfolded

cdef enum:
    PARTICLES = 256  # states at a time: memory does not grow with K


cdef struct Sampling:  # of particles of rows, which threads share out
    Machine *machine
    Barrier barrier
    Watch watch
    const uint64_t *rows
    const uint64_t *observed    # which of their cells are, or NULL where all are
    Py_ssize_t n_rows
    Py_ssize_t words
    uint64_t seed
    Py_ssize_t n_particles
    Py_ssize_t most         # particles at a time
    Batch *batches          # one for each thread
    uint32_t *states        # of `particles`
    float *shared           # of `importance`: logits of the first recognition layer, so many for each thread
    Py_ssize_t n_shared
    double *log_p           # so many for each thread
    double *log_q
    double *estimates
    double *sizes
    double *elbos
    float *means            # of `imputed_means`
    double *sums            # a number for each visible unit, for each thread
    uint64_t *drawn         # of `imputed_draws`
    double *log_w           # of all particles of a row, for each thread


cdef int check_counts(Py_ssize_t n_particles, Py_ssize_t n_threads) except -1
cdef Sampling sampling_of(Unfolded unfolded, const uint64_t[:, ::1] rows, observed, uint64_t seed,
                          Py_ssize_t n_particles, Py_ssize_t most, Py_ssize_t n_threads)
cdef uint64_t begin_row(const Sampling *s, Batch *batch, Py_ssize_t row) noexcept nogil
cdef void weigh_particles(const Sampling *s, Machine *machine, int me, Py_ssize_t n, Source source) noexcept nogil


cdef inline void repeat_row(const uint64_t *given, Py_ssize_t words, const Batch *batch, Py_ssize_t n) noexcept nogil:
    """The first words of the first n states of a batch become those given: x, or x and h."""
    cdef Py_ssize_t word, k
    for word in range(2 * words):
        for k in range(n):
            batch.rows.words[k * batch.rows.row + word * batch.rows.word] = (<const uint32_t *>given)[word]
