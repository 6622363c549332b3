"""The order of an epoch: a keyed permutation in constant memory      (eq. 10)"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from wakesleep._panels cimport C_ORDER, Kernels, Source, fetch


cdef inline uint64_t mix(uint64_t x, uint64_t key, uint64_t offset) noexcept nogil:
    x = (x ^ key) * <uint64_t>0x9E3779B97F4A7C15 + (offset << 32)
    x = (x ^ (x >> 32)) * <uint64_t>0xD6E8FEB86659FD93
    return x >> 40


cdef enum:
    AHEAD = 64


cdef struct Order:  # the keyed permutation of one epoch      (eq. 10)
    uint64_t n_rows
    int right
    uint64_t left_mask
    uint64_t right_mask
    uint32_t[16] keys
    const int64_t *chosen       # or NULL; rows of the data, of which n_rows are meant
    const uint64_t *data        # or NULL, and words in a row of it
    Py_ssize_t words
    uint64_t first_ahead
    Py_ssize_t[AHEAD] ahead     # rows from first_ahead on: found and fetched together, because one has to wait


cdef inline Order make_order(const Kernels *these, uint64_t seed, uint64_t epoch, uint64_t n_rows,
                             const uint64_t *data=NULL, Py_ssize_t words=0,
                             const int64_t *chosen=NULL) noexcept nogil:
    cdef Order order
    cdef Source source = Source(seed, C_ORDER, 8 * epoch)
    cdef int width = 6
    while width < 64 and (<uint64_t>1 << width) < n_rows:
        width += 1
    order.n_rows, order.chosen, order.data, order.words = n_rows, chosen, data, words
    order.right = width // 2
    order.left_mask = (<uint64_t>1 << (width - order.right)) - 1
    order.right_mask = (<uint64_t>1 << order.right) - 1
    these.random_words(&source, 8, 2, order.keys)
    order.first_ahead = n_rows  # none yet
    return order


cdef inline Py_ssize_t encrypted(const Order *order, uint64_t index) noexcept nogil:
    cdef uint64_t left, right
    cdef int i
    while True:
        left, right = index >> order.right, index & order.right_mask
        for i in range(0, 16, 4):
            left ^= mix(right, order.keys[i], order.keys[i + 1]) & order.left_mask
            right ^= mix(left, order.keys[i + 2], order.keys[i + 3]) & order.right_mask
        index = (left << order.right) | right
        if index < order.n_rows:
            return <Py_ssize_t>index


cdef inline Py_ssize_t row_at(Order *order, uint64_t index) noexcept nogil:
    cdef uint64_t i
    if not order.first_ahead <= index < order.first_ahead + AHEAD:
        order.first_ahead = index
        for i in range(AHEAD):
            order.ahead[i] = encrypted(order, index + i) if index + i < order.n_rows else 0
            if order.chosen != NULL:
                order.ahead[i] = order.chosen[order.ahead[i]]
            fetch(order.data + order.ahead[i] * order.words, order.words * sizeof(uint64_t))
    return order.ahead[index - order.first_ahead]
