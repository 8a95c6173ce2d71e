/* Files of settings; what is read is written, and read again. */
#include "fuzz/fuzz.h"

#include "cache/rez/settings_file.h"

#include <string.h>

/* The value of the first line. */
static int take_first(void *context, const struct settings_line *line)
{
    FUZZ_CHECK(line->number == 1 && line->name);
    return strcmp(context, line->value) == 0 ? 1 : 2;
}

static void write_and_read(const char *value)
{
    struct text text = {0};
    text_append_string(&text, "x = ");
    settings_file_write_value(&text, value);
    text_append_string(&text, "  # y");
    FUZZ_CHECK(text.error || text.length > SETTINGS_LINE_BYTES_MAX ||
               settings_file_parse(text.bytes, text.length, take_first, (void *)value) == 1);
    text_free(&text);
}

static int on_line(void *context, const struct settings_line *line)
{
    unsigned *last = context;
    FUZZ_CHECK(line->number > *last);
    *last = line->number;
    FUZZ_CHECK(!line->fault == !!line->name && line->value);
    if (line->name)
        FUZZ_CHECK(*line->name && !strpbrk(line->name, "=\n"));
    write_and_read(line->value);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned last = 0;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    int result = settings_file_parse(text, size, on_line, &last);
    FUZZ_CHECK(result == 0);
    memcpy(text, data, size);
    write_and_read(text);
    free(text);
    return 0;
}
