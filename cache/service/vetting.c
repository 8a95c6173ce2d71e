/*
 * Vetting. All that may hang is done by the threads of cache/warm/roots.h, for one root after the
 * other, with what they need in their hands: they may outlive the daemon's other parts. What was
 * found is true of the directory that was opened then; so the copy is told which one that was
 * (copyengine_copy.source_inode), and a path that leads elsewhere by then copies nothing.
 *
 * Why a root cannot be opened is not told: whether there is a name in a directory that is closed to
 * the guest is not the guest's business either.
 */
#include "cache/service/vetting.h"

#include "cache/service/guest.h"
#include "cache/store/lookup.h"
#include "cache/util/text.h"
#include "cache/warm/roots.h"

#include "engine/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>

#define COPY_IT_YOURSELF "with --daemon=never you copy it yourself"

static const char is_closed[] =
    "there is no such directory, or it, or one above it, is closed to you or to the daemon's user";

enum {
    TICK_MS = ROOTS_STUCK_MS,
    WAITING_MAX = 65536, /* roots that are looked at */
    WAITING_OF_USER_MAX = 16384,
    LOOKS_OF_USER_MAX = 64, /* at once: a quarter of the threads that there may be */
};

/** How many roots of a user the threads have in hand, also those that were given up. */
struct guest_looks {
    struct guest_looks *next;
    uid_t uid;
    size_t count;
};

/** Whose root is looked at, and where it must be. The thread's that looks. */
struct subject {
    struct access_user user;
    char *location;
    char *base; /* LOCATION/NAME[/VERSION] */
    char *repositories;
    bool has_index; /* the root may be below the base */
    char *refusal;  /* NULL: the root may be copied */
    gid_t groups[];
};

/** One root. */
struct item {
    struct vetting *vetting;
    struct root_check *check; /* NULL: it is known what is with it */
};

struct vetting {
    struct vettings *all;
    struct vetting *next;
    struct source_variants *variants;
    void (*on_done)(void *context);
    void *context;
    struct access_user user;
    uint64_t began_ns; /* CLOCK_MONOTONIC */
    size_t begun;      /* the first so many items; the others wait until fewer are looked at */
    size_t missing;    /* items whose check has not come back */
    struct item items[];
};

/* --- Judging, by a thread that may hang ------------------------------------------------------- */

static void free_subject(void *argument)
{
    struct subject *subject = argument;
    free(subject->location);
    free(subject->base);
    free(subject->repositories);
    free(subject->refusal);
    free(subject);
}

PRINTF_LIKE(2, 3)
static bool refuse(struct subject *subject, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    subject->refusal = text_vformat(format, arguments);
    va_end(arguments);
    return false;
}

/* Whether `path` is `directory`, or below it. Both are canonical. */
static bool is_within(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool is_same_directory(int a, int b)
{
    struct stat first;
    struct stat second;
    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* Whether the root may be copied; if not, it is said why. What is closed is as if it was not there,
 * wherever it is. */
static bool may_copy(struct subject *subject, const struct root_check *check, int fd)
{
    CLEANUP_CLOSE int way_fd = guest_walk(&subject->user, check->resolved);
    if (way_fd < 0 || !is_same_directory(way_fd, fd))
        return refuse(subject, "root %s: %s", check->root, is_closed);
    if (*subject->repositories && !guest_is_listed(subject->location, subject->repositories))
        return refuse(subject,
                      "repository %s is none of those that this daemon copies from for other users "
                      "(rez's packages_path, or --repositories); " COPY_IT_YOURSELF,
                      subject->location);
    CLEANUP_FREE char *base = realpath(subject->base, NULL);
    bool inside = base && is_within(check->resolved, base);
    if (!inside || (!subject->has_index && strcmp(check->resolved, base) != 0))
        return refuse(
            subject,
            "root %s is not where the package is (%s): this daemon copies nothing else for "
            "other users; " COPY_IT_YOURSELF,
            check->root, subject->base);
    return true;
}

static void judge(struct root_check *check, int fd)
{
    if (!may_copy(check->look.subject, check, fd))
        check->result = -EPERM;
}

/* --- Beginning and end ------------------------------------------------------------------------ */

static struct subject *make_subject(const struct vettings *vettings,
                                    const struct pkgcache_handle *handle,
                                    const struct access_user *user)
{
    size_t bytes = user->group_count * sizeof(gid_t);
    struct subject *subject = calloc(1, sizeof(*subject) + bytes);
    if (!subject)
        return NULL;
    if (bytes > 0)
        memcpy(subject->groups, user->groups, bytes);
    subject->user = (struct access_user){user->uid, subject->groups, user->group_count};
    subject->has_index = handle->index != HANDLE_NO_INDEX;
    subject->location = strdup(handle->location);
    subject->repositories = strdup(vettings->repositories);
    if (asprintf(&subject->base, "%s/%s%s%s", handle->location, handle->name,
                 handle->version ? "/" : "", handle->version ? handle->version : "") < 0)
        subject->base = NULL;
    if (subject->location && subject->repositories && subject->base)
        return subject;
    free_subject(subject);
    return NULL;
}

/* Those of a user; NULL: none, and `make` is false, or there is no memory. */
static struct guest_looks *looks_of(struct vettings *vettings, uid_t uid, bool make)
{
    struct guest_looks *looks = vettings->looks;
    while (looks && looks->uid != uid)
        looks = looks->next;
    if (looks || !make || !(looks = calloc(1, sizeof(*looks))))
        return looks;
    *looks = (struct guest_looks){.next = vettings->looks, .uid = uid};
    vettings->looks = looks;
    return looks;
}

/* One of a user has come back. */
static void end_look(struct vettings *vettings, uid_t uid)
{
    struct guest_looks **link = &vettings->looks;
    while (*link && (*link)->uid != uid)
        link = &(*link)->next;
    assert(*link && (*link)->count > 0);
    if (--(*link)->count > 0)
        return;
    struct guest_looks *looks = *link;
    *link = looks->next;
    free(looks);
}

/* Begins with one root. Returns 0 or -errno. */
static int begin_item(struct vettings *vettings, struct item *item, struct source_variant *variant,
                      const struct access_user *user)
{
    if (variant->reason || !variant->root)
        return 0;
    if (slot_is_cached(vettings->cache, variant->handle)) {
        free(STEAL(variant->root));
        return 0;
    }
    if (*variant->root != '/') {
        source_variant_give_reason(variant, EINVAL, "its root is not an absolute path");
        return 0;
    }
    const struct root_look look = {
        .judge = judge,
        .free_subject = free_subject,
        .subject = make_subject(vettings, variant->handle, user),
    };
    struct guest_looks *looks = looks_of(vettings, user->uid, true);
    if (!look.subject || !looks) {
        if (look.subject)
            free_subject(look.subject);
        return -ENOMEM;
    }
    looks->count++;
    int result = roots_add(vettings->roots, variant->root, &look, item, &item->check);
    if (result < 0)
        end_look(vettings, user->uid);
    return result;
}

static void give_reason(struct source_variant *variant, int code, const char *why)
{
    CLEANUP_FREE char *reason = NULL;
    if (asprintf(&reason, "root %s: %s", variant->root, why) < 0)
        reason = NULL;
    source_variant_give_reason(variant, code, reason ? reason : why);
}

/* Takes over what was found of one root. */
static void take_check(struct source_variant *variant, struct root_check *check)
{
    const struct subject *subject = check->look.subject;
    if (check->result == 0) {
        free(variant->root);
        variant->root = STEAL(check->resolved);
        variant->root_device = check->device;
        variant->root_inode = check->inode;
    } else if (subject->refusal) {
        source_variant_give_reason(variant, EPERM, subject->refusal);
    } else {
        give_reason(variant, EACCES, is_closed);
    }
}

/* Ends a vetting whose roots are all known. */
static void finish(struct vetting *vetting)
{
    struct vetting **link = &vetting->all->first;
    while (*link != vetting)
        link = &(*link)->next;
    *link = vetting->next;
    if (!vetting->all->first)
        loop_stop_timer(&vetting->all->timer);
    vetting->on_done(vetting->context);
    free((void *)vetting->user.groups);
    free(vetting);
}

/* Begins with as many roots as its user may have looked at at once. */
static void begin_items(struct vetting *vetting)
{
    struct vettings *vettings = vetting->all;
    const struct source_variants *variants = vetting->variants;
    while (vetting->begun < variants->count) {
        const struct guest_looks *looks = looks_of(vettings, vetting->user.uid, false);
        if (looks && looks->count >= LOOKS_OF_USER_MAX)
            return;
        struct item *item = &vetting->items[vetting->begun];
        struct source_variant *variant = &variants->items[vetting->begun++];
        int result = begin_item(vettings, item, variant, &vetting->user);
        if (result < 0)
            give_reason(variant, -result, strerror(-result));
        if (!item->check)
            vetting->missing--;
    }
}

/* Waits no longer for what has not answered. */
static void give_up(struct vetting *vetting, int code, const char *why)
{
    for (size_t i = 0; i < vetting->variants->count; i++) {
        struct item *item = &vetting->items[i];
        if (!item->check && i < vetting->begun)
            continue;
        if (item->check)
            item->check->context = NULL;
        item->check = NULL;
        if (vetting->variants->items[i].root && !vetting->variants->items[i].reason)
            give_reason(&vetting->variants->items[i], code, why);
    }
    finish(vetting);
}

static void on_found(void *context)
{
    const int *wake_fd = context;
    eventfd_write(*wake_fd, 1);
}

static void on_tick(struct loop_timer *timer)
{
    struct vettings *vettings = CONTAINER_OF(timer, struct vettings, timer);
    uint64_t now_ns = clock_monotonic_ns();
    roots_tend(vettings->roots);
    for (struct vetting *vetting = vettings->first, *next; vetting; vetting = next) {
        next = vetting->next;
        if (now_ns - vetting->began_ns > vettings->stall_grace_s * NS_PER_S)
            give_up(vetting, ETIMEDOUT, "its file system does not answer");
    }
}

/* Whether so many roots are waited for that a user gets no more. */
static bool is_crowded(const struct vettings *vettings, uid_t uid, size_t more)
{
    size_t all = more;
    size_t of_user = more;
    for (const struct vetting *vetting = vettings->first; vetting; vetting = vetting->next) {
        all += vetting->missing;
        of_user += vetting->user.uid == uid ? vetting->missing : 0;
    }
    return all > WAITING_MAX || of_user > WAITING_OF_USER_MAX;
}

int vetting_begin(struct vettings *vettings, struct source_variants *variants,
                  const struct access_user *user, void (*on_done)(void *context), void *context)
{
    if (is_crowded(vettings, user->uid, variants->count))
        return -EBUSY;
    struct vetting *vetting =
        calloc(1, sizeof(*vetting) + variants->count * sizeof(vetting->items[0]));
    size_t bytes = user->group_count * sizeof(gid_t);
    gid_t *groups = malloc(bytes + 1);
    if (!vetting || !groups ||
        (!vettings->roots &&
         roots_start(NULL, on_found, &vettings->wake_fd, &vettings->roots) < 0)) {
        free(vetting);
        free(groups);
        return -ENOMEM;
    }
    if (bytes > 0)
        memcpy(groups, user->groups, bytes);
    *vetting = (struct vetting){
        .all = vettings,
        .next = vettings->first,
        .variants = variants,
        .on_done = on_done,
        .context = context,
        .user = {user->uid, groups, user->group_count},
        .missing = variants->count,
        .began_ns = clock_monotonic_ns(),
    };
    vettings->first = vetting;
    vettings->timer.on_time = on_tick;
    loop_start_timer(vettings->loop, &vettings->timer, TICK_MS * NS_PER_MS);
    for (size_t i = 0; i < variants->count; i++)
        vetting->items[i].vetting = vetting;
    begin_items(vetting);
    if (vetting->missing == 0)
        finish(vetting);
    return 0;
}

void vettings_take_done(struct vettings *vettings)
{
    struct root_check *check = vettings->roots ? roots_take_done(vettings->roots) : NULL;
    for (struct root_check *next; check; check = next) {
        next = check->next;
        struct item *item = check->context;
        const struct subject *subject = check->look.subject;
        end_look(vettings, subject->user.uid);
        if (item) {
            struct vetting *vetting = item->vetting;
            take_check(&vetting->variants->items[item - vetting->items], check);
            item->check = NULL;
            if (--vetting->missing == 0)
                finish(vetting);
        }
        roots_free_check(check);
    }
    for (struct vetting *vetting = vettings->first, *after; vetting; vetting = after) {
        after = vetting->next;
        begin_items(vetting);
        if (vetting->missing == 0)
            finish(vetting);
    }
}

void vettings_end(struct vettings *vettings)
{
    while (vettings->first)
        give_up(vettings->first, ECANCELED, "the daemon is stopping");
    roots_stop(vettings->roots);
    vettings->roots = NULL;
    for (struct guest_looks *looks; (looks = vettings->looks);) {
        vettings->looks = looks->next;
        free(looks);
    }
}
