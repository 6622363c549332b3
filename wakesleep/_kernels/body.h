/* The kernels in plain C with vector extensions, included once per instruction set by dispatch.c with SUFFIX, LEVEL,
 * VB (bytes in a vector), MAX_BLOCKS and MAX_VECTORS, which it takes back. kernels.h says what each of them computes. */

#define LANES (VB / 4)
#define PER_BLOCK (BLOCK / LANES) /* vectors in a block */
#define ROWS_ABREAST (ABREAST / PER_BLOCK)
#define vf NAME(vf_t)
#define vi NAME(vi_t)
#define vl NAME(vl_t)
typedef float vf __attribute__((vector_size(VB), aligned(VB), may_alias));
typedef uint32_t vi __attribute__((vector_size(VB), aligned(VB), may_alias));
typedef uint64_t vl __attribute__((vector_size(VB), aligned(VB), may_alias));
#define SPLAT_I(x) ((vi){0} + (uint32_t)(x))
#define SPLAT_L(x) ((vl){0} + (uint64_t)(x))
#define SPLAT_F(x) ((vf){0} + (float)(x))

/* The numbers of as many units, from first on. */
static INLINE vi NAME(units)(ptrdiff_t first) { return *(const vi *)IOTA + (uint32_t)first; }

#include "lanes.h"
#define PHILOX_LEVEL
#include "philox.h"
#undef PHILOX_LEVEL

/* ---- elementary functions ---- */

/* e = e^-z, clamped to 2^±126, for n vectors: 2^k by adding to the exponent, 2^f (|f| <= 1/2) by a polynomial (relative
 * error 1e-7). Several side by side, for each step waits for the one before. */
static INLINE void NAME(exps_minus)(int n, const vf *z, vf *e) {
    static const float factors[] = {0.009671513f, 0.055507336f, 0.24022242f, 0.693147f, 1.f};
    vf f[ABREAST], shifted[ABREAST];
    UNROLL for (int i = 0; i < n; i++) {
        vf x = NAME(at_least)(NAME(at_most)(z[i] * -1.44269504f, 126.f), -126.f);
        shifted[i] = x + 12582912.f;
        f[i] = x - (shifted[i] - 12582912.f);
        e[i] = SPLAT_F(0.0013264727f);
    }
    UNROLL for (int k = 0; k < 5; k++)
        UNROLL for (int i = 0; i < n; i++) e[i] = e[i] * f[i] + factors[k];
    UNROLL for (int i = 0; i < n; i++) e[i] = (vf)((vi)e[i] + ((vi)shifted[i] << 23));
}

static INLINE vf NAME(exp_minus)(vf z) {
    vf e;
    NAME(exps_minus)(1, &z, &e);
    return e;
}

static INLINE vf NAME(sigmoid)(vf z) { return 1.f / (1.f + NAME(exp_minus)(z)); }

/* terms = log(1 + e^z) = max(z, 0) + 2 artanh(e / (2 + e)) with e = e^-|z|, for n vectors. */
static INLINE void NAME(softpluses)(int n, const vf *z, const vf *e, vf *terms) {
    static const float factors[] = {0.279606f, 0.4002491f, 0.66666317f, 2.f};
    vf s[ABREAST], t[ABREAST], p[ABREAST];
    UNROLL for (int i = 0; i < n; i++) s[i] = e[i] / (2.f + e[i]), t[i] = s[i] * s[i], p[i] = SPLAT_F(0.28178334f);
    UNROLL for (int k = 0; k < 4; k++)
        UNROLL for (int i = 0; i < n; i++) p[i] = p[i] * t[i] + factors[k];
    UNROLL for (int i = 0; i < n; i++) terms[i] = NAME(at_least)(z[i], 0.f) + s[i] * p[i];
}

static INLINE vf NAME(softplus)(vf z) {
    vf e = NAME(exp_minus)((vf)((vi)z & 0x7fffffffu)), term;
    NAME(softpluses)(1, &z, &e, &term);
    return term;
}

#include "rows.h"

/* ---- bits ---- */

/* The bits of a row in one block of units. */
static INLINE half_word *NAME(half)(const Packed *bits, ptrdiff_t row, ptrdiff_t block) {
    return (half_word *)(bits->words + row * bits->row + (block >> 1) * bits->word) + (block & 1);
}

static void NAME(find_bits)(const Packed *bits, ptrdiff_t n, ptrdiff_t n_bits, uint8_t *index, int64_t *start) {
    uint8_t *next = index;
    *start++ = 0;
    for (ptrdiff_t first = 0; first < n_bits; first += CHUNK)
        for (ptrdiff_t row = 0; row < n; row++) {
            const uint32_t *word = bits->words + row * bits->row + first / 32 * bits->word;
            const uint8_t *begin = next;
            for (ptrdiff_t bit = first; bit < n_bits && bit < first + CHUNK; bit += 64, word += 2 * bits->word) {
                uint64_t set = word[0] | (bit + 32 < n_bits ? (uint64_t)word[bits->word] << 32 : 0);
                next = NAME(list)(set, (uint8_t)(bit - first), next);
            }
            *next = next[-(next != begin)];
            next += (next - begin) & 1;
            *start++ = next - index;
        }
}

static void NAME(transpose)(const Packed *bits, ptrdiff_t first_block, ptrdiff_t blocks, ptrdiff_t n,
                            const Packed *columns) {
    for (ptrdiff_t block = first_block; block < first_block + blocks; block++) {
        const half_word *from = NAME(half)(bits, 0, block);
        for (ptrdiff_t row = 0; row < n;) {
            vi *out = (vi *)(columns->words + row / 32 * columns->word + BLOCK * block), words[PER_BLOCK];
            UNROLL for (int v = 0; v < PER_BLOCK; v++) words[v] = SPLAT_I(0);
            for (uint32_t bit = 1; bit && row < n; bit <<= 1, row++, from += 2 * bits->row)
                UNROLL for (int v = 0; v < PER_BLOCK; v++)
                    words[v] |= (vi)NAME(keep)((vf)SPLAT_I(bit), (uint32_t)*from >> (LANES * v));
            UNROLL for (int v = 0; v < PER_BLOCK; v++) out[v] = words[v];
        }
    }
}

/* ---- what happens to logits ---- */

static INLINE void NAME(residuals)(int one, vf *z, int width, ptrdiff_t n, const Packed *target, const Packed *observed,
                                   ptrdiff_t first_block, const float *credit, float scale, vf *biases) {
    for (int v = 0; v < width; v++) {
        vf *column = z + v, sum = SPLAT_F(0), p = SPLAT_F(0);
        ptrdiff_t block = first_block + v / PER_BLOCK;
        const half_word *bits = NAME(half)(target, 0, block);
        if (one) p = NAME(sigmoid)(*column);
        for (ptrdiff_t row = 0; row < n; row++, column += width, bits += 2 * target->row) {
            if (!one) p = NAME(sigmoid)(*column);
            vf error = NAME(keep)(SPLAT_F(1), (uint32_t)*bits >> v % PER_BLOCK * LANES) - p;
            if (credit) error *= credit[row];
            if (observed) error = NAME(keep)(error, (uint32_t)*NAME(half)(observed, row, block) >> v % PER_BLOCK * LANES);
            if (!one) *column = error;
            sum += error;
        }
        biases[v] += scale * sum;
    }
}

static void NAME(residual)(float *z, int one, int blocks, ptrdiff_t n, const Packed *target, const Packed *observed,
                           ptrdiff_t first_block, const float *credit, float scale, float *biases) {
    int width = blocks * PER_BLOCK;
    if (one)
        NAME(residuals)(1, (vf *)z, width, n, target, observed, first_block, credit, scale, (vf *)biases);
    else if (observed)
        NAME(residuals)(0, (vf *)z, width, n, target, observed, first_block, credit, scale, (vf *)biases);
    else
        NAME(residuals)(0, (vf *)z, width, n, target, NULL, first_block, credit, scale, (vf *)biases);
}

/* One block of units for `groups` times eight samples, t and on, of which those from first to end are wanted. u lies within
 * 2^-16 of what half a word tells, which nearly always decides; `exact` looks at the rest of it. Returns where it did not. */
static INLINE uint32_t NAME(sample_groups)(int groups, int whole, int exact, int one, const vf *z, int width, vf odds[],
                                           ptrdiff_t block, uint32_t valid, const Source *source, uint64_t t,
                                           uint64_t first, uint64_t end, const Packed *target) {
    vi words[PER_BLOCK][MOST_GROUPS][4], rest[PER_BLOCK][MOST_GROUPS][4];
    uint32_t open = 0;
    UNROLL for (int v = 0; v < PER_BLOCK; v++) {
        vi units = NAME(units)(BLOCK * block + LANES * v);
        NAME(philox)(groups, units, t >> 3, source->stream, source->seed, words[v]);
        if (exact) NAME(philox)(groups, units, t >> 3, source->stream + REST, source->seed, rest[v]);
    }
    UNROLL for (int j = 0; j < 8 * groups; j++, t++) {
        if (!whole && (t < first || t >= end)) continue;
        ptrdiff_t row = (ptrdiff_t)(t - first);
        uint32_t bits = 0;
        UNROLL for (int v = 0; v < PER_BLOCK; v++) {
            vi word = words[v][j / 8][j % 8 / 2];
            if (!one) odds[v] = 1.f + NAME(exp_minus)(z[row * width + v]);
            if (exact) {
                vi last = rest[v][j / 8][j % 8 / 2] << (j & 1 ? 0 : 16) >> 25;
                vf u = NAME(to_float)(word << (j & 1 ? 0 : 16) >> 16 << 7 | last) * 0x1p-23f + 0x1p-24f;
                bits |= NAME(less)(u * odds[v], SPLAT_F(1)) << (LANES * v);
            } else {
                vi mantissa = (j & 1 ? (vi)(word >> 9) : (vi)(word << 7)) & 0x7fff80u;
                vf u = (vf)(mantissa | 0x3f800000u); /* 1 more, and from 1 to 255 times 2^-24 less */
                uint32_t sure = NAME(less)((u - (1 - 0x1.fep-17f)) * odds[v], SPLAT_F(1));
                open |= sure ^ NAME(less)((u - (1 - 0x1p-24f)) * odds[v], SPLAT_F(1));
                bits |= sure << (LANES * v);
            }
        }
        *NAME(half)(target, row, block) = (half_word)(bits & valid);
    }
    return open;
}

/* Once in hundreds of times, and out of the way of the others. */
static __attribute__((noinline)) void NAME(sample_exactly)(int groups, int one, const vf *z, int width, vf odds[],
                                                           ptrdiff_t block, uint32_t valid, const Source *source,
                                                           uint64_t t, uint64_t first, uint64_t end,
                                                           const Packed *target) {
    for (; groups; groups--, t += 8)
        NAME(sample_groups)(1, 0, 1, one, z, width, odds, block, valid, source, t, first, end, target);
}

static INLINE void NAME(samples)(int one, const vf *z, int width, ptrdiff_t n, ptrdiff_t first_block, ptrdiff_t n_units,
                                 const Source *source, const Packed *target) {
    uint64_t first = source->first_sample, end = first + (uint64_t)n;
    for (ptrdiff_t block = first_block; n_units > 0; block++, n_units -= BLOCK, z += PER_BLOCK) {
        uint32_t valid = n_units < BLOCK ? (1u << n_units) - 1 : 0xffffu;
        vf odds[PER_BLOCK]; /* 1 + e^-z */
        if (one)
            for (int v = 0; v < PER_BLOCK; v++) odds[v] = 1.f + NAME(exp_minus)(z[v]);
#define SAMPLE(groups, whole) \
    if (NAME(sample_groups)(groups, whole, 0, one, z, width, odds, block, valid, source, t, first, end, target)) \
        NAME(sample_exactly)(groups, one, z, width, odds, block, valid, source, t, first, end, target); \
    t += 8 * groups
        for (uint64_t t = first & ~(uint64_t)7; t < end;)
            if (t >= first && end - t >= 8 * MOST_GROUPS) {
                SAMPLE(MOST_GROUPS, 1);
            } else {
                SAMPLE(1, 0);
            }
#undef SAMPLE
    }
}

static void NAME(sample)(const float *z, int one, int blocks, ptrdiff_t n, ptrdiff_t first_block, ptrdiff_t n_units,
                         const Source *source, const Packed *target) {
    if (one)
        NAME(samples)(1, (const vf *)z, blocks * PER_BLOCK, n, first_block, n_units, source, target);
    else
        NAME(samples)(0, (const vf *)z, blocks * PER_BLOCK, n, first_block, n_units, source, target);
}

/* Of `rows` rows of a block, width vectors from row to row: z where the target is 0 and -z where it is 1, and e^-|z|.
 * bits : of the first row, `step` half words from row to row. */
static INLINE void NAME(against)(int rows, const vf *z, ptrdiff_t width, const half_word *bits, ptrdiff_t step, vf *against,
                                 vf *e) {
    vf size[ABREAST];
    UNROLL for (int i = 0; i < rows * PER_BLOCK; i++) {
        vi x = (vi)z[i / PER_BLOCK * width + i % PER_BLOCK];
        uint32_t on = (uint32_t)bits[i / PER_BLOCK * step] >> i % PER_BLOCK * LANES;
        against[i] = (vf)(x ^ (vi)NAME(keep)((vf)SPLAT_I(0x80000000u), on));
        size[i] = (vf)(x & 0x7fffffffu);
    }
    NAME(exps_minus)(rows * PER_BLOCK, size, e);
}

/* The bits of those units of a block that there are. */
static INLINE uint32_t NAME(units_left)(ptrdiff_t n_units) { return n_units < BLOCK ? (1u << n_units) - 1 : 0xffffu; }

/* The bits of those of them that are observed in a row. */
static INLINE uint32_t NAME(units_observed)(uint32_t valid, const Packed *observed, ptrdiff_t row, ptrdiff_t block) {
    return observed ? valid & *NAME(half)(observed, row, block) : valid;
}

static INLINE void NAME(log_terms_of_rows)(int rows, const vf *z, int blocks, const Packed *target, const Packed *observed,
                                           ptrdiff_t row, ptrdiff_t first_block, ptrdiff_t n_units, vf *lanes) {
    vf sum[ABREAST], against[ABREAST], e[ABREAST], terms[ABREAST];
    UNROLL for (int i = 0; i < rows * PER_BLOCK; i++) sum[i] = lanes[i];
    for (int block = 0; block < blocks; block++, z += PER_BLOCK, n_units -= BLOCK) {
        uint32_t valid = NAME(units_left)(n_units);
        NAME(against)(rows, z, blocks * PER_BLOCK, NAME(half)(target, row, first_block + block), 2 * target->row, against, e);
        NAME(softpluses)(rows * PER_BLOCK, against, e, terms);
        UNROLL for (int i = 0; i < rows * PER_BLOCK; i++) {
            uint32_t counted = NAME(units_observed)(valid, observed, row + i / PER_BLOCK, first_block + block);
            sum[i] += NAME(keep)(terms[i], counted >> i % PER_BLOCK * LANES);
        }
    }
    UNROLL for (int i = 0; i < rows * PER_BLOCK; i++) lanes[i] = sum[i];
}

static INLINE void NAME(log_terms_of_all)(const vf *z, int blocks, ptrdiff_t n, ptrdiff_t first_block, ptrdiff_t n_units,
                                          const Packed *target, const Packed *observed, vf *lanes) {
    ptrdiff_t row = 0, width = blocks * PER_BLOCK;
    for (; row + ROWS_ABREAST <= n; row += ROWS_ABREAST, z += ROWS_ABREAST * width, lanes += ABREAST)
        NAME(log_terms_of_rows)(ROWS_ABREAST, z, blocks, target, observed, row, first_block, n_units, lanes);
    for (; row < n; row++, z += width, lanes += PER_BLOCK)
        NAME(log_terms_of_rows)(1, z, blocks, target, observed, row, first_block, n_units, lanes);
}

/* Lanes of one where their bit is set, else of the other. */
static INLINE vf NAME(choose)(vf on, vf off, uint32_t bits) {
    return (vf)((vi)NAME(keep)(on, bits) | (vi)NAME(keep)(off, ~bits));
}

/* The terms of a 1 and of a 0, where all rows of z are one; of units that there are. */
static INLINE void NAME(terms_of_one)(const vf *z, uint32_t valid, vf *on, vf *off) {
    UNROLL for (int v = 0; v < PER_BLOCK; v++) {
        on[v] = NAME(keep)(NAME(softplus)(-z[v]), valid >> v * LANES);
        off[v] = NAME(keep)(NAME(softplus)(z[v]), valid >> v * LANES);
    }
}

static void NAME(log_terms)(const float *z_, int one, int blocks, ptrdiff_t n, ptrdiff_t first_block, ptrdiff_t n_units,
                            const Packed *target, const Packed *observed, float *lanes_) {
    const vf *z = (const vf *)z_;
    vf *lanes = (vf *)lanes_;
    if (!one && observed)
        NAME(log_terms_of_all)(z, blocks, n, first_block, n_units, target, observed, lanes);
    else if (!one)
        NAME(log_terms_of_all)(z, blocks, n, first_block, n_units, target, NULL, lanes);
    for (int block = 0; one && block < blocks; block++, z += PER_BLOCK) {
        vf on[PER_BLOCK], off[PER_BLOCK];
        NAME(terms_of_one)(z, NAME(units_left)(n_units - BLOCK * block), on, off);
        const half_word *bits = NAME(half)(target, 0, first_block + block);
        for (ptrdiff_t row = 0; row < n; row++, bits += 2 * target->row) {
            uint32_t counted = NAME(units_observed)(0xffffu, observed, row, first_block + block);
            UNROLL for (int v = 0; v < PER_BLOCK; v++)
                lanes[row * PER_BLOCK + v] +=
                    NAME(keep)(NAME(choose)(on[v], off[v], (uint32_t)*bits >> v * LANES), counted >> v * LANES);
        }
    }
}

#include "learning.h"

/* ---- the mean-field pass ---- */

static INLINE void NAME(multiply_rows)(int R, const float *values, const vf *rows, int width, ptrdiff_t n_rows,
                                       const vf *start, vf *out) {
    vf sum[4][PER_BLOCK];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < PER_BLOCK; v++) sum[r][v] = start[v];
    for (ptrdiff_t i = 0; i < n_rows; i++, rows += width)
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int v = 0; v < PER_BLOCK; v++) sum[r][v] += values[r * n_rows + i] * rows[v];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < PER_BLOCK; v++) out[r * width + v] = NAME(sigmoid)(sum[r][v]);
}

static void NAME(propagate)(const float *values, ptrdiff_t n, const float *rows, int blocks, ptrdiff_t n_rows,
                            const float *start, float *out) {
    int width = blocks * PER_BLOCK;
    for (int v = 0; v < width; v += PER_BLOCK) {
        const vf *column = (const vf *)rows + v, *first = (const vf *)start + v;
        ptrdiff_t row = 0;
        for (; row + 4 <= n; row += 4)
            NAME(multiply_rows)(4, values + row * n_rows, column, width, n_rows, first, (vf *)out + row * width + v);
        for (; row < n; row++)
            NAME(multiply_rows)(1, values + row * n_rows, column, width, n_rows, first, (vf *)out + row * width + v);
    }
}

/* ---- random words as such ---- */

static void NAME(random_words)(const Source *source, ptrdiff_t n_samples, ptrdiff_t n_units, uint32_t *out) {
    for (ptrdiff_t t = 0; t < n_samples; t++) {
        uint64_t sample = source->first_sample + (uint64_t)t;
        for (ptrdiff_t unit = 0; unit < n_units; unit += LANES) {
            vi words[1][4];
            NAME(philox)(1, NAME(units)(unit), sample >> 2, source->stream, source->seed, words);
            for (ptrdiff_t i = unit; i < unit + LANES && i < n_units; i++)
                out[t * n_units + i] = words[0][sample & 3][i - unit];
        }
    }
}

const Kernels NAME(kernels) = {
    LEVEL,           NAME(find_bits), NAME(transpose), NAME(add_rows),    NAME(add_rows_into), NAME(add_row_into),
    NAME(residual),  NAME(sample),    NAME(log_terms), NAME(weigh),       NAME(credit_rows),   NAME(add_squares),
    NAME(update),    NAME(propagate), NAME(random_words),
};

#undef LANES
#undef PER_BLOCK
#undef ROWS_ABREAST
#undef vf
#undef vi
#undef vl
#undef SPLAT_I
#undef SPLAT_L
#undef SPLAT_F
#undef SUFFIX
#undef LEVEL
#undef VB
#undef MAX_BLOCKS
#undef MAX_VECTORS
