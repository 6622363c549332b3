/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror & Shaw (SC 2011), on vectors of counters. */
#ifndef WAKESLEEP_PHILOX_H
#define WAKESLEEP_PHILOX_H
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#endif

#ifdef PHILOX_LEVEL
/* Four words for a vector of units, of which the even and the odd ones go apart, each in the low half of 64 bits: so the
 * high half of a product is a shift away.  counter = (unit, sample block low, high, stream). */
static INLINE void NAME(philox)(vi unit, uint64_t block, uint32_t stream, uint64_t seed, vi words[4]) {
    vl c[2][4];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    UNROLL for (int odd = 0; odd < 2; odd++) {
        c[odd][0] = odd ? (vl)unit >> 32 : (vl)unit;
        c[odd][1] = SPLAT_L(block), c[odd][2] = SPLAT_L(block >> 32), c[odd][3] = SPLAT_L(stream);
    }
    UNROLL for (int round = 0; round < 10; round++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        UNROLL for (int odd = 0; odd < 2; odd++) {
            vl product0 = NAME(wide)(c[odd][0], PHILOX_M0), product1 = NAME(wide)(c[odd][2], PHILOX_M1);
            c[odd][0] = product1 >> 32 ^ c[odd][1] ^ SPLAT_L(k0);
            c[odd][2] = product0 >> 32 ^ c[odd][3] ^ SPLAT_L(k1);
            c[odd][1] = product1;
            c[odd][3] = product0;
        }
    UNROLL for (int j = 0; j < 4; j++) words[j] = NAME(merge)(c[0][j], c[1][j]);
}
#endif
