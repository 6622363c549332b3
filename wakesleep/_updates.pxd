"""How parameters follow their gradient, for the phases of a step and the loop."""

from libc.stdint cimport uint64_t

from wakesleep._layers cimport Panel
from wakesleep._panels cimport Layer, Machine, Unfolded, Update


cdef struct Updates:  # how a gradient is followed
    bint plain          # errors go to the weights at once
    Update update       # what does not change from step to step
    double first
    double second
    double epsilon
    double weight_decay
    bint clipped
    double clip_norm
    double *squares     # of the gradient of each block, where it is clipped


cdef set_optimizer(Updates *updates, Unfolded unfolded, optimizer, Py_ssize_t n_threads)
cdef Update update_of(const Updates *updates, double rate, uint64_t number) noexcept nogil
cdef void update_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Update *update,
                       float kept) noexcept nogil
cdef void square_panel(Machine *m, const Updates *updates, const Layer *layer, const Panel *panel) noexcept nogil
cdef float factor_of(const Updates *updates, const Layer *first, const Layer *last) noexcept nogil
