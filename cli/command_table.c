/* The rows of the two tables. */
#include "cli/command_table.h"

#include "cache/packing/pack_writer.h"
#include "cli/commands.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

/* Which of rez's settings a command needs; its files are read for no other. */
enum {
    NEEDS_NOTHING = 0,
    NEEDS_CACHE = SETTING_BIT(SETTING_CACHE),
    NEEDS_ROOM = SETTING_BIT(SETTING_SPACE_BUFFER) | SETTING_BIT(SETTING_USED_THRESHOLD),
    TO_FILL =
        NEEDS_CACHE | NEEDS_ROOM | SETTING_BIT(SETTING_SAME_DEVICE) | SETTING_BIT(SETTING_LOCAL),
    TO_CLEAN = NEEDS_CACHE | SETTING_BIT(SETTING_MAX_VARIANT_DAYS) | SETTING_BIT(SETTING_LOG_DAYS),
    TO_SERVE = TO_FILL | TO_CLEAN | SETTING_BIT(SETTING_CLIENTS) | SETTING_BIT(SETTING_SHARE_IDLE),
};

const struct command command_table[] = {
    {"warm", "SOURCE...", "copy all variants that the sources name into the cache", COMMAND_WARM, 1,
     -1, COMPLETE_FILE, cmd_warm, TO_FILL},
    {"add", "VARIANT...", "copy these variants into the cache", COMMAND_ADD, 1, -1, COMPLETE_FILE,
     cmd_add, TO_FILL},
    {"get", "VARIANT...", "print the cached root of each variant", COMMAND_GET, 1, -1,
     COMPLETE_VARIANT, cmd_get, NEEDS_CACHE},
    {"list", "[PATTERN...]", "list the variants in the cache and their states", COMMAND_LIST, 0, -1,
     COMPLETE_VARIANT, cmd_list, NEEDS_CACHE},
    {"remove", "VARIANT...", "remove variants; the next clean deletes the files", COMMAND_REMOVE, 1,
     -1, COMPLETE_VARIANT, cmd_remove, NEEDS_CACHE},
    {"clean", "", "delete unused, removed, damaged and abandoned data", COMMAND_CLEAN, 0, 0,
     COMPLETE_NOTHING, cmd_clean, TO_CLEAN},
    {"verify", "[VARIANT...]", "read payloads again and compare their digests", COMMAND_VERIFY, 0,
     -1, COMPLETE_VARIANT, cmd_verify, NEEDS_CACHE | NEEDS_ROOM},
    {"pack", "SOURCE... -o FILE", "put variants into one file, for warm to read", COMMAND_PACK, 1,
     -1, COMPLETE_FILE, cmd_pack, SETTING_BIT(SETTING_LOCAL)},
    {"manifest", "SOURCE...", "publish what variants consist of, for later warms", COMMAND_MANIFEST,
     1, -1, COMPLETE_FILE, cmd_manifest, NEEDS_NOTHING},
    {"stats", "", "print hits, misses, copies, time saved, size, room", COMMAND_STATS, 0, 0,
     COMPLETE_NOTHING, cmd_stats, NEEDS_CACHE},
    {"logs", "", "print the log", COMMAND_LOGS, 0, 0, COMPLETE_NOTHING, cmd_logs, NEEDS_CACHE},
    {"copy", "SRC DST", "copy a directory tree; DST must not exist", COMMAND_COPY, 2, 2,
     COMPLETE_DIRECTORY, cmd_copy, NEEDS_NOTHING},
    {"doctor", "[SOURCE...]", "check this machine and the cache, advise what to do", COMMAND_DOCTOR,
     0, -1, COMPLETE_DIRECTORY, cmd_doctor, NEEDS_CACHE | NEEDS_ROOM | SETTING_BIT(SETTING_LOCAL)},
    {"daemon", "[stop]", "serve look-ups and warming to other programs; end that", COMMAND_DAEMON,
     0, 1, "stop", cmd_daemon, TO_SERVE},
    {"status", "", "show what the daemon does, and for which users", COMMAND_STATUS, 0, 0,
     COMPLETE_NOTHING, cmd_status, NEEDS_CACHE},
    {"preload", "SOURCE...", "bring variants into the caches of many nodes", COMMAND_PRELOAD, 0, -1,
     COMPLETE_FILE, cmd_preload, NEEDS_NOTHING},
    {"config", "", "print every setting, and where its value comes from", COMMAND_CONFIG, 0, 0,
     COMPLETE_NOTHING, cmd_config, SETTINGS_ALL},
    {"completion", "SHELL", "print completions for bash, zsh or fish", COMMAND_COMPLETION, 1, 1,
     "bash zsh fish", NULL, NEEDS_NOTHING},
    {"help", "[COMMAND]", "print this help, or the help of a command", COMMAND_HELP, 0, 1,
     COMPLETE_COMMAND, NULL, NEEDS_NOTHING},
    {"version", "", "print the version", COMMAND_VERSION, 0, 0, COMPLETE_NOTHING, NULL,
     NEEDS_NOTHING},
};
const size_t command_count = ARRAY_LENGTH(command_table);

static const char *const whens[] = {"auto", "always", "never", NULL};
static const char *const progress_whens[] = {"auto", "always", "never", "json", NULL};
static const char *const withs[] = {"clush", "pdsh", "parallel", NULL};
static const char *const fanouts[] = {"auto", "source", "pack", "tree", NULL};
static const char *const formats[] = {"text", "json", "prometheus", NULL};

_Static_assert(WHEN_AUTO == 0 && WHEN_JSON == 3, "see progress_whens");
_Static_assert(FORMAT_PROMETHEUS == FORMAT_TEXT + 2, "see formats");

#define FIELD(name) offsetof(struct options, name)

const struct option_row option_table[] = {
    {"help", 'h', EVERY_COMMAND, OPTION_HELP, .help = "print this help, or the help of a command"},
    {"help-settings", 0, EVERY_COMMAND, OPTION_HELP_SETTINGS,
     .help = "print all settings and where their values come from"},
    {"version", 0, EVERY_COMMAND, OPTION_VERSION, .help = "print the version"},
    {"json", 0, EVERY_COMMAND, OPTION_FLAG, FIELD(json),
     .help = "print one JSON document on standard output"},
    {"verbose", 'v', EVERY_COMMAND, OPTION_VERBOSE,
     .help = "say more, such as which backend runs and why"},
    {"quiet", 'q', EVERY_COMMAND, OPTION_QUIET, .help = "print errors only"},
    {"progress", 0, EVERY_COMMAND, OPTION_CHOICE, FIELD(progress), "WHEN", progress_whens,
     .help = "show progress: auto, always, never or json"},
    {"stats", 0,
     COMMAND_WARM | COMMAND_ADD | COMMAND_COPY | COMMAND_VERIFY | COMMAND_MANIFEST |
         COMMAND_PRELOAD,
     OPTION_WHOLE, FIELD(stats_interval_s), "S", .minimum = 1, .maximum = 1e6,
     .expected = "a number of seconds above 0",
     .help = "show progress as a line every S seconds, for logs"},
    {"color", 0, EVERY_COMMAND, OPTION_CHOICE, FIELD(color), "WHEN", whens,
     .help = "use colours: auto, always or never"},
    {"no-wait", 0, COMMAND_WARM | COMMAND_ADD, OPTION_FLAG, FIELD(no_wait),
     .help = "do not wait for copies by other processes"},
    {"trust-pack", 0, COMMAND_WARM, OPTION_FLAG, FIELD(trust_pack),
     .help = "take packs from whoever made them"},
    {"report", 0, COMMAND_WARM | COMMAND_PRELOAD, OPTION_STREAM, FIELD(report), "FILE",
     .help = "also write the summary to FILE (JSON; preload: .html)"},
    {"all", 0, COMMAND_WARM | COMMAND_PACK | COMMAND_MANIFEST | COMMAND_PRELOAD, OPTION_FLAG,
     FIELD(all), .help = "accept directories: take all variants in them"},
    {"force", 0, COMMAND_ADD, OPTION_FLAG, FIELD(force),
     .help = "cache even what a setting or definition forbids"},
    {"root", 0, COMMAND_ADD, OPTION_DIRECTORY, FIELD(root), "DIR",
     .help = "directory of the variant's payload"},
    {"touch", 0, COMMAND_GET, OPTION_YES_NO, FIELD(touch), "yes|no",
     .help = "mark the variants as used now (default: yes)"},
    {"lease", 0, COMMAND_GET, OPTION_WHOLE, FIELD(lease_pid), "PID", .minimum = 1,
     .maximum = INT_MAX, .expected = "a process ID",
     .help = "protect the variants from clean until PID ends"},
    {"columns", 0, COMMAND_LIST, OPTION_TEXT, FIELD(columns), "LIST",
     .help = "the columns to print, separated by commas"},
    {"no-header", 0, COMMAND_LIST, OPTION_FLAG, FIELD(no_header),
     .help = "do not print the names of the columns"},
    {"null", 0, COMMAND_LIST, OPTION_FLAG, FIELD(null_ends),
     .help = "end each variant with NUL; a tab between columns"},
    {"time-limit", 0, COMMAND_CLEAN | COMMAND_PRELOAD, OPTION_REAL, FIELD(time_limit_s), "S",
     .maximum = 1e9, .expected = "a number of seconds above 0", .help = "stop after S seconds"},
    {"dry-run", 'n', COMMAND_WARM | COMMAND_REMOVE | COMMAND_CLEAN | COMMAND_COPY | COMMAND_PRELOAD,
     OPTION_FLAG, FIELD(dry_run), .help = "change nothing; print what would be done, and why"},
    {"share", 0, COMMAND_CLEAN, OPTION_FLAG, FIELD(share),
     .help = "have equal files share their blocks (XFS, Btrfs)"},
    {"repair", 0, COMMAND_VERIFY, OPTION_FLAG, FIELD(repair),
     .help = "copy damaged payloads again from their sources"},
    {"sample", 0, COMMAND_VERIFY, OPTION_PERCENT, FIELD(sample), "PERCENT", .maximum = 100,
     .expected = "a percentage above 0, up to 100",
     .help = "read only PERCENT of the files, others each time"},
    {"manifest", 0, COMMAND_COPY, OPTION_FILE, FIELD(manifest), "FILE",
     .help = "also write a manifest of the copy to FILE"},
    {"owner", 0, COMMAND_COPY, OPTION_FLAG, FIELD(owner),
     .help = "keep owners and groups (root only)"},
    {"set-id", 0, COMMAND_COPY, OPTION_FLAG, FIELD(set_id),
     .help = "keep set-user-ID and set-group-ID bits"},
    {"output", 'o', COMMAND_PACK, OPTION_STREAM, FIELD(output), "FILE",
     .help = "the pack that is made; -: standard output"},
    {"level", 0, COMMAND_PACK | COMMAND_PRELOAD, OPTION_WHOLE, FIELD(level), "N",
     .minimum = PACK_LEVEL_MIN, .maximum = PACK_LEVEL_MAX, .expected = "a number from 1 to 19",
     .help = "zstd's level of the pack, 1 to 19 (default: 3)"},
    {"list", 0, COMMAND_PACK, OPTION_FLAG, FIELD(list),
     .help = "list what is in packs: each SOURCE is a pack"},
    {"check", 0, COMMAND_PACK | COMMAND_MANIFEST | COMMAND_CONFIG, OPTION_FLAG, FIELD(check),
     .help = "print what is wrong (packs, manifests, settings)"},
    {"any-room", 0, COMMAND_PACK, OPTION_FLAG, FIELD(any_room),
     .help = "begin even if the disk may have too little room"},
    {"format", 0, COMMAND_STATS, OPTION_CHOICE, FIELD(format), "FORMAT", formats,
     .minimum = FORMAT_TEXT, .help = "output format: text, json or prometheus"},
    {"zero", 0, COMMAND_STATS, OPTION_FLAG, FIELD(zero),
     .help = "print the counters, then reset them to zero"},
    {"foreground", 0, COMMAND_DAEMON, OPTION_FLAG, FIELD(foreground),
     .help = "stay in the foreground, log to standard error"},
    {"idle-exit", 0, COMMAND_DAEMON, OPTION_WHOLE, FIELD(idle_exit_s), "S", .maximum = INT_MAX,
     .expected = "a number of seconds", .help = "exit after S seconds without clients and work"},
    {"metrics", 0, COMMAND_DAEMON, OPTION_FILE, FIELD(metrics), "FILE",
     .help = "write metrics for Prometheus to FILE"},
    {"follow", 'f', COMMAND_LOGS | COMMAND_STATUS | COMMAND_PRELOAD, OPTION_FLAG, FIELD(follow),
     .help = "keep printing what is new (preload: of the run RUN)"},
    {"lines", 'n', COMMAND_LOGS, OPTION_WHOLE, FIELD(lines), "N", .maximum = (double)(1ULL << 53),
     .expected = "a number of lines", .help = "print only the last N lines (with -f: 10)"},
    {"slurm", 0, COMMAND_PRELOAD, OPTION_FLAG, FIELD(slurm),
     .help = "start jobs of Slurm's on the nodes"},
    {"hosts", 0, COMMAND_PRELOAD, OPTION_FILE, FIELD(hosts), "FILE",
     .help = "without Slurm: the hosts that FILE names, one a line"},
    {"with", 0, COMMAND_PRELOAD, OPTION_CHOICE, FIELD(with), "LAUNCHER", withs,
     .minimum = WITH_CLUSH, .help = "reach them by clush, pdsh or parallel"},
    {"partition", 0, COMMAND_PRELOAD, OPTION_TEXT, FIELD(partition), "NAME",
     .help = "the nodes of this partition (default: Slurm's)"},
    {"nodes", 0, COMMAND_PRELOAD, OPTION_TEXT, FIELD(nodes), "LIST",
     .help = "only these nodes, such as n1,n[3-8]"},
    {"at-once", 0, COMMAND_PRELOAD, OPTION_WHOLE, FIELD(at_once), "N", .minimum = 1,
     .maximum = 100000, .expected = "a number of nodes",
     .help = "at most N nodes read the source at a time"},
    {"fanout", 0, COMMAND_PRELOAD, OPTION_CHOICE, FIELD(fanout), "HOW", fanouts,
     .help = "how bytes reach the nodes: auto, source, pack or tree"},
    {"jitter", 0, COMMAND_PRELOAD, OPTION_WHOLE, FIELD(jitter_s), "S", .maximum = 3600,
     .expected = "a number of seconds up to 3600",
     .help = "each node begins up to S seconds later, by chance"},
    {"farm", 0, COMMAND_DOCTOR, OPTION_FLAG, FIELD(farm),
     .help = "also check what a preload would need on this host"},
    {"program", 0, COMMAND_PRELOAD | COMMAND_DOCTOR, OPTION_FILE, FIELD(program), "PATH",
     .help = "pkgcache on the nodes (default: where this one is)"},
    {"run-dir", 0, COMMAND_PRELOAD | COMMAND_DOCTOR, OPTION_DIRECTORY, FIELD(run_dir), "DIR",
     .help = "where runs are (default: ~/.local/state/pkgcache/runs)"},
    {"detach", 0, COMMAND_PRELOAD, OPTION_FLAG, FIELD(detach),
     .help = "print the run's name, and do not wait for its end"},
    {"resume", 0, COMMAND_PRELOAD, OPTION_TEXT, FIELD(resume), "RUN",
     .help = "do what is missing in a run that ended or was killed"},
    {"cancel", 0, COMMAND_PRELOAD, OPTION_TEXT, FIELD(cancel), "RUN",
     .help = "end a run and its jobs"},
    {"on-node", 0, COMMAND_PRELOAD, OPTION_FLAG, FIELD(on_node),
     .help = "be the part on a node: read an order from preload"},
};
const size_t option_count = ARRAY_LENGTH(option_table);

_Static_assert(ARRAY_LENGTH(option_table) <= OPTION_COUNT_MAX, "one bit each");

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    return NULL;
}

const struct option_row *option_find_letter(char letter, unsigned commands)
{
    for (size_t i = 0; i < option_count; i++)
        if (option_table[i].letter == letter && option_table[i].commands & commands)
            return &option_table[i];
    return NULL;
}
