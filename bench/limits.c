/* What one thread of this processor can do, in billions a second: additions of vectors from its nearest cache (the limit
 * of sums of rows), fused multiply-adds of vectors in registers, and multiply-adds in tiles where it has them.
 * bench.phases compiles and runs it: cc -O3 -march=native. A line of output is a name, the lanes of a vector, and a figure. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__AMX_BF16__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { ROUNDS = 7, KIB = 16, SUMS = 8 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The sums are used, so that nobody leaves them out. */
#define USE(sum) __asm__ volatile("" : "+x"((sum)[0]), "+x"((sum)[1]), "+x"((sum)[2]), "+x"((sum)[3]), "+x"((sum)[4]), \
                                  "+x"((sum)[5]), "+x"((sum)[6]), "+x"((sum)[7]))
#define BEST(name, lanes, n, body)                                                 \
    do {                                                                           \
        double best = 1e9;                                                         \
        for (int round = 0; round < ROUNDS; round++) {                             \
            double began = seconds(), took;                                        \
            body;                                                                  \
            if ((took = seconds() - began) < best) best = took;                    \
        }                                                                          \
        printf("%s %d %.3f\n", name, lanes, (double)(n) / best / 1e9);             \
    } while (0)

#define VECTORS(bytes)                                                                                        \
    static void vectors_##bytes(const void *memory) {                                                         \
        typedef float vector __attribute__((vector_size(bytes)));                                             \
        enum { N = KIB * 1024 / bytes, TIMES = 400000000 / N / 4 };                                           \
        const vector *line = memory;                                                                          \
        vector sum[SUMS] = {0}, x = line[0] + 1.0f, y = line[1] + 0.5f;                                       \
        BEST("adds", bytes / 4, (double)N * TIMES, for (int t = 0; t < TIMES; t++) {                          \
            for (int i = 0; i < N; i += SUMS)                                                                 \
                _Pragma("GCC unroll 8") for (int s = 0; s < SUMS; s++) sum[s] += line[i + s];                 \
            USE(sum);                                                                                         \
        });                                                                                                   \
        BEST("fmas", bytes / 4, (double)N * TIMES, for (int t = 0; t < TIMES * N / SUMS; t++) {               \
            _Pragma("GCC unroll 8") for (int s = 0; s < SUMS; s++) sum[s] = x * sum[s] + y;                   \
            USE(sum);                                                                                         \
        });                                                                                                   \
    }

VECTORS(16)
#if defined(__AVX2__)
VECTORS(32)
#endif
#if defined(__AVX512F__)
VECTORS(64)
#endif

int main(void) {
    void *memory = aligned_alloc(4096, KIB * 1024);
    memset(memory, 0, KIB * 1024);
    vectors_16(memory);
#if defined(__AVX2__)
    vectors_32(memory);
#endif
#if defined(__AVX512F__)
    vectors_64(memory);
#endif
#if defined(__AMX_BF16__)
    if (syscall(SYS_arch_prctl, 0x1023, 18) == 0) { /* leave to use tiles */
        struct {
            unsigned char palette, start, zero[14];
            unsigned short columns[16];
            unsigned char rows[16];
        } layout = {.palette = 1};
        for (int i = 0; i < 8; i++) layout.columns[i] = 64, layout.rows[i] = 16;
        _tile_loadconfig(&layout);
        _tile_loadd(4, memory, 64);
        _tile_loadd(5, memory, 64);
        enum { TIMES = 2000000 };
        BEST("tiles", 512, 4.0 * TIMES * 16, for (int t = 0; t < TIMES; t++) { /* 16 x 16 x 32 at a time */
            _tile_dpbf16ps(0, 4, 5);
            _tile_dpbf16ps(1, 4, 5);
            _tile_dpbf16ps(2, 4, 5);
            _tile_dpbf16ps(3, 4, 5);
        });
        _tile_release();
    }
#endif
    return 0;
}
