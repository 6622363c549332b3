/* Tiles in plain C, for processors without them: eight of 16 lines of 64 bytes, and the product as Intel's manual has it,
 * with one sum for even terms and one for odd ones. Denormal numbers are not treated as zero. */

static _Thread_local union {
    float sum[16][16];
    uint16_t half[16][32];
} tiles[8];

#define tile_begin() memset(tiles, 0, sizeof tiles)
#define tile_end() ((void)0)
#define tile_zero(tile) memset(&tiles[tile], 0, sizeof tiles[tile])
#define tile_load(tile, from) memcpy(&tiles[tile], from, sizeof tiles[tile])
#define tile_store(tile, to) memcpy(to, &tiles[tile], sizeof tiles[tile])

static float number_of(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void tile_multiply(int sums, int ones, int halves) {
    for (int m = 0; m < 16; m++) {
        float even[16] = {0}, odd[16] = {0};
        for (int k = 0; k < 16; k++) {
            float a = number_of(tiles[ones].half[m][2 * k]), b = number_of(tiles[ones].half[m][2 * k + 1]);
            for (int n = 0; n < 16; n++) {
                even[n] += a * number_of(tiles[halves].half[k][2 * n]);
                odd[n] += b * number_of(tiles[halves].half[k][2 * n + 1]);
            }
        }
        for (int n = 0; n < 16; n++) tiles[sums].sum[m][n] += even[n] + odd[n];
    }
}

static int tiles_permitted(void) { return 1; }
