/*
 * Between a pack and the engine. What a variant consists of is read when its copy begins, and kept
 * until that ends, so memory is that of the variants under way. A frame is a part of the supply,
 * those of earlier variants included; each is read and decompressed by the thread that then makes
 * the files in it.
 */
#include "cache/warm/pack_supply.h"

#include "cache/warm/pack_ahead.h"
#include "cache/warm/pack_contents.h"
#include "cache/warm/pack_stream.h"
#include "cache/warm/supply_origins.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum { DECODERS_MAX = 10 }; /* that are kept for the next frame */

struct pack_file {
    atomic_uint references;
    int fd; /* of the pack; of a stream, of what is kept of it */
    struct pack *pack;
    struct pack_stream *stream; /* NULL: any frame can be read at any time */
    struct pack_ahead *ahead;   /* NULL: and in any order */
    char *name;
    bool waits;
    dev_t device;
    atomic_bool is_sparse; /* frames are read here and there */
    pthread_mutex_t lock;  /* for what follows */
    struct pack_decoder *decoders[DECODERS_MAX];
    unsigned decoder_count;
};

struct pack_supply {
    struct warm_supply supply;
    atomic_uint references; /* the caller's, and each copy's */
    struct pack_file *file;
    size_t variant;
};

/* One copy of a variant. */
struct pack_copy {
    struct pack_supply *supply;
    struct pack_contents contents;
    struct supply_origins origins;
};

/* --- The file --------------------------------------------------------------------------------- */

/* Frees what was begun, and closes the descriptor. Returns `result`. */
static int give_up_file(struct pack_file *file, char *name, int fd, int result)
{
    free(file);
    free(name);
    close(fd);
    return result;
}

/* Makes one of a pack that is not open yet. Takes the descriptor over, also on failure. */
static struct pack_file *new_file(int fd, const char *name, int *ret_result,
                                  struct pkgcache_error *error)
{
    struct stat status;
    struct pack_file *file = calloc(1, sizeof(*file));
    char *name_copy = strdup(name);
    if (!file || !name_copy || fstat(fd, &status) < 0) {
        int code = file && name_copy ? errno : ENOMEM;
        *ret_result = give_up_file(file, name_copy, fd,
                                   error_set(error, code, "%s: %s", name, strerror(code)));
        return NULL;
    }
    file->references = 1;
    file->fd = fd;
    file->name = name_copy;
    file->device = status.st_dev;
    return file;
}

int pack_file_open(int fd, uint64_t bytes_per_s, const char *name, struct pack_file **ret,
                   struct pkgcache_error *error)
{
    int result;
    struct pack_file *file = new_file(fd, name, &result, error);
    if (!file)
        return result;
    result = pack_open(fd, file->name, &file->pack, error);
    if (result < 0)
        return give_up_file(file, file->name, fd, result);
    file->waits = copyengine_is_remote(fd);
    if (file->waits && bytes_per_s == 0 && pack_ahead_new(file->pack, fd, &file->ahead) < 0) {
        pack_close(file->pack);
        return give_up_file(file, file->name, fd,
                            error_set(error, ENOMEM, "%s: out of memory", name));
    }
    pthread_mutex_init(&file->lock, NULL);
    *ret = file;
    return 0;
}

int pack_file_open_stream(int fd, const void *begun, size_t length, int spool_fd,
                          uint64_t bytes_per_s, const char *name, struct pack_file **ret,
                          struct pkgcache_error *error)
{
    int result;
    struct pack_file *file = new_file(spool_fd, name, &result, error);
    if (!file)
        return result;
    result = pack_open_stream(fd, begun, length, spool_fd, file->name, &file->pack, error);
    if (result == 0 && pack_stream_new(file->pack, spool_fd, bytes_per_s, &file->stream) < 0) {
        pack_close(file->pack);
        result = error_set(error, ENOMEM, "%s: out of memory", name);
    }
    if (result < 0)
        return give_up_file(file, file->name, spool_fd, result);
    file->waits = true; /* for the program at the other end */
    pthread_mutex_init(&file->lock, NULL);
    *ret = file;
    return 0;
}

int pack_file_finish_stream(struct pack_file *file, int cancel_fd, struct pkgcache_error *error)
{
    return pack_stream_finish(file->stream, cancel_fd, error);
}

const struct pack *pack_file_pack(const struct pack_file *file)
{
    return file->pack;
}

void pack_file_reference(struct pack_file *file)
{
    atomic_fetch_add(&file->references, 1);
}

void pack_file_release(struct pack_file *file)
{
    if (atomic_fetch_sub(&file->references, 1) > 1)
        return;
    for (unsigned i = 0; i < file->decoder_count; i++)
        pack_decoder_free(file->decoders[i]);
    pack_stream_free(file->stream);
    pack_ahead_free(file->ahead);
    pack_close(file->pack);
    close(file->fd);
    pthread_mutex_destroy(&file->lock);
    free(file->name);
    free(file);
}

/* Where frames are read here and there, what the kernel reads ahead is read in vain. */
static void expect_reads(struct pack_file *file, bool sparse)
{
    if (!file->stream && atomic_exchange(&file->is_sparse, sparse) != sparse)
        posix_fadvise(file->fd, 0, 0, sparse ? POSIX_FADV_RANDOM : POSIX_FADV_NORMAL);
}

static struct pack_decoder *take_decoder(struct pack_file *file)
{
    struct pack_decoder *decoder = NULL;
    pthread_mutex_lock(&file->lock);
    if (file->decoder_count > 0)
        decoder = file->decoders[--file->decoder_count];
    pthread_mutex_unlock(&file->lock);
    return decoder ? decoder : pack_decoder_new();
}

static void give_decoder(struct pack_file *file, struct pack_decoder *decoder)
{
    pthread_mutex_lock(&file->lock);
    bool kept = file->decoder_count < DECODERS_MAX;
    if (kept)
        file->decoders[file->decoder_count++] = decoder;
    pthread_mutex_unlock(&file->lock);
    if (!kept)
        pack_decoder_free(decoder);
}

/* --- The supply ------------------------------------------------------------------------------- */

static struct pack_supply *pack_supply_of(struct warm_supply *supply)
{
    return CONTAINER_OF(supply, struct pack_supply, supply);
}

static void release_supply(struct pack_supply *supply)
{
    if (atomic_fetch_sub(&supply->references, 1) > 1)
        return;
    pack_file_release(supply->file);
    first_error_destroy(&supply->supply.error);
    free(supply);
}

static void supply_release(struct warm_supply *supply)
{
    release_supply(pack_supply_of(supply));
}

static void *supply_begin(struct warm_supply *supply, struct donors *donors)
{
    struct pack_copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return NULL;
    copy->supply = pack_supply_of(supply);
    supply_origins_begin(&copy->origins, donors);
    atomic_fetch_add(&copy->supply->references, 1);
    first_error_clear(&supply->error);
    return copy;
}

static int supply_describe(void *context, struct copyengine_job *job,
                           struct copyengine_contents *ret, const char **ret_explanation)
{
    struct pack_copy *copy = context;
    struct pack_supply *supply = copy->supply;
    struct pkgcache_error error = {0};
    (void)ret_explanation;
    int result =
        pack_contents_read(supply->file->pack, supply->variant, job, &copy->contents, &error);
    if (result == 0) {
        *ret = copy->contents.contents;
        result = supply_origins_find(&copy->origins, ret, -1, job);
        expect_reads(supply->file, copy->origins.origins.count > 0);
    }
    /* with donors, only the engine knows which are read */
    if (result == 0 && supply->file->ahead && !copy->origins.items)
        pack_ahead_want(supply->file->ahead, copy->contents.frames, ret->part_count);
    return first_error_take(&supply->supply.error, result, &error);
}

static const struct copyengine_origins *supply_find_origins(void *context)
{
    const struct pack_copy *copy = context;
    return copy->origins.donors ? &copy->origins.origins : NULL;
}

/* Who waits for the bytes of a frame. */
struct arriving {
    struct pack_ahead *ahead;
    struct copyengine_job *job;
};

/* Bytes of a frame have arrived. */
static int on_arrival(void *context, size_t bytes)
{
    const struct arriving *arriving = context;
    (void)bytes;
    if (arriving->ahead)
        pack_ahead_ask_next(arriving->ahead);
    return copyengine_supply_moves(arriving->job) ? 0 : -ECANCELED;
}

static int read_frame(const struct pack_file *file, uint32_t frame, struct pack_decoder *decoder,
                      struct copyengine_job *job, void *buffer, struct pkgcache_error *error)
{
    struct arriving arriving = {file->ahead, job};
    /* where asking takes long, it waits for what was asked for to arrive, so that is progress */
    while (file->ahead && pack_ahead_ask_up_to(file->ahead, frame))
        if (!copyengine_supply_moves(job))
            break; /* as the first bytes will show */
    int result = pack_fetch_frame(file->pack, frame, decoder, on_arrival, &arriving, error);
    if (file->ahead)
        pack_ahead_forget(file->ahead, &frame, 1);
    return result < 0 ? result : pack_decode_frame(file->pack, frame, decoder, buffer, error);
}

static int supply_read(void *context, struct copyengine_job *job, size_t part, void *buffer,
                       const char **ret_explanation)
{
    struct pack_copy *copy = context;
    struct pack_supply *supply = copy->supply;
    struct pkgcache_error error = {0};
    uint32_t frame = copy->contents.frames[part];
    struct pack_decoder *decoder = take_decoder(supply->file);
    (void)ret_explanation;
    if (!decoder)
        return -ENOMEM;
    int result = supply->file->stream
                     ? pack_stream_read(supply->file->stream, supply->variant, frame, decoder, job,
                                        buffer, &error)
                     : read_frame(supply->file, frame, decoder, job, buffer, &error);
    give_decoder(supply->file, decoder);
    return first_error_take(&supply->supply.error, result, &error);
}

static void supply_end(void *context)
{
    struct pack_copy *copy = context;
    if (copy->supply->file->ahead)
        pack_ahead_forget(copy->supply->file->ahead, copy->contents.frames,
                          copy->contents.contents.part_count);
    supply_origins_free(&copy->origins);
    pack_contents_free(&copy->contents);
    release_supply(copy->supply);
    free(copy);
}

static uint64_t supply_measure(struct warm_supply *base)
{
    const struct pack_supply *supply = pack_supply_of(base);
    struct pack_entries *entries;
    const struct pack_entry *entry;
    uint64_t bytes = 0;
    if (pack_entries_open(supply->file->pack, supply->variant, &entries, NULL) < 0)
        return 0;
    int more;
    while ((more = pack_entries_next(entries, &entry, NULL)) > 0)
        bytes += entry->linked ? 0 : entry->stored;
    pack_entries_close(entries);
    return more < 0 ? 0 : bytes; /* what is damaged is told by the copy */
}

static void supply_expect(struct warm_supply *base)
{
    const struct pack_supply *supply = pack_supply_of(base);
    if (supply->file->stream)
        pack_stream_expect(supply->file->stream, supply->variant);
    if (supply->file->ahead)
        pack_ahead_expect(supply->file->ahead, supply->variant);
}

static bool supply_is_near(struct warm_supply *base)
{
    const struct pack_supply *supply = pack_supply_of(base);
    if (supply->file->stream)
        return pack_stream_is_near(supply->file->stream, supply->variant);
    return !supply->file->ahead || pack_ahead_is_near(supply->file->ahead, supply->variant);
}

static void supply_settle(struct warm_supply *base)
{
    const struct pack_supply *supply = pack_supply_of(base);
    if (supply->file->stream)
        pack_stream_settle(supply->file->stream, supply->variant);
    if (supply->file->ahead)
        pack_ahead_settle(supply->file->ahead, supply->variant);
}

static const struct warm_supply_kind pack_supply_kind = {
    .begin = supply_begin,
    .origins = supply_find_origins,
    .describe = supply_describe,
    .read = supply_read,
    .end = supply_end,
    .measure = supply_measure,
    .expect = supply_expect,
    .is_near = supply_is_near,
    .settle = supply_settle,
    .release = supply_release,
};

int pack_supply_new(struct pack_file *file, size_t variant, struct warm_supply **ret)
{
    struct pack_supply *supply = calloc(1, sizeof(*supply));
    if (!supply)
        return -ENOMEM;
    size_t count;
    const struct pack_variant *described = &pack_variants(file->pack, &count)[variant];
    supply->supply = (struct warm_supply){
        .kind = &pack_supply_kind,
        .bytes = described->bytes,
        .entries = described->entry_count,
        .name = file->name,
        .waits = file->waits,
        .device = file->device,
    };
    supply->references = 1;
    supply->file = file;
    supply->variant = variant;
    first_error_init(&supply->supply.error);
    pack_file_reference(file);
    *ret = &supply->supply;
    return 0;
}
