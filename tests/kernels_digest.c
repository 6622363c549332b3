/* Prints two digests for each level of the processor, of what every kernel computes, and of what some do where not all units
 * are observed: the same on every processor. */
#include "../wakesleep/_kernels/dispatch.c"

#include <inttypes.h>
#include <stdio.h>

enum { N = 300, M = 600, WORDS = 20, FLOATS = (M + 16) * PANEL };

static uint64_t state;
static uint32_t number(void) { return (uint32_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 32); }
static float real(float size) { return ((float)(number() >> 8) * 0x1p-23f - 1.f) * size; }

static float rows[FLOATS] __attribute__((aligned(64))), out[FLOATS] __attribute__((aligned(64)));
static float goal[FLOATS] __attribute__((aligned(64))), values[N * 9], start[PANEL] __attribute__((aligned(64)));
static float errors[FLOATS] __attribute__((aligned(64))), credit[M], lanes[M * BLOCK] __attribute__((aligned(64)));
static uint32_t words[(M + 64) * WORDS], target[(M + 64) * WORDS], observed[(M + 64) * WORDS];
static uint32_t columns[(M + 64) * WORDS] __attribute__((aligned(64)));
static uint8_t list[M * N + 64 * M];
static int64_t starts[4 * M];

static uint64_t digest;
static void add(const void *memory, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) digest = (digest ^ ((const uint8_t *)memory)[i]) * 1099511628211u;
}

static void fill(float *array, ptrdiff_t n, float size) {
    for (ptrdiff_t i = 0; i < n; i++) array[i] = real(size);
}

/* Everything that happens to a panel: `blocks` blocks, n outputs of sums over n_rows rows. */
static void panel(const Kernels *k, int method, int blocks, ptrdiff_t n_rows, ptrdiff_t n) {
    ptrdiff_t width = BLOCK * blocks, n_units = width - 3;
    Packed bits = {words, WORDS, 1}, units = {target, WORDS, 1};
    Selection chosen = {bits, list, starts, method, (int)(n & 1)};
    Source source = {number(), SLEEP + 1, number() % 16};
    for (ptrdiff_t i = 0; i < (M + 64) * WORDS; i++) {
        ptrdiff_t left = n_rows - i % WORDS * 32; /* no bits beyond the last row */
        uint32_t valid = left >= 32 ? 0xffffffffu : left > 0 ? (1u << left) - 1 : 0;
        words[i] = number() & number() & valid, target[i] = number();
    }
    fill(rows, n_rows * width, 1), fill(start, width, 2), fill(goal, n * width, 1), fill(credit, n, 1);
    if (method == WALK) k->find_bits(&bits, n, n_rows, list, starts);
    k->add_rows(&chosen, rows, blocks, n_rows, n, start, out);
    add(out, (size_t)(n * width) * sizeof(float));
    k->sample(out, 0, blocks, n, 2, n_units, &source, &units);
    k->sample(start, 1, blocks, n, 2 + blocks, n_units, &source, &units);
    add(target, sizeof target);
    k->transpose(&units, 0, 6, n, &(Packed){columns, 1, 6 * BLOCK});
    add(columns, (size_t)((n + 31) / 32 * 6 * BLOCK) * sizeof(uint32_t));
    memset(lanes, 0, sizeof lanes);
    k->log_terms(out, 0, blocks, n, 2, n_units, &units, NULL, lanes);
    k->log_terms(start, 1, blocks, n, 2, n_units, &units, NULL, lanes);
    add(lanes, sizeof lanes);
    k->weigh(start, 1, blocks, n, &units, NULL, 2, n_units, NULL, lanes, n);
    k->weigh(out, 0, blocks, n, &units, NULL, 2, n_units, errors, lanes + blocks * n, n);
    add(lanes, (size_t)(2 * blocks * n) * sizeof(float)), add(errors, (size_t)(n * width) * sizeof(float));
    k->residual(out, 0, blocks, n, &units, NULL, 2, credit, 0.1f, start);
    k->residual(start, 1, blocks, n, &units, NULL, 2, NULL, 0.1f, goal);
    add(out, (size_t)(n * width) * sizeof(float)), add(start, (size_t)width * sizeof(float));
    k->add_rows_into(&chosen, rows, blocks, n_rows, n, 0.1f, out, goal);
    k->add_row_into(&bits, rows, blocks, n, 0.1f, goal);
    add(goal, (size_t)(n * width) * sizeof(float));
    fill(values, 9 * n_rows, 1);
    k->propagate(values, 9, rows, blocks, n_rows, start, out);
    add(out, (size_t)(9 * width) * sizeof(float));
    k->random_words(&source, n % 7, n % 40, target);
    add(target, sizeof target);
}

/* What is done with logits where some units are not observed. */
static void observed_panel(const Kernels *k, int blocks, ptrdiff_t n) {
    ptrdiff_t width = BLOCK * blocks, n_units = width - 3;
    Packed units = {target, WORDS, 1}, seen = {observed, WORDS, 1};
    for (ptrdiff_t i = 0; i < (M + 64) * WORDS; i++) target[i] = number(), observed[i] = number();
    fill(out, n * width, 3), fill(start, width, 2), fill(goal, width, 1), fill(credit, n, 1);
    memset(lanes, 0, sizeof lanes);
    k->log_terms(out, 0, blocks, n, 2, n_units, &units, &seen, lanes);
    k->log_terms(start, 1, blocks, n, 2, n_units, &units, &seen, lanes);
    add(lanes, sizeof lanes);
    k->weigh(start, 1, blocks, n, &units, &seen, 2, n_units, NULL, lanes, n);
    k->weigh(out, 0, blocks, n, &units, &seen, 2, n_units, errors, lanes + blocks * n, n);
    add(lanes, (size_t)(2 * blocks * n) * sizeof(float)), add(errors, (size_t)(n * width) * sizeof(float));
    k->residual(out, 0, blocks, n, &units, &seen, 2, credit, 0.1f, start);
    k->residual(start, 1, blocks, n, &units, &seen, 2, NULL, 0.1f, goal);
    add(out, (size_t)(n * width) * sizeof(float)), add(start, (size_t)width * sizeof(float));
    add(goal, (size_t)width * sizeof(float));
    mask_bits(&units, &seen, 2, blocks, n);
    add(target, sizeof target);
}

int main(void) {
    for (const char *const *level = kernel_levels(); *level; level++) {
        state = 1, digest = 14695981039346656037u;
        for (int method = WALK; method <= TABLES; method++)
            for (int blocks = 1; blocks <= 4; blocks++)
                for (ptrdiff_t n = 5; n <= N; n += 59) panel(kernels_for(*level), method, blocks, 1 + (n * 7) % N, n);
        printf("%s %016" PRIx64, *level, digest);
        digest = 14695981039346656037u;
        for (int blocks = 1; blocks <= 4; blocks++)
            for (ptrdiff_t n = 5; n <= N; n += 59) observed_panel(kernels_for(*level), blocks, n);
        printf("-%016" PRIx64 "\n", digest);
    }
    return 0;
}
