/* Definitions: rez's vectors, wrong types, and what takes rez (tests/fakerez stands in for it). */
#include "cache/rez/definition.h"
#include "cache/rez/definition_text.h"
#include "cache/rez/rezpython.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

static char directory[PLACE_BYTES];
static const struct rules rules; /* those that rez has built in */

static void without_rez(void)
{
    setenv("PKGCACHE_REZ_PYTHON", "", 1);
}

static void with_fake_rez(void)
{
    static char log[PLACE_BYTES + 16];
    cr_assert(place_make(directory));
    snprintf(log, sizeof(log), "%s/log", directory);
    setenv("PKGCACHE_REZ_PYTHON", "python3", 1);
    setenv("PYTHONPATH", FAKE_REZ, 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    setenv("FAKEREZ_LOG", log, 1);
}

static void remove_directory(void)
{
    char command[128];
    snprintf(command, sizeof(command), "/bin/rm -rf %s", directory);
    cr_expect(system(command) == 0);
}

/* --- vectors ------------------------------------------------------------------------------------
 */

static void expect_same(const char *file, const char *what, const struct json *expected,
                        const struct json *value)
{
    CLEANUP_TEXT struct text expected_text = {0};
    CLEANUP_TEXT struct text text = {0};
    json_write(&expected_text, expected);
    if (value)
        json_write(&text, value);
    else
        text_append_string(&text, "null");
    cr_expect(text_is(&text, expected_text.bytes, expected_text.length), "%s: %s: %s, not %s", file,
              what, text.bytes, expected_text.bytes);
}

static void expect_flag(const char *file, const char *what, const struct json *expected,
                        enum definition_flag flag)
{
    enum definition_flag wanted = expected->type == JSON_NULL ? DEFINITION_UNSET
                                  : expected->boolean         ? DEFINITION_YES
                                                              : DEFINITION_NO;
    cr_expect(flag == wanted, "%s: %s: %d, not %d", file, what, flag, wanted);
}

static bool takes_rez(const char *file)
{
    return strstr(file, "/computed/") || strstr(file, "/latebound/");
}

static void check_package(const struct json *package, bool rez)
{
    char path[4096];
    struct definition *definition;
    struct pkgcache_error error = {0};
    const char *file = vectors_member(package, "file")->text;
    snprintf(path, sizeof(path), "%s/%s", TEST_VECTORS, file);
    *strrchr(path, '/') = '\0';
    if (strstr(file, "combined.yaml") || takes_rez(file) != rez)
        return;
    int result =
        definition_read(&rules, &(struct definition_place){.directory = path}, &definition, &error);
    cr_assert(result == 0, "%s: %s", file, error.message);
    expect_same(file, "variants", vectors_member(package, "raw_variants"), definition->variants);
    expect_flag(file, "cachable", vectors_member(package, "cachable_attr"), definition->cachable);
    expect_flag(file, "relocatable", vectors_member(package, "relocatable_attr"),
                definition->relocatable);
    cr_expect(definition->hashed_variants == vectors_member(package, "hashed_variants")->boolean);
    bool configured = strstr(file, "builtpkg") != NULL;
    cr_expect((definition->config != NULL) == configured, "%s", file);
    cr_expect(!configured || json_member(definition->config, "package_cache_local")->boolean);
    definition_free(definition);
}

static void check_vectors(bool rez)
{
    CLEANUP_JSON struct json_document *document = vectors_load("packages.json");
    for (const struct json *repo = document->root->first; repo; repo = repo->next)
        for (const struct json *package = repo->first; package; package = package->next)
            check_package(package, rez);
}

Test(definition, vectors, .init = without_rez)
{
    check_vectors(false);
}

Test(definition, vectors_that_take_rez, .init = with_fake_rez, .fini = remove_directory,
     .timeout = PATIENCE_S)
{
    check_vectors(true);
}

/* --- texts --------------------------------------------------------------------------------------
 */

static void expect_python(const char *text, int expected, const char *message)
{
    struct definition definition = {.path = "/r/p/1/package.py"};
    struct pkgcache_error error = {0};
    int result = definition_parse_python(text, strlen(text), &definition, &error);
    cr_expect(result == expected, "%s: %d %s", text, result, error.message);
    cr_expect(result == 0 || strcmp(error.message, message) == 0, "%s: %s", text, error.message);
    values_free(&definition.values);
}

static void expect_yaml(const char *text, int expected, const char *message)
{
    struct definition definition = {.path = "/r/p/1/package.yaml"};
    struct pkgcache_error error = {0};
    int result = definition_parse_yaml(text, strlen(text), &definition, &error);
    cr_expect(result == expected, "%s: %d %s", text, result, error.message);
    cr_expect(result == 0 || strcmp(error.message, message) == 0, "%s: %s", text, error.message);
    values_free(&definition.values);
}

Test(definition, only_what_matters_is_an_error)
{
    expect_python("", 0, "");
    expect_python("description = f()\nname = g()\nversion = 1\nrequires = 1 + 1", 0, "");
    expect_python("cachable = None\nconfig = {}\nvariants = []", 0, "");
    expect_python("variants = None", -EBADMSG,
                  "/r/p/1/package.py, line 1: variants must be a list of lists of strings");
    expect_python("cachable = True\nraise ValueError('no')", -EBADMSG,
                  "/r/p/1/package.py, line 2: it raises an exception");
    expect_python("assert False, 'no'", -EBADMSG,
                  "/r/p/1/package.py, line 1: it raises an exception");
    expect_python("if 0: raise ValueError('no')\ntry:\n  raise ValueError('no')\nexcept: pass\n"
                  "assert False == 0\ndef f(): raise ValueError",
                  0, "");
    expect_python("variants = (('a', 'b'), ['c'])", 0, "");
    expect_python("\nvariants = [x]", -EAGAIN, "/r/p/1/package.py, line 2: variants is computed");
    expect_python("@late()\ndef cachable():\n  return 1", -EAGAIN,
                  "/r/p/1/package.py, line 2: cachable is computed");
    expect_python("variants = ['a']", -EBADMSG,
                  "/r/p/1/package.py, line 1: variants must be a list of lists of strings");
    expect_python("variants = [[1]]", -EBADMSG,
                  "/r/p/1/package.py, line 1: variants must be a list of lists of strings");
    expect_python("variants = 'ab'", -EBADMSG,
                  "/r/p/1/package.py, line 1: variants must be a list of lists of strings");
    expect_python("\n\ncachable = 1", -EBADMSG,
                  "/r/p/1/package.py, line 3: cachable must be true, false or none");
    expect_python("relocatable = 'yes'", -EBADMSG,
                  "/r/p/1/package.py, line 1: relocatable must be true, false or none");
    expect_python("hashed_variants = 1", -EBADMSG,
                  "/r/p/1/package.py, line 1: hashed_variants must be true or false");
    expect_python("config = []", -EBADMSG,
                  "/r/p/1/package.py, line 1: config must be a dictionary");
    expect_python("x = (", -EBADMSG, "/r/p/1/package.py, line 1: the text ends inside brackets");
    expect_yaml("", 0, "");
    expect_yaml("cachable: yes\nversion: 1.0\n1: x\n", 0, "");
    expect_yaml("- a", -EBADMSG, "/r/p/1/package.yaml: it is not a mapping");
    expect_yaml("variants: [a]", -EBADMSG,
                "/r/p/1/package.yaml: variants must be a list of lists of strings");
    expect_yaml("a: [", -EBADMSG,
                "/r/p/1/package.yaml, line 2, column 1: did not find expected node content");
}

/* --- files --------------------------------------------------------------------------------------
 */

static void write_package(const char *name, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/1.0", directory, name);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/1.0/%s", directory, name, file);
    FILE *stream = fopen(path, "w");
    cr_assert(stream && fputs(text, stream) >= 0 && fclose(stream) == 0);
}

static void expect_read(const char *name, int expected, const char *message)
{
    char path[256];
    struct definition *definition = NULL;
    struct pkgcache_error error = {0};
    snprintf(path, sizeof(path), "%s/%s/1.0", directory, name);
    int result =
        definition_read(&rules, &(struct definition_place){.directory = path}, &definition, &error);
    cr_expect(result == expected, "%s: %d %s", name, result, error.message);
    cr_expect(result == 0 || strstr(error.message, message), "%s: %s", name, error.message);
    cr_expect((result == 0) == (definition != NULL));
    definition_free(definition);
}

Test(definition, files, .init = with_fake_rez, .fini = remove_directory)
{
    without_rez();
    expect_read("absent", -ENOENT, "no package.py or package.yaml");
    write_package("both", "package.py", "cachable = 1");
    write_package("both", "package.yaml", "cachable: yes");
    expect_read("both", -EBADMSG, "package.py, line 1: cachable");
    write_package("yaml", "package.yaml", "cachable: maybe");
    expect_read("yaml", -EBADMSG, "package.yaml: cachable must be");
    write_package("computed", "package.py", "\nvariants = f()");
    expect_read("computed", -EBADMSG,
                "package.py, line 2: variants is computed; rez could not "
                "evaluate it either: rez-python was not found; set PKGCACHE_REZ_PYTHON");
    write_package("large", "package.py", "");
    char path[256];
    snprintf(path, sizeof(path), "%s/large/1.0/package.py", directory);
    cr_assert(truncate(path, (16 << 20) + 1) == 0);
    expect_read("large", -EBADMSG, "package.py: ");
    snprintf(path, sizeof(path), "%s/yaml/1.0/package.py", directory);
    cr_assert(mkfifo(path, 0600) == 0);
    expect_read("yaml", -EBADMSG, "package.yaml: cachable must be");
}

static size_t count_starts(void)
{
    char byte;
    size_t count = 0;
    CLEANUP_FCLOSE FILE *log = fopen(getenv("FAKEREZ_LOG"), "r");
    while (log && fread(&byte, 1, 1, log) == 1)
        count += byte == '\n';
    return count;
}

Test(definition, rez_is_asked_once_for_all, .init = with_fake_rez, .fini = remove_directory,
     .timeout = PATIENCE_S)
{
    static const char *const names[] = {"literal", "late",  "early", "raises",     "prints",
                                        "wrong",   "exits", "gone",  "unversioned"};
    enum { COUNT = ARRAY_LENGTH(names) };
    char paths[COUNT][256];
    struct definition_place places[COUNT] = {0};
    struct definition *definitions[COUNT];
    struct pkgcache_error errors[COUNT];
    int results[COUNT];
    write_package("literal", "package.py", "version = '1.0'\ncachable = True");
    write_package("late", "package.py",
                  "version = '1.0'\nx = 2\n@late()\ndef cachable():\n"
                  "    return this.x == 2");
    write_package("early", "package.py",
                  "version = '1.0'\n@early()\ndef variants():\n"
                  "    return [['a', 'b']]\nif 1: config = {'k': 1}");
    write_package("raises", "package.py", "import os\ncachable = 1 / 0");
    write_package("prints", "package.py", "print('{')\nvariants = [[str(1)]]");
    write_package("wrong", "package.py", "cachable = True\nhashed_variants = 1 + 1");
    write_package("exits", "package.py", "import sys\nsys.exit('enough')\ncachable = f()");
    write_package("unversioned", "package.py", "");
    char unversioned[256];
    snprintf(unversioned, sizeof(unversioned), "%s/unversioned/package.py", directory);
    FILE *stream = fopen(unversioned, "w");
    cr_assert(stream && fputs("@late()\ndef relocatable(): return False\n", stream) >= 0);
    cr_assert(fclose(stream) == 0);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s%s", directory, names[i],
                 i + 1 == COUNT ? "" : "/1.0");
        places[i] = (struct definition_place){paths[i], i + 1 == COUNT, NULL};
    }
    definition_read_many(&rules, places, COUNT, definitions, results, errors);
    cr_expect(count_starts() == 1, "%zu", count_starts());
    cr_expect(results[0] == 0 && definitions[0]->cachable == DEFINITION_YES);
    cr_assert(results[1] == 0, "%s", errors[1].message);
    cr_expect(definitions[1]->cachable == DEFINITION_YES);
    cr_assert(results[2] == 0, "%s", errors[2].message);
    cr_expect(json_is_string(definitions[2]->variants->first->first->next, "b"));
    cr_expect(json_member(definitions[2]->config, "k") != NULL);
    cr_expect(strcmp(definitions[2]->version, "1.0") == 0 && !definitions[2]->name);
    cr_expect(results[3] == -EBADMSG && strstr(errors[3].message, "line 2: cachable is computed"));
    cr_expect(strstr(errors[3].message, "division by zero"), "%s", errors[3].message);
    cr_assert(results[4] == 0, "%s", errors[4].message);
    cr_expect(results[5] == -EBADMSG && strstr(errors[5].message, "hashed_variants must be"));
    cr_expect(results[6] == -EBADMSG && strstr(errors[6].message, "enough"));
    cr_expect(results[7] == -ENOENT);
    cr_assert(results[8] == 0, "%s", errors[8].message);
    cr_expect(definitions[8]->relocatable == DEFINITION_NO);
    for (size_t i = 0; i < COUNT; i++)
        definition_free(definitions[i]);
}

/* --- rez's Python -------------------------------------------------------------------------------
 */

static int run(const char *script, const char *input, int limit_ms, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_TEXT struct text text = {0};
    text_append_string(&text, input);
    int result = rezpython_run_within(script, &text, limit_ms, &document, error);
    cr_expect((result == 0) == (document != NULL));
    return result;
}

static void expect_run(const char *script, int expected, const char *message)
{
    struct pkgcache_error error = {0};
    int result = run(script, "[1]", 60000, &error);
    cr_expect(result == expected, "%s: %d %s", script, result, error.message);
    cr_expect(result == 0 || strstr(error.message, message), "%s: %s", script, error.message);
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    CLEANUP_DIR DIR *descriptors = opendir("/proc/self/fd");
    while (readdir(descriptors))
        count++;
    return count;
}

Test(definition, rez_python, .init = with_fake_rez, .fini = remove_directory, .timeout = PATIENCE_S)
{
    size_t before = count_descriptors();
    expect_run("import sys; print(sys.stdin.read())", 0, "");
    expect_run("print('{}')", 0, "");
    expect_run("print('{')", -EBADMSG, "did not print JSON");
    expect_run("", -EBADMSG, "did not print JSON");
    expect_run("import sys; print('a\\nlast words', file=sys.stderr); sys.exit(3)", -EBADMSG,
               "failed: \"last words\"");
    expect_run("import os; os.kill(os.getpid(), 9)", -EBADMSG, "failed");
    expect_run("import sys; sys.stderr.write('x' * 1000000); print([0] * 1000000)", 0, "");
    expect_run("print('x' * (17 << 20))", -EBADMSG, "more than 16 MiB");
    cr_expect(count_descriptors() == before);
}

static void write_file(const char *path, const char *contents, mode_t mode)
{
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fputs(contents, file);
    fclose(file);
    cr_assert(chmod(path, mode) == 0);
}

/* The current directory may be anybody's: neither a module nor a program is taken from there. */
Test(definition, rez_python_imports_nothing_from_the_current_directory, .init = with_fake_rez,
     .fini = remove_directory, .timeout = PATIENCE_S)
{
    static const char *const modules[] = {"json.py", "sitecustomize.py", "encodings.py",
                                          "traceback.py", "rez.py"};
    static const char *const around[][2] = {{"", ":"},   {":", ""}, {"::", ""},       {".:", ""},
                                            {"", ":./"}, {"", ""},  {"../here:", ":"}};
    const char *path = getenv("PATH");
    CLEANUP_FREE char *saved = strdup(path ? path : "/usr/bin:/bin");
    struct pkgcache_error error = {0};
    cr_assert(chdir(directory) == 0 && mkdir("here", 0700) == 0 && chdir("here") == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(modules); i++)
        write_file(modules[i], "open('../ran', 'a').close()\n", 0600);
    write_file("python3", "#!/bin/sh\n: > ../ran\n", 0700);
    write_file("rez-python", "#!/bin/sh\n: > ../ran\n", 0700);
    for (size_t i = 0; i < ARRAY_LENGTH(around); i++) {
        char list[4096];
        snprintf(list, sizeof(list), "%s" FAKE_REZ "%s", around[i][0], around[i][1]);
        setenv("PYTHONPATH", list, 1);
        snprintf(list, sizeof(list), "%s%s%s", around[i][0], saved, around[i][1]);
        setenv("PATH", list, 1);
        expect_run("import json, rez.packages; print('{}')", 0, "");
        cr_expect(access("../ran", F_OK) < 0, "with lists like %s", list);
        unlink("../ran");
    }
    setenv("PATH", saved, 1);
    setenv("PYTHONPATH", ":", 1); /* without rez, then */
    expect_run("import json; print('{}')", 0, "");
    cr_expect(access("../ran", F_OK) < 0);
    unsetenv("PKGCACHE_REZ_PYTHON");
    setenv("PATH", ".::", 1);
    cr_expect(run("1", "", 60000, &error) == -ENOENT, "%s", error.message);
    cr_expect(access("../ran", F_OK) < 0);
    cr_expect(chdir("/") == 0);
}

Test(definition, rez_python_that_reads_nothing, .init = with_fake_rez, .fini = remove_directory,
     .timeout = PATIENCE_S)
{
    struct pkgcache_error error = {0};
    char *input = malloc(4 << 20);
    memset(input, ' ', 4 << 20);
    input[(4 << 20) - 1] = '\0';
    cr_expect(run("print(1)", input, 60000, &error) == 0, "%s", error.message);
    cr_expect(run("import sys; print(len(sys.stdin.read()))", input, 60000, &error) == 0, "%s",
              error.message);
    free(input);
}

/* Also when a child of its holds the streams, or it closes them and stays. */
Test(definition, rez_python_that_hangs, .init = with_fake_rez, .fini = remove_directory,
     .timeout = PATIENCE_S)
{
    static const char *const scripts[] = {
        "import time; time.sleep(1000)",
        "import subprocess; subprocess.run(['sleep', '1000'])",
        "import os, time; os.close(1); os.close(2); time.sleep(1000)",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(scripts); i++) {
        struct pkgcache_error error = {0};
        cr_expect(run(scripts[i], "", 300, &error) == -ETIMEDOUT, "%s", scripts[i]);
        cr_expect(strstr(error.message, "too long"), "%s", error.message);
    }
}

Test(definition, rez_python_that_is_not_there, .init = with_fake_rez, .fini = remove_directory)
{
    struct pkgcache_error error = {0};
    setenv("PKGCACHE_REZ_PYTHON", "/nowhere/python", 1);
    cr_expect(run("1", "", 1000, &error) == -ENOENT && strstr(error.message, "/nowhere/python"));
    setenv("PKGCACHE_REZ_PYTHON", "/etc/passwd", 1);
    cr_expect(run("1", "", 1000, &error) == -EACCES, "%s", error.message);
    unsetenv("PKGCACHE_REZ_PYTHON");
    setenv("PATH", directory, 1);
    cr_expect(run("1", "", 1000, &error) == -ENOENT && strstr(error.message, "rez-python"));
}
