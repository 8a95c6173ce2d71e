/* Sidecars: rez's, ours, and what is left of them after a crash. */
#include "cache/store/sidecar.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#define HANDLE                                                                            \
    "{\"key\": \"filesystem.variant\", \"variables\": {\"location\": \"/svr/packages\", " \
    "\"name\": \"foo\", \"version\": \"1.0.0\", \"index\": null, \"repository_type\": "   \
    "\"filesystem\"}}"

static int parse(const char *text, struct sidecar *ret_sidecar, struct pkgcache_error *error)
{
    return sidecar_parse(text, strlen(text), ret_sidecar, error);
}

static void expect_root(const char *text, const char *root)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    struct pkgcache_error error = {0};
    cr_assert(parse(text, &sidecar, &error) == 0, "%s: %s", text, error.message);
    cr_expect_str_eq(sidecar.handle->relative_path, "foo/1.0.0/dd0c");
    cr_expect(sidecar.fd == -1);
    if (root)
        cr_expect(sidecar.root && strcmp(sidecar.root, root) == 0, "%s: %s", text, sidecar.root);
    else
        cr_expect(sidecar.root == NULL, "%s: %s", text, sidecar.root);
}

Test(sidecar, reads_rez_s_and_ours)
{
    expect_root("{\"handle\": " HANDLE "}", NULL);
    expect_root("{\"data\": [[\"a-1\"]], \"handle\": " HANDLE "}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": \"/a b\"}}", "/a b");
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": \"/\\udcff\", \"x\": 1}}",
                "/\xff");
}

Test(sidecar, takes_a_strange_root_for_none)
{
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": null}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {}}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": 1}}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": \"\"}}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": \"a\"}}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": \"/\\u0000\"}}", NULL);
    expect_root("{\"handle\": " HANDLE ", \"pkgcache\": {\"root\": \"/\\ud800\"}}", NULL);
}

Test(sidecar, writes_what_rez_writes_and_one_member_more)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    CLEANUP_JSON struct json_document *data = NULL;
    cr_assert(handle_create("/svr/packages", "foo", "1.0.0", -1, &handle, NULL) == 0);
    cr_assert(json_parse("[[\"a-1\"]]", 9, &data, NULL) == 0);
    CLEANUP_TEXT struct text text = {0};
    sidecar_write(&text, handle, NULL, NULL);
    cr_expect_str_eq(text.bytes, "{\"handle\": " HANDLE "}");

    text_free(&text);
    sidecar_write(&text, handle, "/a\xff", data->root);
    cr_expect_str_eq(text.bytes, "{\"handle\": " HANDLE ", \"data\": [[\"a-1\"]], "
                                 "\"pkgcache\": {\"root\": \"/a\\udcff\"}}");
    expect_root(text.bytes, "/a\xff");
}

/* Whether a sidecar with this text is taken for the handle's. */
static bool holds(const char *text, const struct pkgcache_handle *handle)
{
    char directory[PLACE_BYTES];
    cr_assert(place_make(directory));
    CLEANUP_CLOSE int dirfd = open(directory, O_RDONLY | O_DIRECTORY);
    CLEANUP_CLOSE int fd = openat(dirfd, "a.json", O_WRONLY | O_CREAT, 0600);
    CLEANUP_CLOSE int sidecar_fd = -1;
    cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    bool result = sidecar_holds(dirfd, "a.json", handle, &sidecar_fd);
    cr_expect(result == (sidecar_fd >= 0));
    cr_expect(!sidecar_holds(dirfd, "b.json", handle, &sidecar_fd));
    unlinkat(dirfd, "a.json", 0);
    rmdir(directory);
    return result;
}

Test(sidecar, holds_its_handle_only)
{
    CLEANUP_HANDLE struct pkgcache_handle *same = NULL;
    CLEANUP_HANDLE struct pkgcache_handle *other = NULL;
    cr_assert(handle_create("/svr/packages", "foo", "1.0.0", -1, &same, NULL) == 0);
    cr_assert(handle_create("/svr/packages", "foo", "1.0.0", 0, &other, NULL) == 0);
    cr_expect(holds("{\"handle\": " HANDLE "}", same));
    cr_expect(!holds("{\"handle\": " HANDLE "}", other));
    cr_expect(!holds("{\"handle\": " HANDLE, same));
    cr_expect(!holds("", same));
    cr_expect(!holds("{}", same));
}

/* More than a look-up keeps room for on the stack: of the text, and of its values. */
Test(sidecar, holds_its_handle_whatever_its_size)
{
    CLEANUP_HANDLE struct pkgcache_handle *same = NULL;
    cr_assert(handle_create("/svr/packages", "foo", "1.0.0", -1, &same, NULL) == 0);
    for (size_t count = 0; count < 3000; count = count * 3 / 2 + 7) {
        CLEANUP_TEXT struct text text = {0};
        text_append_string(&text, "{\"handle\": " HANDLE ", \"data\": [1");
        for (size_t i = 0; i < count; i++)
            text_append_string(&text, ",1");
        text_append_string(&text, "]}");
        cr_expect(holds(text.bytes, same), "%zu", count);
    }
}

static void expect_refused(const char *text, int code, const char *message)
{
    struct sidecar sidecar = SIDECAR_INIT;
    struct pkgcache_error error = {0};
    cr_expect(parse(text, &sidecar, &error) == -code, "%s", text);
    cr_expect(sidecar.handle == NULL && sidecar.root == NULL && sidecar.fd == -1);
    cr_expect(strstr(error.message, message), "%s: %s", text, error.message);
}

Test(sidecar, refuses_what_is_damaged)
{
    expect_refused("", EBADMSG, "empty");
    expect_refused("{\"handle\": {\"key\": \"filesys", EBADMSG, "a string that does not end");
    expect_refused("{\"handle\": " HANDLE, EBADMSG, "missing");
    expect_refused("\x7f"
                   "ELF",
                   EBADMSG, "not JSON");
    expect_refused("[]", EBADMSG, "there is no handle in it");
    expect_refused("{}", EBADMSG, "there is no handle in it");
    expect_refused("{\"handle\": null}", EBADMSG, "there is no handle in it");
    expect_refused(HANDLE, EBADMSG, "there is no handle in it");
}

Test(sidecar, tells_what_is_foreign_from_what_is_damaged)
{
    expect_refused("{\"handle\": {}}", EINVAL, "key");
    expect_refused("{\"handle\": {\"key\": \"memory.variant\", \"variables\": {}}}", EINVAL,
                   "\"memory.variant\" must be");
}

static void write_file(int dirfd, const char *name, const char *bytes, size_t length)
{
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
}

static void expect_read(int dirfd, const char *name, int code, const char *message)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    struct pkgcache_error error = {0};
    int result = sidecar_read(dirfd, name, &sidecar, &error);
    cr_expect(result == -code, "%s: %d %s", name, result, error.message);
    cr_expect(strstr(error.message, message), "%s: %s", name, error.message);
    struct stat status;
    cr_expect((code == 0) == (sidecar.fd >= 0 && fstat(sidecar.fd, &status) == 0));
    cr_expect((code == 0) == (sidecar.handle != NULL));
}

Test(sidecar, reads_files_with_suspicion)
{
    char directory[PLACE_BYTES];
    cr_assert(place_make(directory));
    CLEANUP_CLOSE int dirfd = open(directory, O_RDONLY | O_DIRECTORY);
    CLEANUP_TEXT struct text giant = {0};
    text_append_string(&giant, "{\"handle\": " HANDLE "}");
    write_file(dirfd, "a.json", giant.bytes, giant.length);
    write_file(dirfd, "half.json", giant.bytes, giant.length / 2);
    write_file(dirfd, "empty.json", "", 0);
    while (giant.length < SIDECAR_MAX_BYTES)
        text_append_byte(&giant, ' ');
    write_file(dirfd, "large.json", giant.bytes, giant.length);
    text_append_byte(&giant, ' ');
    write_file(dirfd, "giant.json", giant.bytes, giant.length);
    memset(giant.bytes, '[', giant.length);
    write_file(dirfd, "deep.json", giant.bytes, giant.length - 1);
    cr_assert(symlinkat("a.json", dirfd, "link.json") == 0);
    cr_assert(mkfifoat(dirfd, "fifo.json", 0600) == 0);

    expect_read(dirfd, "a.json", 0, "");
    expect_read(dirfd, "large.json", 0, "");
    expect_read(dirfd, "half.json", EBADMSG, "sidecar \"half.json\": not JSON");
    expect_read(dirfd, "empty.json", EBADMSG, "the text is empty");
    expect_read(dirfd, "giant.json", EBADMSG, "is larger than 1048576 bytes");
    expect_read(dirfd, "deep.json", EBADMSG, "nested too deeply");
    expect_read(dirfd, "link.json", EBADMSG, "symbolic link");
    expect_read(dirfd, "fifo.json", EBADMSG, "fifo");
    expect_read(dirfd, "absent.json", ENOENT, "No such file");

    static const char *const names[] = {"a.json",     "half.json", "empty.json", "large.json",
                                        "giant.json", "deep.json", "link.json",  "fifo.json"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        unlinkat(dirfd, names[i], 0);
    rmdir(directory);
}

static int lease_fd;

static void give_lease_back(int signal)
{
    (void)signal;
    fcntl(lease_fd, F_SETLEASE, F_UNLCK);
}

/* As a file server has leases on what its clients have open: the kernel asks for it back. */
Test(sidecar, waits_for_a_lease)
{
    static const char text[] = "{\"handle\": " HANDLE "}";
    char place[PLACE_BYTES];
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    cr_assert_not_null(place_make(place));
    CLEANUP_CLOSE int dirfd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lease_fd = openat(dirfd, "a.json", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(write(lease_fd, text, sizeof(text) - 1) == sizeof(text) - 1);
    signal(SIGIO, give_lease_back);
    bool leased = fcntl(lease_fd, F_SETLEASE, F_WRLCK) == 0;
    int result = sidecar_read(dirfd, "a.json", &sidecar, NULL);
    close(lease_fd);
    unlinkat(dirfd, "a.json", 0);
    rmdir(place);
    if (!leased)
        cr_skip_test("no leases here");
    cr_expect_eq(result, 0, "%s", strerror(-result));
}
