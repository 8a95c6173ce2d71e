/* The rows. Their users know what they mean. */
#include "cache/rez/setting_table.h"

#include "engine/compiler.h"

#define SECONDS_MAX (365ULL * 24 * 3600)
#define DAYS_MAX    36500

static const char *const backends[] = {"auto", "ring", "threads", NULL};
static const char *const durabilities[] = {"batch", "each", "none", NULL};
static const char *const symlinks[] = {"keep", "preserve", "follow", NULL};
static const char *const priorities[] = {"normal", "idle", NULL};
static const char *const stalled[] = {"heal", "report", NULL};
static const char *const daemon_uses[] = {"auto", "never", "require", NULL};
static const char *const trusted[] = {"everybody", "own", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};

/* The order of choices is that of the enumerations which settings_cache_options casts them to. */

const struct setting settings_table[SETTING_COUNT] = {
    [SETTING_CACHE] = {"cache", "PKGCACHE_DIR", REZCONFIG_CACHE_PACKAGES_PATH, SETTING_PATH, NULL,
                       0, 0, "", "directory of the cache"},
    [SETTING_BACKEND] =
        {"backend", "PKGCACHE_BACKEND", SETTING_OURS, SETTING_CHOICE, backends, 0, 0, "auto",
         "how files are copied: by io_uring (ring), by threads, or as pkgcache chooses (auto)"},
    [SETTING_DURABILITY] = {"durability", "PKGCACHE_DURABILITY", SETTING_OURS, SETTING_CHOICE,
                            durabilities, 0, 0, "batch",
                            "when copies are flushed to disk: together (batch), one by one (each), "
                            "never (none); copy: none"},
    [SETTING_SYMLINKS] = {"symlinks", "PKGCACHE_SYMLINKS", SETTING_OURS, SETTING_CHOICE, symlinks,
                          0, 0, "keep",
                          "symbolic links in copies: lead to the same place (keep), have the same "
                          "text (preserve), or are replaced by what they point to (follow)"},
    [SETTING_DIGEST] = {"digest", "PKGCACHE_DIGEST", SETTING_OURS, SETTING_CHOICE, yes_no, 0, 0,
                        "yes",
                        "compute digests of copied files, for verify (copy: with --manifest)"},
    [SETTING_REUSE] =
        {"reuse", "PKGCACHE_REUSE", SETTING_OURS, SETTING_CHOICE, yes_no, 0, 0, "yes",
         "warm: take files that another cached variant of the package has from there"},
    [SETTING_MANIFESTS] =
        {"manifests", "PKGCACHE_MANIFESTS", SETTING_OURS, SETTING_CHOICE, yes_no, 0, 0, "yes",
         "warm: believe the manifests that publishers wrote beside their repositories, instead of "
         "reading the directories of the source"},
    [SETTING_IN_FLIGHT] = {"in-flight", "PKGCACHE_IN_FLIGHT", SETTING_OURS, SETTING_NUMBER, NULL, 0,
                           4096, "0",
                           "maximum number of I/O operations in flight (0: tuned automatically)"},
    [SETTING_BWLIMIT] = {"bwlimit", "PKGCACHE_BWLIMIT", SETTING_OURS, SETTING_BYTES, NULL, 0,
                         (uint64_t)INT64_MAX, "0",
                         "maximum bytes per second, with K (1024), M, G or T (0: no limit)"},
    [SETTING_IO_PRIORITY] =
        {"io-priority", "PKGCACHE_IO_PRIORITY", SETTING_OURS, SETTING_CHOICE, priorities, 0, 0,
         "normal", "I/O priority of copies; idle: only while no other process uses the disk"},
    [SETTING_STALLED] = {"stalled", "PKGCACHE_STALLED", SETTING_OURS, SETTING_CHOICE, stalled, 0, 0,
                         "heal",
                         "copies whose process has died or hangs: take them over (heal), or only "
                         "report them, as rez does"},
    [SETTING_STALL_GRACE] =
        {"stall-grace", "PKGCACHE_STALL_GRACE", SETTING_OURS, SETTING_NUMBER, NULL, 5, SECONDS_MAX,
         "60", "seconds without a heartbeat until another process's copy counts as stalled"},
    [SETTING_LOCK_TIMEOUT] = {"lock-timeout", "PKGCACHE_LOCK_TIMEOUT", SETTING_OURS, SETTING_NUMBER,
                              NULL, 1, SECONDS_MAX, "10", "seconds to wait for the cache's lock"},
    [SETTING_SAME_DEVICE] = {"same-device", "PKGCACHE_SAME_DEVICE",
                             REZCONFIG_PACKAGE_CACHE_SAME_DEVICE, SETTING_CHOICE, yes_no, 0, 0,
                             "yes", "cache payloads that are on the cache's own file system"},
    [SETTING_LOCAL] = {"local", "PKGCACHE_LOCAL", REZCONFIG_PACKAGE_CACHE_LOCAL, SETTING_CHOICE,
                       yes_no, 0, 0, "yes",
                       "cache packages of the local repository (see --local-path)"},
    [SETTING_LOCAL_PATH] = {"local-path", "PKGCACHE_LOCAL_PATH", REZCONFIG_LOCAL_PACKAGES_PATH,
                            SETTING_PATH, NULL, 0, 0, "", "path of the local repository"},
    [SETTING_SPACE_BUFFER] = {"space-buffer", "PKGCACHE_SPACE_BUFFER",
                              REZCONFIG_PACKAGE_CACHE_SPACE_BUFFER, SETTING_BYTES, NULL, 0,
                              (uint64_t)INT64_MAX, "100M",
                              "bytes of the cache's disk to keep free, with K, M, G or T"},
    [SETTING_USED_THRESHOLD] = {"used-threshold", "PKGCACHE_USED_THRESHOLD",
                                REZCONFIG_PACKAGE_CACHE_USED_THRESHOLD, SETTING_NUMBER, NULL, 0,
                                100, "80",
                                "percentage of the disk in use above which running copies are "
                                "stopped, too, to keep --space-buffer free"},
    [SETTING_MAX_SIZE] =
        {"max-size", "PKGCACHE_MAX_SIZE", SETTING_OURS, SETTING_SHARE, NULL, 0, (uint64_t)INT64_MAX,
         "0",
         "clean: maximum size of all variants, in bytes with B, K, M, G or T, or as "
         "a percentage of the disk with % (0: no limit)"},
    [SETTING_MAX_VARIANT_DAYS] =
        {"max-variant-days", "PKGCACHE_MAX_VARIANT_DAYS",
         REZCONFIG_PACKAGE_CACHE_MAX_VARIANT_DAYS, SETTING_NUMBER, NULL, 0, DAYS_MAX, "30",
         "clean: remove variants that were not used for more than this number of days (0: never)"},
    [SETTING_LOG_DAYS] = {"log-days", "PKGCACHE_LOG_DAYS", REZCONFIG_PACKAGE_CACHE_LOG_DAYS,
                          SETTING_NUMBER, NULL, 0, DAYS_MAX, "7",
                          "clean: delete logs that are older than this number of days (0: never)"},
    [SETTING_DAEMON] = {"daemon", "PKGCACHE_DAEMON", SETTING_OURS, SETTING_CHOICE, daemon_uses, 0,
                        0, "auto",
                        "use the cache's daemon: if it runs (auto), never, or always, and fail if "
                        "it does not run (require)"},
    [SETTING_SOCKET] = {"socket", "PKGCACHE_SOCKET", SETTING_OURS, SETTING_PATH, NULL, 0, 0, "",
                        "path of the daemon's socket"},
    [SETTING_CLIENTS] =
        {"clients", "PKGCACHE_CLIENTS", SETTING_OURS, SETTING_PATH, NULL, 0, 0, "owner",
         "daemon: whom to serve besides root: owner, everybody, or the name of a group"},
    [SETTING_REPOSITORIES] =
        {"repositories", "PKGCACHE_REPOSITORIES", REZCONFIG_PACKAGES_PATH, SETTING_PATH, NULL, 0, 0,
         "",
         "daemon: repositories that --clients may have copied from, with colons between them; all, "
         "if neither this nor rez's packages_path is set"},
    [SETTING_TRUST] =
        {"trust", "PKGCACHE_TRUST", SETTING_OURS, SETTING_CHOICE, trusted, 0, 0, "everybody",
         "get: whose variants to return: everybody's, or only those that root or this "
         "user has cached, where nobody else can replace them (own)"},
    [SETTING_SHARE_IDLE] =
        {"share-idle", "PKGCACHE_SHARE_IDLE", SETTING_OURS, SETTING_NUMBER, NULL, 0, SECONDS_MAX,
         "0",
         "daemon: seconds without a copy after which equal files are made to share their blocks, "
         "as by clean --share (0: never)"},
};

enum setting_id settings_find(const char *name)
{
    int id = 0;
    while (id < SETTING_COUNT && strcmp(settings_table[id].name, name) != 0)
        id++;
    return (enum setting_id)id;
}
