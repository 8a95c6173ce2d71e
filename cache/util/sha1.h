/* SHA-1, which names what rez names by hashes. Not for security. */
#pragma once

#include "cache/util/text.h"

enum {
    SHA1_BYTES = 20,
    SHA1_HEX_SIZE = 41, /* 40 hexadecimal digits and a NUL */
};

/**
 * @return 0; -ENOTSUP: OpenSSL has no SHA-1 (a policy of this machine); -ENOMEM, also when
 * something is missing from the text
 */
int sha1_digest(const struct text *text, unsigned char ret_sha1[SHA1_BYTES]);

/** Prints a digest as hexadecimal digits, lower case. */
void sha1_print(const unsigned char sha1[SHA1_BYTES], char ret_hex[SHA1_HEX_SIZE]);

/** sha1_digest(), printed. */
int sha1_hex(const struct text *text, char ret_hex[SHA1_HEX_SIZE]);
