/* Lines of settings files. */
#include "cache/rez/settings_file.h"

#include "cache/util/text.h"

#include <criterion/criterion.h>

static int on_line(void *context, const struct settings_line *line)
{
    if (line->fault)
        text_printf(context, "%u!%s|", line->number, line->fault);
    else
        text_printf(context, "%u:%s=%s|", line->number, line->name, line->value);
    return 0;
}

static void expect_bytes(const char *bytes, size_t length, const char *expected)
{
    CLEANUP_TEXT struct text found = {0};
    CLEANUP_FREE char *copy = malloc(length + 1);
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    cr_assert_eq(settings_file_parse(copy, length, on_line, &found), 0);
    cr_expect_str_eq(found.bytes ? found.bytes : "", expected);
}

static void expect(const char *text, const char *expected)
{
    expect_bytes(text, strlen(text), expected);
}

Test(settings_file, values)
{
    expect("", "");
    expect("\n\n# x\n  # y = 1\n\t\n", "");
    expect("cache=/a", "1:cache=/a|");
    expect("\n  max-size  =  80%  \r\n", "2:max-size=80%|");
    expect("cache =\nlog-days = # none\n", "1:cache=|2:log-days=|");
    expect("cache = /a # b\ncache = /a#b\n", "1:cache=/a|2:cache=/a#b|");
    expect("cache = \"/a # b \" # c\ncache = \"\"\n", "1:cache=/a # b |2:cache=|");
    expect("cache = /a = b\n", "1:cache=/a = b|");
    expect("cache = /a\"b\n", "1:cache=/a\"b|");
    expect("\xef\xbb\xbf"
           "cache = /\xc3\xa4\xff\n",
           "1:cache=/\xc3\xa4\xff|");
}

Test(settings_file, escapes)
{
    expect("cache = \"/a\\\"b\\\\c\" # d\n", "1:cache=/a\"b\\c|");
    expect("cache = \"/a\\n\\t\\x1b\\xE4\"\n", "1:cache=/a\n\t\033\xe4|");
    expect("cache = /a\\n\n", "1:cache=/a\\n|");
    for (const char *const *wrong =
             (const char *const[]){"\\q", "\\x1", "\\x00", "\\xg1", "\\", NULL};
         *wrong; wrong++) {
        char line[32];
        snprintf(line, sizeof(line), "cache = \"%s\"\n", *wrong);
        CLEANUP_TEXT struct text found = {0};
        cr_assert_eq(settings_file_parse(line, strlen(line), on_line, &found), 0);
        cr_expect_eq(strncmp(found.bytes, "1!", 2), 0, "%s: %s", *wrong, found.bytes);
    }
}

static int take_value(void *context, const struct settings_line *line)
{
    text_append_string(context, line->name ? line->value : line->fault);
    return line->number == 1 ? 0 : -EINVAL;
}

/* Values of the signs that mean something, and of any bytes: what is written is read. */
Test(settings_file, what_is_written_is_read)
{
    static const char signs[] = "\"\\ #\t\n\r=x/\x7f\x01\xc3\xa4\xe2\x82\xac[~";
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        char value[12] = "";
        size_t length = (size_t)rand_r(&seed) % sizeof(value);
        for (size_t i = 0; i < length; i++) {
            int any = 1 + rand_r(&seed) % 255;
            int sign = (unsigned char)signs[(size_t)rand_r(&seed) % (sizeof(signs) - 1)];
            value[i] = (char)(round % 2 ? any : sign);
        }
        CLEANUP_TEXT struct text line = {0};
        CLEANUP_TEXT struct text read = {0};
        text_append_string(&line, "cache = ");
        settings_file_write_value(&line, value);
        text_append_string(&line, "  # here\n");
        cr_assert_eq(settings_file_parse(line.bytes, line.length, take_value, &read), 0);
        cr_assert_str_eq(read.bytes, value, "seed 7, round %d", round);
    }
}

Test(settings_file, faults)
{
    expect("cache /a\nx = 1\n", "1!it is not NAME = VALUE|2:x=1|");
    expect(" = 1\n", "1!it is not NAME = VALUE|");
    expect("[pkgcache]\n", "1!there are no sections here|");
    expect("cache = \"/a\n", "1!the quote is not closed|");
    expect("cache = \"/a\" b\n", "1!there is something behind the quote|");
    expect("cache = /a\033[31m\n", "1!there is a control character in it|");
    expect_bytes("a = b\0c\nd = e", 13, "1!there is a NUL in it|2:d=e|");
}

static int stop(void *context, const struct settings_line *line)
{
    ++*(unsigned *)context;
    return line->number == 2 ? 7 : 0;
}

Test(settings_file, ends_where_it_is_told_to)
{
    char text[] = "a = 1\nb = 2\nc = 3\n";
    unsigned count = 0;
    cr_expect_eq(settings_file_parse(text, strlen(text), stop, &count), 7);
    cr_expect_eq(count, 2);
}
