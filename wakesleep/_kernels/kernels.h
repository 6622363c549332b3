/* The contract between the nogil loops of Cython and the kernels: one struct of function pointers for
 * each instruction set. Equation numbers are those of docs/MATH.md.
 *
 * A panel is a matrix of up to 64 columns in blocks of 16: `blocks` (1 to 4) of them, so that a row is
 * 16 * blocks floats, 64-byte aligned. Weights, errors and logits live in panels while a compiled call
 * lasts. Bits are packed rows of little-endian words, `stride` words from row to row: of 32 bits where rows are selected,
 * of 16, one block, where they are targets.
 * The order of every sum is fixed: no result depends on the instruction set. */
#ifndef WAKESLEEP_KERNELS_H
#define WAKESLEEP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef uint16_t half_word __attribute__((may_alias));

enum { BLOCK = 16, PANEL = 64 };       /* columns */
enum { WALK = 0, TABLES = 1 };         /* methods, and orders, of a sum of selected rows */
enum { INIT = 0 << 24, ORDER = 1 << 24, WAKE = 2 << 24, SLEEP = 3 << 24, IMPORTANCE = 4 << 24, FANTASY = 5 << 24,
       DATASETS = 6 << 24 };           /* streams of random numbers; a level is added to them */

/* Which rows each of n_out outputs adds: bits for TABLES; for WALK also the lists that find_bits made of them. */
typedef struct {
    const uint32_t *bits;
    ptrdiff_t stride;
    const uint32_t *index; /* row numbers, an even count for every output (padded with n_rows) */
    const int64_t *start;  /* n_out + 1 */
    int method;
} Selection;

/* Where random numbers come from (eq. 8): the word of (seed, stream, sample, unit). */
typedef struct {
    uint64_t seed;
    uint32_t stream;
    uint64_t first_sample;
} Source;

typedef struct {
    const char *name;

    /* out = start + selected rows (eq. 4).  rows : n_rows + 1, the last one zero.  start : one row. */
    void (*add_rows)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                     const float *start, float *out);

    /* goal += scale * selected rows (eq. 7), the mirror.  scratch : n_out rows. */
    void (*add_rows_into)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                          float scale, float *scratch, float *goal);

    /* goal += scale * one row, for each of n_out outputs whose bit is set: add_rows_into with a single row to select. */
    void (*add_row_into)(const uint32_t *bits, const float *row, int blocks, ptrdiff_t n_out, float scale, float *goal);

    /* z = credit * (target - sigmoid(z)), and biases += scale * sum of z over the n rows.  credit : n, or NULL for 1. */
    void (*residual)(float *z, int blocks, ptrdiff_t n, const half_word *target, ptrdiff_t stride, const float *credit,
                     float scale, float *biases);

    /* target = [u * (1 + e^-z) < 1] (eq. 9) for the first n_units columns, which are units first_unit, ... */
    void (*sample)(const float *z, int blocks, ptrdiff_t n, ptrdiff_t first_unit, ptrdiff_t n_units, const Source *source,
                   half_word *target, ptrdiff_t stride);

    /* lanes[row] += softplus(z) where the target is 0, softplus(-z) where it is 1; unit u in lane u mod 16 (eq. 5). */
    void (*log_terms)(const float *z, int blocks, ptrdiff_t n, ptrdiff_t n_units, const half_word *target,
                      ptrdiff_t stride, float *lanes);

    /* out = sigmoid(start + values * rows), summed in index order.  values : (n, n_rows). */
    void (*propagate)(const float *values, ptrdiff_t n, const float *rows, int blocks, ptrdiff_t n_rows,
                      const float *start, float *out);

    /* words[t, u] of samples first_sample + t and units u (eq. 8). */
    void (*random_words)(const Source *source, ptrdiff_t n_samples, ptrdiff_t n_units, uint32_t *words);
} Kernels;

/* The kernels of a level ("baseline", "avx2", "avx512"), or with NULL those of the best level of this processor.
 * Returns NULL where there is no such level here. */
const Kernels *kernels_for(const char *level);

/* Names of the levels of this processor, weakest first, NULL-terminated. */
const char *const *kernel_levels(void);

/* For each of n rows: the numbers of the bits set, padded to an even count with n_bits.  start : n + 1. */
void find_bits(const uint32_t *bits, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t n_bits, uint32_t *index, int64_t *start);

/* out = bitsᵀ.  bits : (n, n_bits).  out : (n_bits rounded up to 32, words of n bits). */
void transpose_bits(const uint32_t *bits, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t n_bits, uint32_t *out,
                    ptrdiff_t out_stride);

#endif
