/* JSON that pkgcache says: to the byte as the writer for rez writes it, and whole or not at all. */
#include "cache/json/json_build.h"
#include "cache/json/json_stream.h"
#include "cache/json/json_string.h"

#include <criterion/criterion.h>

#include <limits.h>
#include <string.h>

static void expect_printed(cJSON *item, const char *expected)
{
    CLEANUP_TEXT struct text text = {0};
    json_print(&text, item);
    cr_assert_eq(text.error, 0);
    cr_expect_str_eq(text.bytes, expected);
}

Test(json_build, all_types)
{
    CLEANUP_TEXT struct text json = {0};
    cJSON *object = cJSON_CreateObject();
    text_append_string(&json, "{\"key\": 1.0}");
    json_add_string(object, "string", "a");
    json_add_string_reference(object, "reference", "b");
    json_add_string(object, "nothing", NULL);
    json_add_null(object, "null");
    json_add_boolean(object, "true", true);
    json_add_boolean(object, "false", false);
    json_add_decimal(object, "decimal", 2.0 / 3, 3);
    json_add_text(object, "text", &json);
    json_add_raw(object, "raw", "1.0");
    json_add_raw_reference(object, "raw_reference", "[1 ]");
    json_add_string(json_add_object(object, "object"), "inner", "");
    cJSON *array = json_add_array(object, "array");
    json_add_integer(array, NULL, 1);
    json_add_string(json_add_object(array, NULL), "x", "y");
    json_add_array(array, NULL);
    expect_printed(object, "{\"string\":\"a\",\"reference\":\"b\",\"nothing\":null,\"null\":null,"
                           "\"true\":true,\"false\":false,\"decimal\":0.667,"
                           "\"text\":{\"key\": 1.0},\"raw\":1.0,\"raw_reference\":[1 ],"
                           "\"object\":{\"inner\":\"\"},\"array\":[1,{\"x\":\"y\"},[]]}");
}

Test(json_build, whole_numbers_keep_their_digits)
{
    cJSON *array = cJSON_CreateArray();
    json_add_integer(array, NULL, INT_MIN);
    json_add_integer(array, NULL, (int64_t)INT_MIN - 1);
    json_add_integer(array, NULL, INT64_MIN);
    json_add_integer(array, NULL, INT64_MAX);
    json_add_unsigned(array, NULL, 0);
    json_add_unsigned(array, NULL, INT_MAX);
    json_add_unsigned(array, NULL, (uint64_t)INT_MAX + 1);
    json_add_unsigned(array, NULL, (UINT64_C(1) << 53) + 1);
    json_add_unsigned(array, NULL, UINT64_MAX);
    expect_printed(array, "[-2147483648,-2147483649,-9223372036854775808,9223372036854775807,0,"
                          "2147483647,2147483648,9007199254740993,18446744073709551615]");
}

static void expect_string(const char *string)
{
    CLEANUP_TEXT struct text expected = {0};
    text_append_byte(&expected, '[');
    json_write_string(&expected, string, strlen(string));
    text_append_byte(&expected, ',');
    json_write_string(&expected, string, strlen(string));
    text_append_byte(&expected, ']');
    cJSON *array = cJSON_CreateArray();
    json_add_string(array, NULL, string);
    json_add_string_reference(array, NULL, string);
    expect_printed(array, expected.bytes);
}

Test(json_build, strings_are_written_as_rez_writes_them)
{
    for (int first = 1; first <= UCHAR_MAX; first++) {
        char one[] = {(char)first, '\0'};
        expect_string(one);
        for (int second = 1; second <= UCHAR_MAX; second++) {
            char two[] = {(char)first, (char)second, '\0'};
            expect_string(two);
        }
    }
    expect_string("");
    expect_string("/a/\xc3\xa9/\xf0\x9f\x98\x80/\xff\xed\xb0\x80");
}

/* Memory that runs out. */

static int allocations_left;

static void *allocate(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static cJSON *build_some(void)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "string", "a");
    json_add_string(object, "escaped", "\xff");
    json_add_string_reference(object, "reference", "b");
    json_add_integer(object, "large", INT64_MAX);
    json_add_decimal(object, "decimal", 1, 1);
    cJSON *array = json_add_array(object, "array");
    json_add_integer(array, NULL, 1);
    cJSON *inner = json_add_object(array, NULL);
    json_add_raw(inner, "raw", "1");
    json_add_raw_reference(inner, "raw_reference", "1");
    json_add_boolean(object, "boolean", true);
    json_add_null(object, "null");
    return object;
}

Test(json_build, without_memory_nothing_is_printed)
{
    cJSON_Hooks failing = {.malloc_fn = allocate, .free_fn = free};
    bool done = false;
    cJSON_InitHooks(&failing);
    for (int allowed = 0; !done; allowed++) {
        CLEANUP_TEXT struct text text = {0};
        text_append_string(&text, "before");
        allocations_left = allowed;
        json_print(&text, build_some());
        done = text.error == 0;
        cr_expect(done || text.error == -ENOMEM);
        cr_expect(done || strcmp(text.bytes, "before") == 0);
        cr_assert_lt(allowed, 100);
    }
    cJSON_InitHooks(NULL);
}

Test(json_build, failures_elsewhere_are_the_items)
{
    CLEANUP_TEXT struct text broken = {.error = -ENOMEM};
    CLEANUP_TEXT struct text text = {0};
    cJSON *array = cJSON_CreateArray();
    json_add_text(array, NULL, &broken);
    json_print(&text, array);
    cr_expect_eq(text.error, -ENOMEM);
    json_print(&broken, cJSON_CreateNull()); /* freed all the same */
    cr_expect_null(broken.bytes);
}

/* Documents that are printed piece by piece. */

static cJSON *number(int value)
{
    cJSON *object = cJSON_CreateObject();
    json_add_integer(object, "n", value);
    return object;
}

static int stream_all(struct json_stream *stream, struct json_stream *elements)
{
    json_stream_open(stream, NULL, '{');
    json_stream_add_members(stream, cJSON_CreateObject()); /* none */
    json_stream_add_members(stream, number(1));
    json_stream_add_members(stream, number(2));
    json_stream_open(stream, "empty", '[');
    json_stream_close(stream, ']');
    json_stream_open(stream, "full", '[');
    for (int i = 0; i < 3; i++)
        json_stream_add(stream, number(i));
    json_stream_add_elements(stream, elements);
    json_stream_add_elements(stream, &(struct json_stream){0});
    json_stream_close(stream, ']');
    json_stream_add_members(stream, number(3));
    json_stream_close(stream, '}');
    return json_stream_end(stream);
}

Test(json_stream, pieces_make_one_document)
{
    static const char expected[] = "{\"n\":1,\"n\":2,\"empty\":[],\"full\":[{\"n\":0},{\"n\":1},"
                                   "{\"n\":2},{\"n\":7},{\"n\":8}],\"n\":3}";
    char printed[256] = "";
    struct json_stream elements = {0};
    json_stream_add(&elements, number(7));
    json_stream_add(&elements, number(8));
    FILE *file = fmemopen(printed, sizeof(printed), "w");
    cr_assert(file);
    cr_expect_eq(stream_all(&(struct json_stream){.file = file}, &elements), 0);
    cr_expect_eq(fclose(file), 0);
    cr_expect_str_eq(printed, expected);

    struct json_stream outer = {0};
    json_stream_add_elements(&outer, &elements);
    cr_expect_str_eq(outer.text.bytes, "{\"n\":7},{\"n\":8}");
    json_stream_end(&outer);
    json_stream_end(&elements);
}

Test(json_stream, says_what_failed)
{
    struct json_stream elements = {0};
    struct json_stream stream = {.file = fopen("/dev/full", "w")};
    cr_assert(stream.file);
    setbuf(stream.file, NULL);
    json_stream_add(&stream, number(1));
    json_stream_add(&stream, number(2)); /* and what comes after it changes nothing */
    cr_expect_eq(json_stream_end(&stream), -ENOSPC);
    fclose(stream.file);

    json_stream_add(&elements, NULL);
    cr_expect_eq(stream_all(&(struct json_stream){0}, &elements), -ENOMEM);
    json_stream_end(&elements);
}
