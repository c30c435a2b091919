// Digests: libcrypto's through EVP, and SHA-256 of two streams at once on the processor's own SHA instructions.
#ifndef HFJ_CCRYPTO_H
#define HFJ_CCRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define HFJ_SHA256_BLOCK_BYTES 64
#define HFJ_SHA256_DIGEST_BYTES 32
#define HFJ_SHA1_DIGEST_BYTES 20

/// A running libcrypto digest.
struct hfj_evp;

/// Starts SHA-256, or with `sha1` not 0 SHA-1. NULL when libcrypto refuses it or memory is short.
struct hfj_evp *_Nullable hfj_evp_create(int sha1);
/// Adds bytes. 1 when done, 0 when libcrypto failed.
int hfj_evp_update(struct hfj_evp *_Nonnull digest, const void *_Nullable bytes, size_t count);
/// Writes the digest (32 or 20 bytes); nothing may be added afterwards. 1 when done, 0 when libcrypto failed.
int hfj_evp_finish(struct hfj_evp *_Nonnull digest, uint8_t *_Nonnull result);
/// Frees it, finished or not.
void hfj_evp_destroy(struct hfj_evp *_Nonnull digest);

/// A running SHA-256 on the processor's SHA instructions.
struct hfj_sha256 {
    /// a to h of FIPS 180-4.
    uint32_t state[8];
    /// Bytes added so far; modulo 64, how many of them wait in `pending`.
    uint64_t length;
    uint8_t pending[HFJ_SHA256_BLOCK_BYTES];
};

/// Whether this processor has the instructions. Nothing below may be called where it has not.
int hfj_sha256_available(void);
/// Starts anew.
void hfj_sha256_init(struct hfj_sha256 *_Nonnull digest);
/// Adds bytes to one stream.
void hfj_sha256_update(struct hfj_sha256 *_Nonnull digest, const void *_Nullable bytes, size_t count);
/// Adds bytes to two different streams, whole blocks of both side by side for as long as both have some.
void hfj_sha256_update_two(
    struct hfj_sha256 *_Nonnull first, const void *_Nullable first_bytes, size_t first_count,
    struct hfj_sha256 *_Nonnull second, const void *_Nullable second_bytes, size_t second_count);
/// Writes the digest; nothing may be added afterwards.
void hfj_sha256_finish(struct hfj_sha256 *_Nonnull digest, uint8_t result[_Nonnull HFJ_SHA256_DIGEST_BYTES]);

#endif
