/* Reading packs of which something is wrong, and one that is right. */
#include "cache/pack/pack_reader.h"
#include "cache/packing/pack_check.h"
#include "cache/packing/pack_writer.h"
#include "cache/store/handle.h"
#include "cache/util/file.h"
#include "cache/warm/pack_stream.h"
#include "engine/compiler.h"
#include "tests/unit/pack_builder.h"
#include "tests/unit/place.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

TestSuite(pack, .timeout = PATIENCE_S);

#define HELLO_DIGEST "b5e9c1ad071b3e7fc779cfaa5e523818" /* xxhsum -H2 of "hello" */
#define ROOT         "d 755 0 1700000000.000000001 - .|"
#define FILE_RECORD  "f 644 5 1700000000.000000001 " HELLO_DIGEST " "

static int open_bytes(const void *bytes, size_t length)
{
    int fd = memfd_create("pack", MFD_CLOEXEC);
    cr_assert(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Reads all of a pack: entries, then frames. Returns what the first failure said. */
static int read_all(int fd, bool stream, struct text *contents, struct pkgcache_error *error)
{
    struct pack *pack = NULL;
    CLEANUP_CLOSE int spool = memfd_create("spool", MFD_CLOEXEC);
    char begun[PACK_DETECT_BYTES / 2];
    ssize_t length = stream ? read(fd, begun, sizeof(begun)) : 0;
    int result = stream ? pack_open_stream(fd, begun, (size_t)length, spool, "x.pack", &pack, error)
                        : pack_open(fd, "x.pack", &pack, error);
    size_t count = 0;
    uint32_t frame_count = 0;
    if (result == 0) {
        pack_variants(pack, &count);
        pack_frames(pack, &frame_count);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        struct pack_entries *entries = NULL;
        const struct pack_entry *entry;
        result = pack_entries_open(pack, i, &entries, error);
        while (result == 0 && (result = pack_entries_next(entries, &entry, error)) == 1) {
            text_append_string(contents, entry->record.path);
            for (size_t k = 0; k < entry->xattr_count; k++)
                text_printf(contents, " %s=%zu", entry->xattrs[k].name, entry->xattrs[k].length);
            text_append_byte(contents, '\n');
            result = 0;
        }
        pack_entries_close(entries);
    }
    struct pack_decoder *decoder = pack_decoder_new();
    char *buffer = malloc(PACK_FRAME_MAX);
    for (uint32_t i = 0; i < frame_count && result == 0; i++) {
        uint32_t ignored;
        result = pack_fetch_frame(pack, i, decoder, NULL, NULL, error);
        if (result == 0)
            result = pack_decode_frame(pack, i, decoder, buffer, error);
        if (result == 0)
            text_append(contents, buffer, pack_frames(pack, &ignored)[i].size);
    }
    if (result == 0 && stream)
        result = pack_finish_stream(pack, error);
    pack_decoder_free(decoder);
    free(buffer);
    pack_close(pack);
    return result;
}

/* A pack must be refused, as a file and as a stream, for a reason that names it. */
static void check_refused(const struct text *file, const char *why)
{
    for (int stream = 0; stream < 2; stream++) {
        CLEANUP_TEXT struct text contents = {0};
        struct pkgcache_error error = {0};
        CLEANUP_CLOSE int fd = open_bytes(file->bytes, file->length);
        int result = read_all(fd, stream == 1, &contents, &error);
        cr_expect_eq(result, -EBADMSG, "%s: %d %s", why, result, error.message);
        cr_expect(strstr(error.message, why), "\"%s\" does not say \"%s\"", error.message, why);
        cr_expect(strstr(error.message, "x.pack"), "%s", error.message);
    }
}

static void check_entries_refused(const char *entries, const char *numbers, const char *why)
{
    struct builder builder = {.entries = entries, .numbers = numbers, .data = "hello"};
    builder_make(&builder);
    check_refused(&builder.file, why);
    text_free(&builder.file);
}

Test(pack, built_one_is_read)
{
    struct builder builder = {.entries =
                                  ROOT FILE_RECORD "a|x 7631 user.a=b|@ 0|" FILE_RECORD "a-b|@ 0|"
                                                   "l 777 2 1.000000000 " HELLO_DIGEST " z|> a|",
                              .numbers = "4 2 10",
                              .data = "hello"};
    /* the size of the link is wrong */
    builder_make(&builder);
    check_refused(&builder.file, "symbolic link");
    text_free(&builder.file);
    builder = (struct builder){.entries =
                                   ROOT FILE_RECORD "a|x 7631 user.a=b|@ 0|" FILE_RECORD "a-b|@ 0|",
                               .numbers = "3 2 10",
                               .data = "hello"};
    builder_make(&builder);
    for (int stream = 0; stream < 2; stream++) {
        CLEANUP_TEXT struct text contents = {0};
        struct pkgcache_error error = {0};
        CLEANUP_CLOSE int fd = open_bytes(builder.file.bytes, builder.file.length);
        cr_expect_eq(read_all(fd, stream == 1, &contents, &error), 0, "%s", error.message);
        cr_expect_str_eq(contents.bytes, ".\na user.a=b=2\na-b\nhello");
        cr_expect(pack_detect(builder.file.bytes, MIN(builder.file.length, PACK_DETECT_BYTES)));
    }
    text_free(&builder.file);
}

Test(pack, paths_that_lead_out)
{
    static const char *const paths[] = {"/etc/passwd", "../a", "a/../../b", "d/..", "a//b", "./a"};
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        char entries[512];
        snprintf(entries, sizeof(entries), ROOT FILE_RECORD "%s|@ 0|", paths[i]);
        check_entries_refused(entries, "2 1 5", "its path leads out");
    }
}

Test(pack, entries_where_none_can_be)
{
    check_entries_refused(FILE_RECORD "a|@ 0|", "2 1 5", "the first is not the root");
    check_entries_refused(ROOT ROOT, "2 0 0", "the root is there twice");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|" FILE_RECORD "a|@ 0|", "3 2 10", "there twice");
    check_entries_refused(ROOT FILE_RECORD "b|@ 0|" FILE_RECORD "a|@ 0|", "3 2 10", "not in order");
    check_entries_refused(ROOT FILE_RECORD "d/a|@ 0|", "2 1 5", "a directory that was not there");
    check_entries_refused(ROOT "l 777 5 1.000000000 " HELLO_DIGEST " d|> /root|" FILE_RECORD
                               "d/a|@ 0|",
                          "3 1 5", "a directory that was not there");
    check_entries_refused(ROOT FILE_RECORD "d|@ 0|" FILE_RECORD "d/a|@ 0|", "3 2 10",
                          "a directory that was not there");
    check_entries_refused(ROOT "o 644 0 1.000000000 - fifo|", "2 0 0", "nothing that packs have");
    check_entries_refused(ROOT "f 4755 5 1.000000000 " HELLO_DIGEST " a|@ 0|", "2 1 5",
                          "nothing that packs have");
    check_entries_refused(ROOT "f 644 5 1.000000000 - a|@ 0|", "2 1 5", "nothing that packs have");
}

Test(pack, numbers_out_of_range)
{
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|", "1000000000 1 5", "more entries than");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|", "3 1 5", "other entries than it says");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|", "2 1 6", "other entries than it says");
    check_entries_refused(ROOT "f 644 9223372036854775808 1.000000000 " HELLO_DIGEST " a|@ 0|",
                          "2 1 5", "cannot be read");
    check_entries_refused(ROOT "f 644 9223372036854775807 1.000000000 " HELLO_DIGEST " a|@ 0|",
                          "2 1 5", "in no frame");
    check_entries_refused(ROOT FILE_RECORD "a|@ 1|", "2 1 5", "in no frame");
    check_entries_refused(ROOT FILE_RECORD "a|@ 18446744073709551615|", "2 1 5", "cannot be read");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|+ 3 3|", "2 1 5", "holes");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|+ 0 2|+ 1 2|", "2 1 5", "holes");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|+ 0 0|", "2 1 5", "holes");
    check_entries_refused(ROOT FILE_RECORD "a|= 1|", "2 1 5", "hard link");
    check_entries_refused(ROOT FILE_RECORD "a|= 2|", "2 1 5", "hard link");
    check_entries_refused(ROOT FILE_RECORD "a|@ 0|" FILE_RECORD "b|= 1|@ 0|", "3 2 10",
                          "bytes are");
}

Test(pack, attributes_that_packs_do_not_have)
{
    check_entries_refused(ROOT FILE_RECORD "a|x 00 security.capability|@ 0|", "2 1 5",
                          "none that packs have");
    check_entries_refused(ROOT FILE_RECORD "a|x 0 user.a|@ 0|", "2 1 5", "none that packs have");
    check_entries_refused(ROOT FILE_RECORD "a|x 00 user.|@ 0|", "2 1 5", "none that packs have");
    check_entries_refused(ROOT FILE_RECORD "a|x 00 user.a|x 01 user.a|@ 0|", "2 1 5",
                          "there twice");
}

Test(pack, heads_that_cannot_be)
{
    static const struct {
        const char *version, *counts, *more, *why;
    } heads[] = {
        {"pkgcache-pack 2", NULL, NULL, "the pack has version 2"},
        {"something 1", NULL, NULL, "does not begin"},
        {NULL, "counts 1000000000 1 0", NULL, "claims more"},
        {NULL, "counts 1 1000000000 0", NULL, "claims more"},
        {NULL, "counts 2 1 0", NULL, "less variants"},
        {NULL, "counts 1 2 0", NULL, "less variants, frames"},
        {NULL, "counts 0 1 0", NULL, "more variants"},
        {NULL, NULL, "frame 10 10|", "more frames"},
        {NULL, NULL, "shared 0 5 0|", "more shared ranges"},
        {NULL, "counts 1 1 1", "shared 0 6 0|", "shared range"},
        {NULL, "counts 1 1 1", "shared 0 5 1|", "shared range"},
        {NULL, "counts 1 1 2", "shared 0 5 0|shared 4 1 0|", "shared range"},
        {NULL, NULL, "nonsense|", "nobody knows"},
        {NULL, NULL, "end|x|", "something follows the end"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(heads); i++) {
        struct builder builder = {.version = heads[i].version,
                                  .counts = heads[i].counts,
                                  .more = heads[i].more,
                                  .entries = ROOT FILE_RECORD "a|@ 0|",
                                  .numbers = "2 1 5",
                                  .data = "hello"};
        builder_make(&builder);
        check_refused(&builder.file, heads[i].why);
        text_free(&builder.file);
    }
}

/* The head of a frame can claim a window of 2 GB: nothing is allocated for it. */
Test(pack, a_window_of_2_gb)
{
    struct builder builder = {
        .entries = ROOT FILE_RECORD "a|@ 0|", .numbers = "2 1 5", .data = "hello"};
    builder_make(&builder);
    size_t offset = builder.sizes[0].stored;
    uint8_t *frame = (uint8_t *)builder.file.bytes + offset;
    cr_assert(frame[4] & 1 << 5); /* a single segment: its size is its window */
    frame[4] &= (uint8_t) ~(1 << 5);
    frame[5] = 21 << 3; /* 2^31 */
    check_refused(&builder.file, "its index is cut off or damaged");
    text_free(&builder.file);
}

/* --- A real one ------------------------------------------------------------------------------ */

static void write_file(const char *place, const char *name, const void *bytes, size_t length)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", place, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    cr_assert(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    close(fd);
}

/* Makes a pack of two variants. */
static void make_pack(struct text *ret)
{
    char place[PLACE_BYTES];
    char path[256];
    char command[512];
    struct pack_summary summary;
    struct pkgcache_error error = {0};
    struct pkgcache_handle *handles[2];
    cr_assert(place_make(place));
    char *noise = malloc(60000);
    for (size_t i = 0; i < 60000; i++)
        noise[i] = (char)(i * i >> 7);
    write_file(place, "noise", noise, 60000);
    write_file(place, "text", "hello", 5);
    snprintf(path, sizeof(path), "%s.pack", place);
    struct pack_source sources[2];
    for (int i = 0; i < 2; i++) {
        cr_assert(handle_create("/svr", "foo", i ? "1.1" : "1.0", -1, &handles[i], &error) == 0);
        sources[i] = (struct pack_source){handles[i], place, NULL};
    }
    const struct pack_options options = {.path = path, .level = PACK_LEVEL};
    cr_assert(pack_write(sources, 2, &options, &summary, &error) == 0, "%s", error.message);
    cr_expect_eq(summary.equal, 2);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY);
    cr_assert(fd >= 0 && file_read(fd, 1 << 24, ret, &error) == 0);
    snprintf(command, sizeof(command), "rm -rf %s %s", place, path);
    cr_assert(system(command) == 0);
    free(noise);
    handle_free(handles[0]);
    handle_free(handles[1]);
}

static int read_bytes(const char *bytes, size_t length, bool stream, struct text *contents,
                      struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd = open_bytes(bytes, length);
    return read_all(fd, stream, contents, error);
}

Test(pack, cut_anywhere)
{
    CLEANUP_TEXT struct text file = {0};
    make_pack(&file);
    for (size_t length = 0; length < file.length; length += 1 + length / 16)
        for (int stream = 0; stream < 2; stream++) {
            CLEANUP_TEXT struct text contents = {0};
            struct pkgcache_error error = {0};
            int result = read_bytes(file.bytes, length, stream == 1, &contents, &error);
            cr_expect_eq(result, -EBADMSG, "%zu: %s", length, error.message);
            cr_expect(strstr(error.message, "x.pack"), "%s", error.message);
        }
    text_append_byte(&file, 'x'); /* one that grows */
    for (int stream = 0; stream < 2; stream++) {
        CLEANUP_TEXT struct text contents = {0};
        struct pkgcache_error error = {0};
        cr_expect_eq(read_bytes(file.bytes, file.length, stream == 1, &contents, &error), -EBADMSG);
    }
}

/* Changes a file while it is packed: progress is reported between its parts. */
struct changing {
    char path[256];
    int times; /* left */
};

static void change(void *context, const struct pkgcache_progress *progress)
{
    struct changing *changing = context;
    if (progress->bytes == 0 || changing->times-- <= 0)
        return;
    CLEANUP_CLOSE int fd = open(changing->path, O_WRONLY);
    char byte = (char)changing->times;
    cr_assert(fd >= 0 && pwrite(fd, &byte, 1, changing->times) == 1);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = changing->times}};
    cr_assert(futimens(fd, times) == 0);
}

static void on_variant(void *context, size_t variant, const struct pkgcache_error *error)
{
    (void)context;
    cr_expect(!error, "%zu: %s", variant, error ? error->message : "");
}

/* Packs a file of 3 MiB that changes so many times. Returns what pack_write did. */
static int pack_changing(int times, struct pkgcache_error *error)
{
    char place[PLACE_BYTES];
    char path[256];
    char command[512];
    struct pack_summary summary;
    struct pkgcache_handle *handle;
    struct changing changing = {.times = times};
    char *zeros = calloc(3, 1 << 20);
    cr_assert(place_make(place));
    memset(zeros, 'x', 3 << 20);
    write_file(place, "large", zeros, 3 << 20);
    free(zeros);
    snprintf(changing.path, sizeof(changing.path), "%s/large", place);
    snprintf(path, sizeof(path), "%s.pack", place);
    cr_assert(handle_create("/svr", "foo", "1.0", -1, &handle, error) == 0);
    const struct pack_source source = {handle, place, NULL};
    const struct pack_options options = {
        .path = path, .level = PACK_LEVEL, .on_progress = change, .context = &changing};
    int result = pack_write(&source, 1, &options, &summary, error);
    int fd = open(path, O_RDONLY);
    cr_expect_eq(fd >= 0, result == 0);
    if (result == 0) {
        struct pack *pack;
        const struct pack_check check = {.on_variant = on_variant};
        cr_assert(pack_open(fd, path, &pack, error) == 0, "%s", error->message);
        cr_expect_eq(pack_check_run(pack, fd, &check, error), 0, "%s", error->message);
        pack_close(pack);
        close(fd);
    }
    snprintf(command, sizeof(command), "rm -rf %s %s", place, path);
    cr_assert(system(command) == 0);
    handle_free(handle);
    return result;
}

Test(pack, files_that_change_are_read_again_once)
{
    struct pkgcache_error error = {0};
    cr_expect_eq(pack_changing(0, &error), 0, "%s", error.message);
    cr_expect_eq(pack_changing(1, &error), 0, "%s", error.message);
    cr_expect_eq(pack_changing(1000, &error), -ESTALE, "%s", error.message);
    cr_expect(strstr(error.message, "large: it was changed"), "%s", error.message);
}

/* Either it is noticed, or it changed nothing: zstd has bits that no reader looks at, and so has
 * the table at the end. */
Test(pack, one_bit_flipped)
{
    CLEANUP_TEXT struct text file = {0};
    CLEANUP_TEXT struct text sound = {0};
    struct pkgcache_error error = {0};
    make_pack(&file);
    cr_assert(read_bytes(file.bytes, file.length, false, &sound, &error) == 0, "%s", error.message);
    cr_assert(sound.bytes);
    size_t noticed = 0;
    for (size_t i = 0; i < 400; i++) {
        CLEANUP_TEXT struct text contents = {0};
        size_t at = i * 2654435761U % file.length;
        file.bytes[at] = (char)(file.bytes[at] ^ 1 << i % 8);
        int result = read_bytes(file.bytes, file.length, false, &contents, &error);
        cr_expect(result == -EBADMSG || (result == 0 && contents.length == sound.length &&
                                         memcmp(contents.bytes, sound.bytes, sound.length) == 0),
                  "%zu: %d %s", at, result, error.message);
        noticed += result == -EBADMSG;
        file.bytes[at] = (char)(file.bytes[at] ^ 1 << i % 8);
    }
    cr_expect_gt(noticed, 380);
}

Test(pack, a_stream_has_its_frames_in_order)
{
    CLEANUP_TEXT struct text file = {0};
    struct pack *pack = NULL;
    struct pkgcache_error error = {0};
    make_pack(&file);
    CLEANUP_CLOSE int fd = open_bytes(file.bytes, file.length);
    CLEANUP_CLOSE int spool = memfd_create("spool", MFD_CLOEXEC);
    cr_assert(pack_open_stream(fd, NULL, 0, spool, "-", &pack, &error) == 0, "%s", error.message);
    struct pack_decoder *decoder = pack_decoder_new();
    size_t count;
    const struct pack_shared *shared = pack_shared(pack, &count);
    cr_expect(count == 2 && shared[0].last_variant == 1);
    cr_expect_eq(pack_fetch_frame(pack, 1, decoder, NULL, NULL, &error), -ESPIPE);
    cr_expect_eq(pack_fetch_frame(pack, 0, decoder, NULL, NULL, &error), 0);
    pack_decoder_free(decoder);
    pack_close(pack);
}

/* --- A pack from a pipe, and two who need the same frame ---------------------------------------
 */

static _Thread_local bool waits; /* whether this thread's reads wait */
static sem_t at_gate;            /* one does */
static sem_t gate;               /* it may go on */

/* In place of libc's. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
ssize_t pread(int fd, void *bytes, size_t length, off_t offset)
{
    if (waits) {
        waits = false;
        sem_post(&at_gate);
        sem_wait(&gate);
    }
    return syscall(SYS_pread64, fd, bytes, length, offset);
}

struct reading {
    struct pack_stream *stream;
    size_t variant;
    uint32_t frame;
    char *buffer; /* a frame, decompressed */
    int result;
    struct pkgcache_error error;
};

static void read_stream(struct reading *reading)
{
    struct pack_decoder *decoder = pack_decoder_new();
    cr_assert(decoder && reading->buffer);
    reading->result = pack_stream_read(reading->stream, reading->variant, reading->frame, decoder,
                                       NULL, reading->buffer, &reading->error);
    pack_decoder_free(decoder);
}

static void *read_slowly(void *reading)
{
    waits = true;
    read_stream(reading);
    return NULL;
}

/* What the first frame has that later variants have, too, is the same in both buffers. */
static void compare_shared(const struct pack *pack, const char *whole, const char *shared)
{
    size_t count;
    size_t compared = 0;
    uint32_t frame_count;
    const struct pack_shared *ranges = pack_shared(pack, &count);
    const struct pack_frame *frames = pack_frames(pack, &frame_count);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = ranges[i].position - frames[0].position;
        if (at + ranges[i].length > frames[0].size)
            continue;
        cr_expect_eq(memcmp(whole + at, shared + at, ranges[i].length), 0);
        compared++;
    }
    cr_expect(compared > 0);
}

/* The second variant reads a frame of the first one's, which is in the file; before it has read it,
 * the first one takes the frame, and its place is freed. */
Test(pack, a_frame_that_is_freed_while_it_is_read)
{
    CLEANUP_TEXT struct text file = {0};
    struct pkgcache_error error = {0};
    struct pack *pack;
    struct pack_stream *stream;
    pthread_t thread;
    CLEANUP_CLOSE int spool = memfd_create("spool", MFD_CLOEXEC);
    make_pack(&file);
    CLEANUP_CLOSE int fd = open_bytes(file.bytes, file.length);
    cr_assert(pack_open_stream(fd, NULL, 0, spool, "x.pack", &pack, &error) == 0, "%s",
              error.message);
    cr_assert(pack_stream_new(pack, spool, 0, &stream) == 0);
    cr_assert(sem_init(&at_gate, 0, 0) == 0 && sem_init(&gate, 0, 0) == 0);
    uint32_t frame_count;
    pack_frames(pack, &frame_count);
    struct reading past = {stream, 1, frame_count - 1, malloc(PACK_FRAME_MAX), 0, {0}};
    struct reading first = {stream, 0, 0, malloc(PACK_FRAME_MAX), 0, {0}};
    struct reading second = {stream, 1, 0, malloc(PACK_FRAME_MAX), 0, {0}};
    pack_stream_expect(stream, 0);
    pack_stream_expect(stream, 1);
    read_stream(&past);
    cr_assert_eq(past.result, 0, "%s", past.error.message);
    cr_assert(pthread_create(&thread, NULL, read_slowly, &second) == 0);
    sem_wait(&at_gate);
    read_stream(&first);
    cr_expect_eq(first.result, 0, "%s", first.error.message);
    sem_post(&gate);
    pthread_join(thread, NULL);
    cr_expect_eq(second.result, 0, "%s", second.error.message);
    compare_shared(pack, first.buffer, second.buffer);
    pack_stream_settle(stream, 0);
    pack_stream_settle(stream, 1);
    pack_stream_free(stream);
    pack_close(pack);
    free(past.buffer);
    free(first.buffer);
    free(second.buffer);
}
