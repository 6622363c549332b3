/* What plain C or vector extensions do badly, in intrinsics, once per width: widening multiply, minimum and maximum,
 * comparison to bits, bits to ones. VB is the width of a vector in bytes; included by body.h at each level. */

#if VB == 64

static INLINE vf NAME(at_most)(vf a, float bound) { return (vf)_mm512_min_ps((__m512)a, _mm512_set1_ps(bound)); }
static INLINE vf NAME(at_least)(vf a, float bound) { return (vf)_mm512_max_ps((__m512)a, _mm512_set1_ps(bound)); }
static INLINE uint32_t NAME(less)(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
static INLINE vf NAME(keep)(vf a, uint32_t bits) { return (vf)_mm512_maskz_mov_ps((__mmask16)bits, (__m512)a); }
static INLINE vf NAME(to_float)(vi a) { return (vf)_mm512_cvtepi32_ps((__m512i)a); }
static INLINE void NAME(multiply)(vi a, uint32_t m, vi *low, vi *high) {
    __m512i b = _mm512_set1_epi32((int)m), odd = _mm512_shuffle_epi32((__m512i)a, 0xf5);
    __m512i e = _mm512_mul_epu32((__m512i)a, b), o = _mm512_mul_epu32(odd, b);
    *high = (vi)_mm512_mask_blend_epi32(0xaaaa, _mm512_shuffle_epi32(e, 0xf5), o);
    *low = (vi)_mm512_mask_blend_epi32(0xaaaa, e, _mm512_shuffle_epi32(o, 0xa0));
}

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
static INLINE vf NAME(to_float)(vi a) { return (vf)_mm256_cvtepi32_ps((__m256i)a); }
static INLINE void NAME(multiply)(vi a, uint32_t m, vi *low, vi *high) {
    __m256i b = _mm256_set1_epi32((int)m), odd = _mm256_shuffle_epi32((__m256i)a, 0xf5);
    __m256i e = _mm256_mul_epu32((__m256i)a, b), o = _mm256_mul_epu32(odd, b);
    *high = (vi)_mm256_blend_epi32(_mm256_shuffle_epi32(e, 0xf5), o, 0xaa);
    *low = (vi)_mm256_blend_epi32(e, _mm256_shuffle_epi32(o, 0xa0), 0xaa);
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
static INLINE vf NAME(to_float)(vi a) {
    typedef int32_t signed_lanes __attribute__((vector_size(VB)));
    return __builtin_convertvector((signed_lanes)a, vf);
}
static INLINE void NAME(multiply)(vi a, uint32_t m, vi *low, vi *high) {
    for (int i = 0; i < LANES; i++) {
        uint64_t product = (uint64_t)a[i] * m;
        (*low)[i] = (uint32_t)product;
        (*high)[i] = (uint32_t)(product >> 32);
    }
}

#endif
