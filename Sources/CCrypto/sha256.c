// SHA-256 (FIPS 180-4) on the SHA instructions of x86 and of 64-bit ARM.
//
// Each round needs the one before it, so a single stream waits for the latency of the round instruction (4 cycles on
// current x86 cores) although the core could start another one sooner. A second, independent stream fills those waits: two
// streams side by side were 1.6 times as fast as one after the other on a Zen 5 core, where the units that run these
// instructions are then busy all the time. Nothing else is different from any other implementation.
#include "CCrypto.h"

#include <string.h>

#define BLOCK HFJ_SHA256_BLOCK_BYTES
#define INLINE static inline __attribute__((always_inline))

// FIPS 180-4, 5.3.3: the same of the square roots of the first 8 primes.
static const uint32_t initial_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

#if defined(__x86_64__) || defined(__aarch64__)
#define HAS_INSTRUCTIONS 1

// FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
#endif

// Per processor: `struct lane`, one stream's working state in registers, and what a block does to it in 16 steps of four
// rounds. w holds the last sixteen words of the message schedule; step n makes words 4n to 4n+3 in w[n % 4].

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__((target("sha,sse4.1,ssse3")))

// The round instruction wants the words of the state as a, b, e, f and c, d, g, h, the first of them highest.
struct lane {
    __m128i abef, cdgh, saved_abef, saved_cdgh, w[4];
};

int hfj_sha256_available(void) {
    unsigned int a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

TARGET INLINE void lane_load(struct lane *lane, const uint32_t state[8]) {
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)&state[0]), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)&state[4]), 0x1B);
    lane->abef = _mm_alignr_epi8(cdab, efgh, 8);
    lane->cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
}

TARGET INLINE void lane_store(const struct lane *lane, uint32_t state[8]) {
    __m128i feba = _mm_shuffle_epi32(lane->abef, 0x1B);
    __m128i dchg = _mm_shuffle_epi32(lane->cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)&state[0], _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)&state[4], _mm_alignr_epi8(dchg, feba, 8));
}

TARGET INLINE void lane_begin(struct lane *lane) {
    lane->saved_abef = lane->abef;
    lane->saved_cdgh = lane->cdgh;
}

TARGET INLINE void lane_step(struct lane *lane, const uint8_t *block, int n) {
    __m128i *w = lane->w;
    if (n < 4) {
        // The message is big-endian.
        const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
        w[n] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + n), swap);
    } else {
        __m128i *last = &w[(n + 3) % 4];
        __m128i seven_back = _mm_alignr_epi8(*last, w[(n + 2) % 4], 4);
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[n % 4], w[(n + 1) % 4]), seven_back);
        w[n % 4] = _mm_sha256msg2_epu32(sum, *last);
    }
    __m128i added = _mm_add_epi32(w[n % 4], _mm_load_si128((const __m128i *)round_constants + n));
    // Two rounds each; two rounds make the old a, b, e, f the new c, d, g, h.
    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, added);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(added, 0x0E));
}

TARGET INLINE void lane_end(struct lane *lane) {
    lane->abef = _mm_add_epi32(lane->abef, lane->saved_abef);
    lane->cdgh = _mm_add_epi32(lane->cdgh, lane->saved_cdgh);
}

#elif defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>

#define TARGET __attribute__((target("sha2")))

struct lane {
    uint32x4_t abcd, efgh, saved_abcd, saved_efgh, w[4];
};

int hfj_sha256_available(void) {
    // HWCAP_SHA2 of asm/hwcap.h.
    return (getauxval(AT_HWCAP) & (1UL << 6)) != 0;
}

TARGET INLINE void lane_load(struct lane *lane, const uint32_t state[8]) {
    lane->abcd = vld1q_u32(&state[0]);
    lane->efgh = vld1q_u32(&state[4]);
}

TARGET INLINE void lane_store(const struct lane *lane, uint32_t state[8]) {
    vst1q_u32(&state[0], lane->abcd);
    vst1q_u32(&state[4], lane->efgh);
}

TARGET INLINE void lane_begin(struct lane *lane) {
    lane->saved_abcd = lane->abcd;
    lane->saved_efgh = lane->efgh;
}

TARGET INLINE void lane_step(struct lane *lane, const uint8_t *block, int n) {
    uint32x4_t *w = lane->w;
    if (n < 4) {
        // The message is big-endian.
        w[n] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(block + 16 * n)));
    } else {
        uint32x4_t sum = vsha256su0q_u32(w[n % 4], w[(n + 1) % 4]);
        w[n % 4] = vsha256su1q_u32(sum, w[(n + 2) % 4], w[(n + 3) % 4]);
    }
    uint32x4_t added = vaddq_u32(w[n % 4], vld1q_u32(round_constants + 4 * n));
    uint32x4_t abcd = lane->abcd;
    lane->abcd = vsha256hq_u32(abcd, lane->efgh, added);
    lane->efgh = vsha256h2q_u32(lane->efgh, abcd, added);
}

TARGET INLINE void lane_end(struct lane *lane) {
    lane->abcd = vaddq_u32(lane->abcd, lane->saved_abcd);
    lane->efgh = vaddq_u32(lane->efgh, lane->saved_efgh);
}

#else
int hfj_sha256_available(void) { return 0; }
#endif

#ifdef HAS_INSTRUCTIONS

TARGET static void compress(uint32_t state[8], const uint8_t *data, size_t blocks) {
    struct lane lane;
    lane_load(&lane, state);
    for (; blocks > 0; blocks--, data += BLOCK) {
        lane_begin(&lane);
// Unrolled, so that w[n % 4] is a register and not memory.
#pragma GCC unroll 16
        for (int n = 0; n < 16; n++) lane_step(&lane, data, n);
        lane_end(&lane);
    }
    lane_store(&lane, state);
}

TARGET static void compress_two(
    uint32_t state_a[8], const uint8_t *data_a, uint32_t state_b[8], const uint8_t *data_b, size_t blocks) {
    struct lane a, b;
    lane_load(&a, state_a);
    lane_load(&b, state_b);
    for (; blocks > 0; blocks--, data_a += BLOCK, data_b += BLOCK) {
        lane_begin(&a);
        lane_begin(&b);
#pragma GCC unroll 16
        for (int n = 0; n < 16; n++) {
            lane_step(&a, data_a, n);
            lane_step(&b, data_b, n);
        }
        lane_end(&a);
        lane_end(&b);
    }
    lane_store(&a, state_a);
    lane_store(&b, state_b);
}

#else

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks) {
    (void)state, (void)data, (void)blocks;
    __builtin_trap();
}

static void compress_two(
    uint32_t state_a[8], const uint8_t *data_a, uint32_t state_b[8], const uint8_t *data_b, size_t blocks) {
    (void)state_a, (void)data_a, (void)state_b, (void)data_b, (void)blocks;
    __builtin_trap();
}

#endif

void hfj_sha256_init(struct hfj_sha256 *digest) {
    memcpy(digest->state, initial_state, sizeof digest->state);
    digest->length = 0;
}

// What is left to add to a stream.
struct rest {
    struct hfj_sha256 *digest;
    const uint8_t *bytes;
    size_t count;
};

// Completes a block begun by an earlier update. Afterwards nothing is pending, or nothing is left to add.
static void take_pending(struct rest *rest) {
    size_t pending = rest->digest->length % BLOCK;
    if (pending == 0 || rest->count == 0) return;
    size_t taken = BLOCK - pending < rest->count ? BLOCK - pending : rest->count;
    memcpy(rest->digest->pending + pending, rest->bytes, taken);
    rest->digest->length += taken;
    rest->bytes += taken;
    rest->count -= taken;
    if (pending + taken == BLOCK) compress(rest->digest->state, rest->digest->pending, 1);
}

static void skip_blocks(struct rest *rest, size_t blocks) {
    rest->digest->length += blocks * BLOCK;
    rest->bytes += blocks * BLOCK;
    rest->count -= blocks * BLOCK;
}

// Adds whole blocks and keeps the remainder for the next update. Nothing is pending when it is called, or nothing is left.
static void take_all(struct rest *rest) {
    size_t blocks = rest->count / BLOCK;
    if (blocks > 0) compress(rest->digest->state, rest->bytes, blocks);
    skip_blocks(rest, blocks);
    if (rest->count == 0) return;
    memcpy(rest->digest->pending, rest->bytes, rest->count);
    rest->digest->length += rest->count;
}

void hfj_sha256_update(struct hfj_sha256 *digest, const void *bytes, size_t count) {
    struct rest rest = {digest, bytes, count};
    if (count == 0) return;
    take_pending(&rest);
    take_all(&rest);
}

void hfj_sha256_update_two(
    struct hfj_sha256 *first, const void *first_bytes, size_t first_count,
    struct hfj_sha256 *second, const void *second_bytes, size_t second_count) {
    struct rest a = {first, first_bytes, first_count}, b = {second, second_bytes, second_count};
    if (first_count > 0 && second_count > 0) {
        take_pending(&a);
        take_pending(&b);
        size_t blocks = (a.count < b.count ? a.count : b.count) / BLOCK;
        if (blocks > 0) {
            compress_two(first->state, a.bytes, second->state, b.bytes, blocks);
            skip_blocks(&a, blocks);
            skip_blocks(&b, blocks);
        }
    }
    hfj_sha256_update(first, a.bytes, a.count);
    hfj_sha256_update(second, b.bytes, b.count);
}

void hfj_sha256_finish(struct hfj_sha256 *digest, uint8_t result[HFJ_SHA256_DIGEST_BYTES]) {
    // FIPS 180-4, 5.1.1: a 1 bit, zeros, and the length in bits as 64 bits big-endian, up to a whole block.
    uint64_t bits = digest->length * 8;
    size_t used = digest->length % BLOCK;
    uint8_t padding[2 * BLOCK] = {0x80};
    size_t padded = (used < BLOCK - 8 ? BLOCK : 2 * BLOCK) - used;
    for (size_t i = 0; i < 8; i++) padding[padded - 1 - i] = (uint8_t)(bits >> (8 * i));
    hfj_sha256_update(digest, padding, padded);
    for (size_t i = 0; i < HFJ_SHA256_DIGEST_BYTES; i++)
        result[i] = (uint8_t)(digest->state[i / 4] >> (24 - 8 * (i % 4)));
}
