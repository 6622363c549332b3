"""Chains of annealed importance sampling, for `_annealing`, which lays out what they work on."""

from libc.stdint cimport uint32_t, uint64_t

from wakesleep._interrupts cimport Watch
from wakesleep._panels cimport Barrier, Batch, Machine

cdef enum:
    LANES = 8           # of a product


cdef struct Link:  # a layer, its targets padded to whole lanes with weights 0
    Py_ssize_t n_source
    Py_ssize_t n_target
    Py_ssize_t width
    bint bounded            # whether no z can leave ±MOST_EXPONENT
    Py_ssize_t place        # of z, then σ(z), then σ(−z), in the memory of a chain
    double *biases
    double *weights
    double *on              # e^W
    double *off             # e^−W


cdef struct Annealing:
    Machine *machine
    Barrier barrier
    Link *p                 # p[l] has level l as its target, p[n_hidden] is the prior
    Link *q                 # q[l] has level l as its source
    Py_ssize_t *units       # where the bits of a level are in the memory of a chain, as 0.0 and 1.0
    Py_ssize_t room         # numbers that a chain keeps
    Py_ssize_t widest       # level
    Py_ssize_t factors      # of a lane, between logarithms
    bint together           # whether one logarithm does for all lanes
    const uint64_t *rows    # of which the first words are given: x, or x and h
    const uint64_t *keys
    Py_ssize_t n_rows
    Py_ssize_t words
    Py_ssize_t n_particles
    Py_ssize_t most         # begun at a time
    Py_ssize_t n_steps
    bint back
    Batch *batches          # one for each thread
    double *chains          # so much for each thread
    uint32_t *random
    double *log_w           # of one row, for each thread
    double *estimates
    double *sizes
    Watch watch


cdef void anneal_rows(void *job_, int me) noexcept nogil
