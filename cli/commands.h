/* All commands: one file cmd_NAME.c each. They return an exit code. */
#pragma once

#include "cli/options.h"

enum {
    COMMAND_WARM = 1 << 0,
    COMMAND_ADD = 1 << 1,
    COMMAND_GET = 1 << 2,
    COMMAND_LIST = 1 << 3,
    COMMAND_REMOVE = 1 << 4,
    COMMAND_CLEAN = 1 << 5,
    COMMAND_COPY = 1 << 6,
    COMMAND_VERIFY = 1 << 7,
    COMMAND_STATS = 1 << 10,
    COMMAND_LOGS = 1 << 11,
    COMMAND_DOCTOR = 1 << 12,
    COMMAND_DAEMON = 1 << 13,
    COMMAND_STATUS = 1 << 14,
    COMMAND_PACK = 1 << 15,
    COMMAND_MANIFEST = 1 << 16,
    COMMAND_CONFIG = 1 << 25,
    COMMAND_COMPLETION = 1 << 24,
    COMMAND_HELP = 1 << 26,
    COMMAND_VERSION = 1 << 27,
    COMMAND_PRELOAD = 1 << 20,
};

int cmd_warm(struct options *options);
int cmd_add(struct options *options);
int cmd_get(struct options *options);
int cmd_list(struct options *options);
int cmd_remove(struct options *options);
int cmd_clean(struct options *options);
int cmd_verify(struct options *options);
int cmd_stats(struct options *options);
int cmd_logs(struct options *options);
int cmd_copy(struct options *options);
int cmd_doctor(struct options *options);
int cmd_daemon(struct options *options);
int cmd_status(struct options *options);
int cmd_config(struct options *options);
int cmd_pack(struct options *options);
int cmd_manifest(struct options *options);
int cmd_preload(struct options *options);
