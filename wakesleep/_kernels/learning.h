/* What weighted particles take, and what a gradient does to parameters; included by body.h. */

/* The sum of sixteen lanes: eight and eight are added, then four and four, and so on. */
static INLINE float NAME(sum_of_block)(const vf *lanes) {
    const quad *q = (const quad *)lanes;
    quad four = (q[0] + q[2]) + (q[1] + q[3]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* The sums of so many blocks, one after the other. */
static INLINE void NAME(sums_of_blocks)(int n, const vf *lanes, float *sums) {
#if VB == 64
    if (n == ABREAST) {
        NAME(eight_sums)(lanes, sums);
        return;
    }
#endif
    UNROLL for (int i = 0; i < n; i++) sums[i] = NAME(sum_of_block)(lanes + i * PER_BLOCK);
}

/* What `weigh` does with so many rows. */
static INLINE void NAME(weigh_rows)(int rows, const vf *z, int blocks, const Packed *target, const Packed *observed,
                                    ptrdiff_t row, ptrdiff_t first_block, ptrdiff_t n_units, vf *errors, float *terms,
                                    ptrdiff_t stride) {
    ptrdiff_t width = blocks * PER_BLOCK, step = 2 * target->row;
    for (int block = 0; block < blocks; block++, n_units -= BLOCK, z += PER_BLOCK, errors += PER_BLOCK, terms += stride) {
        const half_word *bits = NAME(half)(target, row, first_block + block);
        uint32_t valid = NAME(units_left)(n_units);
        vf against[ABREAST], e[ABREAST], sums[ABREAST];
        NAME(against)(rows, z, width, bits, step, against, e);
        UNROLL for (int i = 0; i < rows * PER_BLOCK; i++) {
            vi over = (vi)(against[i] > 0.f);
            vf wrong = (vf)((over & (vi)SPLAT_F(1)) | (~over & (vi)e[i])) / (1.f + e[i]); /* sigmoid(against) */
            uint32_t off = ~(uint32_t)bits[i / PER_BLOCK * step] >> i % PER_BLOCK * LANES;
            vf error = (vf)((vi)wrong | (vi)NAME(keep)((vf)SPLAT_I(0x80000000u), off));
            uint32_t counted = NAME(units_observed)(0xffffu, observed, row + i / PER_BLOCK, first_block + block);
            if (observed) error = NAME(keep)(error, counted >> i % PER_BLOCK * LANES);
            errors[i / PER_BLOCK * width + i % PER_BLOCK] = error;
        }
        NAME(softpluses)(rows * PER_BLOCK, against, e, sums);
        UNROLL for (int i = 0; i < rows * PER_BLOCK; i++) {
            uint32_t counted = NAME(units_observed)(valid, observed, row + i / PER_BLOCK, first_block + block);
            sums[i] = NAME(keep)(sums[i], counted >> i % PER_BLOCK * LANES);
        }
        NAME(sums_of_blocks)(rows, sums, terms);
    }
}

static INLINE void NAME(weigh_one)(const vf *z, ptrdiff_t n, const Packed *target, const Packed *observed, ptrdiff_t block,
                                   uint32_t valid, float *terms) {
    vf on[PER_BLOCK], off[PER_BLOCK], sums[PER_BLOCK];
    NAME(terms_of_one)(z, valid, on, off);
    for (ptrdiff_t row = 0; row < n; row++) {
        uint32_t bits = *NAME(half)(target, row, block), counted = NAME(units_observed)(valid, observed, row, block);
        UNROLL for (int v = 0; v < PER_BLOCK; v++)
            sums[v] = NAME(keep)(NAME(choose)(on[v], off[v], bits >> v * LANES), counted >> v * LANES);
        terms[row] = NAME(sum_of_block)(sums);
    }
}

static INLINE void NAME(weigh_all)(const vf *z, int blocks, ptrdiff_t n, const Packed *target, const Packed *observed,
                                   ptrdiff_t first_block, ptrdiff_t n_units, vf *errors, float *terms, ptrdiff_t stride) {
    ptrdiff_t width = blocks * PER_BLOCK, row = 0;
    for (; row + ROWS_ABREAST <= n; row += ROWS_ABREAST)
        NAME(weigh_rows)(ROWS_ABREAST, z + row * width, blocks, target, observed, row, first_block, n_units,
                         errors + row * width, terms + row, stride);
    for (; row < n; row++)
        NAME(weigh_rows)(1, z + row * width, blocks, target, observed, row, first_block, n_units, errors + row * width,
                         terms + row, stride);
}

static void NAME(weigh)(const float *z_, int one, int blocks, ptrdiff_t n, const Packed *target, const Packed *observed,
                        ptrdiff_t first_block, ptrdiff_t n_units, float *errors_, float *terms, ptrdiff_t stride) {
    const vf *z = (const vf *)z_;
    vf *errors = (vf *)errors_;
    for (int block = 0; one && block < blocks; block++)
        NAME(weigh_one)(z + block * PER_BLOCK, n, target, observed, first_block + block,
                        NAME(units_left)(n_units - BLOCK * block), terms + block * stride);
    if (!one && observed)
        NAME(weigh_all)(z, blocks, n, target, observed, first_block, n_units, errors, terms, stride);
    else if (!one)
        NAME(weigh_all)(z, blocks, n, target, NULL, first_block, n_units, errors, terms, stride);
}

static INLINE void NAME(credit_groups)(int V, const vf *error, ptrdiff_t n, ptrdiff_t group, const float *credit,
                                       float scale, vf *out, vf *biases) {
    vf total[4 * PER_BLOCK];
    UNROLL for (int v = 0; v < V; v++) total[v] = SPLAT_F(0);
    for (ptrdiff_t row = 0; row < n; row++, out += V) {
        vf sum[4 * PER_BLOCK];
        UNROLL for (int v = 0; v < V; v++) sum[v] = SPLAT_F(0);
        for (ptrdiff_t k = 0; k < group; k++, error += V, credit++)
            UNROLL for (int v = 0; v < V; v++) sum[v] += error[v] * *credit;
        UNROLL for (int v = 0; v < V; v++) out[v] = sum[v], total[v] += sum[v];
    }
    UNROLL for (int v = 0; v < V; v++) biases[v] += scale * total[v];
}

static void NAME(credit_rows)(float *errors, int blocks, ptrdiff_t n, ptrdiff_t group, const float *credit, float scale,
                              float *biases_) {
    const vf *error = (const vf *)errors;
    vf *out = (vf *)errors, *biases = (vf *)biases_;
    switch (blocks) {
    case 1: NAME(credit_groups)(1 * PER_BLOCK, error, n, group, credit, scale, out, biases); break;
    case 2: NAME(credit_groups)(2 * PER_BLOCK, error, n, group, credit, scale, out, biases); break;
    case 3: NAME(credit_groups)(3 * PER_BLOCK, error, n, group, credit, scale, out, biases); break;
    case 4: NAME(credit_groups)(4 * PER_BLOCK, error, n, group, credit, scale, out, biases); break;
    }
}

/* ---- optimizers ---- */

static void NAME(add_squares)(const float *gradient, const float *biases, int blocks, ptrdiff_t n_rows, ptrdiff_t n_units,
                              double *squares) {
    for (int block = 0; block < blocks; block++, gradient += BLOCK, biases += BLOCK, n_units -= BLOCK) {
        double lanes[BLOCK] = {0};
        for (ptrdiff_t row = 0; row <= n_rows; row++) {
            const float *g = row < n_rows ? gradient + row * blocks * BLOCK : biases;
            for (int lane = 0; lane < BLOCK; lane++) lanes[lane] += (double)g[lane] * (double)g[lane];
        }
        for (ptrdiff_t lane = n_units > 0 ? n_units : 0; lane < BLOCK; lane++) lanes[lane] = 0;
        for (int half = BLOCK / 2; half; half /= 2)
            for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
        squares[block] = lanes[0];
    }
}

static INLINE void NAME(update_by)(int optimizer, const Update *u, ptrdiff_t n, float kept, vf *w, vf *gradient, vf *first,
                                   vf *second) {
    for (ptrdiff_t i = 0; i < n / LANES; i++) {
        vf g = u->factor * gradient[i], old = w[i] * kept;
        gradient[i] = SPLAT_F(0);
        if (optimizer == SGD) {
            w[i] = old + u->rate * g;
        } else if (optimizer == MOMENTUM) {
            first[i] = u->old_first * first[i] + u->new_first * g;
            w[i] = old + u->rate * first[i];
        } else if (optimizer == RMSPROP) {
            first[i] = u->old_second * first[i] + u->new_second * (g * g);
            w[i] = old + u->rate * g / (NAME(root)(first[i]) + u->epsilon);
        } else {
            first[i] = u->old_first * first[i] + u->new_first * g;
            second[i] = u->old_second * second[i] + u->new_second * (g * g);
            w[i] = old + u->rate * first[i] / (NAME(root)(second[i]) + u->epsilon);
        }
    }
}

static void NAME(update)(const Update *u, ptrdiff_t n, float kept, float *weights, float *gradient, float *first_,
                         float *second_) {
    vf *w = (vf *)weights, *g = (vf *)gradient, *first = (vf *)first_, *second = (vf *)second_;
    switch (u->optimizer) {
    case SGD: NAME(update_by)(SGD, u, n, kept, w, g, first, second); break;
    case MOMENTUM: NAME(update_by)(MOMENTUM, u, n, kept, w, g, first, second); break;
    case RMSPROP: NAME(update_by)(RMSPROP, u, n, kept, w, g, first, second); break;
    case ADAM: NAME(update_by)(ADAM, u, n, kept, w, g, first, second); break;
    }
}
