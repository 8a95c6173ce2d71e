/* rez-pkg-cache without an option: the variants of a cache, as rez prints them. */
#include "cli/exit.h"
#include "cli/rez_print.h"
#include "cli/rez_program.h"
#include "cli/variant_uri.h"

#include <string.h>

enum { PADDING = 2 };

struct row {
    struct pkgcache_handle *handle;
    enum pkgcache_status status;
    char *cells[REZ_COLUMN_COUNT]; /* those that nobody asked for are NULL */
};

struct table {
    struct rez_program *program;
    bool wanted[REZ_COLUMN_COUNT];
    struct row *rows;
    size_t count;
    size_t capacity;
};

/* In rez's order. */
static const struct {
    enum pkgcache_status status;
    const char *name;
    enum rez_style style;
} statuses[] = {
    {PKGCACHE_FOUND, "cached", REZ_GREEN},
    {PKGCACHE_COPYING, "copying", REZ_YELLOW},
    {PKGCACHE_COPY_STALLED, "stalled", REZ_RED},
    {PKGCACHE_PENDING, "pending", REZ_DIM},
};

static size_t rank(const struct row *row)
{
    size_t i = 0;
    while (i < ARRAY_LENGTH(statuses) - 1 && statuses[i].status != row->status)
        i++;
    return i;
}

/* A handle of one's own: the listing's live only as long as it does. */
static struct pkgcache_handle *copy_handle(const struct pkgcache_handle *handle)
{
    struct pkgcache_handle *copy;
    int result =
        handle_create(handle->location, handle->name, handle->version, handle->index, &copy, NULL);
    return result == 0 ? copy : NULL;
}

static int on_entry(void *context, const struct pkgcache_entry *entry)
{
    struct table *table = context;
    if (table->count == table->capacity) {
        size_t capacity = MAX(2 * table->capacity, (size_t)64);
        struct row *rows = realloc(table->rows, capacity * sizeof(*rows));
        if (!rows)
            return -ENOMEM;
        table->rows = rows;
        table->capacity = capacity;
    }
    struct row *row = &table->rows[table->count++];
    *row = (struct row){.handle = copy_handle(entry->handle), .status = entry->status};
    if (table->wanted[REZ_COLUMN_ORIG_PATH] && entry->source_root)
        row->cells[REZ_COLUMN_ORIG_PATH] = strdup(entry->source_root);
    if (entry->cached_root)
        row->cells[REZ_COLUMN_CACHE_PATH] = rez_path(table->program, entry->cached_root);
    return row->handle ? 0 : -ENOMEM;
}

/* By status, then by name, as rez; then by what makes the order the same each time. */
static int compare_rows(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;
    size_t rank_a = rank(a);
    size_t rank_b = rank(b);
    if (rank_a != rank_b)
        return rank_a < rank_b ? -1 : 1;
    int order = strcmp(a->handle->name, b->handle->name);
    if (order == 0)
        order = strverscmp(a->handle->qualified_name, b->handle->qualified_name);
    return order ? order : handle_compare(a->handle, b->handle);
}

/* Asks for the roots of what rez has cached, which does not write them down. */
static int find_roots(struct table *table)
{
    struct pkgcache_error error;
    CLEANUP_FREE struct repository_query *queries = calloc(table->count + 1, sizeof(*queries));
    CLEANUP_FREE struct row **rows = calloc(table->count + 1, sizeof(struct row *));
    size_t count = 0;
    if (!queries || !rows)
        return -ENOMEM;
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].cells[REZ_COLUMN_ORIG_PATH])
            continue;
        rows[count] = &table->rows[i];
        queries[count++].handle = table->rows[i].handle;
    }
    int result =
        repositories_find_roots(table->program->sources.repositories, queries, count, &error);
    for (size_t i = 0; i < count; i++) {
        if (result == 0 && queries[i].result == 0)
            rows[i]->cells[REZ_COLUMN_ORIG_PATH] = STEAL(queries[i].variant.root);
        repository_variant_free(&queries[i].variant);
    }
    return result;
}

static int fill(struct table *table)
{
    struct rules rules = {0};
    struct uri_memo definitions = {0};
    struct pkgcache_error error;
    int result = table->wanted[REZ_COLUMN_ORIG_PATH] ? find_roots(table) : 0;
    if (result == 0 && table->wanted[REZ_COLUMN_VARIANT_URI])
        result = rules_read_names(table->program->config, &rules, &error);
    for (size_t i = 0; i < table->count && result == 0; i++) {
        struct row *row = &table->rows[i];
        row->cells[REZ_COLUMN_STATUS] = strdup(statuses[rank(row)].name);
        row->cells[REZ_COLUMN_PACKAGE] = strdup(row->handle->qualified_name);
        if (table->wanted[REZ_COLUMN_VARIANT_URI])
            row->cells[REZ_COLUMN_VARIANT_URI] = variant_uri(&rules, &definitions, row->handle);
    }
    rules_free(&rules);
    uri_memo_free(&definitions);
    return result;
}

static const char *cell(const struct row *row, enum rez_column column)
{
    return row->cells[column] ? row->cells[column] : "-";
}

/* How many characters a text has, if it is UTF-8: rez counts those. */
static int width(const char *text)
{
    int characters = 0;
    for (; *text; text++)
        characters += ((unsigned char)*text & 0xc0) != 0x80;
    return characters;
}

static void append_cell(struct text *line, const char *text, int column_width, bool last)
{
    text_printf(line, "%s%*s", text, last ? 0 : column_width + PADDING - width(text), "");
}

/* The names of the columns, then lines below them. */
static void print_header(const struct rez_arguments *arguments, const int *widths)
{
    static const char line_of_names[] = "-----------";
    CLEANUP_TEXT struct text names = {0};
    CLEANUP_TEXT struct text lines = {0};
    for (size_t i = 0; i < arguments->column_count; i++) {
        char name[16];
        bool last = i + 1 == arguments->column_count;
        snprintf(name, sizeof(name), "%s", rez_column_names[arguments->columns[i]]);
        for (char *at = name; *at; at++)
            if (*at == '_')
                *at = ' ';
        append_cell(&names, name, widths[i], last);
        append_cell(&lines, line_of_names + sizeof(line_of_names) - 1 - strlen(name), widths[i],
                    last);
    }
    if (names.error == 0 && lines.error == 0)
        printf("%s\n%s\n", names.bytes, lines.bytes);
}

static int print(const struct table *table, bool header)
{
    const struct rez_arguments *arguments = &table->program->arguments;
    CLEANUP_FREE int *widths = calloc(arguments->column_count, sizeof(*widths));
    if (!widths)
        return -ENOMEM;
    for (size_t i = 0; i < arguments->column_count; i++) {
        enum rez_column column = arguments->columns[i];
        widths[i] = header ? (int)strlen(rez_column_names[column]) : 0;
        for (size_t j = 0; j < table->count; j++)
            widths[i] = MAX(widths[i], width(cell(&table->rows[j], column)));
    }
    if (header)
        print_header(arguments, widths);
    for (size_t j = 0; j < table->count; j++) {
        CLEANUP_TEXT struct text line = {0};
        for (size_t i = 0; i < arguments->column_count; i++)
            append_cell(&line, cell(&table->rows[j], arguments->columns[i]), widths[i],
                        i + 1 == arguments->column_count);
        if (line.error < 0)
            return line.error;
        rez_print_line(stdout, statuses[rank(&table->rows[j])].style, line.bytes);
    }
    return 0;
}

static int list(struct table *table)
{
    struct pkgcache_error error;
    bool terminal = isatty(STDOUT_FILENO);
    if (terminal)
        printf("Package cache at %s:\n\n", table->program->directory);
    if (pkgcache_list(table->program->cache, on_entry, table, &error) < 0)
        return rez_fail("%s", error.message);
    if (table->count == 0) {
        fprintf(stderr, "No cached packages.\n");
        return EXIT_DONE;
    }
    qsort(table->rows, table->count, sizeof(*table->rows), compare_rows);
    if (fill(table) < 0 || print(table, terminal) < 0)
        return rez_fail("out of memory");
    return EXIT_DONE;
}

int rez_list(struct rez_program *program)
{
    struct table table = {.program = program};
    for (size_t i = 0; i < program->arguments.column_count; i++)
        table.wanted[program->arguments.columns[i]] = true;
    int code = list(&table);
    for (size_t j = 0; j < table.count; j++) {
        for (int column = 0; column < REZ_COLUMN_COUNT; column++)
            free(table.rows[j].cells[column]);
        handle_free(table.rows[j].handle);
    }
    free(table.rows);
    return code;
}
