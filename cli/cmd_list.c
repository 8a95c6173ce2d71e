/* pkgcache list: variants and states, as a table or as JSON. */
#include "cache/json/json_stream.h"
#include "cache/rez/layout.h"
#include "cache/rez/repository.h"
#include "cache/store/size.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/list_wanted.h"
#include "cli/named_variants.h"
#include "cli/output.h"
#include "cli/variant_uri.h"

#include <fcntl.h>
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
    struct list_wanted asked;
    struct rules rules; /* what definitions are called */
    struct uri_memo definitions;
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

static void fill_row(struct table *table, const struct pkgcache_entry *entry, struct row *row)
{
    const struct pkgcache_handle *handle = entry->handle;
    struct text json = {0};
    handle_to_json(&json, handle);
    text_steal(&json, &row->handle, NULL);
    row->cells[COLUMN_STATUS] = strdup(output_status(entry->status));
    row->cells[COLUMN_PACKAGE] = strdup(handle->qualified_name);
    if (table->wanted[COLUMN_VARIANT_URI])
        row->cells[COLUMN_VARIANT_URI] = variant_uri(&table->rules, &table->definitions, handle);
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
    if (!list_wanted_has(&table->asked, entry))
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

/* Others chose the names: on a terminal they are shown so that they do no harm. */
static bool show_cells(struct row *row)
{
    for (int column = 0; column < COLUMN_COUNT; column++) {
        if (!row->cells[column])
            continue;
        char *shown = output_shown(row->cells[column]);
        if (!shown)
            return false;
        free(row->cells[column]);
        row->cells[column] = shown;
    }
    return true;
}

static int show_rows(const struct table *table)
{
    for (size_t j = 0; j < table->row_count; j++)
        if (!show_cells(&table->rows[j]))
            return output_error(table->options, EXIT_FAILED, ENOMEM, "out of memory");
    return -1;
}

/* For programs: no header, no spaces that nobody wrote. */
static void print_null(const struct table *table)
{
    for (size_t j = 0; j < table->row_count; j++)
        for (size_t i = 0; i < table->column_count; i++)
            printf("%s%c", cell(&table->rows[j], table->order[i]),
                   i + 1 == table->column_count ? '\0' : '\t');
}

static void print_table(const struct table *table)
{
    int widths[COLUMN_COUNT];
    for (size_t i = 0; i < table->column_count; i++) {
        enum column column = table->order[i];
        widths[column] = table->options->no_header ? 0 : (int)strlen(column_names[column]);
        for (size_t j = 0; j < table->row_count; j++)
            widths[column] = MAX(widths[column], (int)strlen(cell(&table->rows[j], column)));
    }
    for (size_t j = table->options->no_header ? 1 : 0; j <= table->row_count; j++)
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

/*
 * Finds the roots of variants that rez has cached, which writes none down: their definitions tell,
 * where there still are any.
 */
static int find_roots(struct table *table, struct rezconfig *config)
{
    CLEANUP_FREE struct repository_query *queries = calloc(table->row_count + 1, sizeof(*queries));
    CLEANUP_FREE struct row **rows = calloc(table->row_count + 1, sizeof(struct row *));
    struct repositories *repositories = NULL;
    size_t count = 0;
    int result = queries && rows ? repositories_new(config, &repositories) : -ENOMEM;
    for (size_t i = 0; i < table->row_count && result == 0; i++) {
        struct row *row = &table->rows[i];
        struct pkgcache_handle *handle;
        if (row->cells[COLUMN_ORIG_PATH] ||
            handle_parse(row->handle, strlen(row->handle), &handle, NULL) < 0)
            continue;
        rows[count] = row;
        queries[count++].handle = handle;
    }
    if (count > 0 && repositories_find_roots(repositories, queries, count, NULL) == 0)
        for (size_t i = 0; i < count; i++)
            rows[i]->cells[COLUMN_ORIG_PATH] = STEAL(queries[i].variant.root);
    for (size_t i = 0; i < count; i++) {
        repository_variant_free(&queries[i].variant);
        handle_free((struct pkgcache_handle *)queries[i].handle);
    }
    repositories_free(repositories);
    return result;
}

/* Reads what the columns need of rez's settings; wrong ones do not matter here. Returns an exit
 * code, or -1: go on. */
static int read_rules(struct options *options, struct table *table, struct rezconfig **ret_config)
{
    if (settings_rez(&options->settings, ret_config) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (table->wanted[COLUMN_VARIANT_URI] && rules_read_names(*ret_config, &table->rules, NULL) < 0)
        rules_free(&table->rules);
    return -1;
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
    struct rezconfig *config = NULL;
    int code = read_columns(&table);
    if (code < 0)
        code = list_wanted_read(options, &table.asked);
    if (code < 0)
        code = read_rules(options, &table, &config);
    if (code < 0)
        code = ask_daemon(&table, &listed);
    if (code < 0 && !listed)
        code = list(options, &table);
    if (code < 0 && table.wanted[COLUMN_ORIG_PATH] && find_roots(&table, config) < 0)
        code = output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (code < 0) {
        if (table.row_count > 0)
            qsort(table.rows, table.row_count, sizeof(*table.rows), compare_rows);
        if (options->json) {
            code = print_json(&table);
        } else {
            code = isatty(STDOUT_FILENO) ? show_rows(&table) : -1;
            if (code < 0 && options->null_ends)
                print_null(&table);
            else if (code < 0 && table.row_count > 0)
                print_table(&table);
            code = code < 0 ? output_end(options, EXIT_DONE) : code;
        }
    }
    clear_rows(&table);
    free(table.rows);
    list_wanted_free(&table.asked);
    rules_free(&table.rules);
    uri_memo_free(&table.definitions);
    return code;
}
