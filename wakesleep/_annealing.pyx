# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Annealed importance sampling, compiled: the border of `_chains`, and the tables that chains look things up in.

`_reference_annealing` has the same functions in plain NumPy, and says what each computes. Equation numbers are those
of docs/MATH.md.
"""

import numpy as np

from libc.stdint cimport uint32_t, uint64_t

from wakesleep._chains cimport LANES, Annealing, Link, anneal_rows
from wakesleep._interrupts cimport begin_watch, raise_interruption
from wakesleep._panels cimport MOST_THREADS, Batch, Unfolded, team_run

from wakesleep._border import check_bits, check_machine
from wakesleep._likelihood import hash_rows
from wakesleep.parameters import Parameters

cdef enum:
    PARTICLES = 256     # begun at a time
    MOST_FACTORS = 64   # between logarithms, of each lane

cdef double MOST_EXPONENT = 600.0  # of a product, far from the end of float64


cdef Py_ssize_t place_link(Link *link, layer, Py_ssize_t place, list memory) except -1:
    """Copy a layer into tables of float64; returns where the next one may keep its logits."""
    link.n_source, link.n_target = layer.weights.shape
    link.width, link.place = (link.n_target + LANES - 1) // LANES * LANES, place
    table = np.zeros((1 + 3 * link.n_source, link.width))
    table[0, :link.n_target] = layer.biases
    weights, on, off = np.split(table[1:], 3)
    weights[:, :link.n_target] = layer.weights
    np.exp(weights, out=on)
    np.exp(-weights, out=off)
    memory.append(table)
    link.bounded = np.abs(table[:1 + link.n_source]).sum(axis=0).max(initial=0) <= MOST_EXPONENT
    cdef double[:, ::1] view = table
    if link.width:
        link.biases = &view[0, 0]
    link.weights = link.biases + link.width
    link.on = link.weights + link.n_source * link.width
    link.off = link.on + link.n_source * link.width
    return place + 3 * link.width


cdef anneal(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_steps,
            Py_ssize_t n_threads, bint back):
    for name, value in (("n_particles", n_particles), ("n_steps", n_steps), ("n_threads", n_threads)):
        if not 0 < value < 1 << 32:
            raise ValueError(f"{name}: want 1 or more, below 2**32, got {value}")
    heaviest = float(np.abs(parameters).max(initial=0))
    if not heaviest <= MOST_EXPONENT:
        raise ValueError(f"parameters: want none beyond ±{MOST_EXPONENT:.0f} for annealing, got ±{heaviest:.6g}")
    estimate, size = np.empty(len(data)), np.empty(len(data))
    if not len(data):
        return estimate, size
    n_threads = min(n_threads, len(data), MOST_THREADS)
    machine = Parameters(sizes, parameters)
    cdef Annealing job
    cdef list memory = []
    cdef Py_ssize_t i, n_levels = len(sizes), most = min(n_particles, <Py_ssize_t>PARTICLES)
    cdef Unfolded unfolded = Unfolded(parameters, sizes, methods, most, None, <int>n_threads, 1)
    job.machine, job.rows, job.room, job.widest = &unfolded.machine, NULL, 0, max(sizes)
    job.p = <Link *>unfolded.allocate(n_levels * sizeof(Link))
    job.q = <Link *>unfolded.allocate(n_levels * sizeof(Link))
    job.units = <Py_ssize_t *>unfolded.allocate(n_levels * sizeof(Py_ssize_t))
    job.batches = <Batch *>unfolded.allocate(n_threads * sizeof(Batch))
    for i in range(n_levels):
        job.units[i] = job.room
        job.room += (sizes[i] + LANES - 1) // LANES * LANES
        job.room = place_link(&job.p[i], machine.generative[i] if i < n_levels - 1 else machine.prior, job.room, memory)
        if i < n_levels - 1:
            job.room = place_link(&job.q[i], machine.recognition[i], job.room, memory)
    for i in range(n_threads):
        job.batches[i] = unfolded.batch(most, False)
    cdef double[::1] chains = np.zeros(n_threads * job.room + 1), log_w = np.empty(n_threads * n_particles)
    cdef uint32_t[::1] random = np.empty(n_threads * job.widest + 1, np.uint32)
    cdef double[::1] estimates = estimate, sizes_ = size
    cdef const uint64_t[:, ::1] rows = data
    cdef const uint64_t[::1] keys = hash_rows(data, seed)
    if rows.shape[1]:
        job.rows = &rows[0, 0]
    job.keys, job.n_rows, job.words = &keys[0], rows.shape[0], rows.shape[1]
    job.together = LANES * heaviest <= MOST_EXPONENT
    job.factors = <Py_ssize_t>(MOST_EXPONENT / max(heaviest, 1) / (LANES if job.together else 1))
    job.factors = max(1, min(<Py_ssize_t>MOST_FACTORS, job.factors))
    job.n_particles, job.most, job.n_steps, job.back = n_particles, most, n_steps, back
    job.chains, job.random, job.log_w = &chains[0], &random[0], &log_w[0]
    job.estimates, job.sizes = &estimates[0], &sizes_[0]
    begin_watch(&job.watch)
    with nogil:
        team_run(<int>n_threads, &job.barrier, anneal_rows, &job)
    raise_interruption(&job.watch)
    return estimate, size


def annealed(parameters, sizes, methods, data, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_steps,
             Py_ssize_t n_threads=1):
    """log (1/K) Σ_k w_k of chains from q to the posterior, and (Σ w)² / Σ w², of every row, nats      (eq. 15)

    data : (B, words).  Returns (B,), (B,) of float64, which do not depend on the number of threads.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("data", data, sizes[:1], 1)
    return anneal(parameters, sizes, methods, data, seed, n_particles, n_steps, n_threads, False)


def annealed_back(parameters, sizes, methods, states, uint64_t seed, Py_ssize_t n_particles, Py_ssize_t n_steps,
                  Py_ssize_t n_threads=1):
    """−log (1/K) Σ_k 1/w_k of chains from a state of the posterior to q, and (Σ 1/w)² / Σ 1/w², nats      (eq. 16)

    states : (B, words), all levels given.  Returns (B,), (B,) as `annealed` does.
    """
    parameters, sizes, methods = check_machine(parameters, sizes, methods)
    check_bits("states", states, sizes, len(sizes))
    return anneal(parameters, sizes, methods, states, seed, n_particles, n_steps, n_threads, True)
