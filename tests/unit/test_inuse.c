/* What texts of /proc say about slots. That all of them are read is the program tests' business. */
#include "tests/unit/place.h"

#include "cache/clean/cleaning.h"
#include "cache/util/text.h"

#include "engine/clock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool names(const char *text, const char *path)
{
    struct inuse inuse = {0};
    inuse_add_text(&inuse, text, strlen(text));
    bool result = inuse_has(&inuse, text_key(path, strlen(path)));
    inuse_free(&inuse);
    return result;
}

static size_t count(const char *text, size_t length)
{
    struct inuse inuse = {0};
    inuse_add_text(&inuse, text, length);
    size_t result = inuse.count;
    inuse_free(&inuse);
    return result;
}

Test(inuse, slots)
{
    static const char *const texts[] = {
        "/c/foo/1.0/00ff/abc",
        "/c/foo/1.0/00ff/abc/",
        "/foo/1.0/00ff/abc/bin/x (deleted)",
        "PATH=/usr/bin:/c/foo/1.0/00ff/abc:/bin",
        "7f0-7f1 r-xp 00000000 08:01 123   /c/foo/1.0/00ff/abc/lib/a.so\n7f2-7f3 rw-p",
        "36 35 98:0 /c/foo/1.0/00ff/abc /mnt rw - ext4 /dev/sda rw",
        "lowerdir=/x/foo/1.0/00ff/abc,upperdir=/y",
        "/1234/a/foo/1.0/00ff/abc",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect(names(texts[i], "foo/1.0/00ff/abc"), "%s", texts[i]);
}

Test(inuse, no_slots)
{
    static const char *const texts[] = {
        "",
        "/",
        "////////",
        "/foo/1.0/00ff",
        "/foo/1.0/00ff/",
        "/foo/1.0/00FF/abc",
        "/foo/1.0/0ff/abc",
        "/foo/1.0/00fff/abc",
        "/foo/1.0/00ff/1",
        "/foo/1.0/00ff/.copying-abc",
        "/foo/1.0/00ff/abc.json",
        "/1.0/00ff/abc",
        "foo/1.0/00ff/abc",
        "//1.0/00ff/abc",
        "/foo//00ff/abc",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect(count(texts[i], strlen(texts[i])) == 0, "%s", texts[i]);
    cr_expect(count("/foo\0/1.0/00ff/abc", 19) == 0); /* another variable */
    cr_expect(!names("/foo/1.0/00ff/abcd", "foo/1.0/00ff/abc"));
}

/* A hash directory may look like an increment, and the other way round. */
Test(inuse, more_than_one_reading)
{
    cr_expect(names("/a/b/abcd/abcd/abcd/x", "a/b/abcd/abcd"));
    cr_expect(names("/a/b/abcd/abcd/abcd/x", "b/abcd/abcd/abcd"));
    cr_expect(names("/a/b/abcd/abcd/abcd/x", "abcd/abcd/abcd/x"));
}

Test(inuse, escapes)
{
    cr_expect(names("0 /c/a\\040b/1\\134/00ff/abc rw", "a b/1\\/00ff/abc"));
    cr_expect(names("0 /c/a\\040b/1/00ff/abc rw", "a\\040b/1/00ff/abc"));
    cr_expect(names("\\057foo/1/00ff/abc\\", "foo/1/00ff/abc"));
}

Test(inuse, trash)
{
    cr_expect(names("/c/.sys/to_delete/foo-1.0-00/lib/a", ".sys/to_delete/foo-1.0-00"));
    cr_expect(names("36 35 98:0 /c/.sys/to_delete/foo /mnt rw", ".sys/to_delete/foo"));
    cr_expect(names("/c/.sys/to_delete/a b", ".sys/to_delete/a b"));
    cr_expect(!names("/c/.sys/to_delete/", ".sys/to_delete/"));
}

Test(inuse, lengths)
{
    char text[2000];
    memset(text, 'a', sizeof(text));
    memcpy(text + 500, "/b/1/00ff/c", 11);
    text[0] = '/';
    cr_expect(count(text, 511) == 1);
    text[500 - 300] = '/';
    cr_expect(count(text, 511) == 1);
    memcpy(text + 500, "/1/00ff/c", 9); /* the name before is too long for one */
    cr_expect(count(text, 509) == 0);
    memcpy(text, "/b/1/00ff/", 10);
    memset(text + 10, 'a', 64);
    cr_expect(count(text, 10 + 63) == 1);
    cr_expect(count(text, 10 + 64) == 0); /* no increment is that long */
}

Test(inuse, many)
{
    struct inuse inuse = {0};
    char path[64];
    for (int i = 0; i < 20000; i++) {
        int length = snprintf(path, sizeof(path), "/n%d/1/00ff/a", i);
        inuse_add_text(&inuse, path, (size_t)length);
        inuse_add_text(&inuse, path, (size_t)length);
    }
    cr_expect(inuse.count == 20000 && !inuse.everything);
    for (int i = 0; i < 20001; i++) {
        int length = snprintf(path, sizeof(path), "n%d/1/00ff/a", i);
        cr_expect(inuse_has(&inuse, text_key(path, (size_t)length)) == (i < 20000));
    }
    inuse_free(&inuse);
}

/* Whoever has a million different paths to show gets nothing deleted, and takes no more memory. */
Test(inuse, too_many)
{
    struct inuse inuse = {0};
    char path[64];
    for (int i = 0; i < (1 << 20) + 2; i++) {
        int length = snprintf(path, sizeof(path), "/n%d/1/00ff/a", i);
        inuse_add_text(&inuse, path, (size_t)length);
    }
    cr_expect(inuse.everything);
    cr_expect(inuse_has(&inuse, 12345));
    inuse_free(&inuse);
}

Test(inuse, unseen)
{
    struct inuse inuse = {.seen_at_ns = 10LL * 86400 * 1000000000};
    cr_expect(!inuse_may_be_unseen(&inuse, 10LL * 86400));
    inuse.unseen = 1;
    cr_expect(inuse_may_be_unseen(&inuse, 9LL * 86400 + 1));
    cr_expect(!inuse_may_be_unseen(&inuse, 9LL * 86400));
}

Test(inuse, this_process)
{
    struct inuse inuse;
    inuse_scan_processes(&inuse);
    cr_expect(!inuse.everything);
    inuse_free(&inuse);
}

/* A slot that is looked up and used after /proc was looked at is not missed. */
Test(inuse, looked_up_meanwhile)
{
    static const char slot[] = "foo/1.0/00ff/abc";
    char directory[PLACE_BYTES];
    char line[128];
    struct pkgcache_clean options = {.size = sizeof(options)};
    struct cleaning cleaning = {.options = &options};
    uint64_t key = text_key(slot, strlen(slot));
    cr_assert(place_make(directory));
    cr_assert(!inuse_has(cleaning_find_inuse(&cleaning), key));
    snprintf(line, sizeof(line), "mkdir -p %s/%s", directory, slot);
    cr_assert(system(line) == 0);
    snprintf(line, sizeof(line), "%s/%s", directory, slot);
    CLEANUP_CLOSE int fd = open(line, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    cr_expect(!inuse_has(cleaning_find_inuse(&cleaning), key));
    cr_expect(inuse_has(cleaning_find_inuse_since(&cleaning, now), key));
    cr_expect((int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S) > now.tv_sec);

    int64_t seen_at_ns = cleaning.inuse.seen_at_ns;
    now.tv_sec -= 10;
    cleaning_find_inuse_since(&cleaning, now);
    now.tv_sec += 3600; /* by another clock */
    cleaning_find_inuse_since(&cleaning, now);
    cr_expect(cleaning.inuse.seen_at_ns == seen_at_ns); /* not found out anew */
    inuse_free(&cleaning.inuse);
    snprintf(line, sizeof(line), "rm -rf %s", directory);
    cr_expect(system(line) == 0);
}
