/*
 * Records of an index: texts that end in NUL, a word first, then numbers or one text, with one
 * space between. Whatever is in them.
 */
#pragma once

#include "cache/util/text.h"

#include <stddef.h>

/** Takes a word and the space behind it off a text. @return false: it begins otherwise */
bool record_take_word(const char **text, const char *word);

/** Takes a number and what must be behind it, a space or the end. @return false: there is none, or
 * it is more than `maximum` */
bool record_take_number(const char **text, char after, uint64_t maximum, uint64_t *ret);

/** Takes bytes in hexadecimal, lower case, exactly so many. @return false: there are others */
bool record_take_bytes(const char **text, size_t length, uint8_t *ret);

/** Appends bytes in hexadecimal, as record_take_bytes reads them. */
void record_append_bytes(struct text *text, const uint8_t *bytes, size_t length);

/**
 * Makes room for one more in an array of what records say.
 *
 * @param array    address of the pointer to it; NULL at first
 * @param capacity elements that there is room for; 0 at first
 * @param count    elements that are in it
 * @param size     bytes of an element
 * @return         0 or -ENOMEM
 */
int record_grow(void *array, size_t *capacity, size_t count, size_t size);
