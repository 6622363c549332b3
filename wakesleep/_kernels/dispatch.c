/* Every kernel for every instruction set, and the only place that asks what the processor can do. */
#define _DEFAULT_SOURCE /* for syscall */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(_MSC_VER) /* where Clang leaves out of it what the flags do not ask for */
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <avx512fintrin.h>
#include <avx512bwintrin.h>
#include <avx512dqintrin.h>
#include <avx512vbmi2intrin.h>
#endif
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "packed bits are little-endian"
#endif

#define INLINE inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")
#define GLUE_(a, b) a##_##b
#define GLUE(a, b) GLUE_(a, b)
#define NAME(x) GLUE(x, SUFFIX)
typedef float quad __attribute__((vector_size(16), may_alias));
enum { TABLES_FROM = 12 }; /* outputs from which building the tables pays */
enum { MOST_GROUPS = 2 };  /* of eight samples that are drawn side by side */
enum { ABREAST = 8 };      /* vectors that elementary functions are taken of side by side */
enum { REST = 1 << 23 };   /* added to a stream: where the rest of a random number comes from */
static const float ZEROS[PANEL] __attribute__((aligned(64)));
static const uint32_t IOTA[BLOCK] __attribute__((aligned(64))) = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Whole cache lines of so many bytes for each of n. */
static inline ptrdiff_t share(ptrdiff_t bytes, ptrdiff_t n) { return (bytes / n + 63) / 64 * 64; }

#define EIGHT(i) i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7
static const uint8_t IOTA_8[64] __attribute__((aligned(64))) = {EIGHT(0),  EIGHT(8),  EIGHT(16), EIGHT(24),
                                                                EIGHT(32), EIGHT(40), EIGHT(48), EIGHT(56)};

/* The numbers of the bits set in a byte, a byte each; filled before any kernel is there to use it. */
static uint64_t IN_BYTE[256];
static void fill_in_byte(void) {
    for (int byte = 0; byte < 256; byte++) {
        uint64_t numbers = 0;
        for (int bit = 7; bit >= 0; bit--)
            if (byte >> bit & 1) numbers = numbers << 8 | (uint64_t)bit;
        IN_BYTE[byte] = numbers;
    }
}

/* Vectors of sixteen bytes are the baseline of x86-64 and of arm64. */
#define SUFFIX baseline
#define LEVEL "baseline"
#define VB 16
#define MAX_BLOCKS 2
#define MAX_VECTORS 8
#include "body.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif
#define SUFFIX avx2
#define LEVEL "avx2"
#define VB 32
#define MAX_BLOCKS 4
#define MAX_VECTORS 8
#include "body.h"
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(                                                                       \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi,bmi2,popcnt"))), \
    apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx2,bmi,bmi2,popcnt,prefer-vector-width=512")
#endif
#define SUFFIX avx512
#define LEVEL "avx512"
#define VB 64
#define MAX_BLOCKS 4
#define MAX_VECTORS 4
#include "body.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define TILES
#if defined(__clang__)
#pragma clang attribute push(                                                                                         \
    __attribute__((                                                                                                   \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx512bf16,amx-tile,amx-bf16,avx2,bmi,bmi2,popcnt"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi2,avx512bf16,amx-tile,amx-bf16,avx2,bmi,bmi2,popcnt")
#endif
#include "tiles.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if defined(_WIN32) /* where Clang finds no library that answers __builtin_cpu_supports */
#include <cpuid.h>
/* Whether the processor has these of leaf 1 (ecx) and of leaf 7 (ebx, ecx), and the system saves this state of them. */
static int has(unsigned one_c, unsigned seven_b, unsigned seven_c, unsigned state) {
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & one_c) != one_c) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & seven_b) != seven_b || (c & seven_c) != seven_c) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    return (saved & state) == state;
}
enum { POPCNT = 1 << 23, OSXSAVE = 1 << 27, AVX = 1 << 28, BMI = 1 << 3, AVX2 = 1 << 5, BMI2 = 1 << 8 };
enum { AVX512F = 1 << 16, AVX512DQ = 1 << 17, AVX512BW = 1 << 30, VBMI2 = 1 << 6 };
static const unsigned AVX512VL = 1u << 31;
static int has_avx2(void) { return has(POPCNT | OSXSAVE | AVX, BMI | AVX2 | BMI2, 0, 0x6); }
static int has_avx512(void) {
    return has_avx2() && has(POPCNT | OSXSAVE | AVX, AVX512F | AVX512DQ | AVX512BW | AVX512VL, VBMI2, 0xe6);
}
#else
static int has_avx2(void) {
    __builtin_cpu_init(); /* not everywhere done by then */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}
static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi2");
}
#endif
#else
static int has_avx2(void) { return 0; }
static int has_avx512(void) { return 0; }
#endif

const char *const *kernel_levels(void) {
    static const char *const one[] = {"baseline", NULL};
    static const char *const two[] = {"baseline", "avx2", NULL};
    static const char *const three[] = {"baseline", "avx2", "avx512", NULL};
    return has_avx512() ? three : has_avx2() ? two : one;
}

const Kernels *kernels_for(const char *level) {
    fill_in_byte();
#if defined(__x86_64__)
    if (has_avx512() && (!level || !strcmp(level, "avx512"))) return &kernels_avx512;
    if (has_avx2() && (!level || !strcmp(level, "avx2"))) return &kernels_avx2;
#endif
    return !level || !strcmp(level, "baseline") ? &kernels_baseline : NULL;
}

const Kernels *kernels_in_tiles(void) {
#if defined(TILES)
    static Kernels tiled;
    static int asked;
    if (!asked && has_avx512() && has_tiles()) {
        tiled = kernels_avx512;
        tiled.add_rows = add_rows_by_tiles;
        tiled.add_rows_into = add_rows_into_by_tiles;
    }
    asked = 1;
    if (tiled.name) return &tiled;
#endif
    return NULL;
}
