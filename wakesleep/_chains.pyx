# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Chains of hidden states between q and the posterior: a layer of a chain, a chain, and all chains of some rows.

A chain keeps the logits z of every layer, with σ(z) and σ(−z), up to date in float64. Turning unit i on changes
Σ softplus(z) by Σ log(σ(−z) + σ(z) e^W_i), and off by the same with e^−W_i: so the exponentials are of weights, taken
once. Equation numbers are those of docs/MATH.md.
"""

from libc.math cimport INFINITY, exp, fabs, log
from libc.stdint cimport uint32_t, uint64_t

from wakesleep._interrupts cimport interrupted
from wakesleep._likelihood cimport repeat_row
from wakesleep._panels cimport C_ANNEALING, C_IMPORTANCE, Batch, Machine, Source
from wakesleep._verbs cimport recognise


cdef struct Chain:
    Annealing *job
    double *room
    uint32_t *random
    uint64_t key
    uint64_t particle


# ---- a layer of a chain ----

cdef inline void set_means(double *z, Py_ssize_t width) noexcept nogil:
    """σ(z) and σ(−z) behind z, each exact to rounding."""
    cdef Py_ssize_t j
    cdef double e, larger
    for j in range(width):
        e = exp(-fabs(z[j]))
        larger = 1 / (1 + e)
        z[width + j] = larger if z[j] > 0 else e * larger
        z[2 * width + j] = e * larger if z[j] > 0 else larger


cdef void set_logits(const Link *link, const double *source, double *room) noexcept nogil:
    """z = b + source·W; σ follows in `log_p_of`      (eq. 4)"""
    cdef double *z = room + link.place
    cdef Py_ssize_t i, j
    for j in range(link.width):
        z[j] = link.biases[j]
    for i in range(link.n_source):
        if source[i] != 0:
            for j in range(link.width):
                z[j] += link.weights[i * link.width + j]


cdef void flip(const Link *link, Py_ssize_t i, double sign, double *room) noexcept nogil:
    """z += ±W_i,  σ(z) *= e^±W_i / s,  σ(−z) /= s,  s = σ(−z) + σ(z) e^±W_i, where neither can become 0"""
    cdef double *z = room + link.place
    cdef double *mean = z + link.width
    cdef double *rest = mean + link.width
    cdef const double *weights = link.weights + i * link.width
    cdef const double *ratio = (link.on if sign > 0 else link.off) + i * link.width
    cdef double part, scale
    cdef Py_ssize_t j
    for j in range(link.width):
        z[j] += sign * weights[j]
    if not link.bounded:
        set_means(z, link.width)
        return
    for j in range(link.width):
        part = mean[j] * ratio[j]
        scale = 1 / (rest[j] + part)
        mean[j] = part * scale
        rest[j] *= scale


cdef double log_p_of(const Link *link, const double *target, double *room) noexcept nogil:
    """log P(target | source) = Σ t z − max(z, 0) + log max(σ(z), σ(−z))      (eq. 5)

    Of each 512 units it is the logarithm of one product, whose factors are between ½ and 1. Sets both σ afresh,
    so that the rounding of flips does not build up.
    """
    cdef double *z = room + link.place
    cdef const double *mean = z + link.width
    cdef const double *rest = mean + link.width
    cdef double total = 0, product = 1
    cdef Py_ssize_t j
    set_means(z, link.width)
    for j in range(link.n_target):
        total += target[j] * z[j] - max(z[j], 0.)
        product *= max(mean[j], rest[j])
        if j & 511 == 511:
            total, product = total + log(product), 1
    return total + log(product)


cdef inline double log_of(const double *product, bint together) noexcept nogil:
    """Σ log of the lanes; together, where their product is known to stay within float64."""
    cdef double total = 0
    cdef int lane
    if together:
        return log((product[0] * product[1]) * (product[2] * product[3])
                   * ((product[4] * product[5]) * (product[6] * product[7])))
    for lane in range(LANES):
        total += log(product[lane])
    return total


cdef double gain(const Link *link, Py_ssize_t i, bint on, const double *target, const double *room,
                 Py_ssize_t most_factors, bint together) noexcept nogil:
    """log P(target | source) with unit i of the source on, minus that with it off; now it is `on`."""
    cdef Py_ssize_t width = link.width, block, first, lane, factors = 0
    cdef const double *mean = room + link.place + width
    cdef const double *rest = mean + width
    cdef const double *weights = link.weights + i * width
    cdef const double *ratio = (link.off if on else link.on) + i * width
    cdef double change = 0, total = 0
    cdef double[LANES] product, dot
    for lane in range(LANES):
        product[lane], dot[lane] = 1, 0
    for block in range(width // LANES):
        first = block * LANES
        for lane in range(LANES):
            dot[lane] += target[first + lane] * weights[first + lane]
            product[lane] *= rest[first + lane] + mean[first + lane] * ratio[first + lane]
        factors += 1
        if factors == most_factors:
            factors = 0
            change += log_of(product, together)
            for lane in range(LANES):
                product[lane] = 1
    change += log_of(product, together)
    for lane in range(LANES):
        total += dot[lane]
    return total + change if on else total - change


# ---- a chain ----

cdef void begin(Chain *chain, const Batch *batch, Py_ssize_t k) noexcept nogil:
    """Take particle k of the batch, and set all logits."""
    cdef Machine *m = chain.job.machine
    cdef Py_ssize_t i
    cdef int level
    cdef double *units
    cdef const uint32_t *words
    for level in range(m.n_hidden + 1):
        units = chain.room + chain.job.units[level]
        words = batch.rows.words + k * batch.rows.row + m.levels[level].offset * batch.rows.word
        for i in range(m.levels[level].n_units):
            units[i] = words[(i >> 5) * batch.rows.word] >> (i & 31) & 1
    for level in range(m.n_hidden):
        set_logits(&chain.job.p[level], chain.room + chain.job.units[level + 1], chain.room)
        set_logits(&chain.job.q[level], chain.room + chain.job.units[level], chain.room)
    set_logits(&chain.job.p[m.n_hidden], NULL, chain.room)


cdef double log_ratio(const Chain *chain) noexcept nogil:
    """r = log p(x, h) − log q(h | x)"""
    cdef Annealing *job = chain.job
    cdef int level, n_hidden = job.machine.n_hidden
    cdef double total = log_p_of(&job.p[n_hidden], chain.room + job.units[n_hidden], chain.room)
    for level in range(n_hidden):
        total += log_p_of(&job.p[level], chain.room + job.units[level], chain.room)
        total -= log_p_of(&job.q[level], chain.room + job.units[level + 1], chain.room)
    return total


cdef void draw_level(Chain *chain, int level, double beta, Py_ssize_t t) noexcept nogil:
    """Each unit of a hidden level in turn, given all others, under q^(1 − β) p^β      (eq. 15)"""
    cdef Annealing *job = chain.job
    cdef double *room = chain.room
    cdef double *units = room + job.units[level]
    cdef const double *below = room + job.units[level - 1]
    cdef const Link *p_below = &job.p[level - 1]
    cdef const Link *q_above = &job.q[level]  # not looked at from the top level
    cdef bint top = level == job.machine.n_hidden
    cdef Py_ssize_t n_units = job.machine.levels[level].n_units, n, i
    cdef double z_p, z_q, bit, odds
    cdef Source source = Source(chain.key, C_ANNEALING + <uint32_t>level, (<uint64_t>t << 32) + chain.particle)
    job.machine.kernels.random_words(&source, 1, n_units, chain.random)
    for n in range(n_units):
        i = n_units - 1 - n if job.back else n
        z_p = room[job.p[level].place + i] + gain(p_below, i, units[i] != 0, below, room, job.factors, job.together)
        z_q = room[job.q[level - 1].place + i]
        if not top:
            z_q += gain(q_above, i, units[i] != 0, room + job.units[level + 1], room, job.factors, job.together)
        odds = min(max(beta * z_p + (1 - beta) * z_q, -700.), 700.)
        bit = (chain.random[i] + 0.5) * 2.0 ** -32 * (1 + exp(-odds)) < 1
        if bit != units[i]:
            flip(p_below, i, bit - units[i], room)
            if not top:
                flip(q_above, i, bit - units[i], room)
            units[i] = bit


cdef double run_chain(Chain *chain, int me) noexcept nogil:
    """log w of one particle, all its steps      (eq. 15)"""
    cdef Annealing *job = chain.job
    cdef int level, n_hidden = job.machine.n_hidden
    cdef Py_ssize_t n, t
    cdef double log_w = 0
    for n in range(job.n_steps):
        t = job.n_steps - n if job.back else n
        if n > 0:
            for level in range(1, n_hidden + 1):
                draw_level(chain, n_hidden + 1 - level if job.back else level, <double>t / job.n_steps, t)
        log_w += log_ratio(chain) / job.n_steps
        if interrupted(&job.watch, me):
            break
    return log_w


cdef void anneal_rows(void *job_, int me) noexcept nogil:
    """What each thread does: its share of the rows, with a machine that is a team of one."""
    cdef Annealing *job = <Annealing *>job_
    cdef Machine machine = job.machine[0]
    cdef Batch *batch = &job.batches[me]
    cdef double *log_w = job.log_w + me * job.n_particles
    cdef Chain chain
    cdef Py_ssize_t row, k, n, done, n_threads = job.barrier.n_threads
    cdef const uint64_t *given
    cdef double top, first, second, w, sign = -1 if job.back else 1
    machine.workers = &job.machine.workers[me]
    chain.job, chain.room, chain.random = job, job.chains + me * job.room, job.random + me * job.widest
    for row in range(job.n_rows * me // n_threads, job.n_rows * (me + 1) // n_threads):
        given = job.rows + row * job.words
        chain.key = job.keys[row]
        repeat_row(given, job.words, batch, job.most)
        top, first, second, done = -INFINITY, 0, 0, 0
        while done < job.n_particles:
            n = min(job.most, job.n_particles - done)
            if not job.back:
                recognise(&machine, 0, batch, n, Source(chain.key, C_IMPORTANCE, <uint64_t>done))
            for k in range(n):
                chain.particle = <uint64_t>(done + k)
                begin(&chain, batch, k)
                log_w[done + k] = sign * run_chain(&chain, me)
                top = max(top, log_w[done + k])
                if interrupted(&job.watch, me):
                    return
            done += n
        for k in range(job.n_particles):
            w = exp(log_w[k] - top)
            first += w
            second += w * w
        job.estimates[row] = sign * (top + log(first / job.n_particles))
        job.sizes[row] = first * first / second
