"""The verbs, for the other compiled modules."""

from wakesleep._panels cimport Batch, Layer, Machine, Source

cdef void draw(Machine *m, int me, const Layer *layer, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil
cdef void recognise(Machine *m, int me, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil
cdef void dream(Machine *m, int me, const Batch *batch, Py_ssize_t n, Source source) noexcept nogil
cdef void teach_p(Machine *m, int me, const Batch *batch, Py_ssize_t n, const float *credit,
                  float scale) noexcept nogil
cdef void teach_q(Machine *m, int me, const Batch *batch, Py_ssize_t n, const float *credit,
                  float scale) noexcept nogil
cdef void weigh(Machine *m, int me, const Batch *batch, Py_ssize_t n, double *log_p, double *log_q) noexcept nogil
cdef void share_logits(Machine *m, const Batch *batch, float *shared) noexcept nogil
cdef void recognise_and_weigh(Machine *m, const Batch *batch, Py_ssize_t n, Source source, float *shared,
                              double *log_p, double *log_q) noexcept nogil
