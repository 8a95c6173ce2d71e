/* Filling in the public error structure. Printing it is the business of the command line. */
#include "cache/util/error.h"

#include "engine/same_mount.h"

#include <stdarg.h>

int error_set(struct pkgcache_error *error, int code, const char *format, ...)
{
    if (error) {
        error->code = code;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
    }
    return -code;
}

int error_struct_size(struct pkgcache_error *error, const char *call, const char *type)
{
    return error_set(error, EINVAL,
                     "%s: struct %s has no size, or it is newer than this library: set its size "
                     "to sizeof(struct %s), or install the library that the program was built with",
                     call, type, type);
}

const char *error_text(int code)
{
    return code == EXDEV ? SAME_MOUNT_WHY : strerror(code);
}

const char *error_advice(int code)
{
    if (code == ENOSPC)
        return "; make room with pkgcache clean";
    if (code == EDQUOT)
        return "; make room with pkgcache clean, or ask for a larger quota";
    return "";
}
