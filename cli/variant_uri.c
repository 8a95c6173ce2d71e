/* URIs of variants, as rez prints them, as long as the definition can be looked at. */
#include "cli/variant_uri.h"

#include "cache/rez/uri.h"

#include <string.h>

char *variant_uri(const struct pkgcache_handle *handle)
{
    CLEANUP_TEXT struct text python = {0};
    struct text uri = {0};
    char *result = NULL;
    uri_append(&python, handle, false);
    uri_append(&uri, handle, true);
    if (python.error == 0 && uri.error == 0) {
        *strrchr(python.bytes, '[') = '\0';
        char *bracket = strrchr(uri.bytes, '[');
        *bracket = '\0';
        bool is_yaml = access(python.bytes, F_OK) < 0 && access(uri.bytes, F_OK) == 0;
        *bracket = '[';
        if (!is_yaml) {
            text_free(&uri);
            uri_append(&uri, handle, false);
        }
    }
    return text_steal(&uri, &result, NULL) < 0 ? NULL : result;
}
