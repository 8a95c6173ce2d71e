/* Reading and writing JSON: what Python accepts and writes, and what nobody should have sent. */
#include "cache/json/json.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

#include <locale.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static struct json_document *parse(const char *text)
{
    struct json_document *document = NULL;
    struct pkgcache_error error = {0};
    int result = json_parse(text, strlen(text), &document, &error);
    cr_assert(result == 0, "%s: %s", text, error.message);
    return document;
}

static void expect_written(const char *input, const char *expected)
{
    CLEANUP_JSON struct json_document *document = parse(input);
    CLEANUP_TEXT struct text text = {0};
    json_write(&text, document->root);
    cr_expect(text_is(&text, expected, strlen(expected)), "%s gave %s, not %s", input, text.bytes,
              expected);
}

static void expect_refused_bytes(const char *input, size_t length, const char *message)
{
    struct json_document *document = NULL;
    struct pkgcache_error error = {0};
    cr_expect(json_parse(input, length, &document, &error) == -EBADMSG, "%.40s was accepted",
              input);
    cr_expect(document == NULL);
    cr_expect(error.code == EBADMSG);
    cr_expect(strstr(error.message, message), "%.40s: %s", input, error.message);
}

static void expect_refused(const char *input, const char *message)
{
    expect_refused_bytes(input, strlen(input), message);
}

Test(json, writes_what_python_writes)
{
    expect_written("null", "null");
    expect_written(" [ ] ", "[]");
    expect_written("{}", "{}");
    expect_written("\t[true,false,\r\nnull]\n", "[true, false, null]");
    expect_written("{\"a\":{\"b\":[1,[2]]},\"\":0}", "{\"a\": {\"b\": [1, [2]]}, \"\": 0}");
    expect_written("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    expect_written("\"\\u0001\x7f\"", "\"\\u0001\\u007f\"");
    expect_written("\"\u00e9\U0001f600\"", "\"\\u00e9\\ud83d\\ude00\"");
    expect_written("\"\\uD83D\\uDE00\\uDCFF\\ud800x\"", "\"\\ud83d\\ude00\\udcff\\ud800x\"");
    expect_written("\"\\ud83d\\ud83d\\ude00\"", "\"\\ud83d\\ud83d\\ude00\"");
    expect_written("\"\\ud83d\\n\"", "\"\\ud83d\\n\"");
}

Test(json, numbers_are_kept)
{
    expect_written("[0, -0, 9223372036854775808, -123456789012345678901234567890]",
                   "[0, 0, 9223372036854775808, -123456789012345678901234567890]");
    expect_written("[1.0, 1e0, 1E+16, 1e-5, -0.0, 1.50, 123456789.123456789]",
                   "[1.0, 1.0, 1e+16, 1e-05, -0.0, 1.5, 123456789.12345679]");
    expect_written("[0.1e1, 1e15, 9999999999999998.0, 0.0001, 2.5e-324, 1.7976931348623157e308]",
                   "[1.0, 1000000000000000.0, 9999999999999998.0, 0.0001, 5e-324, "
                   "1.7976931348623157e+308]");
    expect_written("5.6843418860808015e-14", "5.684341886080802e-14"); /* 2 to the power of -44 */
    CLEANUP_JSON struct json_document *document = parse("[1, 1.0, 1e-999]");
    const struct json *number = document->root->first;
    cr_expect(number->type == JSON_INTEGER && strcmp(number->text, "1") == 0);
    number = number->next;
    cr_expect(number->type == JSON_REAL && strcmp(number->text, "1.0") == 0);
    cr_expect(number->next->type == JSON_REAL && strcmp(number->next->text, "1e-999") == 0);
}

Test(json, numbers_do_not_depend_on_the_locale)
{
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8"))
        cr_skip_test("no locale with a decimal comma here");
    expect_written("[1.5, 1.25e-7]", "[1.5, 1.25e-07]");
}

Test(json, strings_count_their_bytes)
{
    CLEANUP_JSON struct json_document *document = parse("{\"k\\u0000\": \"a\\u0000b\"}");
    const struct json *member = document->root->first;
    cr_expect(member->key_length == 2 && memcmp(member->key, "k\0", 3) == 0);
    cr_expect(member->text_length == 3 && memcmp(member->text, "a\0b", 4) == 0);
    cr_expect(json_member(document->root, "k") == NULL);
    cr_expect(!json_is_string(member, "a"));
}

Test(json, of_equal_names_the_last_counts_in_the_place_of_the_first)
{
    expect_written("{\"a\": 1, \"b\": 2, \"a\": [3], \"c\": 4, \"a\": {\"x\": 5}}",
                   "{\"a\": {\"x\": 5}, \"b\": 2, \"c\": 4}");
    expect_written("{\"a\": 1, \"a\": 2}", "{\"a\": 2}");
    expect_written("{\"a\": 1, \"\\u0061\": 2}", "{\"a\": 2}");
    expect_written("{\"a\": 1, \"a\\u0000\": 2}", "{\"a\": 1, \"a\\u0000\": 2}");
}

Test(json, of_many_equal_names_too)
{
    enum { MEMBERS = 100000, NAMES = 1000 };
    CLEANUP_TEXT struct text input = {0};
    CLEANUP_TEXT struct text expected = {0};
    for (int i = 0; i < MEMBERS; i++)
        text_printf(&input, "%s\"%d\": %d", i > 0 ? ", " : "{", i * 7 % NAMES, i);
    for (int i = 0; i < NAMES; i++)
        text_printf(&expected, "%s\"%d\": %d", i > 0 ? ", " : "{", i * 7 % NAMES,
                    MEMBERS - NAMES + i);
    text_append_byte(&input, '}');
    text_append_byte(&expected, '}');
    expect_written(input.bytes, expected.bytes);
}

Test(json, refuses_what_is_not_json)
{
    expect_refused("", "empty");
    expect_refused(" \n", "empty");
    expect_refused("not json", "line 1, column 1");
    expect_refused("nul", "a value is missing");
    expect_refused("[1,\n 2,\n x]", "line 3, column 2");
    expect_refused("[\"\u00e9\u00e9\", x]", "line 1, column 8");
    expect_refused("[1,]", "a value is missing");
    expect_refused("[1 2]", "a ',' or ']' is missing");
    expect_refused("[1", "a ',' or ']' is missing");
    expect_refused("[1}", "a ',' or ']' is missing");
    expect_refused("{\"a\": 1", "a ',' or '}' is missing");
    expect_refused("{\"a\": 1,}", "a member's name is missing");
    expect_refused("{\"a\" 1}", "a ':' is missing");
    expect_refused("{\"a\":", "a value is missing");
    expect_refused("{1: 2}", "a member's name is missing");
    expect_refused("{} {}", "more text after the value");
    expect_refused("'a'", "a value is missing");
    expect_refused("// a\n1", "a value is missing");
    expect_refused("NaN", "a value is missing");
    expect_refused("[-Infinity]", "a number that begins wrongly");
    expect_refused_bytes("1\0", 2, "more text after the value");
}

Test(json, refuses_bad_numbers)
{
    expect_refused("01", "a number that begins wrongly");
    expect_refused("-", "a number that begins wrongly");
    expect_refused("+1", "a value is missing");
    expect_refused(".5", "a value is missing");
    expect_refused("1.", "more text");
    expect_refused("1e+", "more text");
    expect_refused("1e999", "too large for a double");
    expect_refused("-1e999", "too large for a double");
    char digits[JSON_MAX_INTEGER_DIGITS + 2] = "";
    memset(digits, '9', JSON_MAX_INTEGER_DIGITS);
    expect_written(digits, digits);
    digits[JSON_MAX_INTEGER_DIGITS] = '9';
    digits[JSON_MAX_INTEGER_DIGITS + 1] = '\0';
    expect_refused_bytes(digits, JSON_MAX_INTEGER_DIGITS + 1, "too many digits");
}

Test(json, refuses_bad_strings)
{
    expect_refused("\"a", "a string that does not end");
    expect_refused("\"a\\", "an incomplete escape");
    expect_refused("\"\\x41\"", "an unknown escape");
    expect_refused("\"\\u12\"", "an incomplete \\u escape");
    expect_refused("\"\\u12g4\"", "an incomplete \\u escape");
    expect_refused("\"\\u", "an incomplete \\u escape");
    expect_refused("\"\\ud83d\\u12\"", "an incomplete \\u escape");
    expect_refused("\"a\nb\"", "a control character");
    expect_refused_bytes("\"\0\"", 3, "a control character");
    expect_refused("\"\xff\"", "bytes that are not UTF-8");
    expect_refused("\"\xc3\"", "bytes that are not UTF-8");
    expect_refused("\"\xc0\x80\"", "bytes that are not UTF-8");
    expect_refused("\"\xed\xa0\x80\"", "bytes that are not UTF-8");
    expect_refused("\"\xf4\x90\x80\x80\"", "bytes that are not UTF-8");
    expect_refused("\xef\xbb\xbf{}", "byte-order mark");
    expect_refused("\xff", "a value is missing");
}

static void expect_depth(size_t depth, char open, bool accepted)
{
    CLEANUP_TEXT struct text text = {0};
    for (size_t i = 0; i < depth; i++)
        text_append_string(&text, open == '[' ? "[" : "{\"a\":");
    text_append_byte(&text, '1');
    for (size_t i = 0; i < depth; i++)
        text_append_byte(&text, open == '[' ? ']' : '}');
    if (accepted) {
        CLEANUP_JSON struct json_document *document = parse(text.bytes);
        cr_expect(document->root->first);
    } else {
        expect_refused_bytes(text.bytes, text.length, "nested too deeply");
    }
}

Test(json, depth_is_limited)
{
    static const char brackets[] = "[{";
    for (int i = 0; i < 2; i++) {
        expect_depth(JSON_MAX_DEPTH, brackets[i], true);
        expect_depth(JSON_MAX_DEPTH + 1, brackets[i], false);
        expect_depth(10000, brackets[i], false);
        expect_depth(1000000, brackets[i], false);
    }
}

Test(json, a_mebibyte_of_anything_takes_no_time)
{
    static const char *const pieces[] = {"1,", "[],", "\"\",", "\"\\u0000\","};
    for (size_t i = 0; i < ARRAY_LENGTH(pieces); i++) {
        CLEANUP_TEXT struct text text = {0};
        text_append_byte(&text, '[');
        while (text.length < 1 << 20)
            text_append_string(&text, pieces[i]);
        text_append_string(&text, "0]");
        struct timespec before;
        struct timespec after;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        CLEANUP_JSON struct json_document *document = parse(text.bytes);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        cr_expect(after.tv_sec - before.tv_sec < 2);
        cr_expect(document->root->type == JSON_ARRAY);
    }
}

Test(json, integers_are_whole_and_in_range)
{
    CLEANUP_JSON struct json_document *document =
        parse("[7, -8, true, 1.0, \"1\", null, 9223372036854775808, -0]");
    const struct json *value = document->root->first;
    int64_t number = 99;
    cr_expect(json_integer(value, 0, 7, &number) == 0 && number == 7);
    cr_expect(json_integer(value, 0, 6, &number) == -ERANGE);
    value = value->next;
    cr_expect(json_integer(value, 0, 6, &number) == -ERANGE);
    cr_expect(json_integer(value, -8, 0, &number) == 0 && number == -8);
    for (int i = 0; i < 4; i++) {
        value = value->next;
        cr_expect(json_integer(value, INT64_MIN, INT64_MAX, &number) == -EINVAL);
    }
    value = value->next;
    cr_expect(json_integer(value, INT64_MIN, INT64_MAX, &number) == -ERANGE);
    value = value->next;
    cr_expect(json_integer(value, 0, 0, &number) == 0 && number == 0);
    cr_expect(json_integer(NULL, 0, 0, &number) == -EINVAL);
}

Test(json, strings_of_bytes_are_written_as_os_fsdecode_has_them)
{
    static const char bytes[] = "/a \"\xff\xc3\xa9\xed\xa0\x80\xf0\x9f\x98\x80\xe2\x82";
    static const char expected[] =
        "\"/a \\\"\\udcff\\u00e9\\udced\\udca0\\udc80\\ud83d\\ude00\\udce2\\udc82\"";
    CLEANUP_TEXT struct text text = {0};
    json_write_string(&text, bytes, sizeof(bytes) - 1);
    cr_expect(text_is(&text, expected, sizeof(expected) - 1), "%s", text.bytes);
}

Test(json, quotes_are_short_and_harmless)
{
    char buffer[JSON_QUOTE_SIZE];
    cr_expect_str_eq(json_quote(NULL, buffer), "nothing");
    cr_expect_str_eq(json_quote_string("\x1b[31m", 5, buffer), "\"\\u001b[31m\"");
    CLEANUP_TEXT struct text text = {0};
    text_append_byte(&text, '[');
    for (int i = 0; i < 100000; i++)
        text_append_string(&text, "\"\u00e9\",");
    text_append_string(&text, "1]");
    CLEANUP_JSON struct json_document *document = parse(text.bytes);
    json_quote(document->root, buffer);
    cr_expect(strlen(buffer) == JSON_QUOTE_SIZE - 1);
    cr_expect_str_eq(buffer + JSON_QUOTE_SIZE - 4, "...");
}

static int read_result(int dirfd, const char *name, size_t max_bytes, const char *message)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error error = {0};
    int result = json_read_file(dirfd, name, max_bytes, &document, &error);
    cr_expect((result == 0) == (document != NULL));
    cr_expect(strstr(error.message, message), "%s: %s", name, error.message);
    return result;
}

static void write_file(int dirfd, const char *name, const char *bytes)
{
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && write(fd, bytes, strlen(bytes)) == (ssize_t)strlen(bytes));
}

Test(json, reads_regular_files_only)
{
    char directory[PLACE_BYTES];
    cr_assert(place_make(directory));
    CLEANUP_CLOSE int dirfd = open(directory, O_RDONLY | O_DIRECTORY);
    write_file(dirfd, "file", "[1]");
    write_file(dirfd, "bad", "[1");
    write_file(dirfd, "empty", "");
    cr_assert(symlinkat("file", dirfd, "link") == 0 && mkfifoat(dirfd, "fifo", 0600) == 0);
    cr_assert(mkdirat(dirfd, "directory", 0700) == 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    CLEANUP_CLOSE int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(bind(socket_fd, (struct sockaddr *)&address, sizeof(address)) == 0);

    cr_expect(read_result(dirfd, "file", 3, "") == 0);
    cr_expect(read_result(dirfd, "file", 2, "\"file\": is larger than 2 bytes") == -EBADMSG);
    cr_expect(read_result(dirfd, "bad", 99, "\"bad\": not JSON") == -EBADMSG);
    cr_expect(read_result(dirfd, "empty", 99, "empty") == -EBADMSG);
    cr_expect(read_result(dirfd, "link", 99, "symbolic link") == -EBADMSG);
    cr_expect(read_result(dirfd, "fifo", 99, "fifo") == -EBADMSG);
    cr_expect(read_result(dirfd, "directory", 99, "directory") == -EBADMSG);
    cr_expect(read_result(dirfd, "socket", 99, "socket") == -EBADMSG);
    cr_expect(read_result(AT_FDCWD, "/dev/zero", 99, "device") == -EBADMSG);
    cr_expect(read_result(dirfd, "no\nsuch", 99, "\"no\\nsuch\": cannot open") == -ENOENT);

    static const char *const names[] = {"file", "bad", "empty", "link", "fifo", "socket"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        unlinkat(dirfd, names[i], 0);
    unlinkat(dirfd, "directory", AT_REMOVEDIR);
    rmdir(directory);
}

Test(json, rereads_its_own_vectors)
{
    static const char *const names[] = {"handles.json", "repr_strings.json", "nonprintable.json"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        CLEANUP_JSON struct json_document *document = vectors_load(names[i]);
        CLEANUP_TEXT struct text once = {0};
        CLEANUP_TEXT struct text twice = {0};
        json_write(&once, document->root);
        CLEANUP_JSON struct json_document *again = parse(once.bytes);
        json_write(&twice, again->root);
        cr_expect(text_is(&twice, once.bytes, once.length));
    }
}
