/* Sums of selected rows by matrix tiles (AMX); included once by dispatch.c where the compiler knows them.
 *
 * A row is split in two halves of bfloat16, high = nearest(row) and low = nearest(row - high), and the bits that select
 * rows become ones of bfloat16, so that every product is exact: what is lost is at most 2^-16 of each selected row, and
 * the rounding of the sums. Tiles treat numbers below 2^-126 as zero. A row that is not finite, or that bfloat16 rounds
 * to infinity, makes its columns NaN in all outputs, whether they select it or not.
 *
 * A tile is 16 lines of 64 bytes. In one of ones, a line has the bits of an output; in one of halves, a line has two
 * rows of a block of columns, alternately; in one of sums, a line has a block of an output. */

#if defined(EMULATED_TILES)
#include "emulated_tiles.h"
#else
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t line_bytes[16];
    uint8_t lines[16];
} TILE_CONFIG
    __attribute__((aligned(64))) = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

_Static_assert(sizeof TILE_CONFIG == 64, "what ldtilecfg reads");

/* Numbers of tiles are constants, and become part of the instruction: these are macros. Compilers do not all know that a
 * load reads memory, and have to be kept from putting off what was written there. */
#define tile_begin() _tile_loadconfig(&TILE_CONFIG)
#define tile_end() _tile_release()
#define tile_zero(tile) _tile_zero(tile)
#define tile_load(tile, from)              \
    do {                                   \
        __asm__ volatile("" ::: "memory"); \
        _tile_loadd(tile, from, 64);       \
    } while (0)
#define tile_multiply(sums, ones, halves) _tile_dpbf16ps(sums, ones, halves)
#define tile_store(tile, to)               \
    do {                                   \
        _tile_stored(tile, to, 64);        \
        __asm__ volatile("" ::: "memory"); \
    } while (0)

/* Whether the processor has tiles, and the kernel lets this process use them: it has to be asked, once. */
static int tiles_permitted(void) {
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, REQUEST_STATE = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE)) return 0;
    return !syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA);
}
#endif

enum { LINES = 16, STEP = 32, STEPS = CHUNK / STEP }; /* rows to a product; products to a chunk of rows */
typedef struct {
    uint16_t half[LINES * STEP];
} Halves __attribute__((aligned(64)));
typedef struct {
    float sum[LINES * BLOCK];
} Sums __attribute__((aligned(64)));

/* ones = the bits of n outputs (32 at most, the others select nothing), for each step those of two tiles. */
static INLINE void expand(const Packed *bits, ptrdiff_t n, ptrdiff_t steps, Halves *ones) {
    const __m512i one = _mm512_set1_epi16(0x3f80);
    for (ptrdiff_t step = 0; step < steps; step++)
        for (ptrdiff_t m = 0; m < 2 * LINES; m++) {
            uint32_t word = m < n ? bits->words[m * bits->row + step * bits->word] : 0;
            _mm512_store_si512(ones[2 * step].half + m * STEP, _mm512_maskz_mov_epi16(word, one));
        }
}

/* The nearest bfloat16 of each number, in the low half of its lane. */
static INLINE __m512i nearest(__m512 x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)); }

/* halves = one block of n rows, for each step a high tile at halves[4 step] and a low one two tiles on; rows beyond the
 * last are zero. */
static INLINE void split(const float *rows, ptrdiff_t width, ptrdiff_t n, ptrdiff_t steps, Halves *halves) {
    for (ptrdiff_t row = 0; row < STEP * steps; row += 2) {
        __m512 x = row < n ? _mm512_load_ps(rows + row * width) : _mm512_setzero_ps();
        __m512 y = row + 1 < n ? _mm512_load_ps(rows + (row + 1) * width) : _mm512_setzero_ps();
        __m512i high_x = nearest(x), high_y = _mm512_slli_epi32(nearest(y), 16);
        __m512i low_x = nearest(_mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(high_x, 16))));
        __m512i low_y = nearest(_mm512_sub_ps(y, _mm512_castsi512_ps(high_y)));
        Halves *to = halves + 4 * (row / STEP);
        ptrdiff_t line = row % STEP * BLOCK;
        _mm512_store_si512(to[0].half + line, _mm512_or_si512(high_x, high_y));
        _mm512_store_si512(to[2].half + line, _mm512_or_si512(low_x, _mm512_slli_epi32(low_y, 16)));
    }
}

/* sums = ones * (high + low) for one tile of outputs or two (tall), and one block or two (wide): sums[2 block + tile].
 * Each sum has the same order in all four cases; four of them hide each other's latency. */
static INLINE void multiply(int tall, int wide, ptrdiff_t steps, const Halves *ones, const Halves *halves, Sums *sums) {
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (ptrdiff_t step = 0; step < steps; step++, ones += 2, halves += 4) {
        tile_load(4, ones);
        if (tall) tile_load(5, ones + 1);
        tile_load(6, halves);
        tile_multiply(0, 4, 6);
        if (tall) tile_multiply(1, 5, 6);
        if (wide) {
            tile_load(7, halves + 1);
            tile_multiply(2, 4, 7);
            if (tall) tile_multiply(3, 5, 7);
        }
        tile_load(6, halves + 2);
        tile_multiply(0, 4, 6);
        if (tall) tile_multiply(1, 5, 6);
        if (wide) {
            tile_load(7, halves + 3);
            tile_multiply(2, 4, 7);
            if (tall) tile_multiply(3, 5, 7);
        }
    }
    tile_store(0, sums);
    if (tall) tile_store(1, sums + 1);
    if (wide) tile_store(2, sums + 2);
    if (tall && wide) tile_store(3, sums + 3);
}

/* out = from + scale * sums, for one block of n outputs.  from : one row for all, or NULL for out itself. */
static INLINE void add_sums(const Sums *sums, ptrdiff_t n, ptrdiff_t width, const float *from, float scale,
                            float *out) {
    for (ptrdiff_t m = 0; m < n; m++, out += width) {
        __m512 added = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_load_ps(sums->sum + m * BLOCK));
        _mm512_store_ps(out, _mm512_add_ps(_mm512_load_ps(from ? from : out), added));
    }
}

/* out = start + scale * selected rows, or with no start, out += that. A chunk of rows at a time: sums of sums are short. */
static void add_by_tiles(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows, ptrdiff_t n_out,
                         const float *start, float scale, float *out) {
    Halves ones[2 * STEPS], halves[4 * STEPS];
    Sums sums[4];
    ptrdiff_t width = blocks * BLOCK;
    Packed bits = selection->bits;
    tile_begin();
    for (; n_rows > 0; n_rows -= CHUNK, rows += CHUNK * width, bits.words += STEPS * bits.word, start = NULL) {
        ptrdiff_t n = n_rows < CHUNK ? n_rows : CHUNK, steps = (n + STEP - 1) / STEP;
        for (ptrdiff_t column = 0; column < width; column += 2 * BLOCK) {
            const float *from = start ? start + column : NULL;
            int wide = column + BLOCK < width;
            split(rows + column, width, n, steps, halves);
            if (wide) split(rows + column + BLOCK, width, n, steps, halves + 1);
            for (ptrdiff_t m = 0; m < n_out; m += 2 * LINES) {
                ptrdiff_t left = n_out - m;
                Packed here = {bits.words + m * bits.row, bits.row, bits.word};
                expand(&here, left, steps, ones);
                if (left > LINES && wide)
                    multiply(1, 1, steps, ones, halves, sums);
                else if (left > LINES)
                    multiply(1, 0, steps, ones, halves, sums);
                else if (wide)
                    multiply(0, 1, steps, ones, halves, sums);
                else
                    multiply(0, 0, steps, ones, halves, sums);
                for (ptrdiff_t tile = 0; tile < 4; tile++) {
                    ptrdiff_t first = LINES * (tile & 1), block = BLOCK * (tile >> 1);
                    ptrdiff_t lines = left - first < LINES ? left - first : LINES;
                    if (!block || wide)
                        add_sums(&sums[tile], lines, width, from ? from + block : NULL, scale,
                                 out + (m + first) * width + column + block);
                }
            }
        }
    }
    tile_end();
}

static int worth_tiles(const Selection *selection, ptrdiff_t n_rows, ptrdiff_t n_out) {
    return n_rows && selection->method == TABLES && n_out >= TABLES_FROM;
}

static void add_rows_by_tiles(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows,
                              ptrdiff_t n_out, const float *start, float *out) {
    if (worth_tiles(selection, n_rows, n_out))
        add_by_tiles(selection, rows, blocks, n_rows, n_out, start, 1, out);
    else
        add_rows_avx512(selection, rows, blocks, n_rows, n_out, start, out);
}

static void add_rows_into_by_tiles(const Selection *selection, const float *rows, int blocks, ptrdiff_t n_rows,
                                   ptrdiff_t n_out, float scale, float *scratch, float *goal) {
    if (worth_tiles(selection, n_rows, n_out))
        add_by_tiles(selection, rows, blocks, n_rows, n_out, NULL, scale, goal);
    else
        add_rows_into_avx512(selection, rows, blocks, n_rows, n_out, scale, scratch, goal);
}

static int has_tiles(void) { return __builtin_cpu_supports("avx512bf16") && tiles_permitted(); }
