/*
 * The one table of commands, and the one of options. The command line is read by them
 * (options_read), and help and the completions of shells are printed from them: what has a row
 * here, has all three. Settings have a table of their own (cache/rez/settings.h).
 */
#pragma once

#include "cli/options.h"

/** What an option does with its argument, and where it stores that in struct options. */
enum option_kind {
    OPTION_HELP,
    OPTION_HELP_SETTINGS,
    OPTION_VERSION,
    OPTION_VERBOSE,
    OPTION_QUIET,
    OPTION_FLAG,      /* bool: it is there; no argument, as all above */
    OPTION_YES_NO,    /* bool */
    OPTION_TEXT,      /* const char *: any text that is not empty */
    OPTION_FILE,      /* the same, but "-": a file that is written aside and renamed */
    OPTION_STREAM,    /* such a file, or "-": standard output */
    OPTION_DIRECTORY, /* as OPTION_TEXT */
    OPTION_CHOICE,    /* an enumeration: `minimum` and the place in `choices` */
    OPTION_WHOLE,     /* uint64_t */
    OPTION_REAL,      /* double */
    OPTION_PERCENT,   /* double, a share: 5 and 5% are 0.05 */
};

struct option_row {
    const char *name;      /* --NAME */
    char letter;           /* -LETTER; 0: none. Two options may have one, in different commands */
    unsigned commands;     /* that have it: COMMAND_... */
    enum option_kind kind; /* */
    size_t offset;         /* in struct options */
    const char *argument;  /* what its help calls it; NULL: there is none */
    const char *const *choices; /* OPTION_CHOICE: ends with NULL */
    double minimum;             /* OPTION_WHOLE; OPTION_REAL and OPTION_PERCENT: above it */
    double maximum;
    const char *expected; /* "... is not EXPECTED" */
    const char *help;     /* one line of at most 54 columns */
};

enum {
    EVERY_COMMAND = ~0,
    OPTION_COUNT_MAX = 64,
};

extern const struct command command_table[];
extern const size_t command_count;

extern const struct option_row option_table[];
extern const size_t option_count;

/** @return the command of that name; NULL: none */
const struct command *command_find(const char *name);

/**
 * @param commands bits: an option of any of them
 * @return         the option with that letter; NULL: none
 */
const struct option_row *option_find_letter(char letter, unsigned commands);
