/*
 * Asking rez. The script goes through what rez itself uses to read definitions: so @early, @include
 * and scopes are resolved when the file is loaded, and @late when the package is asked for the
 * attribute. What a definition prints must not get between us and the answer.
 */
#include "cache/rez/definition_rez.h"

#include "cache/json/json_build.h"
#include "cache/rez/rezpython.h"

static const char script[] =
    "import json, os, sys\n"
    "answer = os.fdopen(os.dup(1), 'w')\n"
    "os.dup2(2, 1)\n"
    "from rez.packages import get_package_from_handle\n"
    "from rez.serialise import FileFormat, load_from_file\n"
    "\n"
    "def load(directory):\n"
    "    for name, kind in (('package.py', FileFormat.py), ('package.yaml', FileFormat.yaml)):\n"
    "        path = os.path.join(directory, name)\n"
    "        if os.path.isfile(path):\n"
    "            return load_from_file(path, kind, disable_memcache=True)\n"
    "    raise OSError('the definition is gone')\n"
    "\n"
    "def package_of(directory, data):\n"
    "    names = {'version': os.path.basename(directory)} if data.get('version') else {}\n"
    "    family = os.path.dirname(directory) if names else directory\n"
    "    return get_package_from_handle({'key': 'filesystem.package', 'variables': dict(\n"
    "        repository_type='filesystem', location=os.path.dirname(family),\n"
    "        name=os.path.basename(family), **names)})\n"
    "\n"
    "def read(directory):\n"
    "    data = load(directory)\n"
    "    keys = ('name', 'version', 'variants', 'hashed_variants', 'config', 'cachable',\n"
    "            'relocatable')\n"
    "    found = {key: data[key] for key in keys if data.get(key) is not None}\n"
    "    for key in ('cachable', 'relocatable'):\n"
    "        if not isinstance(found.get(key), (bool, type(None))):  # bound late\n"
    "            found[key] = getattr(package_of(directory, data), key)\n"
    "    if isinstance(found.get('variants'), (list, tuple)):\n"
    "        found['variants'] = [[str(request) for request in variant]\n"
    "                             for variant in found['variants']]\n"
    "    for key in ('name', 'version'):\n"
    "        if key in found:\n"
    "            found[key] = str(found[key])\n"
    "    json.dumps(found)\n"
    "    return found\n"
    "\n"
    "answers = []\n"
    "for directory in json.load(sys.stdin):\n"
    "    try:\n"
    "        answers.append({'attributes': read(directory)})\n"
    "    except (Exception, SystemExit) as error:\n"
    "        answers.append({'error': str(error) or type(error).__name__})\n"
    "json.dump(answers, answer)\n"
    "answer.close()\n";

static size_t count_answers(const struct json *answers)
{
    size_t count = 0;
    for (const struct json *answer = answers->first; answer; answer = answer->next)
        count++;
    return count;
}

int definition_ask_rez(const char *const *directories, size_t count, const struct json **ret_first,
                       struct json_document **ret_document, struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text question = {0};
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++)
        json_add_string(array, NULL, directories[i]);
    json_print(&question, array);
    if (question.error)
        return error_set(ret_error, ENOMEM, "out of memory");
    int result = rezpython_run(script, &question, ret_document, ret_error);
    if (result < 0)
        return result;
    const struct json *answers = (*ret_document)->root;
    if (answers->type == JSON_ARRAY && count_answers(answers) == count) {
        *ret_first = answers->first;
        return 0;
    }
    json_document_free(*ret_document);
    *ret_document = NULL;
    error_set(ret_error, EBADMSG, "rez's Python gave an unexpected answer");
    return -EBADMSG;
}
