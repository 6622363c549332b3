/* What plain C or vector extensions do badly, in intrinsics, once per width: widening multiply, minimum and maximum,
 * comparison to bits, bits to ones, bits to their numbers. VB is the width of a vector in bytes; included by body.h at
 * each level.
 * xor3(a, b, c): exclusive or of all.  add_if(a, b, bits, bit): a + b in lanes that have this bit, else a.
 * eight_sums(lanes, sums): the sums of eight rows of sixteen lanes, as sum_of_block in learning.h takes them.
 * root(a): the square root, exactly rounded.
 * wide(a, m): the low 32 bits of each 64-bit lane times m.  merge(even, odd): the low 32 bits of both, alternately.
 * list(bits, first, next): the numbers of the bits set, counted from first; returns where the next number goes, and may
 * write as far as 64 of them would reach. */

#if VB == 64

static INLINE vf NAME(at_most)(vf a, float bound) { return (vf)_mm512_min_ps((__m512)a, _mm512_set1_ps(bound)); }
static INLINE vf NAME(at_least)(vf a, float bound) { return (vf)_mm512_max_ps((__m512)a, _mm512_set1_ps(bound)); }
static INLINE uint32_t NAME(less)(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
static INLINE vf NAME(keep)(vf a, uint32_t bits) { return (vf)_mm512_maskz_mov_ps((__mmask16)bits, (__m512)a); }
static INLINE vf NAME(add_if)(vf a, vf b, vi bits, uint32_t bit) {
    __mmask16 wanted = _mm512_test_epi32_mask((__m512i)bits, _mm512_set1_epi32((int)bit));
    return (vf)_mm512_mask_add_ps((__m512)a, wanted, (__m512)a, (__m512)b);
}
static INLINE vf NAME(root)(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
static INLINE vf NAME(to_float)(vi a) { return (vf)_mm512_cvtepi32_ps((__m512i)a); }
static INLINE vl NAME(xor3)(vl a, vl b, vl c) {
    return (vl)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0x96);
}
static INLINE vl NAME(wide)(vl a, uint32_t m) { return (vl)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(m)); }
static INLINE vi NAME(merge)(vl even, vl odd) {
    return (vi)_mm512_mask_blend_epi32(0xaaaa, (__m512i)even, (__m512i)(odd << 32));
}

#define FOURS(a, b, which) (vf) _mm512_shuffle_f32x4((__m512)(a), (__m512)(b), which)
#define WITHIN(a, b, which) (vf) _mm512_shuffle_ps((__m512)(a), (__m512)(b), which)
static INLINE void NAME(eight_sums)(const vf *lanes, float *sums) {
    vf eight[4], four[2];
    UNROLL for (int i = 0; i < 4; i++) { /* of rows 0 and 2, 1 and 3, 4 and 6, 5 and 7 */
        vf a = lanes[i + (i & 2)], b = lanes[i + (i & 2) + 2];
        eight[i] = FOURS(a, b, 0x44) + FOURS(a, b, 0xee);
    }
    UNROLL for (int i = 0; i < 2; i++)
        four[i] = FOURS(eight[i], eight[i + 2], 0x88) + FOURS(eight[i], eight[i + 2], 0xdd);
    vf two = WITHIN(four[0], four[1], 0x44) + WITHIN(four[0], four[1], 0xee);
    vf all = WITHIN(two, two, 0x88) + WITHIN(two, two, 0xdd); /* of a row and the next, twice */
    _mm256_storeu_ps(sums, _mm512_castps512_ps256((__m512)_mm512_maskz_compress_pd(0x55, (__m512d)all)));
}
#undef FOURS
#undef WITHIN

#elif VB == 32

static INLINE vf NAME(at_most)(vf a, float bound) { return (vf)_mm256_min_ps((__m256)a, _mm256_set1_ps(bound)); }
static INLINE vf NAME(at_least)(vf a, float bound) { return (vf)_mm256_max_ps((__m256)a, _mm256_set1_ps(bound)); }
static INLINE uint32_t NAME(less)(vf a, vf b) {
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ));
}
static INLINE vf NAME(keep)(vf a, uint32_t bits) {
    const vi bit = {1, 2, 4, 8, 16, 32, 64, 128};
    return (vf)((vi)a & (vi)((SPLAT_I(bits) & bit) == bit));
}
static INLINE vf NAME(add_if)(vf a, vf b, vi bits, uint32_t bit) {
    return a + (vf)((vi)b & (vi)((bits & bit) == SPLAT_I(bit)));
}
static INLINE vf NAME(root)(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }
static INLINE vf NAME(to_float)(vi a) { return (vf)_mm256_cvtepi32_ps((__m256i)a); }
static INLINE vl NAME(xor3)(vl a, vl b, vl c) { return a ^ b ^ c; }
static INLINE vl NAME(wide)(vl a, uint32_t m) { return (vl)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m)); }
static INLINE vi NAME(merge)(vl even, vl odd) {
    return (vi)_mm256_blend_epi32((__m256i)even, (__m256i)(odd << 32), 0xaa);
}

#else /* any processor: vectors of four, one lane at a time where there is no operator */

static INLINE vf NAME(at_most)(vf a, float bound) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] < bound ? a[i] : bound;
    return a;
}
static INLINE vf NAME(at_least)(vf a, float bound) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > bound ? a[i] : bound;
    return a;
}
static INLINE uint32_t NAME(less)(vf a, vf b) {
    const vi bit = {1, 2, 4, 8};
    vi m = (vi)(a < b) & bit;
    return (m[0] | m[1]) | (m[2] | m[3]);
}
static INLINE vf NAME(keep)(vf a, uint32_t bits) {
    const vi bit = {1, 2, 4, 8};
    return (vf)((vi)a & (vi)((SPLAT_I(bits) & bit) == bit));
}
static INLINE vf NAME(add_if)(vf a, vf b, vi bits, uint32_t bit) {
    return a + (vf)((vi)b & (vi)((bits & bit) == SPLAT_I(bit)));
}
static INLINE vf NAME(root)(vf a) {
    for (int i = 0; i < LANES; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
}
static INLINE vf NAME(to_float)(vi a) {
    typedef int32_t signed_lanes __attribute__((vector_size(VB)));
    return __builtin_convertvector((signed_lanes)a, vf);
}
static INLINE vl NAME(xor3)(vl a, vl b, vl c) { return a ^ b ^ c; }
static INLINE vl NAME(wide)(vl a, uint32_t m) {
#if defined(__x86_64__)
    return (vl)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
#else
    return (a & 0xffffffffu) * m;
#endif
}
static INLINE vi NAME(merge)(vl even, vl odd) { return (vi)((even & 0xffffffffu) | (odd << 32)); }

#endif

#if VB == 16
static INLINE uint8_t *NAME(list)(uint64_t bits, uint8_t first, uint8_t *next) {
    for (; bits; bits &= bits - 1) *next++ = (uint8_t)(first + __builtin_ctzll(bits));
    return next;
}
#elif VB == 64
static INLINE uint8_t *NAME(list)(uint64_t bits, uint8_t first, uint8_t *next) {
    __m512i numbers = _mm512_add_epi8(_mm512_load_si512(IOTA_8), _mm512_set1_epi8((char)first));
    _mm512_storeu_si512(next, _mm512_maskz_compress_epi8(bits, numbers));
    return next + __builtin_popcountll(bits);
}
#else
static INLINE uint8_t *NAME(list)(uint64_t bits, uint8_t first, uint8_t *next) {
    uint64_t ones = 0x0101010101010101u, base = first * ones;
    UNROLL for (int byte = 0; byte < 8; byte++, bits >>= 8, base += 8 * ones) {
        uint64_t numbers = IN_BYTE[bits & 0xff] + base;
        memcpy(next, &numbers, 8);
        next += __builtin_popcountll(bits & 0xff);
    }
    return next;
}
#endif
