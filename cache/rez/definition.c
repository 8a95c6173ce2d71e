/*
 * Definitions: finds the file, parses it, and asks rez where the value takes a Python to compute.
 * Parsing costs microseconds, rez a good part of a second. So rez is asked once for all
 * definitions, and only for attributes that matter.
 */
#include "cache/rez/definition.h"

#include "cache/rez/definition_rez.h"
#include "cache/rez/definition_text.h"
#include "cache/util/file.h"
#include "cache/util/spread.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { MAX_DEFINITION_BYTES = 16 << 20 };

struct format {
    const char *name;
    int (*parse)(const char *text, size_t length, struct definition *definition,
                 struct pkgcache_error *ret_error);
};

/* The first one that exists is used. */
static const struct format formats[] = {
    {"package.py", definition_parse_python},
    {"package.yaml", definition_parse_yaml},
};

/* A definition may be a symbolic link, as with rez. Never waits for a fifo. */
static int read_text(const char *path, struct text *text, struct pkgcache_error *ret_error)
{
    struct pkgcache_error why = {0};
    struct stat status;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(ret_error, errno, "%s: %s%s", path, strerror(errno), error_advice(errno));
    if (!S_ISREG(status.st_mode))
        return -ENOENT; /* nor does rez see it */
    int result = file_read(fd, MAX_DEFINITION_BYTES, text, &why);
    return result < 0 ? error_set(ret_error, -result, "%s: %s", path, why.message) : 0;
}

static int make(const char *directory, const char *name, struct definition **ret)
{
    struct definition *definition = calloc(1, sizeof(*definition));
    if (!definition)
        return -ENOMEM;
    if (asprintf(&definition->path, "%s/%s", directory, name) < 0) {
        free(definition);
        return -ENOMEM;
    }
    *ret = definition;
    return 0;
}

/* One of the two formats. -EAGAIN: rez has to be asked, and *ret is set, too. */
static int read_format(const char *directory, const struct format *format, struct definition **ret,
                       struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text text = {0};
    struct definition *definition;
    if (make(directory, format->name, &definition) < 0)
        return error_set(ret_error, ENOMEM, "out of memory");
    int result = read_text(definition->path, &text, ret_error);
    if (result == 0)
        result = format->parse(text.bytes ? text.bytes : "", text.length, definition, ret_error);
    if (result < 0 && result != -EAGAIN) {
        definition_free(definition);
        return result;
    }
    *ret = definition;
    return result;
}

static int read_here(const char *directory, struct definition **ret,
                     struct pkgcache_error *ret_error)
{
    *ret = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++) {
        int result = read_format(directory, &formats[i], ret, ret_error);
        if (result != -ENOENT)
            return result;
    }
    return error_set(ret_error, ENOENT, "%s: contains neither package.py nor package.yaml",
                     directory);
}

/* --- what rez has to be asked -------------------------------------------------------------------
 */

/* What could not be read becomes an error that says why rez was asked, and what came of it. */
static void give_up(struct definition **definition, int *result, struct pkgcache_error *error,
                    int code, const char *why)
{
    char asked[sizeof(error->message)];
    snprintf(asked, sizeof(asked), "%s", error->message);
    *result =
        error_set(error, code, "%.400s; rez could not evaluate it either: %.400s", asked, why);
    definition_free(*definition);
    *definition = NULL;
}

static void take_answer(const struct json *answer, struct definition **definition, int *result,
                        struct pkgcache_error *error)
{
    char quoted[JSON_QUOTE_SIZE];
    struct pkgcache_error why = {0};
    const struct json *attributes = json_member(answer, "attributes");
    if (!attributes) {
        give_up(definition, result, error, EBADMSG,
                json_quote(json_member(answer, "error"), quoted));
        return;
    }
    *result = definition_take(attributes, *definition, &why);
    if (*result == 0)
        return;
    *error = why;
    definition_free(*definition);
    *definition = NULL;
}

/* Those whose result is -EAGAIN. */
static void ask_rez(const char *const *directories, size_t count, size_t questions,
                    struct definition **rets, int *results, struct pkgcache_error *errors)
{
    CLEANUP_FREE const char **asked = calloc(questions, sizeof(*asked));
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why = {0};
    const struct json *answer = NULL;
    size_t used = 0;
    for (size_t i = 0; asked && i < count; i++) {
        if (results[i] == -EAGAIN)
            asked[used++] = directories[i];
    }
    int result = asked ? definition_ask_rez(asked, used, &answer, &document, &why)
                       : error_set(&why, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (results[i] != -EAGAIN)
            continue;
        if (result < 0) {
            /* That there is no rez must not look as if there were no definition. */
            give_up(&rets[i], &results[i], &errors[i], result == -ENOENT ? EBADMSG : -result,
                    why.message);
        } else if (answer) {
            take_answer(answer, &rets[i], &results[i], &errors[i]);
            answer = answer->next;
        }
    }
}

/* What is read side by side. */
struct reading {
    const char *const *directories;
    struct definition **rets;
    int *results;
    struct pkgcache_error *errors;
};

static void read_one(void *context, size_t index)
{
    const struct reading *reading = context;
    reading->errors[index] = (struct pkgcache_error){0};
    reading->results[index] =
        read_here(reading->directories[index], &reading->rets[index], &reading->errors[index]);
}

void definition_read_many(const char *const *directories, size_t count, struct definition **rets,
                          int *results, struct pkgcache_error *errors)
{
    struct reading reading = {directories, rets, results, errors};
    size_t questions = 0;
    spread(count, read_one, &reading);
    for (size_t i = 0; i < count; i++)
        questions += results[i] == -EAGAIN;
    if (questions > 0)
        ask_rez(directories, count, questions, rets, results, errors);
}

int definition_read(const char *directory, struct definition **ret,
                    struct pkgcache_error *ret_error)
{
    struct pkgcache_error error;
    int result;
    definition_read_many(&directory, 1, ret, &result, &error);
    if (result < 0 && ret_error)
        *ret_error = error;
    return result;
}

void definition_free(struct definition *definition)
{
    if (!definition)
        return;
    values_free(&definition->values);
    free(definition->path);
    free(definition);
}
