/* Sums of selected rows, and their mirror; included by body.h. V vectors of a row at a time, so that the sums stay in
 * registers; width vectors from row to row. Where far is not 0, it is the bytes of the rows to come that are fetched with
 * each output. */

/* Sums of the rows of a list at even places, and at odd ones. */
static INLINE void NAME(add_list)(int V, int width, const uint8_t *i, const uint8_t *end, const vf *rows, vf *even,
                                  vf *odd) {
    UNROLL for (int v = 0; v < V; v++) even[v] = odd[v] = SPLAT_F(0);
    if (i == end) return;
    for (; i < end - 2; i += 2) {
        const vf *a = rows + (size_t)i[0] * (size_t)width, *b = rows + (size_t)i[1] * (size_t)width;
        UNROLL for (int v = 0; v < V; v++) even[v] += a[v];
        UNROLL for (int v = 0; v < V; v++) odd[v] += b[v];
    }
    const vf *a = rows + (size_t)i[0] * (size_t)width, *b = rows + (size_t)i[1] * (size_t)width;
    vi pair = SPLAT_I(i[0] != i[1]); /* an odd list repeats its last one */
    UNROLL for (int v = 0; v < V; v++) even[v] += a[v];
    UNROLL for (int v = 0; v < V; v++) odd[v] = NAME(add_if)(odd[v], b[v], pair, 1);
}

static INLINE void NAME(walk)(int V, int width, const Selection *selection, ptrdiff_t far, const vf *rows,
                              ptrdiff_t n_rows, ptrdiff_t n_out, const vf *start, vf *first) {
    const int64_t *at = selection->start;
    for (ptrdiff_t chunk = 0; CHUNK * chunk < n_rows; chunk++, rows += CHUNK * width) {
        const char *next = (const char *)(rows + CHUNK * width);
        for (vf *out = first, *end = first + n_out * width; out < end; out += width, at++, next += far) {
            vf even[MAX_VECTORS], odd[MAX_VECTORS];
            if (far) fetch(next, (size_t)far);
            NAME(add_list)(V, width, selection->index + at[0], selection->index + at[1], rows, even, odd);
            UNROLL for (int v = 0; v < V; v++) out[v] = (chunk ? out[v] : start[v]) + (even[v] + odd[v]);
        }
    }
}

/* `walk` over a single chunk, from zero, and on to the goal. */
static INLINE void NAME(walk_into)(int V, int width, const Selection *selection, const vf *rows, ptrdiff_t n_out,
                                   float scale, vf *goal) {
    const int64_t *at = selection->start;
    for (const vf *end = goal + n_out * width; goal < end; goal += width, at++) {
        vf even[MAX_VECTORS], odd[MAX_VECTORS];
        if (at[0] == at[1]) continue;
        NAME(add_list)(V, width, selection->index + at[0], selection->index + at[1], rows, even, odd);
        UNROLL for (int v = 0; v < V; v++) goal[v] += scale * (even[v] + odd[v]);
    }
}

/* table[s] = the sum, from the left, of those of four rows whose bit is set in s; entries V vectors apart. */
static INLINE void NAME(make_table)(int V, int width, vf *table, const vf *rows) {
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

/* Where registers are many, entries are read one after the other: loads of one column of two entries would meet in a bank of
 * the cache. HERE keeps the compiler from putting a load off. */
static INLINE vf NAME(here)(vf x) {
#if VB == 64
    __asm__("" : "+v"(x));
#endif
    return x;
}
#define HERE(x) NAME(here)(x)

/* The entry of table g that four bits of a word select. */
#define ENTRY(g) ((const vf *)((const char *)(table + (g) * 16 * V) + (size_t)(bits >> 4 * (g) & 15) * (size_t)(V * VB)))

/* One word of every output, through G tables.  rows : from the first of the word on, 4 G of them (those beyond the last
 * are never selected).  Sums wait in out; with a goal, they are added to it and done. */
static INLINE void NAME(pass)(int V, int width, int G, const uint32_t *words, ptrdiff_t stride, ptrdiff_t far,
                              const vf *rows, ptrdiff_t n_out, const vf *start, float scale, vf *out, vf *goal) {
    vf table[8 * 16 * MAX_VECTORS];
    UNROLL for (int g = 0; g < G; g++) NAME(make_table)(V, width, table + g * 16 * V, rows + 4 * g * width);
    for (ptrdiff_t m = 0; m < n_out; m++, words += stride, out += width) {
        uint32_t bits = *words;
        vf sum[MAX_VECTORS];
        if (far) fetch((const char *)(rows + 4 * G * width) + m * far, (size_t)far); /* for the next pass */
        if (start) {
            UNROLL for (int v = 0; v < V; v++) sum[v] = start[v];
        } else {
            UNROLL for (int v = 0; v < V; v++) sum[v] = out[v];
        }
        if (G == 1) {
            UNROLL for (int v = 0; v < V; v++) sum[v] += ENTRY(0)[v];
        } else if (G == 2) {
            UNROLL for (int v = 0; v < V; v++) sum[v] += ENTRY(0)[v] + ENTRY(1)[v];
        } else {
            UNROLL for (int g = 0; g < G; g += 4) {
                vf low[MAX_VECTORS], high[MAX_VECTORS];
                UNROLL for (int v = 0; v < V; v++) low[v] = HERE(ENTRY(g)[v]);
                UNROLL for (int v = 0; v < V; v++) low[v] += ENTRY(g + 1)[v];
                UNROLL for (int v = 0; v < V; v++) high[v] = HERE(ENTRY(g + 2)[v]);
                UNROLL for (int v = 0; v < V; v++) high[v] += ENTRY(g + 3)[v];
                UNROLL for (int v = 0; v < V; v++) sum[v] += low[v] + high[v];
            }
        }
        if (goal) {
            UNROLL for (int v = 0; v < V; v++) goal[v] += scale * sum[v];
            goal += width;
        } else {
            UNROLL for (int v = 0; v < V; v++) out[v] = sum[v];
        }
    }
}

static INLINE void NAME(tables)(int V, int width, const Selection *selection, const vf *rows, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    const uint32_t *words = selection->bits.words;
    ptrdiff_t stride = selection->bits.row, far = selection->far ? share(32 * width * VB, n_out) : 0;
    for (ptrdiff_t row = 0; row < n_rows; row += 32, words += selection->bits.word, rows += 32 * width, start = NULL) {
        ptrdiff_t left = n_rows - row;
        vf *into = left > 32 ? NULL : goal;
        if (left > 16 && far)
            NAME(pass)(V, width, 8, words, stride, far, rows, n_out, start, scale, scratch, into);
        else if (left > 16)
            NAME(pass)(V, width, 8, words, stride, 0, rows, n_out, start, scale, scratch, into);
        else if (left > 8)
            NAME(pass)(V, width, 4, words, stride, 0, rows, n_out, start, scale, scratch, into);
        else if (left > 4)
            NAME(pass)(V, width, 2, words, stride, 0, rows, n_out, start, scale, scratch, into);
        else
            NAME(pass)(V, width, 1, words, stride, 0, rows, n_out, start, scale, scratch, into);
    }
}

/* The sums of `tables`, output by output, for outputs so few that the tables would not pay; without a branch, for nobody can
 * foretell the bits. */
static INLINE void NAME(groups)(int V, int width, const Selection *selection, const vf *rows, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    for (ptrdiff_t m = 0; m < n_out; m++) {
        const uint32_t *words = selection->bits.words + m * selection->bits.row;
        vf sum[MAX_VECTORS];
        UNROLL for (int v = 0; v < V; v++) sum[v] = start[v];
        for (ptrdiff_t row = 0; row < n_rows; row += 16) {
            vi bits = SPLAT_I(words[row / 32 * selection->bits.word] >> row % 32);
            UNROLL for (int v = 0; v < V; v++) {
                vf t[4];
                UNROLL for (int g = 0; g < 4; g++) {
                    t[g] = SPLAT_F(0);
                    UNROLL for (int i = 4 * g; i < 4 * g + 4; i++)
                        t[g] = NAME(add_if)(t[g], rows[(row + i) * width + v], bits, 1u << i);
                }
                sum[v] += (t[0] + t[1]) + (t[2] + t[3]);
            }
        }
        if (goal) {
            UNROLL for (int v = 0; v < V; v++) goal[m * width + v] += scale * sum[v];
        } else {
            UNROLL for (int v = 0; v < V; v++) scratch[m * width + v] = sum[v];
        }
    }
}

/* `now` blocks of a panel of `blocks`. */
static INLINE void NAME(select)(int now, int blocks, const Selection *selection, const vf *rows, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    int V = now * PER_BLOCK, width = blocks * PER_BLOCK;
    if (!n_rows) {
        for (vf *out = scratch; !goal && out < scratch + n_out * width; out += width)
            UNROLL for (int v = 0; v < V; v++) out[v] = start[v];
    } else if (selection->method == TABLES && n_out < TABLES_FROM) {
        NAME(groups)(V, width, selection, rows, n_rows, n_out, start, scale, scratch, goal);
    } else if (selection->method == TABLES) {
        NAME(tables)(V, width, selection, rows, n_rows, n_out, start, scale, scratch, goal);
    } else if (goal && n_rows <= CHUNK) {
        NAME(walk_into)(V, width, selection, rows, n_out, scale, goal);
    } else {
        if (selection->far)
            NAME(walk)(V, width, selection, share(CHUNK * width * VB, n_out), rows, n_rows, n_out, start, scratch);
        else
            NAME(walk)(V, width, selection, 0, rows, n_rows, n_out, start, scratch);
        for (ptrdiff_t i = 0; goal && i < n_out * width; i += width)
            UNROLL for (int v = 0; v < V; v++) goal[i + v] += scale * scratch[i + v];
    }
}

/* A panel that is too wide for the registers goes in two parts. */
static INLINE void NAME(select_parts)(int blocks, const Selection *selection, const vf *rows, ptrdiff_t n_rows,
                                      ptrdiff_t n_out, const vf *start, float scale, vf *scratch, vf *goal) {
    int first = blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS, skip = first * PER_BLOCK;
    NAME(select)(first, blocks, selection, rows, n_rows, n_out, start, scale, scratch, goal);
    if (blocks > first)
        NAME(select)(blocks - first, blocks, selection, rows + skip, n_rows, n_out, start + skip, scale, scratch + skip,
                     goal ? goal + skip : NULL);
}

/* A constant number of blocks in each case. */
static void NAME(select_blocks)(int blocks, const Selection *selection, const float *rows_, ptrdiff_t n_rows,
                                ptrdiff_t n_out, const float *start_, float scale, float *scratch_, float *goal_) {
    const vf *rows = (const vf *)rows_, *start = (const vf *)start_;
    vf *scratch = (vf *)scratch_, *goal = (vf *)goal_;
    switch (blocks) {
    case 1: NAME(select_parts)(1, selection, rows, n_rows, n_out, start, scale, scratch, goal); break;
    case 2: NAME(select_parts)(2, selection, rows, n_rows, n_out, start, scale, scratch, goal); break;
    case 3: NAME(select_parts)(3, selection, rows, n_rows, n_out, start, scale, scratch, goal); break;
    case 4: NAME(select_parts)(4, selection, rows, n_rows, n_out, start, scale, scratch, goal); break;
    }
}

static void NAME(add_rows)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                           const float *start, float *out) {
    NAME(select_blocks)(blocks, selection, rows, n_rows, n_out, start, 0, out, NULL);
}

static void NAME(add_rows_into)(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows,
                                ptrdiff_t n_out, float scale, float *scratch, float *goal) {
    NAME(select_blocks)(blocks, selection, rows, n_rows, n_out, ZEROS, scale, scratch, goal);
}

static INLINE void NAME(add_to_set)(int V, const Packed *bits, const vf *row, ptrdiff_t n_out, float scale, vf *goal) {
    const uint32_t *word = bits->words;
    vf added[4 * PER_BLOCK];
    UNROLL for (int v = 0; v < V; v++) added[v] = scale * row[v];
    for (; n_out > 0; n_out -= 32, word += bits->word, goal += 32 * V)
        for (uint32_t left = *word; left; left &= left - 1) {
            vf *out = goal + (size_t)__builtin_ctz(left) * (size_t)V;
            UNROLL for (int v = 0; v < V; v++) out[v] += added[v];
        }
}

static void NAME(add_row_into)(const Packed *bits, const float *row_, int blocks, ptrdiff_t n_out, float scale,
                               float *goal_) {
    const vf *row = (const vf *)row_;
    vf *goal = (vf *)goal_;
    switch (blocks) {
    case 1: NAME(add_to_set)(1 * PER_BLOCK, bits, row, n_out, scale, goal); break;
    case 2: NAME(add_to_set)(2 * PER_BLOCK, bits, row, n_out, scale, goal); break;
    case 3: NAME(add_to_set)(3 * PER_BLOCK, bits, row, n_out, scale, goal); break;
    case 4: NAME(add_to_set)(4 * PER_BLOCK, bits, row, n_out, scale, goal); break;
    }
}

#undef ENTRY
#undef HERE
