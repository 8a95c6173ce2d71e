/* OpenSSL's one-shot call would cost a short process a millisecond at its start. */
#include "cache/sha1.h"

#include <openssl/evp.h>

int sha1_digest(const struct text *text, unsigned char ret_sha1[SHA1_BYTES])
{
    if (text->error)
        return text->error;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context)
        return -ENOMEM;
    bool done = EVP_DigestInit_ex(context, EVP_sha1(), NULL) &&
                EVP_DigestUpdate(context, text->bytes, text->length) &&
                EVP_DigestFinal_ex(context, ret_sha1, NULL);
    EVP_MD_CTX_free(context);
    return done ? 0 : -ENOTSUP;
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
