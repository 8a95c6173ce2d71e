/* A name that a Python module assigns, as it is handed to who asked for the module. */
#pragma once

#include "cache/json/json.h"

/** The last assignment of a name at the top level. */
struct pyliteral_name {
    const char *name;
    unsigned line;      /* of that assignment, or of what may be one, from 1 */
    struct json *value; /* tuples and sets have types of their own; NULL: it is not literal */
    const char *call;   /* not literal, but `NAME(key=literal, ...)`, as rez's ModifyList: NAME */
    struct json *arguments; /* of the call: an object; NULL: there is none */
    struct pyliteral_name *next;
};
