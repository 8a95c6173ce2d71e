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
    "def load(path):\n"
    "    kind = FileFormat.yaml if path.endswith('.yaml') else FileFormat.py\n"
    "    return load_from_file(path, kind, disable_memcache=True)\n"
    "\n"
    "contexts = {}\n"
    "\n"
    "def context_of(path):\n"
    "    if path not in contexts:\n"
    "        from rez.resolved_context import ResolvedContext\n"
    "        ResolvedContext._update_package_cache = lambda self: None  # it starts a daemon\n"
    "        contexts[path] = ResolvedContext.load(path)\n"
    "    return contexts[path]\n"
    "\n"
    "def package_of(question):\n"
    "    directory = question['directory']\n"
    "    names = {} if question['unversioned'] else {'version': os.path.basename(directory)}\n"
    "    family = os.path.dirname(directory) if names else directory\n"
    "    package = get_package_from_handle({'key': 'filesystem.package', 'variables': dict(\n"
    "        repository_type='filesystem', location=os.path.dirname(family),\n"
    "        name=os.path.basename(family), **names)})\n"
    "    if question['context'] is not None:\n"
    "        package.set_context(context_of(question['context']))\n"
    "    return package\n"
    "\n"
    "def read(question):\n"
    "    data = load(question['path'])\n"
    "    keys = ('name', 'version', 'variants', 'hashed_variants', 'config', 'cachable',\n"
    "            'relocatable')\n"
    "    found = {key: data[key] for key in keys if data.get(key) is not None}\n"
    "    for key in ('cachable', 'relocatable'):\n"
    "        if not isinstance(found.get(key), (bool, type(None))):  # bound late\n"
    "            found[key] = getattr(package_of(question), key)\n"
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
    "for question in json.load(sys.stdin):\n"
    "    try:\n"
    "        answers.append({'attributes': read(question)})\n"
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

static cJSON *build_question(const struct definition_question *question)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "path", question->path);
    json_add_string(object, "directory", question->directory);
    json_add_boolean(object, "unversioned", question->unversioned);
    json_add_string(object, "context", question->context);
    return object;
}

int definition_ask_rez(const struct definition_question *questions, size_t count,
                       const struct json **ret_first, struct json_document **ret_document,
                       struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text question = {0};
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++)
        json_add_item(array, NULL, build_question(&questions[i]));
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
