/* Printing a JSON document piece by piece. cJSON prints the pieces; here are only the brackets of
   what is too large for one, and the commas between them. */
#include "cache/json/json_stream.h"

#include <string.h>

static void write_bytes(struct json_stream *stream, const char *bytes, size_t length)
{
    if (length > 0 && fwrite(bytes, 1, length, stream->file) < length)
        stream->text.error = -errno;
}

static void flush(struct json_stream *stream)
{
    struct text *text = &stream->text;
    if (!stream->file || text->error)
        return;
    write_bytes(stream, text->bytes, text->length);
    text->length = 0;
}

static void separate(struct json_stream *stream)
{
    if (stream->separate)
        text_append_byte(&stream->text, ',');
    stream->separate = true;
}

void json_stream_open(struct json_stream *stream, const char *name, char bracket)
{
    separate(stream);
    if (name)
        text_printf(&stream->text, "\"%s\":", name);
    text_append_byte(&stream->text, bracket);
    stream->separate = false;
}

void json_stream_close(struct json_stream *stream, char bracket)
{
    text_append_byte(&stream->text, bracket);
    stream->separate = true;
    flush(stream);
}

void json_stream_add(struct json_stream *stream, cJSON *item)
{
    separate(stream);
    json_print(&stream->text, item);
    flush(stream);
}

void json_stream_add_members(struct json_stream *stream, cJSON *object)
{
    CLEANUP_TEXT struct text members = {0};
    json_print(&members, object);
    if (members.error) {
        stream->text.error = members.error;
    } else if (members.length > strlen("{}")) {
        separate(stream);
        text_append(&stream->text, members.bytes + 1, members.length - strlen("{}"));
        flush(stream);
    }
}

void json_stream_add_elements(struct json_stream *stream, const struct json_stream *elements)
{
    if (elements->text.error) {
        stream->text.error = elements->text.error;
    } else if (elements->text.length > 0) {
        separate(stream);
        flush(stream);
        if (!stream->file)
            text_append(&stream->text, elements->text.bytes, elements->text.length);
        else if (!stream->text.error) /* without a copy: there may be many */
            write_bytes(stream, elements->text.bytes, elements->text.length);
    }
}

int json_stream_end(struct json_stream *stream)
{
    flush(stream);
    int result = stream->text.error;
    text_free(&stream->text);
    return result;
}
