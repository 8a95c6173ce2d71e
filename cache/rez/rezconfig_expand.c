/*
 * Expansion, in the order in which rez does it. Words in the names of variables are those of ASCII;
 * Python's take in all of Unicode's letters, so other bytes count as letters here.
 */
#include "cache/rez/rezconfig_expand.h"

#include "cache/rez/rezpython.h"

#include <ctype.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

/* What rez knows of the system beyond the fields below takes Python to find out. */
static const char expand_script[] =
    "import json, os, sys\n"
    "answers = os.fdopen(os.dup(1), 'w')\n"
    "os.dup2(2, 1)\n"
    "from rez.system import system\n"
    "from rez.utils.scope import scoped_format\n"
    "print(json.dumps(scoped_format(json.load(sys.stdin), system=system)), file=answers)\n";

/* \s of Python's regular expressions, of ASCII. */
static bool is_space(char byte)
{
    return isspace((unsigned char)byte) || (byte >= 0x1c && byte <= 0x1f);
}

static bool is_word(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_' || (byte & 0x80);
}

/* The value of a variable, as it is in the environment; NULL: there is none. */
static const char *find_variable(const char *name, size_t length)
{
    CLEANUP_FREE char *path = malloc(length + 1);
    if (!path || length == 0 || memchr(name, '=', length) || utf8_to_path(name, length, path) < 0)
        return NULL;
    return getenv(path);
}

/* $NAME and ${NAME}; what is not there stays. What was put in is not looked at again. */
static void expand_variables(const struct text *from, struct text *to)
{
    const char *end = from->bytes + from->length;
    for (const char *at = from->bytes; at < end;) {
        const char *dollar = memchr(at, '$', (size_t)(end - at));
        dollar = dollar ? dollar : end;
        text_append(to, at, (size_t)(dollar - at));
        if (dollar == end)
            break;
        const char *name = dollar + 1;
        const char *name_end = name;
        at = name;
        if (name < end && *name == '{') {
            name++;
            name_end = memchr(name, '}', (size_t)(end - name));
            if (name_end)
                at = name_end + 1;
        } else {
            while (name_end < end && is_word(*name_end))
                name_end++;
            at = name_end;
        }
        const char *value = name_end ? find_variable(name, (size_t)(name_end - name)) : NULL;
        if (value)
            utf8_append_path(to, value, strlen(value));
        else
            text_append(to, dollar, (size_t)(at - dollar));
    }
}

void rezconfig_append_home(struct text *text)
{
    const char *home = getenv("HOME");
    const struct passwd *user = home ? NULL : getpwuid(getuid());
    if (!home && user)
        home = user->pw_dir;
    if (!home) {
        text_append_byte(text, '~');
        return;
    }
    size_t length = strlen(home);
    while (length > 0 && home[length - 1] == '/')
        length--;
    if (length == 0)
        text_append_byte(text, '/');
    utf8_append_path(text, home, length);
}

static bool separates(char byte)
{
    return byte == ':' || byte == ';' || is_space(byte);
}

/* A ~ that stands alone between separators, the second of which may be a slash. */
static void expand_home(const struct text *from, struct text *to)
{
    for (size_t i = 0; i < from->length;) {
        size_t before = i == 0 && from->bytes[0] == '~' ? 0 : separates(from->bytes[i]);
        size_t tilde = i + before;
        bool matches = (before || i == 0) && tilde < from->length && from->bytes[tilde] == '~' &&
                       (tilde + 1 == from->length || from->bytes[tilde + 1] == '/' ||
                        separates(from->bytes[tilde + 1]));
        if (!matches) {
            text_append_byte(to, from->bytes[i++]);
            continue;
        }
        text_append(to, from->bytes + i, before);
        rezconfig_append_home(to);
        i = tilde + 1;
        if (i < from->length) /* taken, too: it does not begin another */
            text_append_byte(to, from->bytes[i++]);
    }
}

/* Takes the last name away from a path, unless there is none, or it is `..`. */
static bool drop_last(struct text *path, size_t root)
{
    const char *slash =
        path->length > root ? memrchr(path->bytes + root, '/', path->length - root) : NULL;
    size_t begin = slash ? (size_t)(slash - path->bytes) + 1 : root;
    size_t length = path->length - begin;
    if (length == 0 || (length == 2 && memcmp(path->bytes + begin, "..", 2) == 0))
        return false;
    path->length = slash ? begin - 1 : root;
    path->bytes[path->length] = '\0';
    return true;
}

/* Python's os.path.normpath. */
static void normalise(const struct text *from, struct text *to)
{
    size_t root = strspn(from->bytes, "/");
    root = root == 2 ? 2 : MIN(root, (size_t)1);
    text_append(to, "//", root);
    for (size_t i = 0; i < from->length && !to->error;) {
        const char *name = from->bytes + i;
        const char *slash = memchr(name, '/', from->length - i);
        size_t length = slash ? (size_t)(slash - name) : from->length - i;
        bool up = length == 2 && memcmp(name, "..", 2) == 0;
        i += length + 1;
        if (length == 0 || (length == 1 && *name == '.'))
            continue;
        if (up && (drop_last(to, root) || root > 0))
            continue;
        if (to->length > root)
            text_append_byte(to, '/');
        text_append(to, name, length);
    }
    if (to->length == 0)
        text_append_byte(to, '.');
}

static bool is_writable_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && access(path, W_OK | X_OK) == 0;
}

void rezconfig_append_tmpdir(struct text *text)
{
    CLEANUP_TEXT struct text path = {0};
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    const char *const candidates[] = {getenv("TMPDIR"), getenv("TEMP"), getenv("TMP"), "/tmp",
                                      "/var/tmp",       "/usr/tmp",     here};
    const char *chosen = "/tmp"; /* Python would fail */
    for (size_t i = 0; i < ARRAY_LENGTH(candidates); i++) {
        if (candidates[i] && *candidates[i] && is_writable_directory(candidates[i])) {
            chosen = candidates[i];
            break;
        }
    }
    if (*chosen != '/' && here)
        text_printf(&path, "%s/", here);
    utf8_append_path(&path, chosen, strlen(chosen));
    if (path.error)
        text->error = path.error;
    else
        normalise(&path, text);
}

static bool is_field(const char *field, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(field, name, length) == 0;
}

/* Whether a field is a place among arguments, of which there are none: {} and {0}. */
static bool is_number(const char *field, size_t length)
{
    size_t digits = 0;
    while (digits < length && isdigit((unsigned char)field[digits]))
        digits++;
    return digits == length;
}

static const char *find_user(void)
{
    static const char *const variables[] = {"LOGNAME", "USER", "LNAME", "USERNAME"};
    for (size_t i = 0; i < ARRAY_LENGTH(variables); i++) {
        const char *name = getenv(variables[i]);
        if (name && *name)
            return name;
    }
    const struct passwd *user = getpwuid(getuid());
    return user ? user->pw_name : NULL;
}

enum field { FIELD_DONE, FIELD_UNKNOWN, FIELD_OF_REZ };

/* Appends a field of the system, if it is one of those that are easy to tell. */
static enum field append_field(struct text *to, const char *field, size_t length)
{
    char host[HOST_NAME_MAX + 1] = "";
    if (is_field(field, length, "system.platform")) {
        text_append_string(to, "linux");
    } else if (is_field(field, length, "system.home")) {
        rezconfig_append_home(to);
    } else if (is_field(field, length, "system.hostname") &&
               gethostname(host, sizeof(host) - 1) == 0) {
        utf8_append_path(to, host, strlen(host));
    } else if (is_field(field, length, "system.user") && find_user()) {
        utf8_append_path(to, find_user(), strlen(find_user()));
    } else {
        bool of_rez = length >= 6 && memcmp(field, "system", 6) == 0 &&
                      (length == 6 || field[6] == '.' || field[6] == '[');
        return of_rez ? FIELD_OF_REZ : FIELD_UNKNOWN;
    }
    return FIELD_DONE;
}

/* Has rez fill in the fields of a text. */
static int ask_rez(const struct text *from, struct text *to, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text input = {0};
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why = {.message = "not a string"};
    char quoted[JSON_QUOTE_SIZE];
    json_write_text(&input, from->bytes, from->length, UTF8_GENERALISED);
    int result = rezpython_run(expand_script, &input, &document, &why);
    if (result == -ENOMEM)
        return result;
    if (result == 0 && document->root->type == JSON_STRING) {
        text_append(to, document->root->text, document->root->text_length);
        return 0;
    }
    return error_set(error, EINVAL, "only rez can expand %s, and that failed: %.600s",
                     json_quote_string(from->bytes, from->length, quoted), why.message);
}

/*
 * Fields of Python's string.Formatter: {{ and }} are braces, {system.NAME} is filled in, {other}
 * stays. Conversions and format specifications are left to rez.
 */
static int expand_fields(const struct text *from, struct text *to, struct pkgcache_error *error)
{
    const char *end = from->bytes + from->length;
    for (const char *at = from->bytes; at < end;) {
        size_t length = 0;
        while (at + length < end && at[length] != '{' && at[length] != '}')
            length++;
        text_append(to, at, length);
        at += length;
        if (at == end)
            break;
        if (at + 1 < end && at[1] == at[0]) {
            text_append_byte(to, *at);
            at += 2;
            continue;
        }
        const char *close = *at == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
        if (!close)
            return error_set(error, EINVAL, "Single '%c' encountered in format string", *at);
        const char *field = at + 1;
        length = (size_t)(close - field);
        if (is_number(field, length) || *field == '.' || *field == '[')
            return error_set(error, EINVAL, "{%.*s} has no name", (int)MIN(length, (size_t)20),
                             field);
        bool special = strcspn(field, "!:[{") < length;
        enum field known = special ? FIELD_OF_REZ : append_field(to, field, length);
        if (known == FIELD_OF_REZ) {
            to->length = 0;
            return ask_rez(from, to, error);
        }
        if (known == FIELD_UNKNOWN)
            text_append(to, at, length + 2);
        at = close + 1;
    }
    return 0;
}

/* A string after all expansions, in a text that is not empty. */
static int expand_string(const struct json *value, struct text *ret, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text given = {0};
    CLEANUP_TEXT struct text named = {0};
    CLEANUP_TEXT struct text homed = {0};
    CLEANUP_TEXT struct text normal = {0};
    char quoted[JSON_QUOTE_SIZE];
    text_append(&given, value->text, value->text_length);
    text_append(&named, "", 0);
    if (!given.error)
        expand_variables(&given, &named);
    const struct text *path = &named;
    if (!named.error && memchr(named.bytes, '~', named.length)) {
        text_append(&homed, "", 0);
        expand_home(&named, &homed);
        if (!homed.error)
            normalise(&homed, &normal);
        path = &normal;
    }
    if (given.error || named.error || homed.error || normal.error)
        return -ENOMEM;
    int result = expand_fields(path, ret, error);
    if (result < 0)
        return result;
    if (memchr(path->bytes, '\0', path->length) ||
        (ret->bytes && memchr(ret->bytes, '\0', ret->length)))
        return error_set(error, EINVAL, "there is a NUL in %s",
                         json_quote_string(value->text, value->text_length, quoted));
    return ret->error;
}

/* A value without those inside it. */
static int expand_shallow(const struct json *value, struct values *values, struct json **ret_value,
                          struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    const char *bytes = value->text;
    size_t length = value->text_length;
    if (value->type == JSON_STRING) {
        int result = expand_string(value, &text, error);
        if (result < 0)
            return result;
        bytes = text.bytes;
        length = text.length;
    }
    struct json *copy = bytes || value->type == JSON_STRING
                            ? values_new_text(values, value->type, bytes, length)
                            : values_new(values, value->type);
    if (!copy)
        return -ENOMEM;
    copy->boolean = value->boolean;
    if (value->key) {
        copy->key = values_copy(values, value->key, value->key_length);
        copy->key_length = value->key_length;
        if (!copy->key)
            return -ENOMEM;
    }
    *ret_value = copy;
    return 0;
}

static int expand(const struct json *value, struct values *values, struct json **ret_value,
                  struct pkgcache_error *error)
{
    struct json *copy;
    int result = expand_shallow(value, values, &copy, error);
    if (result < 0)
        return result;
    struct json **end = &copy->first;
    for (const struct json *child = value->first; child; child = child->next) {
        struct json *child_copy;
        result = expand(child, values, &child_copy, error);
        if (result < 0)
            return result;
        *end = child_copy;
        end = &child_copy->next;
    }
    *ret_value = copy;
    return 0;
}

int rezconfig_expand(const struct json *value, struct values *values, const struct json **ret_value,
                     struct pkgcache_error *ret_error)
{
    struct json *copy = NULL;
    int result = expand(value, values, &copy, ret_error);
    *ret_value = copy;
    return result == -ENOMEM ? error_set(ret_error, ENOMEM, "out of memory") : result;
}
