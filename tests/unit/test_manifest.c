/* Manifests: what the engine writes and what others may have put there; comparing two of them. */
#include "cache/store/manifest_reader.h"
#include "cache/verify/comparison.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define HEAD   "pkgcache-manifest 1\0"
#define DIGEST "0123456789abcdef0123456789abcdef"
#define OTHER  "1123456789abcdef0123456789abcdef"

/* A file with these bytes, NULs and all; they may be written as a literal. */
static int file_with(const void *bytes, size_t length)
{
    int fd = memfd_create("manifest", MFD_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert(write(fd, bytes, length) == (ssize_t)length);
    return fd;
}

#define FILE_WITH(literal) file_with(literal, sizeof(literal) - 1)

/* Reads to the end. Returns what ended it. */
static int read_all(int fd, uint64_t *ret_count)
{
    struct manifest_reader *reader = malloc(sizeof(*reader));
    struct manifest_record record;
    cr_assert(reader);
    int result = manifest_reader_open(reader, fd, 0);
    if (result == 0)
        do {
            result = manifest_reader_next(reader, &record);
        } while (result == 1);
    *ret_count = reader->count;
    free(reader);
    return result;
}

static void expect(int fd, int expected, uint64_t expected_count)
{
    uint64_t count;
    cr_expect_eq(read_all(fd, &count), expected);
    cr_expect_eq(count, expected_count, "%" PRIu64, count);
    close(fd);
}

Test(manifest, reads_records)
{
    struct manifest_record record;
    cr_assert_eq(
        manifest_record_parse("f 644 12 1795581340.000000007 " DIGEST " a b/c\nd", &record), 0);
    cr_expect(record.type == 'f' && record.mode == 0644 && record.size == 12);
    cr_expect(record.mtime.tv_sec == 1795581340 && record.mtime.tv_nsec == 7);
    cr_expect(record.has_digest && record.digest[0] == 0x01 && record.digest[15] == 0xef);
    cr_expect_str_eq(record.path, "a b/c\nd");
    cr_assert_eq(manifest_record_parse("d 2755 0 -5.500000000 - .", &record), 0);
    cr_expect(!record.has_digest && record.mtime.tv_sec == -5 && record.mode == 02755);
    cr_assert_eq(manifest_record_parse("f 0 0 0.000000000 !13 x", &record), 0);
    cr_expect(record.error == 13 && !record.has_digest);
    cr_assert_eq(manifest_record_parse("o 0 0 0.000000000 - ..a", &record), 0);
}

Test(manifest, refuses_what_is_no_record)
{
    static const char *const texts[] = {
        "",
        "f",
        "x 644 1 0.000000000 - a",
        "f  644 1 0.000000000 - a",
        "f 648 1 0.000000000 - a",
        "f 10000 1 0.000000000 - a",
        "f 644 -1 0.000000000 - a",
        "f 644 +1 0.000000000 - a",
        "f 644 9223372036854775808 0.000000000 - a",
        "f 644 99999999999999999999999999 0.000000000 - a",
        "f 644 1 0.0 - a",
        "f 644 1 0 - a",
        "f 644 1 0.0000000000 - a",
        "f 644 1 --1.000000000 - a",
        "f 644 1 0.000000000 0123 a",
        "f 644 1 0.000000000 0123456789ABCDEF0123456789ABCDEF a",
        ("f 644 1 0.000000000 " DIGEST "0 a"),
        "f 644 1 0.000000000 !0 a",
        "f 644 1 0.000000000 !4096 a",
        "f 644 1 0.000000000 ! a",
        "f 644 1 0.000000000 - ",
        "f 644 1 0.000000000 -",
        "f 644 1 0.000000000 - /a",
        "f 644 1 0.000000000 - a/",
        "f 644 1 0.000000000 - a//b",
        "f 644 1 0.000000000 - ..",
        "f 644 1 0.000000000 - a/../b",
        "f 644 1 0.000000000 - ./a",
    };
    struct manifest_record record;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        cr_expect_eq(manifest_record_parse(texts[i], &record), -EBADMSG, "%s", texts[i]);
}

Test(manifest, is_whole_or_refused)
{
    static const char whole[] = HEAD "d 755 0 0.000000000 - .\0f 644 1 1.000000000 " DIGEST " a\0"
                                     "end 2";
    uint64_t count;
    expect(FILE_WITH(HEAD "end 0\0"), 0, 0);
    for (size_t length = 0; length < sizeof(whole); length++) {
        int fd = file_with(whole, length);
        cr_expect_eq(read_all(fd, &count), -EBADMSG, "cut off at %zu", length);
        close(fd);
    }
    expect(file_with(whole, sizeof(whole)), 0, 2);
    expect(FILE_WITH(HEAD "d 755 0 0.000000000 - .\0end 2\0"), -EBADMSG, 1);
    expect(FILE_WITH(HEAD "end 0\0end 0\0"), -EBADMSG, 0);
    expect(FILE_WITH(HEAD "end 0x0\0"), -EBADMSG, 0);
    expect(FILE_WITH("pkgcache-manifest 2\0end 0\0"), 0, 0);
    expect(FILE_WITH("pkgcache-manifest 3\0end 0\0"), -EBADMSG, 0);
    expect(FILE_WITH("pkgcache-manifest \0end 0\0"), -EBADMSG, 0);
    expect(FILE_WITH("\0\0\0\0"), -EBADMSG, 0);
}

Test(manifest, tells_its_version)
{
    static const struct {
        const char *text;
        size_t length;
        unsigned version;
    } texts[] = {
        {"xpkgcache-manifest 1\0end", 24, 1}, {"xpkgcache-manifest 2\0end", 24, 2},
        {"xpkgcache-manifest 3\0end", 24, 0}, {"xpkgcache-manifest 12\0end", 25, 0},
        {"xpkgcache-manifest 2", 20, 0},      {"x", 1, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        int fd = file_with(texts[i].text, texts[i].length);
        cr_expect_eq(manifest_version(fd, 1), texts[i].version, "%s", texts[i].text);
        close(fd);
    }
}

/* A path that just fits, and one that does not. */
Test(manifest, bounds_its_records)
{
    static const char fields[] = "f 644 1 0.000000000 - ";
    for (size_t over = 0; over < 2; over++) {
        size_t length = MANIFEST_RECORD_MAX + over;
        char *record = malloc(length);
        cr_assert(record);
        memset(record, 'x', length);
        memcpy(record, fields, sizeof(fields) - 1);
        record[length - 1] = '\0';
        int fd = file_with(HEAD, sizeof(HEAD) - 1);
        cr_assert(write(fd, record, length) == (ssize_t)length && write(fd, "end 1", 6) == 6);
        expect(fd, over ? -EBADMSG : 0, over ? 0 : 1);
        free(record);
    }
}

/* What was found, as text: a letter and the path for each. */
static void note(void *context, enum pkgcache_difference kind, const char *path)
{
    static const char letters[] = "MATSCLmtU";
    char *text = context;
    size_t length = strlen(text);
    snprintf(text + length, 200 - length, "%c %s;", letters[kind], path);
}

static void expect_differences(int shall, int is, const char *expected)
{
    char text[200] = "";
    struct comparison comparison = {.on_difference = note, .context = text};
    cr_expect_eq(comparison_run(&comparison, shall, 0, is, 0), 0);
    cr_expect_str_eq(text, expected);
    close(shall);
    close(is);
}

#define RECORD(text) HEAD text "\0end 1\0"
#define COMPARE(one, other, expected) \
    expect_differences(FILE_WITH(RECORD(one)), FILE_WITH(RECORD(other)), expected)

Test(comparison, finds_differences)
{
    COMPARE("f 644 5 1.000000001 " DIGEST " a", "f 644 5 1.000000001 " DIGEST " a", "");
    COMPARE("f 644 5 1.000000001 - a", "f 644 5 1.000000001 " DIGEST " a", "");
    COMPARE("f 644 5 1.000000001 " DIGEST " a", "f 644 5 1.000000001 - a", "");
    COMPARE("f 644 5 1.000000001 " DIGEST " a", "f 644 5 1.000000001 " OTHER " a", "C a;");
    COMPARE("f 644 5 1.000000001 " DIGEST " a", "f 600 6 2.000000001 " OTHER " a", "S a;m a;t a;");
    COMPARE("f 644 5 1.000000001 - a", "f 644 5 1.000000001 - b", "A b;M a;");
    COMPARE("f 644 5 1.000000001 - a", "d 644 5 1.000000001 - a", "T a;");
    COMPARE("l 777 5 1.000000001 " DIGEST " a", "l 777 5 1.000000001 " OTHER " a", "L a;");
    COMPARE("f 644 5 1.000000001 - a", "f 0 0 0.000000000 !5 a", "U a;");
}

/* Inherited set-group-ID, times of directories, and times that a file system keeps coarsely. */
Test(comparison, knows_what_is_no_difference)
{
    COMPARE("d 755 0 1.000000001 - .", "d 2755 0 2.000000001 - .", "");
    COMPARE("d 755 0 1.000000001 - .", "d 4755 0 2.000000001 - .", "m .;");
    COMPARE("f 644 5 1.123456789 - a", "f 644 5 1.123456700 - a", "");
    COMPARE("f 644 5 1.123456789 - a", "f 644 5 1.000000000 - a", "");
    COMPARE("f 644 5 1.123456789 - a", "f 644 5 1.123456788 - a", "t a;");
    expect_differences(FILE_WITH(HEAD "end 0\0"),
                       FILE_WITH(HEAD "d 755 0 0.000000000 - a/__pycache__\0"
                                      "f 644 1 0.000000000 - a/__pycache__/b.pyc\0"
                                      "f 644 1 0.000000000 - my__pycache__\0"
                                      "end 3\0"),
                       "A my__pycache__;");
}

Test(comparison, reports_nothing_of_manifests_that_are_not_sound)
{
    static const char *const cut = HEAD "f 644 1 0.000000000 - b\0f 644";
    char text[200] = "";
    struct comparison comparison = {.on_difference = note, .context = text};
    int sound = FILE_WITH(RECORD("f 644 1 0.000000000 - a"));
    int unsound = file_with(cut, 49);
    cr_expect_eq(comparison_run(&comparison, unsound, 0, sound, 0), -EBADMSG);
    cr_expect_eq(comparison_run(&comparison, sound, 0, unsound, 0), -EIO);
    cr_expect_str_eq(text, "");
    int newer = FILE_WITH("pkgcache-manifest 2\0f 644 1 0.000000000 - a\0end 1\0");
    cr_expect_eq(comparison_run(&comparison, sound, 0, newer, 0), -EBADMSG);
    cr_expect_eq(comparison_run(&comparison, newer, 0, newer, 0), 0);
    cr_expect_str_eq(text, "");
    close(newer);
    close(sound);
    close(unsound);
    int twice = FILE_WITH(HEAD "f 644 1 0.000000000 - a\0f 644 1 0.000000000 - a\0end 2\0");
    cr_expect_eq(comparison_run(&comparison, twice, 0, twice, 0), -EBADMSG);
    close(twice);
}

/* A manifest of so many files, without the one and with another digest for the other. */
static int large_manifest(unsigned count, unsigned without, unsigned damaged)
{
    FILE *stream = tmpfile();
    cr_assert(stream);
    fwrite(HEAD, 1, sizeof(HEAD) - 1, stream);
    for (unsigned i = 0; i < count; i++)
        if (i != without)
            fprintf(stream, "f 644 5 1.000000001 %s n%u%c", i == damaged ? OTHER : DIGEST, i, 0);
    fprintf(stream, "end %u%c", count - (without < count), 0);
    cr_assert(fflush(stream) == 0);
    int fd = dup(fileno(stream));
    fclose(stream);
    return fd;
}

/* More than one round. */
Test(comparison, of_many_files)
{
    enum { COUNT = 300000 };
    expect_differences(large_manifest(COUNT, COUNT, COUNT), large_manifest(COUNT, COUNT, COUNT),
                       "");
    expect_differences(large_manifest(COUNT, COUNT, COUNT), large_manifest(COUNT, 7, COUNT),
                       "M n7;");
    expect_differences(large_manifest(COUNT, COUNT, COUNT), large_manifest(COUNT, COUNT, 299999),
                       "C n299999;");
}
