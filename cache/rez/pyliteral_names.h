/*
 * The names of a module, and what is known of each: its value, and what would make that doubtful,
 * before or after. Not for finding these things out: pyliteral.c.
 */
#pragma once

#include "cache/rez/pyliteral_name.h"
#include "cache/rez/values.h"

enum { NAMES_MAX = 1 << 18 };

struct name_record {
    const char *text; /* of the module */
    size_t length;
    struct json *value; /* NULL: not literal */
    unsigned line;      /* of the last assignment; 0: there is none */
    unsigned held_line; /* there is what may assign it at any time; 0: nothing does */
    struct json *scope; /* what a scope of rez's says, which wins; NULL: there is none */
    unsigned scope_line;
    unsigned era; /* of the assignment; an earlier one than the table's does not count */
    bool used;    /* it is mentioned: who does may change a list, at any time */
};

/** Starts as `struct names names = {0};`. */
struct names {
    struct name_record *records; /* in the order in which they were first mentioned */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* a record's index + 1; 0: free */
    size_t slot_count;
    unsigned era;
    unsigned era_line; /* where it began; 0: it is the first */
    bool all_used;     /* a name was mentioned that may be any: spelled in more than ASCII */
    bool all_held;
};

/** A name is assigned a value; NULL: one that is not literal. */
int names_assign(struct names *names, const char *text, size_t length, struct json *value,
                 unsigned line);

/** A name is mentioned. */
int names_use(struct names *names, const char *text, size_t length);

/** A name may be assigned at any time, also later: functions do that. */
int names_hold(struct names *names, const char *text, size_t length, unsigned line);

/** A scope of rez's says what an attribute is. If another one does so, too, it is not known. */
int names_set_scope(struct names *names, const char *text, size_t length, struct json *value,
                    unsigned line);

/** Every name may have been assigned here. */
void names_forget(struct names *names, unsigned line);

/** The same, and from here on, too. */
void names_lose(struct names *names, unsigned line);

/**
 * The names that were assigned.
 *
 * @param values of the module: will own them
 * @return       0 or -ENOMEM
 */
int names_list(const struct names *names, struct values *values, struct pyliteral_name **ret_names);

void names_free(struct names *names);

#define CLEANUP_NAMES __attribute__((cleanup(names_free)))
