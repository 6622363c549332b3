"""What each thread does in the phases of a step, for the loop."""

from libc.stdint cimport uint64_t

from wakesleep._panels cimport Batch, Machine, Source
from wakesleep._updates cimport Updates


cdef struct Learning:  # what the phases share
    Machine *machine
    Updates updates
    int rule
    double gamma
    Py_ssize_t n_particles
    double sleep_weight
    bint wake_q             # whether q learns awake too
    Py_ssize_t capacity     # states
    Batch examples          # columns of the visible level, one state for each example
    float *terms            # −log P of the units of each block, of each state
    double *log_w           # of each state
    float *v                # credits of each state
    float *u
    double *scratch         # two for each particle of each thread


cdef struct Step:  # of one minibatch
    Batch *awake
    Batch *asleep
    Py_ssize_t count    # examples, and dreams
    double rate_p
    double rate_q
    uint64_t number_p   # of updates, this one included
    uint64_t number_q


cdef void recognise(Learning *job, int me, const Step *step, Source source) noexcept nogil
cdef void weigh(Learning *job, int me, const Step *step) noexcept nogil
cdef void give_credits(Learning *job, int me, const Step *step) noexcept nogil
cdef void teach_p_and_dream(Learning *job, int me, const Step *step, Source source) noexcept nogil
cdef void teach_q(Learning *job, int me, const Step *step, bint awake_too) noexcept nogil
