/* Lines and names of the log. */
#include "cache/store/log.h"

#include <criterion/criterion.h>
#include <string.h>

static void in_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

static void expect_line(const char *message, const char *expected)
{
    char line[LOG_LINE_MAX + 1];
    struct timespec time = {.tv_sec = 1795352255, .tv_nsec = 658999999};
    in_zone("UTC0");
    size_t length = log_format(time, 7476, LOGGED_INFO, message, line);
    cr_expect(length == strlen(line));
    cr_expect_str_eq(line, expected);
}

Test(log, lines_are_rez_s)
{
    expect_line("Cached variant to /c/foo in 0.0123 seconds",
                "rez-pkg-cache 2026-11-22 12:57:35,658 PID-7476 INFO Cached variant to /c/foo in "
                "0.0123 seconds\n");
}

Test(log, what_would_make_two_lines_is_escaped)
{
    expect_line("a\nb\tc\rd\x1b[2J\x7f\a", "rez-pkg-cache 2026-11-22 12:57:35,658 PID-7476 INFO "
                                           "a\\nb\\tc\\rd\\x1b[2J\\x7f\\a\n");
}

/* Letters of all languages stay; what steers a terminal, or turns its lines around, does not. */
Test(log, what_is_not_printable_is_escaped)
{
    /* NOLINTNEXTLINE(misc-misleading-bidirectional): that is what is tested */
    expect_line("\xc3\xa4\xe4\xb8\xad \xc2\x9b \x9b \xe2\x80\xae \\",
                "rez-pkg-cache 2026-11-22 12:57:35,658 PID-7476 INFO "
                "\xc3\xa4\xe4\xb8\xad \\u009b \\x9b \\u202e \\\n");
}

Test(log, long_lines_are_cut)
{
    char message[2 * LOG_LINE_MAX];
    char line[LOG_LINE_MAX + 1];
    for (size_t length = LOG_LINE_MAX - 100; length < LOG_LINE_MAX + 100; length++) {
        memset(message, 'x', length);
        message[length] = '\0';
        size_t written = log_format((struct timespec){0}, 1, LOGGED_ERROR, message, line);
        cr_assert(written <= LOG_LINE_MAX);
        cr_assert(line[written - 1] == '\n' && line[written] == '\0');
        cr_assert(strcspn(line, "\n") == written - 1);
    }
}

Test(log, escapes_are_cut_too)
{
    char message[LOG_LINE_MAX];
    char line[LOG_LINE_MAX + 1];
    memset(message, '\n', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    size_t written = log_format((struct timespec){0}, 1, LOGGED_WARNING, message, line);
    cr_expect(written <= LOG_LINE_MAX && strcspn(line, "\n") == written - 1);
}

Test(log, files_are_named_for_the_local_day)
{
    char name[32];
    in_zone("XXX+11:30"); /* west */
    cr_expect_str_eq(log_file_name(1795352255, name), "2026-11-22.log");
    cr_expect_str_eq(log_file_name(1795304000, name), "2026-11-21.log");
}

Test(log, names_of_files)
{
    cr_expect(log_is_file_name("2026-11-22.log"));
    static const char *const others[] = {"",
                                         "2026-11-22.lo",
                                         "2026-11-22.log.gz",
                                         "2026-1-22.log",
                                         "x026-11-22.log",
                                         "2026.11.22.log"};
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        cr_expect(!log_is_file_name(others[i]), "%s", others[i]);
}

/* What anybody may have left: a line without an end, one with NULs, one of any length. */
Test(log, lines_are_read_in_bounded_memory)
{
    static struct log_line line;
    enum { LONG = LOG_SHOWN_MAX + 5000 };
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    cr_assert_eq(fwrite("a\0b\n\n", 1, 5, file), 5);
    for (int i = 0; i < LONG; i++)
        fputc('x', file);
    fputs("\nlast", file);
    rewind(file);
    cr_assert(log_read_line(file, &line) && line.whole);
    cr_expect(line.bytes == 4 && line.length == 3 && memcmp(line.text, "a\0b", 4) == 0);
    cr_assert(log_read_line(file, &line) && line.whole);
    cr_expect(line.bytes == 1 && line.length == 0 && line.text[0] == '\0');
    cr_assert(log_read_line(file, &line) && line.whole);
    cr_expect(line.bytes == LONG + 1 && line.length == LOG_SHOWN_MAX);
    cr_assert(log_read_line(file, &line) && !line.whole);
    cr_expect_str_eq(line.text, "last");
    cr_expect(!log_read_line(file, &line));
    fclose(file);
}
