/* Visits all variants below a directory: names first, then definitions, some hundred at a time. */
#include "cache/rez/repository.h"

#include "cache/rez/repository_parts.h"
#include "cache/rez/version.h"
#include "cache/util/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { BATCH = 256 }; /* definitions that are in memory at once */

#define IGNORE_PREFIX ".ignore" /* and a version: rez does not look at that version */

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

static bool is_definition(const char *name)
{
    return strcmp(name, "package.py") == 0 || strcmp(name, "package.yaml") == 0;
}

/* What is in a directory: those names that may be directories, and whether a definition is. */
struct contents {
    struct list directories;
    struct list ignored; /* versions */
    bool definition;
};

static void contents_free(struct contents *contents)
{
    list_free(&contents->directories);
    list_free(&contents->ignored);
}

#define CLEANUP_CONTENTS __attribute__((cleanup(contents_free)))

static int read_contents(const char *directory, struct contents *ret)
{
    struct names names;
    CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = 0;
    names_borrow(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        bool maybe = names.type == DT_DIR || names.type == DT_LNK || names.type == DT_UNKNOWN;
        if (strncmp(name, IGNORE_PREFIX, strlen(IGNORE_PREFIX)) == 0)
            result = list_add(&ret->ignored, name + strlen(IGNORE_PREFIX));
        else if (is_definition(name))
            ret->definition = true;
        else if (*name != '.' && maybe)
            result = list_add(&ret->directories, name);
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

static bool list_has(const struct list *list, const char *string)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->strings[i], string) == 0)
            return true;
    return false;
}

static bool has_definition(const char *directory, const char *name)
{
    char path[4096];
    static const char *const files[] = {"package.py", "package.yaml"};
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        int length = snprintf(path, sizeof(path), "%s/%s/%s", directory, name, files[i]);
        if (length < (int)sizeof(path) && access(path, F_OK) == 0)
            return true;
    }
    return false;
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
    if (result == -EINVAL) /* a name that rez would not have, either */
        return 0;
    packages->count += result == 0;
    return result;
}

/* All versions of a package, or the one that it has without a version. */
static int add_family(struct visit *visit, const char *location, const char *name)
{
    CLEANUP_CONTENTS struct contents contents = {0};
    CLEANUP_FREE char *directory = NULL;
    if (asprintf(&directory, "%s/%s", strcmp(location, "/") == 0 ? "" : location, name) < 0)
        return -ENOMEM;
    int result = read_contents(directory, &contents);
    if (result == -ENOTDIR || result == -ENOENT)
        return 0; /* a link to something else */
    if (result < 0)
        return result == -ENOMEM ? result : report_errno(visit, directory, -result);
    if (contents.definition)
        return add_package(visit, location, name, NULL);
    for (size_t i = 0; i < contents.directories.count && result == 0; i++)
        if (!list_has(&contents.ignored, contents.directories.strings[i]))
            result = add_package(visit, location, name, contents.directories.strings[i]);
    return result;
}

/* A name of a package, as rez has it: no version with a hyphen. */
static bool is_package_name(const char *name)
{
    size_t length = strlen(name);
    return !strchr(name, '-') && version_length(name, length) == length &&
           strcmp(name, "__pycache__") != 0;
}

static int add_repository(struct visit *visit, const char *location,
                          const struct contents *contents)
{
    int result = 0;
    for (size_t i = 0; i < contents->directories.count && result == 0; i++)
        if (is_package_name(contents->directories.strings[i]))
            result = add_family(visit, location, contents->directories.strings[i]);
    return result;
}

/* Whether a directory without a definition is that of a package: its versions have definitions. */
static bool is_package(const struct visit *visit, const char *directory,
                       const struct contents *contents)
{
    for (size_t i = 0; i < contents->directories.count; i++) {
        const char *name = contents->directories.strings[i];
        CLEANUP_FREE char *path = NULL;
        if (has_definition(directory, name))
            return asprintf(&path, "%s/%s", directory, name) > 0 &&
                   !layout_is_unversioned(&visit->repositories->definitions, path);
    }
    return false;
}

static int add_directory(struct visit *visit, const char *directory)
{
    CLEANUP_CONTENTS struct contents contents = {0};
    CLEANUP_FREE char *path = strdup(directory);
    int result = path ? read_contents(directory, &contents) : -ENOMEM;
    if (result < 0)
        return result;
    if (strcmp(directory, "/") == 0)
        return add_repository(visit, directory, &contents);
    char *parent = path;
    if (contents.definition &&
        !layout_is_unversioned(&visit->repositories->definitions, directory)) {
        char *version = strrchr(path, '/');
        *version++ = '\0';
        char *name = strrchr(path, '/');
        *name++ = '\0';
        return add_package(visit, *parent ? parent : "/", name, version);
    }
    if (!contents.definition && !is_package(visit, directory, &contents))
        return add_repository(visit, directory, &contents);
    char *name = strrchr(path, '/');
    *name++ = '\0';
    return add_family(visit, *parent ? parent : "/", name);
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
    CLEANUP_DEFINITIONS struct definitions definitions = {0};
    CLEANUP_LIST struct list directories = {0};
    CLEANUP_QUESTIONS struct questions questions = {0};
    struct pkgcache_handle *const *packages = visit->packages.handles + first;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        CLEANUP_FREE char *directory = layout_directory(packages[i]);
        result = directory ? list_add(&directories, directory) : -ENOMEM;
    }
    if (result == 0)
        result = definitions_read(&definitions, (const char *const *)directories.strings, count);
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
    int result = canonical ? add_directory(&visiting, canonical) : -errno;
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
