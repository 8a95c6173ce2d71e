/* rez's settings: all of rez's vectors, and what rez does that they do not have. */
#include "cache/json/repr.h"
#include "cache/rez/rezconfig.h"
#include "cache/rez/rezconfig_types.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

#include <math.h>
#include <unistd.h>

#define VECTOR_FILES "/svr/packages/config/" /* where they lay when rez read them */

/* The environment that the vectors were made in. */
static void clean_environment(void)
{
    clearenv();
    setenv("HOME", "/home/artist", 1);
    setenv("REZ_DISABLE_HOME_CONFIG", "1", 1);
    setenv("PKGCACHE_REZ_PYTHON", "", 1); /* there is no rez here */
}

/* Sets a variable to a text in which the vectors' directory may be named. */
static void set_variable(const char *name, const char *value)
{
    CLEANUP_TEXT struct text text = {0};
    const char *found;
    for (; (found = strstr(value, VECTOR_FILES)); value = found + strlen(VECTOR_FILES)) {
        text_append(&text, value, (size_t)(found - value));
        text_append_string(&text, TEST_VECTORS "/config/");
    }
    text_append_string(&text, value);
    setenv(name, text.bytes, 1);
}

/* repr() of a value; JSON has no other numbers than finite ones. */
static void append_repr(struct text *text, const struct json *value)
{
    if (value->type == JSON_REAL && strpbrk(value->text, "in"))
        text_append_string(text, value->text);
    else
        repr_append(text, value);
}

static enum rezconfig_key find_key(const char *name)
{
    for (int key = 0; key < REZCONFIG_COUNT; key++)
        if (strcmp(rezconfig_table[key].name, name) == 0)
            return (enum rezconfig_key)key;
    cr_assert(false, "no setting %s", name);
    return REZCONFIG_COUNT;
}

/* The part of rez's message that is the same wherever it runs: one line, no address. */
static size_t common_length(const char *message)
{
    const char *address = strstr(message, " at 0x");
    size_t length = strcspn(message, "\n");
    return address ? MIN(length, (size_t)(address - message)) : length;
}

/* How rez ended: its message, or NULL. Other errors than this one are not meant for people. */
static const char *expected_message(const struct json *vector)
{
    static const char ours[] = "ConfigurationError: ";
    const struct json *error = json_member(vector, "error");
    if (!error)
        return NULL;
    return strncmp(error->text, ours, strlen(ours)) == 0 ? error->text + strlen(ours) : "";
}

static void check_vector(const struct json *vector, size_t *asked)
{
    struct rezconfig *config;
    struct pkgcache_error error = {0};
    const struct json *value;
    CLEANUP_TEXT struct text repr = {0};
    CLEANUP_TEXT struct text label = {0};
    const char *message = expected_message(vector);
    clean_environment();
    for (const struct json *variable = vectors_member(vector, "env")->first; variable;
         variable = variable->next)
        set_variable(variable->key, variable->text);
    json_write(&label, vector);
    cr_assert(rezconfig_new(&config) == 0);
    int result =
        rezconfig_get(config, find_key(vectors_member(vector, "key")->text), &value, NULL, &error);
    if (result < 0 && strstr(error.message, "only rez can expand")) {
        ++*asked; /* and there is none */
    } else if (message) {
        cr_expect(result == -EINVAL, "%s: %d", label.bytes, result);
        cr_expect(strncmp(error.message, message, common_length(message)) == 0, "%s: %s",
                  label.bytes, error.message);
    } else {
        cr_expect(result == 0, "%s: %s", label.bytes, error.message);
        if (result == 0)
            append_repr(&repr, value);
        cr_expect(result == 0 && json_is_string(vectors_member(vector, "repr"), repr.bytes),
                  "%s: %s", label.bytes, repr.bytes);
    }
    rezconfig_free(config);
}

static void check_vectors(const char *name, size_t expected_count, size_t expected_asked)
{
    struct json_document *document = vectors_load(name);
    size_t count = 0, asked = 0;
    for (const struct json *vector = document->root->first; vector; vector = vector->next, count++)
        check_vector(vector, &asked);
    cr_expect(count == expected_count, "%zu", count);
    cr_expect(asked == expected_asked, "%zu", asked);
    json_document_free(document);
}

Test(rezconfig, vectors)
{
    check_vectors("config.json", 71, 0);
}

/* Those that rez is asked about have a conversion, or a format. */
Test(rezconfig, more_vectors)
{
    check_vectors("config_more.json", 375, 12);
}

/* --- what the vectors do not have ----------------------------------------------------------- */

struct fixture {
    struct rezconfig *config;
    char directory[PLACE_BYTES];
    char path[PLACE_BYTES + 16]; /* of a settings file */
    char other[PLACE_BYTES + 16];
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* A config with one settings file, in Python; NULL: none. */
static void begin(struct fixture *fixture, const char *text)
{
    clean_environment();
    cr_assert(place_make(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/rezconfig.py", fixture->directory);
    snprintf(fixture->other, sizeof(fixture->other), "%s/other.py", fixture->directory);
    if (text) {
        write_file(fixture->path, text);
        setenv("REZ_CONFIG_FILE", fixture->path, 1);
    }
    cr_assert(rezconfig_new(&fixture->config) == 0);
}

static void end(struct fixture *fixture)
{
    rezconfig_free(fixture->config);
    unlink(fixture->path);
    unlink(fixture->other);
    rmdir(fixture->directory);
}

static void expect_repr(const struct json *value, const char *expected)
{
    CLEANUP_TEXT struct text repr = {0};
    append_repr(&repr, value);
    cr_expect_str_eq(repr.bytes, expected);
}

static void expect_for_package(struct fixture *fixture, enum rezconfig_key key,
                               const char *package_config, const char *expected)
{
    struct json_document *document;
    const struct json *value;
    struct pkgcache_error error = {0};
    cr_assert(json_parse(package_config, strlen(package_config), &document, NULL) == 0);
    int result = rezconfig_get_for_package(fixture->config, key, document->root, &value, &error);
    json_document_free(document); /* the value must not need it */
    if (result == 0)
        expect_repr(value, expected);
    else
        cr_expect(strstr(error.message, expected), "%s", error.message);
}

/* Its settings come before variables, dicts are merged into those of files. */
Test(rezconfig, of_a_package)
{
    struct fixture fixture;
    const struct json *value;
    begin(&fixture, "default_cachable_per_package = {'x': {'a': 1, 'b': 2}, 'y': 1}\n"
                    "default_cachable = True\n");
    setenv("REZ_DEFAULT_CACHABLE", "1", 1);
    setenv("REZ_DEFAULT_CACHABLE_PER_PACKAGE", "z:1", 1);
    expect_for_package(&fixture, REZCONFIG_DEFAULT_CACHABLE, "{\"default_cachable\": false}",
                       "False");
    expect_for_package(&fixture, REZCONFIG_DEFAULT_CACHABLE, "{\"default_cachable\": null}",
                       "None");
    expect_for_package(&fixture, REZCONFIG_DEFAULT_CACHABLE, "{\"other\": null}", "True");
    expect_for_package(&fixture, REZCONFIG_DEFAULT_CACHABLE, "{\"default_cachable\": 0}",
                       "(from the package's config)");
    expect_for_package(
        &fixture, REZCONFIG_DEFAULT_CACHABLE_PER_PACKAGE,
        "{\"default_cachable_per_package\": {\"x\": {\"b\": \"~\", \"c\": 3}, \"v\": []}}",
        "{'x': {'a': 1, 'b': '/home/artist', 'c': 3}, 'y': 1, 'v': []}");
    expect_for_package(&fixture, REZCONFIG_DEFAULT_CACHABLE_PER_PACKAGE,
                       "{\"default_cachable_per_package\": null}", "{}");
    cr_assert(rezconfig_get_for_package(fixture.config, REZCONFIG_DEFAULT_CACHABLE_PER_PACKAGE,
                                        NULL, &value, NULL) == 0);
    expect_repr(value, "{'z': 1}");
    end(&fixture);
}

/* Whatever happens to the files afterwards; also when they could not be read. */
Test(rezconfig, read_once)
{
    struct fixture fixture;
    const struct json *value, *again;
    const char *origin;
    struct pkgcache_error error;
    begin(&fixture, "package_cache_log_days = 3\ntmpdir = '/x'\n");
    cr_expect(rezconfig_get(fixture.config, REZCONFIG_TMPDIR, &value, &origin, NULL) == 0);
    cr_expect(strstr(origin, "rezconfig.py, line 2"));
    write_file(fixture.path, "(");
    cr_expect(rezconfig_get(fixture.config, REZCONFIG_TMPDIR, &again, NULL, NULL) == 0);
    cr_expect(again == value);
    cr_expect(rezconfig_get(fixture.config, REZCONFIG_PACKAGE_CACHE_LOG_DAYS, &value, NULL, NULL) ==
              0);
    expect_repr(value, "3");
    rezconfig_free(fixture.config);

    cr_assert(rezconfig_new(&fixture.config) == 0);
    for (int i = 0; i < 2; i++) {
        cr_expect(rezconfig_get(fixture.config, REZCONFIG_TMPDIR, &value, NULL, &error) == -EINVAL);
        cr_expect(strstr(error.message, fixture.path) && strstr(error.message, "line 1"));
        write_file(fixture.path, "");
    }
    end(&fixture);
}

/* Lists are added to lists only. */
Test(rezconfig, modify_list)
{
    static const char *const texts[] = {
        "packages_path = ModifyList(append='x')",
        "packages_path = ModifyList(prepend=('x',))",
        "default_cachable = ModifyList(append=['x'])",
    };
    struct fixture fixture;
    const struct json *value;
    struct pkgcache_error error;
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        enum rezconfig_key key = i == 2 ? REZCONFIG_DEFAULT_CACHABLE : REZCONFIG_PACKAGES_PATH;
        begin(&fixture, texts[i]);
        cr_expect(rezconfig_get(fixture.config, key, &value, NULL, &error) == -EINVAL, "%zu", i);
        cr_expect(strstr(error.message, "ModifyList takes lists"), "%s", error.message);
        end(&fixture);
    }
    begin(&fixture, "packages_path = ModifyList(append=['~'])");
    cr_expect(rezconfig_get(fixture.config, REZCONFIG_PACKAGES_PATH, &value, NULL, &error) == 0);
    expect_repr(value, "['/home/artist/packages', '/home/artist/.rez/packages/int', "
                       "'/home/artist/.rez/packages/ext', '/home/artist']");
    end(&fixture);
}

Test(rezconfig, too_many_files)
{
    CLEANUP_TEXT struct text paths = {0};
    struct fixture fixture;
    const struct json *value;
    struct pkgcache_error error;
    begin(&fixture, "");
    for (int i = 0; i < 257; i++)
        text_printf(&paths, "%s:", fixture.path);
    setenv("REZ_CONFIG_FILE", paths.bytes, 1);
    cr_expect(rezconfig_get(fixture.config, REZCONFIG_TMPDIR, &value, NULL, &error) == -EINVAL);
    cr_expect(strstr(error.message, "REZ_CONFIG_FILE: more than 256 files"), "%s", error.message);
    end(&fixture);
}

/* Large ones end where their types do; paths have the bytes of the file system. */
Test(rezconfig, values)
{
    struct json number = {.type = JSON_INTEGER, .text = "-99999999999999999999"};
    cr_expect(rezconfig_integer(&number) == INT64_MIN);
    number.text = "42";
    cr_expect(rezconfig_integer(&number) == 42);
    struct json real = {.type = JSON_REAL, .text = "nan"};
    cr_expect(isnan(rezconfig_real(&real)));
    real.text = "-inf";
    cr_expect(rezconfig_real(&real) == -INFINITY);
    real.text = "1.5";
    cr_expect(rezconfig_real(&real) == 1.5);

    struct fixture fixture;
    const struct json *value;
    begin(&fixture, NULL);
    setenv("REZ_CACHE_PACKAGES_PATH", "/c\xff/$X/~", 1);
    setenv("X", "\xfe\xc3\xa9", 1);
    cr_assert(rezconfig_get(fixture.config, REZCONFIG_CACHE_PACKAGES_PATH, &value, NULL, NULL) ==
              0);
    expect_repr(value, "'/c\\udcff/\\udcfe\xc3\xa9/~'");
    CLEANUP_FREE char *path = rezconfig_path(value);
    cr_expect_str_eq(path, "/c\xff/\xfe\xc3\xa9/~");
    setenv("REZ_TMPDIR_JSON", "\"\\ud800\"", 1);
    cr_assert(rezconfig_get(fixture.config, REZCONFIG_TMPDIR, &value, NULL, NULL) == 0);
    cr_expect(rezconfig_path(value) == NULL);
    cr_assert(rezconfig_get(fixture.config, REZCONFIG_DEFAULT_CACHABLE, &value, NULL, NULL) == 0);
    cr_expect(rezconfig_path(value) == NULL);
    setenv("REZ_LOCAL_PACKAGES_PATH_JSON", "\"a\\u0000b\"", 1);
    cr_expect(rezconfig_get(fixture.config, REZCONFIG_LOCAL_PACKAGES_PATH, &value, NULL, NULL) ==
              -EINVAL);
    end(&fixture);
}

/* Members that both have stay where they are. */
Test(rezconfig, large_dicts)
{
    CLEANUP_TEXT struct text text = {0};
    struct fixture fixture;
    const struct json *value;
    begin(&fixture, NULL);
    for (int i = 0; i < 2; i++) {
        text_append_string(&text, "default_cachable_per_package = {");
        for (int j = 0; j < 50000; j++)
            text_printf(&text, "'%d': %d,\n", 40000 * i + j, i);
        text_append_string(&text, "}\n");
        write_file(i ? fixture.other : fixture.path, text.bytes);
        text_free(&text);
    }
    text_printf(&text, "%s:%s", fixture.path, fixture.other);
    setenv("REZ_CONFIG_FILE", text.bytes, 1);
    cr_assert(rezconfig_get(fixture.config, REZCONFIG_DEFAULT_CACHABLE_PER_PACKAGE, &value, NULL,
                            NULL) == 0);
    int count = 0;
    char key[16];
    for (const struct json *member = value->first; member; member = member->next, count++) {
        snprintf(key, sizeof(key), "%d", count);
        cr_assert(json_has_key(member, key));
        cr_assert(rezconfig_integer(member) == (count >= 40000));
    }
    cr_expect(count == 90000);
    end(&fixture);
}
