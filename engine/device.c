/* What a file system, or a pair of them, is like. Knows nothing of files in particular. */
#include "engine/device.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/copyengine.h"

#include <assert.h>
#include <linux/magic.h>
#include <sys/vfs.h>

/* Those that statfs(2) names and linux/magic.h does not have. */
enum {
    MAGIC_CIFS = (int)0xff534d42,
    MAGIC_LUSTRE = 0x0bd00bd0,
    MAGIC_GPFS = 0x47504653,
    MAGIC_BEEGFS = 0x19830326,
    MAGIC_ZFS = 0x2fc12fc1,
    MAGIC_EXFAT = 0x2011bab0,
};

enum {
    COLD_STEP = 8, /* one read of nine that is not in memory keeps a source cold */
    COLD_MAX = 2 * DEVICE_COLD,
    AT_ONCE_NS = 200000,        /* longer: it came from a disk, or we were not running */
    AT_ONCE_BYTES_PER_US = 200, /* slower: the same */
};

void devices_init(struct devices *devices)
{
    *devices = (struct devices){0};
    pthread_mutex_init(&devices->lock, NULL);
}

void devices_destroy(struct devices *devices)
{
    for (struct device_pair *pair = devices->pairs; pair;) {
        struct device_pair *next = pair->next;
        free(pair);
        pair = next;
    }
    pthread_mutex_destroy(&devices->lock);
}

/* What is learned begins anew. Who waits in a call is not forgotten. */
static void forget(struct device_pair *pair)
{
    atomic_bool *flags[] = {&pair->no_clone,    &pair->no_copy_range, &pair->no_send,
                            &pair->no_allocate, &pair->no_direct,     &pair->no_inline,
                            &pair->keeps_times, &pair->flushes,       &pair->keeps_link_times,
                            &pair->knows_links, &pair->follows_links, &pair->keeps_modes};
    atomic_uint *counts[] = {&pair->slow_inline, &pair->quick_inline, &pair->hot, &pair->cold};
    for (size_t i = 0; i < ARRAY_LENGTH(flags); i++)
        atomic_store(flags[i], false);
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++)
        atomic_store(counts[i], 0);
}

struct device_pair *devices_enter(struct devices *devices, dev_t source, dev_t destination)
{
    pthread_mutex_lock(&devices->lock);
    struct device_pair *pair = devices->pairs;
    while (pair && (pair->source != source || pair->destination != destination))
        pair = pair->next;
    if (!pair && (pair = calloc(1, sizeof(*pair)))) {
        pair->source = source;
        pair->destination = destination;
        pair->next = devices->pairs;
        devices->pairs = pair;
    }
    if (pair && pair->jobs++ == 0)
        forget(pair);
    pthread_mutex_unlock(&devices->lock);
    return pair;
}

void devices_leave(struct devices *devices, struct device_pair *pair)
{
    pthread_mutex_lock(&devices->lock);
    assert(pair->jobs > 0);
    pair->jobs--;
    pthread_mutex_unlock(&devices->lock);
}

enum device_kind device_kind(int fd)
{
    struct statfs file_system;
    if (fstatfs(fd, &file_system) < 0)
        return DEVICE_LOCAL;
    switch ((unsigned)file_system.f_type) {
    case NFS_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case (unsigned)MAGIC_CIFS:
    case CEPH_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case CODA_SUPER_MAGIC:
    case V9FS_MAGIC:
    case OCFS2_SUPER_MAGIC:
    case MAGIC_LUSTRE:
    case MAGIC_GPFS:
    case MAGIC_BEEGFS:
        return DEVICE_REMOTE;
    case BTRFS_SUPER_MAGIC:
        return DEVICE_BTRFS;
    case OVERLAYFS_SUPER_MAGIC:
        return DEVICE_OVERLAY;
    default:
        return DEVICE_LOCAL;
    }
}

/*
 * Sizes are right where files are on a disk or in memory, and where a server says how much may be
 * read. Others make up contents as they are read, and do not know how much that will be: those of
 * the kernel (proc, sysfs, ...), FUSE with direct_io, 9P. A file system that is not known here may
 * be one of them.
 */
static bool knows_sizes(unsigned type)
{
    switch (type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case (unsigned)MAGIC_CIFS:
    case CEPH_SUPER_MAGIC:
    case AFS_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case OCFS2_SUPER_MAGIC:
    case MAGIC_LUSTRE:
    case MAGIC_GPFS:
    case MAGIC_BEEGFS:
    case MAGIC_ZFS:
    case MSDOS_SUPER_MAGIC:
    case MAGIC_EXFAT:
    case ISOFS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
    case EROFS_SUPER_MAGIC_V1:
        return true;
    default:
        return false;
    }
}

struct device_files device_files(int fd)
{
    struct statfs file_system;
    if (fstatfs(fd, &file_system) < 0)
        return (struct device_files){.sizes_may_lie = true};
    return (struct device_files){
        .sizes_may_lie = !knows_sizes((unsigned)file_system.f_type),
        .stacked = (unsigned)file_system.f_type == OVERLAYFS_SUPER_MAGIC,
    };
}

bool copyengine_is_remote(int fd)
{
    return device_kind(fd) == DEVICE_REMOTE;
}

bool device_pair_learn(struct device_pair *pair, uint64_t began_ns, int64_t bytes)
{
    uint64_t took_ns = clock_monotonic_ns() - began_ns;
    bool at_once = took_ns <= AT_ONCE_NS + (uint64_t)bytes / AT_ONCE_BYTES_PER_US * 1000;
    unsigned cold = atomic_load_explicit(&pair->cold, memory_order_relaxed);
    /* Several threads may do so at once: what is lost is made up for by the next ones. */
    if (at_once && cold > 0)
        atomic_store_explicit(&pair->cold, cold - 1, memory_order_relaxed);
    else if (!at_once && cold < COLD_MAX)
        atomic_store_explicit(&pair->cold, cold + COLD_STEP, memory_order_relaxed);
    return at_once;
}

bool device_pair_cannot(int code)
{
    switch (code) {
    case EXDEV:
    case EOPNOTSUPP:
    case ENOSYS:
    case ENOTTY:
    case EINVAL:
    case EPERM: /* a seccomp filter */
        return true;
    default:
        return false;
    }
}
