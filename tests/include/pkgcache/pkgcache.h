/* For the examples, which include the header where it is installed: here it is where it lies. */
#include "cache/pkgcache.h"
