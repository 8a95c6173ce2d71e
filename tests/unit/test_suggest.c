/* Which name a mistyped one is close to. */
#include "cache/util/suggest.h"

#include <criterion/criterion.h>

static const char *suggest(const char *typed)
{
    static const char *const names[] = {"warm", "list", "max-size", "max-variant-days", "get"};
    struct suggestion suggestion = {.typed = typed};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        suggestion_try(&suggestion, names[i]);
    return suggestion.best;
}

Test(suggest, close)
{
    cr_expect_str_eq(suggest("wram"), "warm"); /* exchanged: one mistake */
    cr_expect_str_eq(suggest("lsit"), "list");
    cr_expect_str_eq(suggest("lst"), "list");
    cr_expect_str_eq(suggest("MAX_SIZE"), "max-size");
    cr_expect_str_eq(suggest("MAXSIZE"), "max-size");
    cr_expect_str_eq(suggest("max-variants-day"), "max-variant-days");
    cr_expect_str_eq(suggest("got"), "get");
}

Test(suggest, too_far)
{
    cr_expect_null(suggest(""));
    cr_expect_null(suggest("x"));
    cr_expect_null(suggest("gxy"));
    cr_expect_null(suggest("frobnicate"));
    cr_expect_null(suggest("a-name-of-more-letters-than-any-of-ours-has-ever-had"));
}
