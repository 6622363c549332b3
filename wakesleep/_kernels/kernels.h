/* The contract between the nogil loops of Cython and the kernels: one struct of function pointers for
 * each instruction set. Equation numbers are those of docs/MATH.md.
 *
 * A panel is a matrix of up to 64 columns in blocks of 16: `blocks` (1 to 4) of them, so that a row is
 * 16 * blocks floats, 64-byte aligned. Weights, errors and logits live in panels while a compiled call lasts.
 * The order of every sum is fixed: no result depends on the instruction set. */
#ifndef WAKESLEEP_KERNELS_H
#define WAKESLEEP_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

typedef uint16_t half_word __attribute__((may_alias));

enum { BLOCK = 16, PANEL = 64 }; /* columns */
enum { CHUNK = 256 };            /* rows that a walk adds to the sum together, and that the nearest caches hold */
enum { WALK = 0, TABLES = 1 };   /* methods, and orders, of a sum of selected rows */
enum {                           /* streams; a level is added to them */
       INIT = 0 << 24,
       ORDER = 1 << 24,
       WAKE = 2 << 24,
       SLEEP = 3 << 24,
       IMPORTANCE = 4 << 24,
       FANTASY = 5 << 24,
       DATASETS = 6 << 24,
       BINARIZE = 7 << 24,
       ANNEALING = 8 << 24
};

/* A matrix of packed bits: word w of row r, bits 32 w ... 32 w + 31, is words[r * row + w * word]. */
typedef struct {
    uint32_t *words;
    ptrdiff_t row, word;
} Packed;

/* Which rows each of n_out outputs adds: bits for TABLES; for WALK also the lists that find_bits made of them. */
typedef struct {
    Packed bits;
    const uint8_t *index;
    const int64_t *start;
    int method;
    int far; /* the rows are in no near cache, and worth fetching ahead */
} Selection;

/* Where random numbers come from (eq. 8): the word, or half of a word, of (seed, stream, sample, unit). */
typedef struct {
    uint64_t seed;
    uint32_t stream;
    uint64_t first_sample;
} Source;

/* Optimizers, and what one of them takes in a step (eq. 14). */
enum { SGD = 0, MOMENTUM = 1, RMSPROP = 2, ADAM = 3 };
typedef struct {
    int optimizer;
    float rate, factor;           /* of the step; of the gradient */
    float old_first, new_first;   /* average of gradients: weights of the old average and of the gradient */
    float old_second, new_second; /* average of their squares */
    float epsilon;
} Update;

typedef struct {
    const char *name;

    /* For each chunk of bits and each of n rows in it: the numbers of the bits set, counted from the first of the chunk;
     * an odd list repeats its last one. Those of chunk c and row r begin at index[start[c * n + r]].
     * index : 64 more than there can be.  start : n * chunks + 1. */
    void (*find_bits)(const Packed *bits, ptrdiff_t n, ptrdiff_t n_bits, uint8_t *index, int64_t *start);

    /* columns = bitsᵀ, for `blocks` blocks of units from first_block on.  n rows.  columns : columns->row is 1. */
    void (*transpose)(const Packed *bits, ptrdiff_t first_block, ptrdiff_t blocks, ptrdiff_t n, const Packed *columns);

    /* out = start + selected rows (eq. 4).  rows : n_rows + 16.  start : one row. */
    void (*add_rows)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                     const float *start, float *out);

    /* goal += scale * selected rows (eq. 7), the mirror.  rows : n_rows + 16.  scratch : n_out rows. */
    void (*add_rows_into)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                          float scale, float *scratch, float *goal);

    /* goal += scale * one row, for each of n_out outputs whose bit is set in the one row of bits: add_rows_into with a
     * single row to select. */
    void (*add_row_into)(const Packed *bits, const float *row, int blocks, ptrdiff_t n_out, float scale, float *goal);

    /* z = credit * (target - sigmoid(z)), and biases += scale * sum of z over the n rows.  credit : n, or NULL for 1.
     * observed : where the target is, z = 0 elsewhere; NULL for everywhere.
     * one : z is one row, the same for all n, and is left as it is.  The targets begin at first_block. */
    void (*residual)(float *z, int one, int blocks, ptrdiff_t n, const Packed *target, const Packed *observed,
                     ptrdiff_t first_block, const float *credit, float scale, float *biases);

    /* target = [u * (1 + e^-z) < 1] (eq. 9) for n_units units, which begin at first_block.  one : as above. */
    void (*sample)(const float *z, int one, int blocks, ptrdiff_t n, ptrdiff_t first_block, ptrdiff_t n_units,
                   const Source *source, const Packed *target);

    /* lanes[row] += softplus(z) where the target is 0, softplus(-z) where it is 1; unit u in lane u mod 16 (eq. 5).
     * observed : as above.  one : as above. */
    void (*log_terms)(const float *z, int one, int blocks, ptrdiff_t n, ptrdiff_t first_block, ptrdiff_t n_units,
                      const Packed *target, const Packed *observed, float *lanes);

    /* terms[block * stride + row] = the sum over a block of softplus(z) where the target is 0, softplus(-z) where it is 1
     * (eq. 5), for n_units units; and errors = target - sigmoid(z), which may be z itself.  observed : as above, of terms
     * and errors.  one : as above; no errors. */
    void (*weigh)(const float *z, int one, int blocks, ptrdiff_t n, const Packed *target, const Packed *observed,
                  ptrdiff_t first_block, ptrdiff_t n_units, float *errors, float *terms, ptrdiff_t stride);

    /* errors = sums of `group` rows of errors times their credits, in place, and biases += scale * sum of these n rows. */
    void (*credit_rows)(float *errors, int blocks, ptrdiff_t n, ptrdiff_t group, const float *credit, float scale,
                        float *biases);

    /* squares[block] = the sum of squares of the gradient of a block of units.  gradient : n_rows.  biases : one row. */
    void (*add_squares)(const float *gradient, const float *biases, int blocks, ptrdiff_t n_rows, ptrdiff_t n_units,
                        double *squares);

    /* weights = kept * weights + what the optimizer makes of the gradient, for n of them; gradient = 0 (eq. 14). */
    void (*update)(const Update *update, ptrdiff_t n, float kept, float *weights, float *gradient, float *first,
                   float *second);

    /* out = sigmoid(start + values * rows), summed in index order.  values : (n, n_rows). */
    void (*propagate)(const float *values, ptrdiff_t n, const float *rows, int blocks, ptrdiff_t n_rows,
                      const float *start, float *out);

    /* words[t, u] of samples first_sample + t and units u (eq. 8). */
    void (*random_words)(const Source *source, ptrdiff_t n_samples, ptrdiff_t n_units, uint32_t *words);
} Kernels;

/* The kernels of a level ("baseline", "avx2", "avx512"), or with NULL those of the best level of this processor.
 * Returns NULL where there is no such level here. */
const Kernels *kernels_for(const char *level);

/* The kernels of "avx512", with sums of tables taken by matrix tiles from rows in two halves of bfloat16 (tiles.h): another
 * order, and not quite float32. Returns NULL where the processor or the operating system has no tiles. One call at a time. */
const Kernels *kernels_in_tiles(void);

/* Names of the levels of this processor, weakest first, NULL-terminated. */
const char *const *kernel_levels(void);

/* Ask for large pages under memory that nobody has touched: a page then costs one fault where it would cost 512. */
static inline void want_large_pages(void *memory, size_t n_bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    size_t begin = ((size_t)memory + 4095) & ~(size_t)4095, end = ((size_t)memory + n_bytes) & ~(size_t)4095;
    if (begin < end) madvise((void *)begin, end - begin, MADV_HUGEPAGE); /* a wish: refused, nothing is lost */
#else
    (void)memory, (void)n_bytes;
#endif
}

/* bits &= mask, for `blocks` blocks of units from first_block on.  n rows. */
static inline void mask_bits(const Packed *bits, const Packed *mask, ptrdiff_t first_block, int blocks, ptrdiff_t n) {
    for (ptrdiff_t block = first_block; block < first_block + blocks; block++) {
        half_word *to = (half_word *)(bits->words + (block >> 1) * bits->word) + (block & 1);
        const half_word *from = (const half_word *)(mask->words + (block >> 1) * mask->word) + (block & 1);
        for (ptrdiff_t row = 0; row < n; row++) to[2 * row * bits->row] &= from[2 * row * mask->row];
    }
}

/* Have memory brought nearer. */
static inline void fetch(const void *memory, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch((const char *)memory + i);
}

#endif
