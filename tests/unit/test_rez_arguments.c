/* The command line of rez-pkg-cache: what argparse says to many of them, as rez printed it. */
#include "cli/rez_arguments.h"
#include "tests/unit/vectors.h"

enum { ARGUMENTS_MAX = 16, SAID_MAX_BYTES = 4 << 20 };

/* Reads a command line, with what is printed going into a file. */
static int read_quietly(int argc, char **argv, struct rez_arguments *ret, int said_fd)
{
    int kept[2];
    for (int i = 0; i < 2; i++) {
        kept[i] = dup(STDOUT_FILENO + i);
        dup2(said_fd, STDOUT_FILENO + i);
    }
    int code = rez_arguments_read(argc, argv, ret);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(kept[i], STDOUT_FILENO + i);
        close(kept[i]);
    }
    return code;
}

static bool ends_with(const struct text *text, const char *end)
{
    size_t length = strlen(end);
    return text->length > length && text->bytes[text->length - 1] == '\n' &&
           strncmp(text->bytes + text->length - 1 - length, end, length) == 0;
}

static void check(const cJSON *vector)
{
    char *argv[ARGUMENTS_MAX + 2] = {(char *)"rez-pkg-cache"};
    int argc = 1;
    struct rez_arguments arguments;
    CLEANUP_TEXT struct text said = {0};
    CLEANUP_CLOSE int said_fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    const char *says = vectors_string(vector, "says");
    const cJSON *expected = cJSON_GetObjectItemCaseSensitive(vector, "code");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(vector, "arguments");
    CLEANUP_FREE char *line = cJSON_PrintUnformatted(list);
    cr_assert(said_fd >= 0 && line && cJSON_IsNumber(expected));
    const cJSON *item;
    cJSON_ArrayForEach (item, list)
        if (argc <= ARGUMENTS_MAX)
            argv[argc++] = cJSON_GetStringValue(item);
    int code = read_quietly(argc, argv, &arguments, said_fd);
    cr_assert(lseek(said_fd, 0, SEEK_SET) == 0 &&
              file_read(said_fd, SAID_MAX_BYTES, &said, NULL) == 0);
    if (code >= 0) {
        cr_expect(code == expected->valueint, "%s: %d", line, code);
        cr_expect(code == 0 ? strncmp(said.bytes, "usage: rez pkg-cache ", 21) == 0
                            : ends_with(&said, says),
                  "%s: %s", line, said.bytes);
    } else if (arguments.directory) {
        cr_expect_str_eq(arguments.directory, strchr(says, ':') + 2, "%s", line);
    } else {
        cr_expect(strstr(says, "DIR must be specified"), "%s", line);
    }
    rez_arguments_free(&arguments);
}

Test(rez_arguments, vectors)
{
    CLEANUP_ITEM cJSON *document = vectors_read("rez_arguments.json");
    const cJSON *vector;
    cJSON_ArrayForEach (vector, document)
        check(vector);
    cr_expect(cJSON_GetArraySize(document) > 400);
}

static struct rez_arguments read_valid(int argc, const char **argv)
{
    struct rez_arguments arguments;
    cr_assert(rez_arguments_read(argc, (char **)argv, &arguments) == -1);
    return arguments;
}

#define READ(...)                                                                   \
    read_valid((int)ARRAY_LENGTH(((const char *[]){"rez-pkg-cache", __VA_ARGS__})), \
               (const char *[]){"rez-pkg-cache", __VA_ARGS__, NULL})

Test(rez_arguments, values)
{
    struct rez_arguments arguments = READ("D", "-fva", "one", "two");
    cr_expect(arguments.action == REZ_ADD && arguments.uri_count == 2 && arguments.force);
    cr_expect_str_eq(arguments.uris[1], "two");
    cr_expect(arguments.column_count == 4 && arguments.mode == REZ_MODE_UNSET);
    rez_arguments_free(&arguments);
    arguments = READ("--rem", "x", "--pkg=async", "--", "D");
    cr_expect(arguments.action == REZ_REMOVE && arguments.uri_count == 1);
    cr_expect(arguments.mode == REZ_MODE_ASYNC);
    cr_expect_str_eq(arguments.directory, "D");
    rez_arguments_free(&arguments);
    arguments = READ("-c", "package", "status", "package", "-c", "orig_path", "--pkg-cache-mode",
                     "sync", "D");
    cr_expect(arguments.column_count == 1 && arguments.columns[0] == REZ_COLUMN_ORIG_PATH);
    cr_expect(arguments.action == REZ_LIST && arguments.mode == REZ_MODE_SYNC);
    rez_arguments_free(&arguments);
}
