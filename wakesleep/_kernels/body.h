/* The kernels in plain C with vector extensions, included once per instruction set by dispatch.c with VB (bytes in a
 * vector) and NAME (adds the level's suffix). kernels.h says what each of them computes. */

#define LANES (VB / 4)
#define PER_BLOCK (BLOCK / LANES) /* vectors in a block */
#define vf NAME(vf_t)
#define vi NAME(vi_t)
typedef float vf __attribute__((vector_size(VB), aligned(VB), may_alias));
typedef uint32_t vi __attribute__((vector_size(VB), aligned(VB), may_alias));
#define SPLAT_I(x) ((vi){0} + (uint32_t)(x))
#define SPLAT_F(x) ((vf){0} + (float)(x))

#include "lanes.h"
#define PHILOX_LEVEL
#include "philox.h"
#undef PHILOX_LEVEL

/* ---- elementary functions ---- */

/* e^-z, clamped to 2^±126: 2^n by adding to the exponent, 2^f (|f| <= 1/2) by a polynomial (relative error 1e-7). */
static INLINE vf NAME(exp_minus)(vf z) {
    vf x = NAME(at_least)(NAME(at_most)(z * -1.44269504f, 126.f), -126.f);
    vf shifted = x + 12582912.f;
    vf f = x - (shifted - 12582912.f);
    vf p = SPLAT_F(0.0013264727f);
    p = p * f + 0.009671513f;
    p = p * f + 0.055507336f;
    p = p * f + 0.24022242f;
    p = p * f + 0.693147f;
    p = p * f + 1.f;
    return (vf)((vi)p + ((vi)shifted << 23));
}

static INLINE vf NAME(sigmoid)(vf z) { return 1.f / (1.f + NAME(exp_minus)(z)); }

/* log(1 + e^z) = max(z, 0) + 2 artanh(e / (2 + e)) with e = e^-|z|. */
static INLINE vf NAME(softplus)(vf z) {
    vf e = NAME(exp_minus)((vf)((vi)z & 0x7fffffffu));
    vf s = e / (2.f + e), t = s * s;
    vf p = SPLAT_F(0.28178334f);
    p = p * t + 0.279606f;
    p = p * t + 0.4002491f;
    p = p * t + 0.66666317f;
    p = p * t + 2.f;
    return NAME(at_least)(z, 0.f) + s * p;
}

/* ---- sums of selected rows: V vectors of a row at a time, so that the sums stay in registers ---- */

static INLINE void NAME(walk)(int V, const Selection *selection, const vf *rows, int width, ptrdiff_t n_out,
                              const vf *start, float scale, vf *scratch, vf *goal) {
    vf *out = goal ? goal : scratch;
    for (ptrdiff_t m = 0; m < n_out; m++, out += width) {
        const uint32_t *i = selection->index + selection->start[m], *end = selection->index + selection->start[m + 1];
        vf even[MAX_VECTORS], odd[MAX_VECTORS];
        UNROLL for (int v = 0; v < V; v++) {
            even[v] = start[v];
            odd[v] = SPLAT_F(0);
        }
        for (; i < end; i += 2) {
            const vf *a = rows + (size_t)i[0] * (size_t)width, *b = rows + (size_t)i[1] * (size_t)width;
            UNROLL for (int v = 0; v < V; v++) even[v] += a[v];
            UNROLL for (int v = 0; v < V; v++) odd[v] += b[v];
        }
        if (goal) {
            UNROLL for (int v = 0; v < V; v++) out[v] += scale * (even[v] + odd[v]);
        } else {
            UNROLL for (int v = 0; v < V; v++) out[v] = even[v] + odd[v];
        }
    }
}

/* table[s] = the sum, from the left, of those of four rows whose bit is set in s; entries V vectors apart. */
static INLINE void NAME(make_table)(int V, vf *table, const vf *rows, int width) {
    UNROLL for (int v = 0; v < V; v++) {
        vf r0 = rows[v], r1 = rows[width + v], r2 = rows[2 * width + v], r3 = rows[3 * width + v];
        vf t3 = r0 + r1, t5 = r0 + r2, t6 = r1 + r2, t7 = t3 + r2;
        vf *t = table + v;
        t[0] = SPLAT_F(0), t[1 * V] = r0, t[2 * V] = r1, t[3 * V] = t3;
        t[4 * V] = r2, t[5 * V] = t5, t[6 * V] = t6, t[7 * V] = t7;
        t[8 * V] = r3, t[9 * V] = r0 + r3, t[10 * V] = r1 + r3, t[11 * V] = t3 + r3;
        t[12 * V] = r2 + r3, t[13 * V] = t5 + r3, t[14 * V] = t6 + r3, t[15 * V] = t7 + r3;
    }
}

/* Sixteen rows a pass, through four tables.  rows : at least n_rows rounded up to 16 (what is beyond is not used). */
static INLINE void NAME(tables)(int V, const Selection *selection, const vf *rows, int width, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    vf table[4 * 16 * MAX_VECTORS];
    ptrdiff_t n_passes = (n_rows + 15) / 16, stride = 2 * selection->stride;
    for (ptrdiff_t pass = 0; pass < n_passes; pass++) {
        for (int g = 0; g < 4; g++)
            NAME(make_table)(V, table + g * 16 * V, rows + (16 * pass + 4 * g) * width, width);
        const half_word *bits = (const half_word *)selection->bits + pass;
        vf *out = scratch, *end = scratch + n_out * width, *into = goal ? goal : scratch;
        for (; out < end; out += width, bits += stride, into += width) {
            uint32_t s = *bits;
            const vf *t0 = table + (size_t)(s & 15) * (size_t)V, *t1 = table + (size_t)(16 + (s >> 4 & 15)) * (size_t)V;
            const vf *t2 = table + (size_t)(32 + (s >> 8 & 15)) * (size_t)V, *t3 = table + (size_t)(48 + (s >> 12)) * (size_t)V;
            vf sum[MAX_VECTORS];
            if (pass) {
                UNROLL for (int v = 0; v < V; v++) sum[v] = out[v];
            } else {
                UNROLL for (int v = 0; v < V; v++) sum[v] = start[v];
            }
            UNROLL for (int v = 0; v < V; v++) sum[v] += (t0[v] + t1[v]) + (t2[v] + t3[v]);
            if (goal && pass == n_passes - 1) {
                UNROLL for (int v = 0; v < V; v++) into[v] += scale * sum[v];
            } else {
                UNROLL for (int v = 0; v < V; v++) out[v] = sum[v];
            }
        }
    }
    if (!n_passes)
        for (vf *out = scratch; out < scratch + n_out * width; out += width)
            UNROLL for (int v = 0; v < V; v++) out[v] = start[v];
}

/* The sums of `tables`, row by row, for outputs so few that the tables would not pay. */
static INLINE void NAME(groups)(int V, const Selection *selection, const vf *rows, int width, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    ptrdiff_t n_passes = (n_rows + 15) / 16;
    for (ptrdiff_t m = 0; m < n_out; m++) {
        const half_word *bits = (const half_word *)(selection->bits + m * selection->stride);
        vf sum[MAX_VECTORS];
        UNROLL for (int v = 0; v < V; v++) sum[v] = start[v];
        for (ptrdiff_t pass = 0; pass < n_passes; pass++) {
            const vf *row = rows + 16 * pass * width;
            vf t[4][MAX_VECTORS];
            for (int g = 0; g < 4; g++) {
                uint32_t s = bits[pass] >> (4 * g) & 15u;
                UNROLL for (int v = 0; v < V; v++) t[g][v] = SPLAT_F(0);
                for (; s; s &= s - 1) {
                    const vf *r = row + (4 * g + __builtin_ctz(s)) * width;
                    UNROLL for (int v = 0; v < V; v++) t[g][v] += r[v];
                }
            }
            UNROLL for (int v = 0; v < V; v++) sum[v] += (t[0][v] + t[1][v]) + (t[2][v] + t[3][v]);
        }
        vf *out = (goal ? goal : scratch) + m * width;
        if (goal) {
            UNROLL for (int v = 0; v < V; v++) out[v] += scale * sum[v];
        } else {
            UNROLL for (int v = 0; v < V; v++) out[v] = sum[v];
        }
    }
}

static INLINE void NAME(select)(int V, const Selection *selection, const vf *rows, int width, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    if (selection->method == WALK)
        NAME(walk)(V, selection, rows, width, n_out, start, scale, scratch, goal);
    else if (n_out < TABLES_FROM)
        NAME(groups)(V, selection, rows, width, n_rows, n_out, start, scale, scratch, goal);
    else
        NAME(tables)(V, selection, rows, width, n_rows, n_out, start, scale, scratch, goal);
}

/* A constant number of vectors for each number of blocks; panels too wide for the registers go in two halves. */
static void NAME(select_blocks)(const Selection *selection, const float *rows_, int blocks, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const float *start_, float scale, float *scratch_, float *goal_) {
    const vf *rows = (const vf *)rows_, *start = (const vf *)start_;
    vf *scratch = (vf *)scratch_, *goal = (vf *)goal_;
    int width = blocks * PER_BLOCK;
    while (blocks > 0) {
        int now = blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS;
        switch (now) {
        case 1: NAME(select)(1 * PER_BLOCK, selection, rows, width, n_rows, n_out, start, scale, scratch, goal); break;
        case 2: NAME(select)(2 * PER_BLOCK, selection, rows, width, n_rows, n_out, start, scale, scratch, goal); break;
#if MAX_BLOCKS > 2
        case 3: NAME(select)(3 * PER_BLOCK, selection, rows, width, n_rows, n_out, start, scale, scratch, goal); break;
        case 4: NAME(select)(4 * PER_BLOCK, selection, rows, width, n_rows, n_out, start, scale, scratch, goal); break;
#endif
        }
        rows += now * PER_BLOCK;
        start += now * PER_BLOCK;
        scratch = scratch ? scratch + now * PER_BLOCK : NULL;
        goal = goal ? goal + now * PER_BLOCK : NULL;
        blocks -= now;
    }
}

static void NAME(add_rows)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                           const float *start, float *out) {
    NAME(select_blocks)(selection, rows, blocks, n_rows, n_out, start, 0, out, NULL);
}

static void NAME(add_rows_into)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows,
                                ptrdiff_t n_out, float scale, float *scratch, float *goal) {
    NAME(select_blocks)(selection, rows, blocks, n_rows, n_out, ZEROS, scale, scratch, goal);
}

static INLINE void NAME(add_to_set)(int V, const uint32_t *bits, const vf *row, ptrdiff_t n_out, float scale, vf *goal) {
    vf added[4 * PER_BLOCK];
    UNROLL for (int v = 0; v < V; v++) added[v] = scale * row[v];
    for (ptrdiff_t word = 0; 32 * word < n_out; word++, goal += 32 * V)
        for (uint32_t left = bits[word]; left; left &= left - 1) {
            vf *out = goal + (size_t)__builtin_ctz(left) * (size_t)V;
            UNROLL for (int v = 0; v < V; v++) out[v] += added[v];
        }
}

static void NAME(add_row_into)(const uint32_t *bits, const float *row, int blocks, ptrdiff_t n_out, float scale,
                               float *goal) {
    switch (blocks) {
    case 1: NAME(add_to_set)(1 * PER_BLOCK, bits, (const vf *)row, n_out, scale, (vf *)goal); break;
    case 2: NAME(add_to_set)(2 * PER_BLOCK, bits, (const vf *)row, n_out, scale, (vf *)goal); break;
    case 3: NAME(add_to_set)(3 * PER_BLOCK, bits, (const vf *)row, n_out, scale, (vf *)goal); break;
    case 4: NAME(add_to_set)(4 * PER_BLOCK, bits, (const vf *)row, n_out, scale, (vf *)goal); break;
    }
}

/* ---- what happens to logits ---- */

/* Bits of the columns of vector v, in the low bits of the result (what stands above them is not looked at). */
#define LANE_BITS(words, v) ((uint32_t)(words)[(v) * LANES / BLOCK] >> ((v) * LANES % BLOCK))

static void NAME(residual)(float *z, int blocks, ptrdiff_t n, const half_word *target, ptrdiff_t stride,
                           const float *credit, float scale, float *biases) {
    int width = blocks * PER_BLOCK;
    for (int v = 0; v < width; v++) {
        vf *column = (vf *)z + v, sum = SPLAT_F(0);
        const half_word *bits = target;
        for (ptrdiff_t row = 0; row < n; row++, column += width, bits += stride) {
            vf error = NAME(keep)(SPLAT_F(1), LANE_BITS(bits, v)) - NAME(sigmoid)(*column);
            if (credit) error *= credit[row];
            *column = error;
            sum += error;
        }
        ((vf *)biases)[v] += scale * sum;
    }
}

static INLINE vi NAME(units)(ptrdiff_t first) { return *(const vi *)IOTA + (uint32_t)first; }

static void NAME(sample)(const float *z, int blocks, ptrdiff_t n, ptrdiff_t first_unit, ptrdiff_t n_units,
                         const Source *source, half_word *target, ptrdiff_t stride) {
    uint64_t first = source->first_sample, end = first + (uint64_t)n;
    int width = blocks * PER_BLOCK;
    for (int block = 0; block < blocks; block++, n_units -= BLOCK) {
        uint32_t valid = n_units < BLOCK ? (1u << n_units) - 1 : 0xffffu;
        for (uint64_t t = first & ~(uint64_t)3; t < end; t += 4) {
            vi words[PER_BLOCK][4];
            for (int v = 0; v < PER_BLOCK; v++)
                NAME(philox)(NAME(units)(first_unit + BLOCK * block + LANES * v), t >> 2, source->stream, source->seed,
                             words[v]);
            UNROLL for (int j = 0; j < 4; j++) {
                if (t + (uint64_t)j < first || t + (uint64_t)j >= end) continue;
                ptrdiff_t row = (ptrdiff_t)(t + (uint64_t)j - first);
                const vf *column = (const vf *)z + row * width + block * PER_BLOCK;
                uint32_t bits = 0;
                UNROLL for (int v = 0; v < PER_BLOCK; v++) {
                    vf u = NAME(to_float)(words[v][j] >> 9) * 0x1p-23f + 0x1p-24f;
                    bits |= NAME(less)(u * (1.f + NAME(exp_minus)(column[v])), SPLAT_F(1)) << (LANES * v);
                }
                target[row * stride + block] = (half_word)(bits & valid);
            }
        }
    }
}

static void NAME(log_terms)(const float *z, int blocks, ptrdiff_t n, ptrdiff_t n_units, const half_word *target,
                            ptrdiff_t stride, float *lanes) {
    for (ptrdiff_t row = 0; row < n; row++, z += blocks * BLOCK, target += stride, lanes += BLOCK)
        for (int block = 0; block < blocks; block++) {
            ptrdiff_t left = n_units - BLOCK * block;
            uint32_t valid = left < BLOCK ? (1u << left) - 1 : 0xffffu;
            for (int v = 0; v < PER_BLOCK; v++) {
                vf a = ((const vf *)z)[block * PER_BLOCK + v];
                vf sign = NAME(keep)((vf)SPLAT_I(0x80000000u), LANE_BITS(target, block * PER_BLOCK + v));
                vf term = NAME(softplus)((vf)((vi)a ^ (vi)sign));
                ((vf *)lanes)[v] += NAME(keep)(term, valid >> (LANES * v));
            }
        }
}

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
            vi words[4];
            NAME(philox)(NAME(units)(unit), sample >> 2, source->stream, source->seed, words);
            for (ptrdiff_t i = unit; i < unit + LANES && i < n_units; i++)
                out[t * n_units + i] = words[sample & 3][i - unit];
        }
    }
}

const Kernels NAME(kernels) = {
    LEVEL,           NAME(add_rows),  NAME(add_rows_into), NAME(add_row_into),
    NAME(residual),    NAME(sample),    NAME(log_terms), NAME(propagate),     NAME(random_words),
};

#undef LANES
#undef PER_BLOCK
#undef LANE_BITS
#undef vf
#undef vi
#undef SPLAT_I
#undef SPLAT_F
