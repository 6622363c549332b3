/* What weighted particles take, and what a gradient does to parameters; included by body.h. */

/* The sum of sixteen lanes: eight and eight are added, then four and four, and so on. */
static INLINE float NAME(sum_of_block)(const vf *lanes) {
    const quad *q = (const quad *)lanes;
    quad four = (q[0] + q[2]) + (q[1] + q[3]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

static INLINE void NAME(weigh_blocks)(int one, vf *z, int blocks, ptrdiff_t n, const Packed *target, ptrdiff_t first_block,
                                      ptrdiff_t n_units, float *terms, ptrdiff_t stride) {
    for (int block = 0; block < blocks; block++, z += PER_BLOCK, terms += stride, n_units -= BLOCK) {
        uint32_t valid = n_units < BLOCK ? (1u << n_units) - 1 : 0xffffu;
        const half_word *bits = NAME(half)(target, 0, first_block + block);
        vf *at = z, sums[PER_BLOCK], on[PER_BLOCK], off[PER_BLOCK];
        if (one)
            UNROLL for (int v = 0; v < PER_BLOCK; v++) on[v] = NAME(softplus)(-z[v]), off[v] = NAME(softplus)(z[v]);
        for (ptrdiff_t row = 0; row < n; row++, at += one ? 0 : blocks * PER_BLOCK, bits += 2 * target->row) {
            UNROLL for (int v = 0; v < PER_BLOCK; v++) {
                if (one) {
                    vi chosen = (vi)NAME(keep)(on[v], (*bits & valid) >> (LANES * v));
                    sums[v] = (vf)(chosen | (vi)NAME(keep)(off[v], (~(uint32_t)*bits & valid) >> (LANES * v)));
                    continue;
                }
                vi sign = (vi)NAME(keep)((vf)SPLAT_I(0x80000000u), (uint32_t)*bits >> (LANES * v));
                vf against = (vf)((vi)at[v] ^ sign), e = NAME(exp_minus)((vf)((vi)against & 0x7fffffffu));
                vi over = (vi)(against > 0.f);
                vf wrong = (vf)((over & (vi)SPLAT_F(1)) | (~over & (vi)e)) / (1.f + e); /* sigmoid(against) */
                at[v] = (vf)((vi)wrong ^ sign ^ 0x80000000u);
                sums[v] = NAME(keep)(NAME(softplus_of)(against, e), valid >> (LANES * v));
            }
            terms[row] = NAME(sum_of_block)(sums);
        }
    }
}

static void NAME(weigh)(float *z, int one, int blocks, ptrdiff_t n, const Packed *target, ptrdiff_t first_block,
                        ptrdiff_t n_units, float *terms, ptrdiff_t stride) {
    if (one)
        NAME(weigh_blocks)(1, (vf *)z, blocks, n, target, first_block, n_units, terms, stride);
    else
        NAME(weigh_blocks)(0, (vf *)z, blocks, n, target, first_block, n_units, terms, stride);
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
