/*
 * Reading one file. What a Python file computes is asked of rez only when that setting is asked
 * for, and then for all settings of the file at once.
 */
#include "cache/rez/rezconfig_file.h"

#include "cache/json/json_build.h"
#include "cache/rez/pyliteral.h"
#include "cache/rez/rezconfig_merge.h"
#include "cache/rez/rezconfig_value.h"
#include "cache/rez/rezpython.h"
#include "cache/rez/yaml.h"
#include "cache/util/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 4 << 20 };

/* As rez loads the file; what ModifyList has is told apart from a value. What the file prints must
 * not get into the answer. */
static const char load_script[] =
    "import json, os, sys\n"
    "answers = os.fdopen(os.dup(1), 'w')\n"
    "os.dup2(2, 1)\n"
    "from rez.config import _load_config_py\n"
    "from rez.utils.data_utils import DelayLoad, ModifyList\n"
    "question = json.load(sys.stdin)\n"
    "settings = _load_config_py(question['file'])\n"
    "answer = {}\n"
    "for name in question['settings']:\n"
    "    if name not in settings:\n"
    "        continue\n"
    "    value = settings[name]\n"
    "    if isinstance(value, DelayLoad):\n"
    "        value = value.get_value()\n"
    "    if isinstance(value, ModifyList):\n"
    "        answer[name] = {'prepend': value.prepend, 'append': value.append}\n"
    "    elif isinstance(value, (type(None), bool, int, float, str, list, dict)):\n"
    "        answer[name] = {'value': value}\n"
    "    else:\n"
    "        sys.exit('%s is a %s' % (name, type(value).__name__))\n"
    "print(json.dumps(answer), file=answers)\n";

/* What a file says about a setting. */
enum says {
    SAYS_NOTHING,
    SAYS_VALUE,
    SAYS_MODIFY,   /* a list is added to */
    SAYS_COMPUTED, /* only rez can tell */
};

struct statement {
    enum says says;
    unsigned line;              /* 0: not known */
    const struct json *value;   /* SAYS_VALUE */
    const struct json *prepend; /* SAYS_MODIFY; NULL: none */
    const struct json *append;
    char *origin; /* owned */
};

struct rezconfig_file {
    char *path;
    struct statement statements[REZCONFIG_COUNT];
    struct values values;           /* of a YAML file */
    struct pyliteral_module module; /* of a Python file */
    struct json_document *answer;   /* rez's, about what is computed; NULL: not asked yet */
};

static int refuse(const char *path, const char *why, struct pkgcache_error *error)
{
    return error_set(error, EINVAL, "Error loading configuration from %s: %s", path, why);
}

static int out_of_memory(struct pkgcache_error *error)
{
    return error_set(error, ENOMEM, "out of memory");
}

static const char *python_type(const struct json *value)
{
    static const char *const names[] = {
        [JSON_NULL] = "NoneType", [JSON_BOOLEAN] = "bool", [JSON_INTEGER] = "int",
        [JSON_REAL] = "float",    [JSON_STRING] = "str",   [JSON_ARRAY] = "list",
        [JSON_OBJECT] = "dict",   [JSON_TUPLE] = "tuple",
    };
    return value->type < ARRAY_LENGTH(names) && names[value->type] ? names[value->type] : "value";
}

/* What Python takes for false. */
static bool is_empty(const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOLEAN:
        return !value->boolean;
    case JSON_INTEGER:
    case JSON_REAL:
        return rezconfig_real(value) == 0;
    case JSON_STRING:
        return value->text_length == 0;
    default:
        return !value->first;
    }
}

static int read_yaml(struct rezconfig_file *file, const char *bytes, size_t length,
                     struct pkgcache_error *error)
{
    struct json *root;
    struct pkgcache_error why;
    char words[64];
    int result = yaml_parse(bytes, length, &file->values, &root, &why);
    if (result < 0)
        return result == -ENOMEM ? out_of_memory(error) : refuse(file->path, why.message, error);
    if (is_empty(root))
        return 0;
    if (root->type != JSON_OBJECT) {
        snprintf(words, sizeof(words), "Expected dict, got %s", python_type(root));
        return refuse(file->path, words, error);
    }
    for (int key = 0; key < REZCONFIG_COUNT; key++) {
        const struct json *value = json_member(root, rezconfig_table[key].name);
        if (value)
            file->statements[key] = (struct statement){.says = SAYS_VALUE, .value = value};
    }
    return 0;
}

/* ModifyList(append=[...], prepend=[...]), unless that name is one of the module's own. */
static void read_modify_list(const struct pyliteral_module *module,
                             const struct pyliteral_name *name, struct statement *ret)
{
    if (!name->call || strcmp(name->call, "ModifyList") != 0 ||
        pyliteral_find(module, "ModifyList"))
        return;
    for (const struct json *argument = name->arguments->first; argument; argument = argument->next)
        if (!json_has_key(argument, "append") && !json_has_key(argument, "prepend"))
            return;
    ret->says = SAYS_MODIFY;
    ret->prepend = json_member(name->arguments, "prepend");
    ret->append = json_member(name->arguments, "append");
}

static int read_python(struct rezconfig_file *file, const char *bytes, size_t length,
                       struct pkgcache_error *error)
{
    struct pkgcache_error why;
    int result = pyliteral_parse(bytes, length, &file->module, &why);
    if (result < 0)
        return result == -ENOMEM ? out_of_memory(error) : refuse(file->path, why.message, error);
    for (int key = 0; key < REZCONFIG_COUNT; key++) {
        struct statement *statement = &file->statements[key];
        const struct pyliteral_name *name =
            pyliteral_find(&file->module, rezconfig_table[key].name);
        if (!name)
            continue;
        statement->line = name->line;
        statement->value = name->value;
        statement->says = name->value ? SAYS_VALUE : SAYS_COMPUTED;
        if (!name->value)
            read_modify_list(&file->module, name, statement);
    }
    return 0;
}

/* Where the extension begins: os.path.splitext. */
static size_t stem_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name + strspn(name, "."), '.');
    return dot ? (size_t)(dot - path) : strlen(path);
}

static bool is_regular(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* The file that counts for a name: an allocated path. NULL in *ret: there is none. */
static int choose(const char *path, char **ret)
{
    CLEANUP_FREE char *chosen = NULL;
    if (asprintf(&chosen, "%.*s.py", (int)stem_length(path), path) < 0) {
        chosen = NULL;
        return -ENOMEM;
    }
    if (!is_regular(chosen)) {
        free(chosen);
        chosen = is_regular(path) ? strdup(path) : NULL;
        if (!chosen)
            return errno == ENOMEM ? -ENOMEM : 0;
    }
    *ret = STEAL(chosen);
    return 0;
}

static bool is_python(const char *path)
{
    return strcmp(path + stem_length(path), ".py") == 0;
}

static int name_origins(struct rezconfig_file *file)
{
    for (int key = 0; key < REZCONFIG_COUNT; key++) {
        struct statement *statement = &file->statements[key];
        int length = 0;
        if (statement->says != SAYS_NOTHING && statement->line)
            length = asprintf(&statement->origin, "%s, line %u", file->path, statement->line);
        else if (statement->says != SAYS_NOTHING)
            length = asprintf(&statement->origin, "%s", file->path);
        if (length < 0) {
            statement->origin = NULL;
            return -ENOMEM;
        }
    }
    return 0;
}

int rezconfig_file_parse(const char *path, const char *bytes, size_t length,
                         struct rezconfig_file **ret, struct pkgcache_error *ret_error)
{
    struct rezconfig_file *file = calloc(1, sizeof(*file));
    if (!file)
        return out_of_memory(ret_error);
    file->path = strdup(path);
    int result = 0;
    if (!file->path)
        result = out_of_memory(ret_error);
    else if (is_python(path))
        result = read_python(file, bytes, length, ret_error);
    else
        result = read_yaml(file, bytes, length, ret_error);
    if (result == 0 && name_origins(file) < 0)
        result = out_of_memory(ret_error);
    if (result < 0)
        rezconfig_file_free(STEAL(file));
    *ret = file;
    return result;
}

int rezconfig_file_read(const char *path, struct rezconfig_file **ret,
                        struct pkgcache_error *ret_error)
{
    CLEANUP_FREE char *chosen = NULL;
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    *ret = NULL;
    int result = choose(path, &chosen);
    if (result < 0)
        return out_of_memory(ret_error);
    if (!chosen)
        return 0;
    CLEANUP_CLOSE int fd = file_open(AT_FDCWD, chosen, O_RDONLY);
    if (fd < 0)
        return refuse(chosen, strerror(errno), ret_error);
    result = file_read(fd, FILE_BYTES_MAX, &text, &why);
    if (result < 0)
        return result == -ENOMEM ? out_of_memory(ret_error)
                                 : refuse(chosen, why.message, ret_error);
    return rezconfig_file_parse(chosen, text.bytes ? text.bytes : "", text.length, ret, ret_error);
}

void rezconfig_file_free(struct rezconfig_file *file)
{
    if (!file)
        return;
    for (int key = 0; key < REZCONFIG_COUNT; key++)
        free(file->statements[key].origin);
    pyliteral_free(&file->module);
    values_free(&file->values);
    json_document_free(file->answer);
    free(file->path);
    free(file);
}

bool rezconfig_file_has(const struct rezconfig_file *file, enum rezconfig_key key)
{
    return file->statements[key].says != SAYS_NOTHING;
}

bool rezconfig_file_replaces(const struct rezconfig_file *file, enum rezconfig_key key)
{
    const struct statement *statement = &file->statements[key];
    return statement->says == SAYS_VALUE && statement->value->type != JSON_OBJECT;
}

const char *rezconfig_file_origin(const struct rezconfig_file *file, enum rezconfig_key key)
{
    return file->statements[key].origin;
}

/* {"file": PATH, "settings": [those that are computed]} */
static void write_question(const struct rezconfig_file *file, struct text *text)
{
    cJSON *question = cJSON_CreateObject();
    json_add_string(question, "file", file->path);
    cJSON *settings = json_add_array(question, "settings");
    for (int key = 0; key < REZCONFIG_COUNT; key++)
        if (file->statements[key].says == SAYS_COMPUTED)
            json_add_string(settings, NULL, rezconfig_table[key].name);
    json_print(text, question);
}

/* Has rez run the file, and notes what it says. A setting that rez does not find is not set. */
static int ask_rez(struct rezconfig_file *file, enum rezconfig_key asked,
                   struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text question = {0};
    struct pkgcache_error why;
    write_question(file, &question);
    int result =
        question.error ? -ENOMEM : rezpython_run(load_script, &question, &file->answer, &why);
    if (result == -ENOMEM)
        return out_of_memory(error);
    if (result < 0)
        return error_set(error, EINVAL,
                         "%s: %s is computed, so rez has to evaluate it, and that failed: %.600s",
                         file->statements[asked].origin, rezconfig_table[asked].name, why.message);
    for (int key = 0; key < REZCONFIG_COUNT; key++) {
        struct statement *statement = &file->statements[key];
        if (statement->says != SAYS_COMPUTED)
            continue;
        const struct json *answer = json_member(file->answer->root, rezconfig_table[key].name);
        statement->value = json_member(answer, "value");
        statement->prepend = json_member(answer, "prepend");
        statement->append = json_member(answer, "append");
        statement->says = !answer ? SAYS_NOTHING : statement->value ? SAYS_VALUE : SAYS_MODIFY;
    }
    return 0;
}

int rezconfig_file_apply(struct rezconfig_file *file, enum rezconfig_key key,
                         const struct json *below, struct values *values,
                         const struct json **ret_value, struct pkgcache_error *ret_error)
{
    const struct statement *statement = &file->statements[key];
    int result = statement->says == SAYS_COMPUTED ? ask_rez(file, key, ret_error) : 0;
    if (result < 0)
        return result;
    *ret_value = below;
    if (statement->says == SAYS_VALUE)
        result = rezconfig_merge(below, statement->value, values, ret_value);
    else if (statement->says == SAYS_MODIFY)
        result = rezconfig_modify(below, statement->prepend, statement->append, values, ret_value);
    if (result == -EINVAL)
        return error_set(ret_error, EINVAL,
                         "Error loading configuration from %s: %s: ModifyList takes lists, and is "
                         "put on top of a list",
                         statement->origin, rezconfig_table[key].name);
    return result < 0 ? out_of_memory(ret_error) : 0;
}
