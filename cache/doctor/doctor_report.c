/* How the parts of the doctor report what they find. */
#include "cache/doctor/examination.h"
#include "cache/util/text.h"

#include <stdarg.h>

void doctor_report(const struct examination *examination, enum pkgcache_severity severity,
                   const char *subject, const char *path, const char *advice, const char *format,
                   ...)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *absolute = NULL;
    va_list arguments;
    va_start(arguments, format);
    text = text_vformat(format, arguments);
    va_end(arguments);
    if (path && *path != '/' && examination->cache &&
        asprintf(&absolute, "%s/%s", examination->cache->path, path) < 0)
        absolute = NULL;
    struct pkgcache_finding finding = {
        .severity = severity,
        .subject = subject,
        .path = absolute ? absolute : path,
        .text = text ? text : "out of memory",
        .advice = advice,
    };
    examination->request->on_finding(examination->request->context, &finding);
}
