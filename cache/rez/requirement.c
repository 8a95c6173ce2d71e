/*
 * Requirements, as rez's regular expressions and its arithmetic of bounds have them, oddities
 * included: "<5,<3" is 3 to 5, "foo-" is any foo, a part that ends in a newline counts without it
 * (Python's `$`). A subpath that differs from rez's is a payload that is not found.
 */
#include "cache/rez/requirement.h"

#include "cache/json/repr.h"
#include "cache/rez/version.h"
#include "cache/util/sha1.h"

#include <string.h>

#define ANY_NAME_REFUSED "__pycache__"

/* One end of a range. An empty version is the smallest. */
struct limit {
    const char *text;
    size_t length;
    bool infinite;
    bool inclusive;
};

struct bound {
    struct limit lower;
    struct limit upper;
    size_t place; /* of its part */
};

struct range {
    struct bound *bounds; /* allocated, with room for two more than there are parts */
    size_t count;
    char *room; /* allocated: for the versions that are not in the text */
    size_t room_used;
};

/* What is left of a part. */
struct scanner {
    const char *at;
    const char *end;
};

/* An operator and a version, each of which may be missing. */
struct side {
    char operator; /* '<', '>', or 0 */
    bool equal;    /* '<=', '>=' */
    bool plus;     /* behind the version */
    const char *text;
    size_t length; /* 0: no version */
};

static int compare_versions(const struct limit *a, const struct limit *b)
{
    if (a->infinite || b->infinite)
        return a->infinite - b->infinite;
    return version_compare(a->text, a->length, b->text, b->length);
}

static int compare_lower(const struct limit *a, const struct limit *b)
{
    int order = compare_versions(a, b);
    return order ? order : b->inclusive - a->inclusive;
}

static int compare_upper(const struct limit *a, const struct limit *b)
{
    int order = compare_versions(a, b);
    return order ? order : a->inclusive - b->inclusive;
}

/* Those that are equal stay in order: their texts may differ ("1.0" and "1-0"). */
static int compare_bounds(const void *left, const void *right)
{
    const struct bound *a = left;
    const struct bound *b = right;
    int order = compare_lower(&a->lower, &b->lower);
    if (order == 0)
        order = compare_upper(&a->upper, &b->upper);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static bool is_minimum(const struct limit *lower)
{
    return lower->length == 0 && lower->inclusive;
}

static bool is_any(const struct range *range)
{
    return range->count == 1 && is_minimum(&range->bounds[0].lower) &&
           range->bounds[0].upper.infinite;
}

static bool scan(struct scanner *scanner, const char *token)
{
    size_t length = strlen(token);
    if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, token, length) != 0)
        return false;
    scanner->at += length;
    return true;
}

static void scan_version(struct scanner *scanner, const char **ret_text, size_t *ret_length)
{
    *ret_text = scanner->at;
    *ret_length = version_length(scanner->at, (size_t)(scanner->end - scanner->at));
    scanner->at += *ret_length;
}

static struct side scan_side(struct scanner *scanner)
{
    struct side side = {0};
    if (scanner->at < scanner->end && (*scanner->at == '<' || *scanner->at == '>')) {
        side.operator= * scanner->at++;
        side.equal = scan(scanner, "=");
    }
    scan_version(scanner, &side.text, &side.length);
    side.plus = !side.operator&& scan(scanner, "+");
    return side;
}

static struct limit limit_of(const struct side *side, char exclusive)
{
    return (struct limit){side->text, side->length,
                          .inclusive = side->operator!= exclusive || side->equal };
}

static const struct limit infinity = {.text = "", .infinite = true, .inclusive = true};
static const struct limit minimum = {.text = "", .inclusive = true};

/* A version alone means all that begin with it: up to the next one, which is the same and a "_". */
static struct bound bound_of_version(struct range *range, const struct side *side)
{
    char *next = range->room + range->room_used;
    memcpy(next, side->text, side->length);
    next[side->length] = '_';
    range->room_used += side->length + 1;
    return (struct bound){{side->text, side->length, .inclusive = true},
                          {.text = next, .length = side->length + 1}};
}

/* "1", "1+", ">1", ">=1", "<1", "<=1" */
static bool read_one_side(struct range *range, const struct side *side, struct bound *ret)
{
    *ret = (struct bound){minimum, infinity};
    if (side->operator== '<') {
        ret->upper = limit_of(side, '<');
        return side->equal || side->length > 0;
    }
    if (side->operator|| side->plus) {
        ret->lower = limit_of(side, '>');
        return true;
    }
    if (side->length > 0)
        *ret = bound_of_version(range, side);
    return side->length > 0;
}

/* "1+<2", ">=1,<2", "<2,>=1". A comma needs a version before it. */
static bool read_two_sides(const struct side *first, bool comma, const struct side *second,
                           struct bound *ret)
{
    bool below = second->operator== '<';
    if (!second->operator||(below && !second->equal && second->length == 0))
        return false;
    if (comma && first->length == 0)
        return false;
    if (below && first->operator!= '<') {
        *ret = (struct bound){limit_of(first, '>'), limit_of(second, '<')};
        return true;
    }
    if (first->operator== '>' ||(below && second->equal) || comma != (first->length > 0))
        return false;
    *ret = (struct bound){limit_of(second, '>'), limit_of(first, '<')};
    return true;
}

/* "==1", "1..2" */
static bool read_exact(struct scanner scanner, struct bound *ret)
{
    *ret = (struct bound){minimum, minimum};
    if (scan(&scanner, "==")) {
        scan_version(&scanner, &ret->lower.text, &ret->lower.length);
        ret->upper = ret->lower;
        return scanner.at == scanner.end;
    }
    scan_version(&scanner, &ret->lower.text, &ret->lower.length);
    if (!scan(&scanner, ".."))
        return false;
    scan_version(&scanner, &ret->upper.text, &ret->upper.length);
    return scanner.at == scanner.end;
}

static bool read_part(struct range *range, struct scanner scanner, struct bound *ret)
{
    if (read_exact(scanner, ret))
        return true;
    struct side first = scan_side(&scanner);
    if (scanner.at == scanner.end)
        return read_one_side(range, &first, ret);
    bool comma = scan(&scanner, ",");
    struct side second = scan_side(&scanner);
    return scanner.at == scanner.end && read_two_sides(&first, comma, &second, ret);
}

static bool bound_is_possible(const struct bound *bound)
{
    if (bound->upper.length == 0 && !bound->upper.inclusive)
        return false;
    int order = compare_versions(&bound->lower, &bound->upper);
    return order < 0 || (order == 0 && bound->lower.inclusive && bound->upper.inclusive);
}

/* Sorts, and unites what overlaps or touches. */
static void unite(struct range *range)
{
    struct bound *bounds = range->bounds;
    size_t kept = 0;
    qsort(bounds, range->count, sizeof(*bounds), compare_bounds);
    bool open = false; /* the one before ends with an exclusive limit */
    for (size_t i = 0; i < range->count; i++) {
        struct bound bound = bounds[i];
        struct bound *last = kept > 0 ? &bounds[kept - 1] : NULL;
        int order = last ? compare_versions(&bound.lower, &last->upper) : 1;
        if (order > 0 || (order == 0 && !bound.lower.inclusive && open))
            bounds[kept++] = bound;
        else if (compare_upper(&bound.upper, &last->upper) > 0)
            last->upper = bound.upper;
        open = !bound.upper.inclusive;
    }
    range->count = kept;
}

/* The versions that are not in a range. -EINVAL: rez makes an impossible one. */
static int invert(struct range *range)
{
    struct limit lower = minimum;
    size_t count = 0;
    bool open_below = true; /* `lower` is where everything begins */
    for (size_t i = 0; i <= range->count; i++) {
        struct bound bound = i < range->count ? range->bounds[i] : (struct bound){0};
        bool open_above = i == range->count || is_minimum(&bound.lower);
        struct bound gap = {open_below ? minimum : lower, open_above ? infinity : bound.lower};
        if (!open_above)
            gap.upper.inclusive = !bound.lower.inclusive;
        if (!open_below || !open_above) {
            if (!bound_is_possible(&gap))
                return -EINVAL;
            range->bounds[count++] = gap;
        }
        open_below = bound.upper.infinite;
        lower = bound.upper;
        lower.inclusive = !bound.upper.inclusive;
    }
    range->count = count;
    return 0;
}

static int read_range(const char *text, size_t length, struct range *ret,
                      struct pkgcache_error *error)
{
    char quoted[JSON_QUOTE_SIZE];
    bool any = false;
    const char *end = text + length;
    for (const char *part = text, *next; part; part = next ? next + 1 : NULL) {
        struct bound bound;
        next = memchr(part, '|', (size_t)(end - part));
        struct scanner scanner = {part, next ? next : end};
        any |= scanner.at == scanner.end; /* and so is the whole range; the rest is only checked */
        if (scanner.end > scanner.at && scanner.end[-1] == '\n')
            scanner.end--;
        if (scanner.at == scanner.end)
            continue;
        if (!read_part(ret, scanner, &bound))
            return error_set(error, EINVAL, "%s is not a range of versions",
                             json_quote_string(text, length, quoted));
        if (any)
            continue;
        if (!bound_is_possible(&bound))
            return error_set(error, EINVAL, "no version is in the range %s",
                             json_quote_string(text, length, quoted));
        bound.place = ret->count;
        ret->bounds[ret->count++] = bound;
    }
    if (any || ret->count == 0) {
        ret->bounds[0] = (struct bound){minimum, infinity};
        ret->count = 1;
    }
    unite(ret);
    return 0;
}

static void write_version(struct text *text, const char *before, const struct limit *limit,
                          const char *after)
{
    text_append_string(text, before);
    text_append(text, limit->text, limit->length);
    text_append_string(text, after);
}

static void write_lower(struct text *text, const struct limit *lower)
{
    if (!lower->inclusive)
        write_version(text, ">", lower, "");
    else if (lower->length > 0)
        write_version(text, "", lower, "+");
}

static void write_bound(struct text *text, const struct bound *bound)
{
    const struct limit *lower = &bound->lower;
    const struct limit *upper = &bound->upper;
    struct limit cut = *upper; /* without the "_" that makes it the next of another */
    cut.length -= cut.length > 0 && cut.text[cut.length - 1] == '_';
    if (upper->infinite) {
        write_lower(text, lower);
    } else if (compare_versions(lower, upper) == 0) {
        write_version(text, "==", lower, "");
    } else if (lower->inclusive && upper->inclusive) {
        if (lower->length > 0)
            write_version(text, "", lower, "..");
        write_version(text, lower->length > 0 ? "" : "<=", upper, "");
    } else if (lower->inclusive && lower->length > 0 && cut.length < upper->length &&
               compare_versions(lower, &cut) == 0) {
        write_version(text, "", lower, "");
    } else {
        write_lower(text, lower);
        write_version(text, upper->inclusive ? "<=" : "<", upper, "");
    }
}

static void write_range(struct text *text, const struct range *range, char separator)
{
    CLEANUP_TEXT struct text written = {0};
    for (size_t i = 0; i < range->count; i++) {
        if (i > 0)
            text_append_byte(&written, '|');
        write_bound(&written, &range->bounds[i]);
    }
    if (written.length > 0 && !strchr("=<>", *written.bytes))
        text_append_byte(text, separator);
    text_append(text, written.bytes ? written.bytes : "", written.length);
    if (written.error)
        text->error = written.error;
}

static bool is_name(const char *text, size_t length)
{
    if (length == strlen(ANY_NAME_REFUSED) && memcmp(text, ANY_NAME_REFUSED, length) == 0)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '-')
            return false;
    return length > 0 && version_length(text, length) == length;
}

/* Python's int() refuses more. */
static bool has_long_number(const char *text, size_t length)
{
    size_t digits = 0;
    for (size_t i = 0; i < length && digits <= REQUIREMENT_DIGITS_MAX; i++)
        digits = text[i] >= '0' && text[i] <= '9' ? digits + 1 : 0;
    return digits > REQUIREMENT_DIGITS_MAX;
}

static size_t find_any(const char *text, size_t length, const char *bytes)
{
    size_t at = 0;
    while (at < length && (text[at] == '\0' || !strchr(bytes, text[at])))
        at++;
    return at;
}

static int make_room(const char *text, size_t length, struct range *ret)
{
    size_t parts = 1;
    for (size_t i = 0; i < length; i++)
        parts += text[i] == '|';
    ret->bounds = calloc(parts + 2, sizeof(*ret->bounds));
    ret->room = malloc(length + parts + 1);
    return ret->bounds && ret->room ? 0 : -ENOMEM;
}

/* Reads what follows the name, and writes it. */
static int normalise_range(struct text *text, const char *bytes, size_t length, bool weak,
                           struct pkgcache_error *error)
{
    CLEANUP_FREE struct bound *bounds = NULL;
    CLEANUP_FREE char *room = NULL;
    struct range range = {0};
    char separator = '-';
    if (length > 0 && strchr("-@#", *bytes)) {
        separator = *bytes++;
        length--;
    }
    int result = make_room(bytes, length, &range);
    bounds = range.bounds;
    room = range.room;
    if (result == 0)
        result = read_range(bytes, length, &range, error);
    else
        return error_set(error, ENOMEM, "out of memory");
    if (result < 0 || is_any(&range))
        return result;
    /* Weak ones are kept inverted, and inverted again to be printed. */
    if (weak)
        result = invert(&range);
    if (weak && result == 0)
        result = invert(&range);
    if (result < 0)
        return error_set(error, EINVAL, "its range cannot be inverted");
    write_range(text, &range, separator);
    return text->error;
}

static int normalise(struct text *text, const char *bytes, size_t length,
                     struct pkgcache_error *error)
{
    char quoted[JSON_QUOTE_SIZE];
    if (length > REQUIREMENT_BYTES_MAX || has_long_number(bytes, length))
        return error_set(error, EINVAL, "it is too long");
    bool conflict = length > 0 && *bytes == '!';
    bool weak = length > 0 && *bytes == '~';
    bool ephemeral = length > 0 && *bytes == '.';
    const char *name = bytes + (conflict || weak);
    size_t name_length = find_any(name, length - (conflict || weak), "-@#=<>");
    if (!is_name(name + ephemeral, name_length - ephemeral))
        return error_set(error, EINVAL, "%s is not the name of a package",
                         json_quote_string(name, name_length, quoted));
    text_append(text, bytes, (size_t)(name + name_length - bytes));
    return normalise_range(text, name + name_length, (size_t)(bytes + length - name) - name_length,
                           weak, error);
}

int requirement_normalise(struct text *text, const char *bytes, size_t length,
                          struct pkgcache_error *ret_error)
{
    struct pkgcache_error why = {0};
    char quoted[JSON_QUOTE_SIZE];
    size_t start = text->length;
    int result = normalise(text, bytes, length, &why);
    if (result == 0)
        return 0;
    if (text->bytes) {
        text->length = start;
        text->bytes[start] = '\0';
    }
    if (result == -ENOMEM)
        return error_set(ret_error, ENOMEM, "out of memory");
    return error_set(ret_error, EINVAL, "requirement %s: %s",
                     json_quote_string(bytes, length, quoted), why.message);
}

int requirement_subpath(struct text *text, const struct json *requires, bool hashed,
                        struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text joined = {0};
    char sha1[SHA1_HEX_SIZE];
    int result = 0;
    if (requires->type != JSON_ARRAY && requires->type != JSON_TUPLE)
        return error_set(ret_error, EINVAL, "it is not a list of requirements");
    if (!hashed && !requires->first)
        return error_set(ret_error, EINVAL, "its list of requirements is empty, and not hashed");
    text_append_string(&joined, hashed ? "[" : "");
    for (const struct json *value = requires->first; value && result == 0; value = value->next) {
        CLEANUP_TEXT struct text one = {0};
        if (value->type != JSON_STRING)
            return error_set(ret_error, EINVAL, "a requirement is not a string");
        result = requirement_normalise(&one, value->text, value->text_length, ret_error);
        if (value != requires->first)
            text_append_string(&joined, hashed ? ", " : "/");
        if (result == 0 && hashed)
            repr_append_string(&joined, one.bytes, one.length);
        else if (result == 0)
            text_append(&joined, one.bytes, one.length);
    }
    if (result < 0)
        return result;
    text_append_string(&joined, hashed ? "]" : "");
    result = hashed ? sha1_hex(&joined, sha1) : joined.error;
    if (result < 0)
        return error_set(ret_error, -result, "%s",
                         result == -ENOTSUP ? "OpenSSL has no SHA-1 here" : "out of memory");
    text_append_string(text, hashed ? sha1 : joined.bytes);
    return text->error;
}
