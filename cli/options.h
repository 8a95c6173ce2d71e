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

/** How preload brings bytes to nodes. */
enum fanout { FANOUT_AUTO, FANOUT_SOURCE, FANOUT_PACK, FANOUT_TREE };

/** What reaches hosts without Slurm. */
enum with { WITH_NONE, WITH_CLUSH, WITH_PDSH, WITH_PARALLEL };

struct options;

/* What shells complete an argument to, other than words. */
#define COMPLETE_FILE      "@file"
#define COMPLETE_DIRECTORY "@directory"
#define COMPLETE_VARIANT   "@variant" /* what is cached */
#define COMPLETE_COMMAND   "@command"
#define COMPLETE_NOTHING   ""

/** A command: one file cmd_NAME.c each. */
struct command {
    const char *name;
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line */
    unsigned flag;        /* its bit in the masks of options */
    int arguments_min;
    int arguments_max;     /* -1: any number */
    const char *completes; /* what its arguments are: words, with spaces between them, or one of the
                              COMPLETE_s */
    int (*run)(struct options *options); /* NULL: what the tables answer, so options_read does it */
    uint32_t settings;                   /* SETTING_BIT of those among rez's that matter to it */
};

struct options {
    const struct command *command;
    struct settings settings;
    bool json;
    int verbosity; /* -1: quiet, 0, 1: verbose */
    enum when progress;
    uint64_t stats_interval_s; /* 0: no lines for logs */
    enum when color;
    char **arguments;
    int argument_count;
    bool force;
    bool all;
    bool no_wait;
    bool trust_pack;
    bool dry_run;
    bool share;
    bool touch;
    uint64_t lease_pid; /* 0: none */
    const char *root;
    const char *report;
    const char *columns;
    bool no_header;
    bool null_ends; /* lines end with NUL */
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
    uint64_t idle_exit_s; /* 0: never */
    const char *metrics;
    const char *output;
    uint64_t level; /* 0: not given */
    bool any_room;
    bool list;
    bool check;
    bool lines_given;
    uint64_t lines;
    bool farm;  /* doctor */
    bool slurm; /* preload: this and all that follow */
    const char *hosts;
    enum with with;
    bool detach;
    bool on_node;
    const char *partition;
    const char *nodes;
    const char *program;
    const char *run_dir;
    const char *resume;
    const char *cancel;
    enum fanout fanout;
    uint64_t at_once; /* 0: the default */
    uint64_t jitter_s;
};

/**
 * Reads the command line. Help and version are printed here.
 *
 * @param ret filled in when -1 is returned; freed with options_free in any case
 * @return    an exit code to end with, or -1: go on
 */
int options_read(int argc, char **argv, struct options *ret);

void options_free(struct options *options);
