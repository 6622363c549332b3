"""The verbs and what they are made of, for the other compiled modules."""

from wakesleep._panels cimport Batch, Layer, Machine, Selection, Source


cdef struct Panel:
    Py_ssize_t column       # where it begins
    Py_ssize_t n_units
    int blocks
    float *weights
    float *goal
    float *goal_biases


cdef Py_ssize_t panel_of(const Machine *m, const Layer *layer, int me) noexcept nogil
cdef Panel panel_at(const Layer *layer, Py_ssize_t panel) noexcept nogil
cdef Selection rows_of(Machine *m, int me, int which, const Layer *layer, const Batch *batch,
                       Py_ssize_t n) noexcept nogil
cdef Selection columns_of(Machine *m, int me, int which, const Layer *layer, const Batch *batch,
                          Py_ssize_t n) noexcept nogil
cdef void draw_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                     const Batch *batch, Py_ssize_t n, const Source *source) noexcept nogil
cdef void learn_panel(Machine *m, int me, const Layer *layer, const Panel *panel, const Selection *rows,
                      const Selection *columns, const Batch *batch, Py_ssize_t n, const float *credit,
                      float scale) noexcept nogil
cdef void recognise(Machine *m, int me, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil
cdef void dream(Machine *m, int me, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil
cdef void teach_p(Machine *m, int me, const Batch *batch, Py_ssize_t n, const float *credit,
                  float scale) noexcept nogil
cdef void teach_q(Machine *m, int me, const Batch *batch, Py_ssize_t n, const float *credit,
                  float scale) noexcept nogil
cdef void weigh(Machine *m, int me, const Batch *batch, Py_ssize_t n, double *log_p, double *log_q) noexcept nogil
