#include "CCrypto.h"

#include <openssl/evp.h>

// struct hfj_evp is never defined: it is libcrypto's context under a name that Swift can import without its headers.
static EVP_MD_CTX *context(struct hfj_evp *digest) { return (EVP_MD_CTX *)digest; }

struct hfj_evp *hfj_evp_create(int sha1) {
    EVP_MD_CTX *created = EVP_MD_CTX_new();
    if (created == NULL) return NULL;
    if (EVP_DigestInit_ex(created, sha1 ? EVP_sha1() : EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(created);
        return NULL;
    }
    return (struct hfj_evp *)created;
}

int hfj_evp_update(struct hfj_evp *digest, const void *bytes, size_t count) {
    return count == 0 || EVP_DigestUpdate(context(digest), bytes, count) == 1;
}

int hfj_evp_finish(struct hfj_evp *digest, uint8_t *result) {
    return EVP_DigestFinal_ex(context(digest), result, NULL) == 1;
}

void hfj_evp_destroy(struct hfj_evp *digest) { EVP_MD_CTX_free(context(digest)); }
