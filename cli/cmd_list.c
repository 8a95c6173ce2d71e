/* pkgcache list: variants and states, as a table or as JSON. */
#include "cache/json/json_stream.h"
#include "cache/rez/layout.h"
#include "cache/store/size.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"
#include "cli/variant_uri.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

enum column {
    COLUMN_STATUS,
    COLUMN_PACKAGE,
    COLUMN_VARIANT_URI,
    COLUMN_ORIG_PATH,
    COLUMN_CACHE_PATH,
    COLUMN_SIZE,
    COLUMN_FILES,
    COLUMN_LAST_USED,
    COLUMN_COUNT,
};

static const char *const column_names[COLUMN_COUNT] = {
    "status", "package", "variant_uri", "orig_path", "cache_path", "size", "files", "last_used",
};

/* One line; the cells that nobody asked for are NULL. */
struct row {
    char *cells[COLUMN_COUNT];
    char *handle; /* JSON */
};

struct table {
    const struct options *options;
    bool wanted[COLUMN_COUNT];
    enum column order[COLUMN_COUNT];
    size_t column_count;
    struct row *rows;
    size_t row_count;
    size_t row_room;
};

/* Size and number of files of a payload: as the cache knows them, else counted now. */
static void fill_size(const struct pkgcache_entry *entry, struct row *row)
{
    struct size size = {entry->bytes, entry->files};
    if (size.bytes == PKGCACHE_NOT_COUNTED && size_find_at(entry->cached_root, &size) < 0)
        return; /* gone by now */
    if (asprintf(&row->cells[COLUMN_SIZE], "%" PRIu64, size.bytes) < 0)
        row->cells[COLUMN_SIZE] = NULL;
    if (asprintf(&row->cells[COLUMN_FILES], "%" PRIu64, size.files) < 0)
        row->cells[COLUMN_FILES] = NULL;
}

static char *last_used(struct timespec time)
{
    char text[32];
    struct tm local;
    if (!localtime_r(&time.tv_sec, &local) ||
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local) == 0)
        return strdup("?"); /* of a year that no calendar knows */
    return strdup(text);
}

static void fill_row(const struct table *table, const struct pkgcache_entry *entry, struct row *row)
{
    const struct pkgcache_handle *handle = entry->handle;
    struct text json = {0};
    handle_to_json(&json, handle);
    text_steal(&json, &row->handle, NULL);
    row->cells[COLUMN_STATUS] = strdup(output_status(entry->status));
    row->cells[COLUMN_PACKAGE] = strdup(handle->qualified_name);
    if (table->wanted[COLUMN_VARIANT_URI])
        row->cells[COLUMN_VARIANT_URI] = variant_uri(handle);
    if (table->wanted[COLUMN_ORIG_PATH])
        row->cells[COLUMN_ORIG_PATH] =
            entry->source_root ? strdup(entry->source_root) : layout_default_root(handle);
    if (entry->cached_root)
        row->cells[COLUMN_CACHE_PATH] = strdup(entry->cached_root);
    if (entry->status == PKGCACHE_FOUND) {
        row->cells[COLUMN_LAST_USED] = table->options->json ? NULL : last_used(entry->last_used);
        if (table->options->json &&
            asprintf(&row->cells[COLUMN_LAST_USED], "%lld.%09ld",
                     (long long)entry->last_used.tv_sec, entry->last_used.tv_nsec) < 0)
            row->cells[COLUMN_LAST_USED] = NULL;
        if (entry->cached_root && (table->wanted[COLUMN_SIZE] || table->wanted[COLUMN_FILES]))
            fill_size(entry, row);
    }
}

static int on_entry(void *context, const struct pkgcache_entry *entry)
{
    struct table *table = context;
    const struct options *options = table->options;
    if (options->argument_count > 0 &&
        fnmatch(options->arguments[0], entry->handle->qualified_name, 0) != 0)
        return 0;
    if (table->row_count == table->row_room) {
        size_t room = MAX(2 * table->row_room, (size_t)64);
        struct row *rows = realloc(table->rows, room * sizeof(*rows));
        if (!rows)
            return -ENOMEM;
        table->rows = rows;
        table->row_room = room;
    }
    struct row *row = &table->rows[table->row_count];
    *row = (struct row){0};
    fill_row(table, entry, row);
    if (!row->handle || !row->cells[COLUMN_STATUS] || !row->cells[COLUMN_PACKAGE])
        return -ENOMEM;
    table->row_count++;
    return 0;
}

static int compare_rows(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;
    int order = strverscmp(a->cells[COLUMN_PACKAGE], b->cells[COLUMN_PACKAGE]);
    return order ? order : strcmp(a->handle, b->handle);
}

static const char *cell(const struct row *row, enum column column)
{
    return row->cells[column] ? row->cells[column] : "-";
}

static void print_table(const struct table *table)
{
    int widths[COLUMN_COUNT];
    for (size_t i = 0; i < table->column_count; i++) {
        enum column column = table->order[i];
        widths[column] = (int)strlen(column_names[column]);
        for (size_t j = 0; j < table->row_count; j++)
            widths[column] = MAX(widths[column], (int)strlen(cell(&table->rows[j], column)));
    }
    for (size_t j = 0; j <= table->row_count; j++)
        for (size_t i = 0; i < table->column_count; i++) {
            enum column column = table->order[i];
            bool last = i + 1 == table->column_count;
            printf("%-*s%s", last ? 0 : widths[column],
                   j == 0 ? column_names[column] : cell(&table->rows[j - 1], column),
                   last ? "\n" : "  ");
        }
}

static bool is_number(enum column column)
{
    return column == COLUMN_SIZE || column == COLUMN_FILES || column == COLUMN_LAST_USED;
}

static cJSON *build_row(const struct row *row)
{
    cJSON *object = cJSON_CreateObject();
    json_add_raw_reference(object, "handle", row->handle);
    for (int column = 0; column < COLUMN_COUNT; column++) {
        const char *value = row->cells[column];
        if (value && is_number((enum column)column))
            json_add_raw_reference(object, column_names[column], value);
        else
            json_add_string_reference(object, column_names[column], value);
    }
    return object;
}

static int print_json(const struct table *table)
{
    struct json_stream stream = {.file = stdout};
    json_stream_open(&stream, NULL, '[');
    for (size_t j = 0; j < table->row_count; j++)
        json_stream_add(&stream, build_row(&table->rows[j]));
    json_stream_close(&stream, ']');
    return output_end_document(table->options, json_stream_end(&stream));
}

/* Returns an exit code, or -1: go on. */
static int read_columns(struct table *table)
{
    const char *list = table->options->columns;
    CLEANUP_FREE char *names = strdup(list ? list : "status,package,last_used,cache_path");
    char *rest = names;
    for (char *name; (name = strsep(&rest, ","));) {
        int column = 0;
        while (column < COLUMN_COUNT && strcmp(name, column_names[column]) != 0)
            column++;
        if (column == COLUMN_COUNT || table->wanted[column])
            return output_error(
                table->options, EXIT_USAGE, EINVAL,
                "--columns: \"%s\" is not a column, or is given twice; the columns are status, "
                "package, variant_uri, orig_path, cache_path, size, files, last_used",
                name);
        table->wanted[column] = true;
        table->order[table->column_count++] = (enum column)column;
    }
    for (int column = 0; table->options->json && column < COLUMN_COUNT; column++)
        table->wanted[column] = true;
    return -1;
}

static void clear_rows(struct table *table)
{
    for (size_t j = 0; j < table->row_count; j++) {
        for (int column = 0; column < COLUMN_COUNT; column++)
            free(table->rows[j].cells[column]);
        free(table->rows[j].handle);
    }
    table->row_count = 0;
}

/* Has the daemon list, if there is one. Returns an exit code, or -1: go on, with what it listed or,
 * when *ret_listed is false, without it. */
static int ask_daemon(struct table *table, bool *ret_listed)
{
    const struct options *options = table->options;
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    int code = daemon_connect(options, &client);
    if (!client)
        return code;
    int result = pkgcache_client_list(client, on_entry, table, &error);
    pkgcache_client_close(client);
    *ret_listed = result == 0;
    if (*ret_listed)
        return -1;
    clear_rows(table); /* of half an answer */
    return daemon_is_passed_over(options, result)
               ? -1
               : output_error(options, EXIT_FAILED, error.code, "%s", error.message);
}

static int list(struct options *options, struct table *table)
{
    struct pkgcache *cache = NULL;
    struct pkgcache_error error;
    int code = open_cache(options, &cache);
    if (code < 0 && pkgcache_list(cache, on_entry, table, &error) < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    pkgcache_close(cache);
    return code;
}

int cmd_list(struct options *options)
{
    struct table table = {.options = options};
    bool listed = false;
    int code = read_columns(&table);
    if (code < 0)
        code = ask_daemon(&table, &listed);
    if (code < 0 && !listed)
        code = list(options, &table);
    if (code < 0) {
        if (table.row_count > 0)
            qsort(table.rows, table.row_count, sizeof(*table.rows), compare_rows);
        if (options->json) {
            code = print_json(&table);
        } else {
            if (table.row_count > 0)
                print_table(&table);
            code = output_end(options, EXIT_DONE);
        }
    }
    clear_rows(&table);
    free(table.rows);
    return code;
}
