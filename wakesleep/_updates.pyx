# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""How parameters follow their gradient, compiled. `wakesleep.optimizers` is the same in NumPy      (eq. 14)"""

from libc.math cimport sqrt
from libc.stdint cimport uint64_t
from libc.string cimport memset

from wakesleep._layers cimport Panel
from wakesleep._panels cimport (
    BLOCK, C_ADAM, C_MOMENTUM, C_RMSPROP, C_SGD, GRADIENT, PANEL, Layer, Machine, Unfolded, Update, layer_at,
    tick,
)

from wakesleep import optimizers
from wakesleep.parameters import names_of_layers

OPTIMIZERS = {"sgd": C_SGD, "momentum": C_MOMENTUM, "rmsprop": C_RMSPROP, "adam": C_ADAM}


cdef set_optimizer(Updates *updates, Unfolded unfolded, optimizer, Py_ssize_t n_threads):
    """What an optimizer takes, and room for the gradient: one panel for each thread, or all where it is clipped."""
    cdef Machine *m = &unfolded.machine
    cdef Layer *layer
    cdef Py_ssize_t i, j, n_blocks, most = 0, padded, rows
    updates.plain, updates.weight_decay = optimizer.plain, optimizer.weight_decay
    updates.clipped = optimizer.clip_norm is not None
    updates.clip_norm = optimizer.clip_norm if updates.clipped else 0
    updates.first = optimizers.EMA if optimizer.name == "momentum" else optimizers.FIRST
    updates.second = optimizers.SQUARES if optimizer.name == "rmsprop" else optimizers.SECOND
    updates.epsilon = optimizers.EPSILON
    updates.update.optimizer = OPTIMIZERS[optimizer.name]
    updates.update.old_first, updates.update.new_first = <float>updates.first, <float>(1 - updates.first)
    updates.update.old_second, updates.update.new_second = <float>updates.second, <float>(1 - updates.second)
    for i, names in enumerate(names_of_layers(m.n_hidden)):
        layer = layer_at(m, i)
        layer.frozen, layer.frozen_biases = names[0] in optimizer.frozen, names[1] in optimizer.frozen
        padded, rows = layer.n_blocks * BLOCK, layer.n_source + 16
        if updates.plain and layer.frozen:        # errors get lost
            layer.goal = <float *>unfolded.allocate(rows * padded * sizeof(float))
        if updates.plain and layer.frozen_biases:
            layer.goal_biases = <float *>unfolded.allocate(padded * sizeof(float))
    if updates.plain:
        return
    for i in range(2 * m.n_hidden + 1):
        layer = layer_at(m, i)
        padded, rows = layer.n_blocks * BLOCK, layer.n_source + 16
        most = max(most, rows)
        for j in range(optimizers.MOMENTS[optimizer.name]):
            layer.moments[j] = <float *>unfolded.allocate(rows * padded * sizeof(float))
            layer.moment_biases[j] = <float *>unfolded.allocate(padded * sizeof(float))
        if updates.clipped:
            layer.goal = <float *>unfolded.allocate(rows * padded * sizeof(float))
            layer.goal_biases = <float *>unfolded.allocate(padded * sizeof(float))
    if updates.clipped:
        n_blocks = m.q[m.n_hidden - 1].first_block + m.q[m.n_hidden - 1].n_blocks
        updates.squares = <double *>unfolded.allocate(n_blocks * sizeof(double))
        return
    for i in range(n_threads):
        m.workers[i].goal = <float *>unfolded.allocate(most * PANEL * sizeof(float))
        m.workers[i].goal_biases = <float *>unfolded.allocate(PANEL * sizeof(float))


# ---- what each thread does ----

cdef Update update_of(const Updates *updates, double rate, uint64_t number) noexcept nogil:
    """What the optimizer takes in this step."""
    cdef Update update = updates.update
    cdef double scale
    update.factor, update.rate, update.epsilon = 1, <float>rate, <float>updates.epsilon
    if update.optimizer == C_ADAM:
        scale = sqrt(1 - power(updates.second, number))
        update.rate = <float>(rate * scale / (1 - power(updates.first, number)))
        update.epsilon = <float>(updates.epsilon * scale)
    return update


cdef double power(double base, uint64_t exponent) noexcept nogil:
    cdef double result = 1
    while exponent:
        if exponent & 1:
            result *= base
        base, exponent = base * base, exponent >> 1
    return result


cdef void update_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Update *update,
                       float kept) noexcept nogil:
    """W and b follow their gradient, which is zero afterwards, unless they are frozen      (eq. 14)"""
    cdef Py_ssize_t skipped = panel.column * (layer.n_source + 16), n = panel.blocks * BLOCK
    cdef float *moments[2]
    cdef float *of_biases[2]
    cdef int i
    for i in range(2):
        moments[i], of_biases[i] = layer.moments[i], layer.moment_biases[i]
        if moments[i] != NULL:
            moments[i], of_biases[i] = moments[i] + skipped, of_biases[i] + panel.column
    forget_frozen(layer, panel)
    if not layer.frozen:
        m.kernels.update(update, layer.n_source * n, kept, panel.weights, panel.goal, moments[0], moments[1])
    if not layer.frozen_biases:
        m.kernels.update(update, n, 1, layer.biases + panel.column, panel.goal_biases, of_biases[0], of_biases[1])
    tick(m, me, layer.number, GRADIENT)


cdef inline void forget_frozen(const Layer *layer, const Panel *panel) noexcept nogil:
    """The gradient of frozen parts is zero."""
    cdef Py_ssize_t n = panel.blocks * BLOCK
    if layer.frozen:
        memset(panel.goal, 0, layer.n_source * n * sizeof(float))
    if layer.frozen_biases:
        memset(panel.goal_biases, 0, n * sizeof(float))


cdef void square_panel(Machine *m, const Updates *updates, const Layer *layer, const Panel *panel) noexcept nogil:
    """The sums of squares of its gradient, one for each block."""
    forget_frozen(layer, panel)
    m.kernels.add_squares(panel.goal, panel.goal_biases, panel.blocks, layer.n_source, panel.n_units,
                          updates.squares + layer.first_block + panel.column // BLOCK)


cdef float factor_of(const Updates *updates, const Layer *first, const Layer *last) noexcept nogil:
    """What makes the norm of the gradient of these layers at most `clip_norm`."""
    cdef double squares = 0, norm
    cdef Py_ssize_t block
    for block in range(first.first_block, last.first_block + last.n_blocks):
        squares += updates.squares[block]
    norm = sqrt(squares)
    return <float>(updates.clip_norm / norm) if norm > updates.clip_norm else 1
