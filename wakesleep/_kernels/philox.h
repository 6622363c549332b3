/* Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror & Shaw (SC 2011), on vectors of counters. */
#ifndef WAKESLEEP_PHILOX_H
#define WAKESLEEP_PHILOX_H
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u
#endif

#ifdef PHILOX_LEVEL
/* Four words for a vector of units.  counter = (unit, sample block low, high, stream). */
static INLINE void NAME(philox)(vi unit, uint64_t block, uint32_t stream, uint64_t seed, vi words[4]) {
    vi c0 = unit, c1 = SPLAT_I((uint32_t)block), c2 = SPLAT_I((uint32_t)(block >> 32)), c3 = SPLAT_I(stream);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        vi low0, high0, low1, high1;
        NAME(multiply)(c0, PHILOX_M0, &low0, &high0);
        NAME(multiply)(c2, PHILOX_M1, &low1, &high1);
        c0 = high1 ^ c1 ^ SPLAT_I(k0);
        c2 = high0 ^ c3 ^ SPLAT_I(k1);
        c1 = low1;
        c3 = low0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}
#endif
