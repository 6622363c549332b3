/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror & Shaw (SC 2011), on vectors of counters. */
#ifndef WAKESLEEP_PHILOX_H
#define WAKESLEEP_PHILOX_H
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#endif

#ifdef PHILOX_LEVEL
/* Four words for a vector of units, for each of n blocks of samples. Even and odd units go apart, each in the low half of 64
 * bits, so that the high half of a product is a shift away; all of them side by side, for each waits for its products.
 * counter = (unit, block of samples low, high, stream). */
static INLINE void NAME(philox)(int n, vi unit, uint64_t block, uint32_t stream, uint64_t seed, vi words[][4]) {
    vl c[2 * MOST_GROUPS][4];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    UNROLL for (int i = 0; i < 2 * n; i++) {
        uint64_t number = block + (uint64_t)(i / 2);
        c[i][0] = i & 1 ? (vl)unit >> 32 : (vl)unit;
        c[i][1] = SPLAT_L(number), c[i][2] = SPLAT_L(number >> 32), c[i][3] = SPLAT_L(stream);
    }
    UNROLL for (int round = 0; round < 10; round++, k0 += PHILOX_W0, k1 += PHILOX_W1)
        UNROLL for (int i = 0; i < 2 * n; i++) {
            vl product0 = NAME(wide)(c[i][0], PHILOX_M0), product1 = NAME(wide)(c[i][2], PHILOX_M1);
            c[i][0] = NAME(xor3)(product1 >> 32, c[i][1], SPLAT_L(k0));
            c[i][2] = NAME(xor3)(product0 >> 32, c[i][3], SPLAT_L(k1));
            c[i][1] = product1;
            c[i][3] = product0;
        }
    UNROLL for (int i = 0; i < n; i++)
        UNROLL for (int j = 0; j < 4; j++) words[i][j] = NAME(merge)(c[2 * i][j], c[2 * i + 1][j]);
}
#endif
