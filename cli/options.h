/* The command line: which command, which options, which arguments. */
#pragma once

#include "cache/rez/settings.h"

#include <stdbool.h>

enum when {
    WHEN_AUTO,
    WHEN_ALWAYS,
    WHEN_NEVER,
    WHEN_JSON, /* of --progress */
};

/** How stats prints. */
enum format { FORMAT_DEFAULT, FORMAT_TEXT, FORMAT_JSON, FORMAT_PROMETHEUS };

struct options;

/** A command: one file cmd_NAME.c each. */
struct command {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line */
    unsigned flag;        /* its bit in the masks of options */
    int arguments_min;
    int arguments_max; /* -1: any number */
    int (*run)(struct options *options);
    uint32_t settings; /* SETTING_BIT of those among rez's that matter to it */
};

struct options {
    const struct command *command;
    struct settings settings;
    bool json;
    int verbosity; /* -1: quiet, 0, 1: verbose */
    enum when progress;
    enum when color;
    char **arguments;
    int argument_count;
    bool force;
    bool all;
    bool no_wait;
    bool dry_run;
    bool touch;
    int lease_pid; /* 0: none */
    const char *root;
    const char *report;
    const char *columns;
    double time_limit_s;
    bool durability_given;
    bool repair;
    double sample; /* a share; 0: all */
    const char *manifest;
    bool owner;
    bool set_id;
    enum format format;
    bool zero;
    bool follow;
    bool foreground;
    unsigned idle_exit_s; /* 0: never */
    const char *metrics;
    bool lines_given;
    size_t lines;
};

/**
 * Reads the command line. Help and version are printed here.
 *
 * @param ret filled in when -1 is returned; freed with options_free in any case
 * @return    an exit code to end with, or -1: go on
 */
int options_read(int argc, char **argv, struct options *ret);

void options_free(struct options *options);
