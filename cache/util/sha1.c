/*
 * SHA-1 by OpenSSL's own functions for it, not by those for any digest (EVP), which read the
 * system's configuration at first, and fetch an implementation by its name: three milliseconds of a
 * short process. OpenSSL 3 has them deprecated, for what one does with SHA-1 as a rule.
 */
#define OPENSSL_API_COMPAT 10100 /* openssl_user_macros(7) */
#include "cache/util/sha1.h"

#include <openssl/sha.h>

int sha1_digest(const struct text *text, unsigned char ret_sha1[SHA1_BYTES])
{
    SHA_CTX context;
    if (text->error)
        return text->error;
    if (SHA1_Init(&context) && SHA1_Update(&context, text->bytes, text->length) &&
        SHA1_Final(ret_sha1, &context))
        return 0;
    return -ENOTSUP;
}

void sha1_print(const unsigned char sha1[SHA1_BYTES], char ret_hex[SHA1_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA1_BYTES; i++) {
        ret_hex[2 * i] = digits[sha1[i] >> 4];
        ret_hex[2 * i + 1] = digits[sha1[i] & 0xf];
    }
    ret_hex[SHA1_HEX_SIZE - 1] = '\0';
}

int sha1_hex(const struct text *text, char ret_hex[SHA1_HEX_SIZE])
{
    unsigned char sha1[SHA1_BYTES];
    int result = sha1_digest(text, sha1);
    if (result == 0)
        sha1_print(sha1, ret_hex);
    return result;
}
