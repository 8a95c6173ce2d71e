/* Visits all variants below a directory: names first, then definitions, some hundred at a time. */
#include "cache/rez/repository.h"

#include "cache/rez/repository_kind.h"
#include "cache/rez/repository_parts.h"
#include "cache/rez/version.h"
#include "cache/util/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { BATCH = 256 }; /* definitions that are in memory at once */

typedef int visit_function(void *context, const char *path,
                           const struct repository_variant *variant,
                           const struct pkgcache_error *error);

/* Strings, allocated. */
struct list {
    char **strings;
    size_t count;
};

/* Packages: handles without an index. */
struct packages {
    struct pkgcache_handle **handles;
    size_t count;
};

struct visit {
    struct repositories *repositories;
    visit_function *visit;
    void *context;
    struct packages packages;
};

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->strings[i]);
    free(list->strings);
    *list = (struct list){0};
}

#define CLEANUP_LIST __attribute__((cleanup(list_free)))

static int list_add(struct list *list, const char *string)
{
    char **strings = realloc(list->strings, (list->count + 1) * sizeof(*strings));
    if (!strings)
        return -ENOMEM;
    list->strings = strings;
    strings[list->count] = strdup(string);
    return strings[list->count++] ? 0 : -ENOMEM;
}

/* Reads the names of what may be directories. */
static int read_directories(const char *directory, struct list *ret)
{
    struct names names;
    CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = 0;
    names_borrow(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        if (*name != '.' &&
            (names.type == DT_DIR || names.type == DT_LNK || names.type == DT_UNKNOWN))
            result = list_add(ret, name);
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

static int report(const struct visit *visit, const char *path, const struct pkgcache_error *error)
{
    return visit->visit(visit->context, path, NULL, error);
}

static int report_errno(const struct visit *visit, const char *path, int code)
{
    struct pkgcache_error error;
    error_set(&error, code, "%s: %s", path, strerror(code));
    return report(visit, path, &error);
}

/* --- which packages --- */

/* A version that rez cannot parse is none; if there is a package, its user is told. */
static int report_name(const struct visit *visit, const char *location, const char *name,
                       const char *version, const struct pkgcache_error *error)
{
    CLEANUP_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s/%s", strcmp(location, "/") == 0 ? "" : location, name,
                 version ? version : "") < 0)
        return -ENOMEM;
    return rules_find_definition(&visit->repositories->rules, path, NULL)
               ? report(visit, path, error)
               : 0;
}

static int add_package(struct visit *visit, const char *location, const char *name,
                       const char *version)
{
    struct packages *packages = &visit->packages;
    struct pkgcache_error error;
    struct pkgcache_handle **handles =
        realloc(packages->handles, (packages->count + 1) * sizeof(*handles));
    if (!handles)
        return -ENOMEM;
    packages->handles = handles;
    int result =
        handle_create(location, name, version, HANDLE_NO_INDEX, &handles[packages->count], &error);
    if (result == -EINVAL)
        return report_name(visit, location, name, version, &error);
    packages->count += result == 0;
    return result;
}

/* All versions of a package that rez sees, or the one that it has without a version. */
static int add_family(struct visit *visit, const char *location, const char *name)
{
    const struct rules *rules = &visit->repositories->rules;
    CLEANUP_LIST struct list versions = {0};
    CLEANUP_FREE char *directory = NULL;
    if (!rules_is_package_name(name))
        return 0;
    if (asprintf(&directory, "%s/%s", strcmp(location, "/") == 0 ? "" : location, name) < 0)
        return -ENOMEM;
    int result = read_directories(directory, &versions);
    if (result == -ENOTDIR || result == -ENOENT)
        return 0; /* a link to something else */
    if (result < 0)
        return result == -ENOMEM ? result : report_errno(visit, directory, -result);
    if (!rules->versions_only && rules_find_definition(rules, directory, NULL))
        return add_package(visit, location, name, NULL);
    for (size_t i = 0; i < versions.count && result == 0; i++)
        if (!rules_hide(rules, directory, versions.strings[i]))
            result = add_package(visit, location, name, versions.strings[i]);
    return result;
}

static int add_repository(struct visit *visit, const char *location)
{
    const char *lock_directory = visit->repositories->rules.lock_directory;
    CLEANUP_LIST struct list names = {0};
    int result = read_directories(location, &names);
    for (size_t i = 0; i < names.count && result == 0; i++)
        if (!lock_directory || strcmp(names.strings[i], lock_directory) != 0)
            result = add_family(visit, location, names.strings[i]);
    return result;
}

static int add_version(struct visit *visit, const char *location, const char *name,
                       const char *version)
{
    const struct rules *rules = &visit->repositories->rules;
    CLEANUP_FREE char *family = NULL;
    if (asprintf(&family, "%s/%s", strcmp(location, "/") == 0 ? "" : location, name) < 0)
        return -ENOMEM;
    return rules_is_package_name(name) && !rules_hide(rules, family, version)
               ? add_package(visit, location, name, version)
               : 0;
}

/* Cuts the last name off a path, which becomes "" for "/"; "" has none. */
static char *cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return path;
    *slash = '\0';
    return slash + 1;
}

static int add_directory(struct visit *visit, const char *directory)
{
    CLEANUP_FREE char *path = strdup(directory);
    CLEANUP_LIST struct list names = {0}; /* that it can be read is seen here */
    if (!path)
        return -ENOMEM;
    int result = read_directories(directory, &names);
    if (result < 0)
        return result;
    enum repository_kind kind = repository_kind_find(&visit->repositories->rules, directory);
    if (kind == REPOSITORY_WHOLE)
        return add_repository(visit, directory);
    const char *version = kind == REPOSITORY_VERSION ? cut_name(path) : NULL;
    const char *name = cut_name(path);
    const char *location = *path ? path : "/";
    return version ? add_version(visit, location, name, version)
                   : add_family(visit, location, name);
}

/* --- their variants --- */

static int compare_packages(const void *left, const void *right)
{
    const struct pkgcache_handle *a = *(const struct pkgcache_handle *const *)left;
    const struct pkgcache_handle *b = *(const struct pkgcache_handle *const *)right;
    const char *a_version = a->version ? a->version : "";
    const char *b_version = b->version ? b->version : "";
    int order = strcmp(a->name, b->name);
    if (order == 0)
        order = version_compare(a_version, strlen(a_version), b_version, strlen(b_version));
    return order ? order : strcmp(a_version, b_version);
}

static int32_t count_variants(const struct definition *definition)
{
    int32_t count = 0;
    for (const struct json *one = definition->variants ? definition->variants->first : NULL; one;
         one = one->next)
        count++;
    return count;
}

/* The queries of one batch. */
struct questions {
    struct repository_query *queries;
    const char **directories; /* of each */
    size_t count;
};

static void questions_free(struct questions *questions)
{
    for (size_t i = 0; i < questions->count; i++) {
        handle_free((struct pkgcache_handle *)questions->queries[i].handle);
        repository_variant_free(&questions->queries[i].variant);
    }
    free(questions->queries);
    free(questions->directories);
    *questions = (struct questions){0};
}

#define CLEANUP_QUESTIONS __attribute__((cleanup(questions_free)))

static int add_question(struct questions *questions, const struct pkgcache_handle *package,
                        int32_t index, const char *directory)
{
    size_t room = questions->count + 1;
    struct pkgcache_handle *handle = NULL;
    struct repository_query *queries = realloc(questions->queries, room * sizeof(*queries));
    if (!queries)
        return -ENOMEM;
    questions->queries = queries;
    const char **directories = realloc(questions->directories, room * sizeof(*directories));
    if (!directories)
        return -ENOMEM;
    questions->directories = directories;
    int result =
        handle_create(package->location, package->name, package->version, index, &handle, NULL);
    if (result < 0)
        return result;
    queries[questions->count] = (struct repository_query){.handle = handle};
    directories[questions->count++] = directory;
    return 0;
}

/* Adds queries for the variants of a package whose definition was read. */
static int add_questions(struct questions *questions, const struct definitions *definitions,
                         const char *directory, const struct pkgcache_handle *package)
{
    const struct definition *definition = NULL;
    int result = definitions_find(definitions, directory, &definition, NULL);
    if (result == -ENOENT || result == -ENOTDIR)
        return 0;   /* being built, or no package at all */
    if (result < 0) /* it is answered with the reason */
        return add_question(questions, package, HANDLE_NO_INDEX, directory);
    int32_t variants = count_variants(definition);
    if (variants == 0)
        return add_question(questions, package, HANDLE_NO_INDEX, directory);
    for (int32_t i = 0; i < variants && result == 0; i++)
        result = add_question(questions, package, i, directory);
    return result;
}

static int visit_answers(const struct visit *visit, const struct questions *questions)
{
    int result = 0;
    for (size_t i = 0; i < questions->count && result == 0; i++) {
        const struct repository_query *query = &questions->queries[i];
        result = query->result < 0 ? report(visit, questions->directories[i], &query->error)
                                   : visit->visit(visit->context, questions->directories[i],
                                                  &query->variant, NULL);
    }
    return result;
}

static int visit_batch(const struct visit *visit, size_t first, size_t count)
{
    CLEANUP_DEFINITIONS struct definitions definitions = {.rules = &visit->repositories->rules};
    CLEANUP_LIST struct list directories = {0};
    CLEANUP_QUESTIONS struct questions questions = {0};
    struct definition_place places[BATCH];
    struct pkgcache_handle *const *packages = visit->packages.handles + first;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        CLEANUP_FREE char *directory = layout_directory(packages[i]);
        result = directory ? list_add(&directories, directory) : -ENOMEM;
        if (result == 0)
            places[i] =
                (struct definition_place){directories.strings[i], !packages[i]->version, NULL};
    }
    if (result == 0)
        result = definitions_read(&definitions, places, count);
    for (size_t i = 0; i < count && result == 0; i++)
        result = add_questions(&questions, &definitions, directories.strings[i], packages[i]);
    if (result == 0)
        result = repository_answer_queries(visit->repositories->config, &definitions,
                                           questions.queries, questions.count);
    return result == 0 ? visit_answers(visit, &questions) : result;
}

int repositories_visit(struct repositories *repositories, const char *directory,
                       visit_function *visit, void *context, struct pkgcache_error *ret_error)
{
    struct visit visiting = {repositories, visit, context, {0}};
    struct packages *packages = &visiting.packages;
    CLEANUP_FREE char *canonical = realpath(directory, NULL);
    int result = canonical ? 0 : -errno;
    if (result == 0 && repositories_read_rules(repositories, ret_error) < 0)
        return -EINVAL;
    if (canonical)
        result = add_directory(&visiting, canonical);
    if (result == 0 && packages->count > 0)
        qsort(packages->handles, packages->count, sizeof(*packages->handles), compare_packages);
    for (size_t i = 0; i < packages->count && result == 0; i += BATCH)
        result = visit_batch(&visiting, i, MIN(packages->count - i, (size_t)BATCH));
    for (size_t i = 0; i < packages->count; i++)
        handle_free(packages->handles[i]);
    free(packages->handles);
    return result < 0 ? error_set(ret_error, -result, "%s: %s", directory, strerror(-result))
                      : result;
}
