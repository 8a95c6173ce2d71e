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
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEFINITION_BYTES = 16 << 20 };

/* A definition may be a symbolic link, as with rez. Never waits for a fifo. */
static int read_text(const char *path, struct text *text, struct pkgcache_error *ret_error)
{
    struct pkgcache_error why = {0};
    struct stat status;
    CLEANUP_CLOSE int fd = file_open(AT_FDCWD, path, O_RDONLY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return -ENOENT;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(ret_error, errno, "%s: %s%s", path, strerror(errno), error_advice(errno));
    if (!S_ISREG(status.st_mode))
        return -ENOENT; /* nor does rez see it */
    int result = file_read(fd, MAX_DEFINITION_BYTES, text, &why);
    return result < 0 ? error_set(ret_error, -result, "%s: %s", path, why.message) : 0;
}

/* Takes the path over. */
static struct definition *make(char *path)
{
    struct definition *definition = calloc(1, sizeof(*definition));
    if (definition)
        definition->path = path;
    else
        free(path);
    return definition;
}

static bool is_yaml(const char *path)
{
    size_t length = strlen(path);
    return length >= 5 && strcmp(path + length - 5, ".yaml") == 0;
}

/* -EAGAIN: rez has to be asked, and *ret is set, too. */
static int read_here(const struct rules *rules, const char *directory, struct definition **ret,
                     struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text text = {0};
    char *path;
    *ret = NULL;
    if (!rules_find_definition(rules, directory, &path))
        return error_set(ret_error, ENOENT, "%s: contains no %s.py or %s.yaml", directory,
                         rules->name_count > 0 ? rules->names[0] : "package",
                         rules->name_count > 0 ? rules->names[0] : "package");
    struct definition *definition = make(path);
    if (!definition)
        return error_set(ret_error, ENOMEM, "out of memory");
    int result = read_text(definition->path, &text, ret_error);
    if (result == 0)
        result = (is_yaml(definition->path) ? definition_parse_yaml : definition_parse_python)(
            text.bytes ? text.bytes : "", text.length, definition, ret_error);
    if (result < 0 && result != -EAGAIN) {
        definition_free(definition);
        return result;
    }
    *ret = definition;
    return result;
}

struct definition *definition_peek(const struct rules *rules, const char *directory)
{
    struct definition *definition = NULL;
    (void)read_here(rules, directory, &definition, NULL);
    return definition;
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
static void ask_rez(const struct definition_place *places, size_t count, size_t questions,
                    struct definition **rets, int *results, struct pkgcache_error *errors)
{
    CLEANUP_FREE struct definition_question *asked = calloc(questions, sizeof(*asked));
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why = {0};
    const struct json *answer = NULL;
    size_t used = 0;
    for (size_t i = 0; asked && i < count; i++) {
        if (results[i] == -EAGAIN)
            asked[used++] = (struct definition_question){rets[i]->path, places[i].directory,
                                                         places[i].unversioned, places[i].context};
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
    const struct rules *rules;
    const struct definition_place *places;
    struct definition **rets;
    int *results;
    struct pkgcache_error *errors;
};

static void read_one(void *context, size_t index)
{
    const struct reading *reading = context;
    reading->errors[index] = (struct pkgcache_error){0};
    reading->results[index] = read_here(reading->rules, reading->places[index].directory,
                                        &reading->rets[index], &reading->errors[index]);
}

void definition_read_many(const struct rules *rules, const struct definition_place *places,
                          size_t count, struct definition **rets, int *results,
                          struct pkgcache_error *errors)
{
    struct reading reading = {rules, places, rets, results, errors};
    size_t questions = 0;
    spread(count, read_one, &reading);
    for (size_t i = 0; i < count; i++)
        questions += results[i] == -EAGAIN;
    if (questions > 0)
        ask_rez(places, count, questions, rets, results, errors);
}

int definition_read(const struct rules *rules, const struct definition_place *place,
                    struct definition **ret, struct pkgcache_error *ret_error)
{
    struct pkgcache_error error;
    int result;
    definition_read_many(rules, place, 1, ret, &result, &error);
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
