"""What is the same in every estimate that draws several particles for one row."""

from libc.stdint cimport uint32_t, uint64_t

from wakesleep._panels cimport Batch


cdef inline void repeat_row(const uint64_t *given, Py_ssize_t words, const Batch *batch, Py_ssize_t n) noexcept nogil:
    """The first words of the first n states of a batch become those given: x, or x and h."""
    cdef Py_ssize_t word, k
    for word in range(2 * words):
        for k in range(n):
            batch.rows.words[k * batch.rows.row + word * batch.rows.word] = (<const uint32_t *>given)[word]
