#include "storage/import_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/columns.h"
#include "base/csv.h"
#include "base/file.h"
#include "base/json_reader.h"
#include "storage/import_split.h"

#define FOLDER_DEPTH    2
#define TEXTS_BYTES_MAX ((size_t)256 << 20)
#define REJECT_BYTES    512
#define GLANCE_BYTES    ((size_t)256 << 10)

enum mode { MODE_LINES, MODE_CSV, MODE_VALUES, MODE_REST, MODE_DONE };

struct listed_file {
    const char *path;
    int source;
};

struct cvm_file_input {
    struct cvm_record_input records; /* first: a pointer to it is one to us */
    const struct cvm_catalogue *catalogue;
    struct cvm_file_input_options options;
    struct cvm_arena *arena; /* names, headers, messages */
    struct cvm_column files;
    struct cvm_column skipped; /* const char * */
    struct cvm_column failed;  /* const char * */
    char **blocks;
    struct cvm_queue *free_blocks;
    int64_t bytes_total;
    atomic_llong bytes_done;

    /* the open file */
    size_t next_file;
    const struct listed_file *file;
    int fd;
    enum mode mode;
    bool is_inside_object; /* the array is the "data" of an object */
    bool is_at_end;
    bool is_skipping; /* the rest of a line that is too long */
    char *raw;        /* what was read and not yet used: raw[at..length) */
    size_t raw_size;
    size_t at;
    size_t length;
    int64_t offset; /* of raw[0] in the file */
    int64_t record; /* number of the next one */
    struct cvm_slice header;
    struct cvm_splitter splitter;
};

/* ---- lists of texts ---- */

static enum cvm_status add_text(struct cvm_file_input *input, struct cvm_column *list,
                                const char *text, struct cvm_error *err)
{
    void *room = NULL;
    const char *copy = cvm_arena_string(input->arena, text);
    if (copy == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of files");
    }
    enum cvm_status status = cvm_column_extend(list, 1, &room, err);
    if (status == CVM_OK) {
        *(const char **)room = copy;
    }
    return status;
}

static enum cvm_status add_failed(struct cvm_file_input *input, const char *path,
                                  const char *message, struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, path);
    cvm_text_add(&text, ": ");
    cvm_text_add(&text, message);
    enum cvm_status status = add_text(input, &input->failed, cvm_text_string(&text), err);
    cvm_text_finish(&text);
    return status;
}

/* ---- which files ---- */

static bool is_allowed(const struct cvm_file_input *input, const struct cvm_source *source)
{
    return input->options.mapping == NULL || strcmp(source->mapping, input->options.mapping) == 0;
}

/* By name; a mapping of one source takes a file whatever its name. */
static int match_source(const struct cvm_file_input *input, const char *path, bool is_named)
{
    const struct cvm_catalogue *catalogue = input->catalogue;
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    int only = CVM_INDEX_NONE;
    size_t allowed = 0;
    if (input->options.source != NULL) {
        return cvm_catalogue_source(catalogue, input->options.source);
    }
    for (size_t s = 0; s < catalogue->source_count; s++) {
        const struct cvm_source *source = &catalogue->sources[s];
        if (!is_allowed(input, source)) {
            continue;
        }
        for (const char *const *p = source->file_patterns; p != NULL && *p != NULL; p++) {
            if (cvm_text_matches_pattern(name, *p)) {
                return (int)s;
            }
        }
        only = (int)s;
        allowed++;
    }
    return is_named && input->options.mapping != NULL && allowed == 1 ? only : CVM_INDEX_NONE;
}

static bool is_listed(const struct cvm_file_input *input, const char *path)
{
    const struct listed_file *files = CVM_COLUMN_DATA(&input->files, struct listed_file);
    for (size_t f = 0; f < input->files.count; f++) {
        if (strcmp(files[f].path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* is_named: given by the user, not found in a folder. */
static enum cvm_status list_file(struct cvm_file_input *input, const char *path, bool is_named,
                                 struct cvm_error *err)
{
    struct stat info;
    int source = match_source(input, path, is_named);
    if (stat(path, &info) != 0) {
        return add_failed(input, path, strerror(errno), err);
    }
    if (source == CVM_INDEX_NONE) {
        return add_text(input, &input->skipped, path, err);
    }
    if (is_listed(input, path)) {
        return CVM_OK;
    }
    void *room = NULL;
    const char *copy = cvm_arena_string(input->arena, path);
    enum cvm_status status = copy == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of files")
                                 : cvm_column_extend(&input->files, 1, &room, err);
    if (status == CVM_OK) {
        *(struct listed_file *)room = (struct listed_file){copy, source};
        input->bytes_total += info.st_size;
    }
    return status;
}

static enum cvm_status list_folder(struct cvm_file_input *input, const char *path,
                                   struct cvm_error *err)
{
    struct cvm_file_list list = {0};
    struct cvm_error list_error;
    enum cvm_status status = cvm_folder_list(input->arena, path, FOLDER_DEPTH, &list, &list_error);
    if (status != CVM_OK) {
        return add_failed(input, path, list_error.message, err);
    }
    struct cvm_text name;
    cvm_text_init(&name, 0);
    size_t length = strlen(path);
    bool has_slash = length > 0 && path[length - 1] == '/';
    for (size_t f = 0; status == CVM_OK && f < list.count; f++) {
        cvm_text_clear(&name);
        cvm_text_add(&name, path);
        cvm_text_add(&name, has_slash ? "" : "/");
        cvm_text_add(&name, list.paths[f]);
        status = name.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of files")
                             : list_file(input, cvm_text_string(&name), false, err);
    }
    cvm_text_finish(&name);
    return status;
}

static enum cvm_status list_paths(struct cvm_file_input *input, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t p = 0; status == CVM_OK && p < input->options.path_count; p++) {
        const char *path = input->options.paths[p];
        status = cvm_file_is_folder(path) ? list_folder(input, path, err)
                                          : list_file(input, path, true, err);
    }
    if (status != CVM_OK || input->files.count > 0) {
        return status;
    }
    if (input->failed.count > 0) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "cannot read %s",
                        CVM_COLUMN_DATA(&input->failed, const char *)[0]);
    }
    status = input->skipped.count > 0
                 ? CVM_FAIL(err, CVM_E_INVALID, "no source of the catalogue matches '%s'%s",
                            CVM_COLUMN_DATA(&input->skipped, const char *)[0],
                            input->skipped.count > 1 ? " or any other file" : "")
                 : CVM_FAIL(err, CVM_E_NOT_FOUND, "there are no files to import");
    return cvm_error_hint(err, status,
                          "A file is matched by its name: see `files` of each source in the "
                          "catalogue's mappings, or name a mapping.");
}

/* ---- reading ---- */

static enum cvm_status fail_file(struct cvm_file_input *input, struct cvm_error *err,
                                 const char *format, ...) CVM_PRINTF(3, 4);

/* The file is reported and left; what was found in it so far counts. */
static enum cvm_status fail_file(struct cvm_file_input *input, struct cvm_error *err,
                                 const char *format, ...)
{
    char message[400];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    input->mode = MODE_DONE;
    return add_failed(input, input->file->path, length < 0 ? "cannot be read" : message, err);
}

/* Read on behind raw[at..length), which moves to the front. */
static enum cvm_status fill(struct cvm_file_input *input, struct cvm_error *err)
{
    memmove(input->raw, input->raw + input->at, input->length - input->at);
    input->offset += (int64_t)input->at;
    input->length -= input->at;
    input->at = 0;
    size_t room = input->raw_size - input->length;
    room = room < input->options.block_bytes ? room : input->options.block_bytes;
    ssize_t got = -1;
    do {
        got = read(input->fd, input->raw + input->length, room);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return fail_file(input, err, "reading at byte %lld: %s",
                         (long long)(input->offset + (int64_t)input->length), strerror(errno));
    }
    input->is_at_end = got == 0;
    input->length += (size_t)got;
    (void)atomic_fetch_add(&input->bytes_done, got);
    return CVM_OK;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_blank(const char *data, size_t length)
{
    size_t at = 0;
    while (at < length && is_space(data[at])) {
        at++;
    }
    return at == length;
}

static bool has_ending(const char *path, const char *ending)
{
    size_t length = strlen(path);
    size_t ending_length = strlen(ending);
    return length >= ending_length && strcmp(path + length - ending_length, ending) == 0;
}

/* ---- which format ---- */

/* What the begin of a file that starts with '{' shows of its first object. */
struct glance {
    size_t data_at;   /* behind the '[' of a member "data"; 0 = none */
    bool has_newline; /* inside the object */
    bool is_closed;
    bool has_more; /* something behind it */
};

static struct glance glance_at(const char *text, size_t length, size_t at)
{
    struct glance glance = {0};
    size_t depth = 0;
    while (at < length) {
        char c = text[at];
        if (c == '"') {
            size_t begin = at + 1;
            for (at = begin; at < length && text[at] != '"'; at++) {
                at += text[at] == '\\';
            }
            bool is_data = depth == 1 && at - begin == 4 && at < length &&
                           memcmp(text + begin, "data", 4) == 0;
            size_t next = at + 1;
            while (is_data && next < length && is_space(text[next])) {
                next++;
            }
            is_data = is_data && next < length && text[next] == ':';
            next++;
            while (is_data && next < length && is_space(text[next])) {
                next++;
            }
            if (is_data && next < length && text[next] == '[' && glance.data_at == 0) {
                glance.data_at = next + 1;
            }
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
            if (depth == 0) {
                glance.is_closed = true;
                glance.has_more = !is_blank(text + at + 1, length - at - 1);
                return glance;
            }
        }
        glance.has_newline = glance.has_newline || c == '\n';
        at++;
    }
    return glance;
}

static void set_values(struct cvm_file_input *input, bool is_array, size_t at)
{
    input->mode = MODE_VALUES;
    input->at = at;
    cvm_splitter_init(&input->splitter, is_array, input->options.record_bytes_max);
}

static void choose_for_object(struct cvm_file_input *input, size_t at)
{
    struct glance glance = glance_at(input->raw, input->length, at);
    if (glance.data_at > 0 && !(glance.is_closed && glance.has_more)) {
        input->is_inside_object = true;
        set_values(input, true, glance.data_at);
    } else if (glance.has_newline) {
        set_values(input, false, at);
    } else {
        input->mode = MODE_LINES;
    }
}

static enum cvm_status choose_mode(struct cvm_file_input *input, struct cvm_error *err)
{
    const char *path = input->file->path;
    size_t at = input->at;
    while (at < input->length && is_space(input->raw[at])) {
        at++;
    }
    if (at == input->length && input->is_at_end) {
        return fail_file(input, err, "the file is empty");
    }
    char first = at < input->length ? input->raw[at] : '\0';
    bool is_lines = has_ending(path, ".ndjson") || has_ending(path, ".jsonl");
    bool is_csv = has_ending(path, ".csv") || has_ending(path, ".tsv");
    if (is_lines) {
        input->mode = MODE_LINES;
    } else if (is_csv) {
        input->mode = MODE_CSV;
    } else if (first == '[') {
        set_values(input, true, at + 1);
    } else if (first == '{') {
        choose_for_object(input, at);
    } else if (has_ending(path, ".json")) {
        return fail_file(input, err, "neither a JSON array nor JSON objects (byte %lld)",
                         (long long)(input->offset + (int64_t)at));
    } else {
        input->mode = MODE_CSV;
    }
    return CVM_OK;
}

/* ---- lines and CSV ---- */

/* The first whole record of the window, 0 if there is none. */
static size_t record_length(const struct cvm_file_input *input, size_t at)
{
    const char *begin = input->raw + at;
    if (input->mode == MODE_CSV) {
        return cvm_csv_record_length(begin, input->length - at, false);
    }
    const char *newline = memchr(begin, '\n', input->length - at);
    return newline == NULL ? 0 : (size_t)(newline - begin) + 1;
}

static enum cvm_status reject_long(struct cvm_file_input *input, const char *text, size_t length,
                                   struct cvm_error *err)
{
    char reason[80];
    int written = snprintf(reason, sizeof(reason), "the record is longer than %zu bytes",
                           input->options.record_bytes_max);
    struct cvm_record_reject reject = {
        .source = input->file->source,
        .file = input->file->path,
        .record = input->record++,
        .reason = written > 0 ? reason : "the record is too long",
        .text = text,
        .length = length < REJECT_BYTES ? length : REJECT_BYTES,
    };
    return cvm_record_input_reject(&input->records, &reject, err);
}

static void take_lines(struct cvm_file_input *input, struct cvm_record_block *block, size_t length,
                       int64_t records)
{
    memcpy(block->data, input->raw + input->at, length);
    block->length = length;
    block->first_record = input->record;
    input->at += length;
    input->record += records;
}

/* The end of the file without a line end; in CSV perhaps behind a quote that is never closed, and
 * then only its first line is given up. */
static void take_last(struct cvm_file_input *input, struct cvm_record_block *block)
{
    const char *rest = input->raw + input->at;
    size_t length = input->length - input->at;
    const char *newline = memchr(rest, '\n', length);
    length = newline == NULL ? length : (size_t)(newline - rest) + 1;
    take_lines(input, block, length, !is_blank(rest, length));
}

static void skip_line(struct cvm_file_input *input)
{
    const char *newline = memchr(input->raw + input->at, '\n', input->length - input->at);
    input->is_skipping = newline == NULL;
    input->at = newline == NULL ? input->length : (size_t)(newline - input->raw) + 1;
}

static enum cvm_status produce_lines(struct cvm_file_input *input, struct cvm_record_block *block,
                                     struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && block->length == 0 && input->mode != MODE_DONE) {
        if (input->is_skipping) {
            skip_line(input);
        }
        size_t end = input->at;
        int64_t records = 0;
        for (size_t next = 1; next > 0 && end - input->at < input->options.block_bytes;
             end += next) {
            next = record_length(input, end);
            records += next > 0 && !is_blank(input->raw + end, next);
        }
        if (end > input->at) {
            take_lines(input, block, end - input->at, records);
        } else if (input->is_at_end && input->at == input->length) {
            input->mode = MODE_DONE;
        } else if (input->is_at_end) {
            take_last(input, block);
        } else if (input->length - input->at > input->options.record_bytes_max) {
            status = reject_long(input, input->raw + input->at, input->length - input->at, err);
            input->is_skipping = true;
        } else {
            status = fill(input, err);
        }
    }
    return status;
}

static enum cvm_status read_header(struct cvm_file_input *input, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    size_t length = record_length(input, input->at);
    while (status == CVM_OK && length == 0 && !input->is_at_end &&
           input->length - input->at <= input->options.record_bytes_max) {
        status = fill(input, err);
        length = record_length(input, input->at);
    }
    if (status != CVM_OK || input->mode == MODE_DONE) {
        return status;
    }
    if (length == 0 && input->is_at_end) {
        length = input->length - input->at;
    }
    if (length == 0) {
        return fail_file(input, err, "the header is longer than %zu bytes",
                         input->options.record_bytes_max);
    }
    input->header.data = cvm_arena_copy(input->arena, input->raw + input->at, length);
    input->header.length = length;
    input->at += length;
    return input->header.data == NULL
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the header of '%s'", input->file->path)
               : CVM_OK;
}

/* ---- values ---- */

static enum cvm_status end_of_values(struct cvm_file_input *input, struct cvm_error *err)
{
    long long at = (long long)(input->offset + (int64_t)input->at);
    input->mode = MODE_DONE;
    if (input->splitter.phase == CVM_SPLIT_INSIDE) {
        return fail_file(input, err, "the file ends inside record %lld, at byte %lld",
                         (long long)input->record, at);
    }
    if (input->splitter.is_array) {
        return fail_file(input, err, "the file ends before its array does, at byte %lld", at);
    }
    return CVM_OK;
}

/* What stands behind the array: nothing, or the rest of the object that it is in. */
static void start_rest(struct cvm_file_input *input)
{
    input->mode = MODE_REST;
    if (input->is_inside_object) {
        cvm_splitter_init(&input->splitter, false, 0);
        input->splitter.phase = CVM_SPLIT_INSIDE;
        input->splitter.depth = 1;
        input->splitter.brackets[0] = '}';
    }
}

static enum cvm_status check_rest(struct cvm_file_input *input, struct cvm_error *err)
{
    char ignored[2];
    size_t ignored_length = 0;
    while (input->is_inside_object && input->at < input->length) {
        enum cvm_split_result result = cvm_split(&input->splitter, input->raw, input->length,
                                                 &input->at, ignored, &ignored_length);
        ignored_length = 0;
        if (result == CVM_SPLIT_BROKEN) {
            return fail_file(input, err, "no JSON behind the records, at byte %lld",
                             (long long)(input->offset + (int64_t)input->at));
        }
        input->is_inside_object = result == CVM_SPLIT_MORE;
    }
    if (!is_blank(input->raw + input->at, input->length - input->at)) {
        return fail_file(input, err, "text behind the records, at byte %lld",
                         (long long)(input->offset + (int64_t)input->at));
    }
    input->at = input->length;
    if (!input->is_at_end) {
        return fill(input, err);
    }
    input->mode = MODE_DONE;
    return input->is_inside_object
               ? fail_file(input, err, "the file ends before the object around its data does")
               : CVM_OK;
}

static enum cvm_status produce_values(struct cvm_file_input *input, struct cvm_record_block *block,
                                      struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    size_t length = 0; /* of the block, with a part of a record at its end */
    block->first_record = input->record;
    while (status == CVM_OK && input->mode == MODE_VALUES &&
           block->length < input->options.block_bytes) {
        switch (cvm_split(&input->splitter, input->raw, input->length, &input->at, block->data,
                          &length)) {
        case CVM_SPLIT_MORE:
            status = input->is_at_end ? end_of_values(input, err) : fill(input, err);
            break;
        case CVM_SPLIT_RECORD:
            block->data[length++] = '\n';
            block->length = length;
            input->record++;
            break;
        case CVM_SPLIT_LONG: {
            bool is_first = block->length == 0;
            status = reject_long(input, block->data + block->length, length - block->length, err);
            length = block->length;
            if (!is_first) {
                return status; /* records of a block are numbered without gaps */
            }
            block->first_record = input->record;
            break;
        }
        case CVM_SPLIT_END:
            start_rest(input);
            break;
        case CVM_SPLIT_BROKEN:
            status = fail_file(input, err, "no JSON in or behind record %lld, at byte %lld",
                               (long long)input->record,
                               (long long)(input->offset + (int64_t)input->at));
            break;
        }
    }
    return status;
}

/* ---- files ---- */

static void close_file(struct cvm_file_input *input)
{
    if (input->fd >= 0) {
        (void)close(input->fd);
    }
    input->fd = -1;
    input->file = NULL;
}

static enum cvm_status open_file(struct cvm_file_input *input, struct cvm_error *err)
{
    struct stat info;
    input->file = &CVM_COLUMN_DATA(&input->files, struct listed_file)[input->next_file++];
    input->mode = MODE_LINES;
    input->is_inside_object = false;
    input->is_at_end = false;
    input->is_skipping = false;
    input->at = 0;
    input->length = 0;
    input->offset = 0;
    input->record = 1;
    input->header = (struct cvm_slice){0};
    input->fd = open(input->file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (input->fd < 0) {
        return fail_file(input, err, "%s", strerror(errno));
    }
    if (fstat(input->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return fail_file(input, err, "not a regular file");
    }
    enum cvm_status status = CVM_OK;
    do { /* as much as it takes to tell the format, however small the blocks are */
        status = fill(input, err);
    } while (status == CVM_OK && input->mode != MODE_DONE && !input->is_at_end &&
             input->length < input->raw_size && input->length < GLANCE_BYTES);
    if (status != CVM_OK || input->mode == MODE_DONE) {
        return status;
    }
    if (input->length >= 3 && memcmp(input->raw, "\xEF\xBB\xBF", 3) == 0) {
        input->at = 3;
    }
    status = choose_mode(input, err);
    return status == CVM_OK && input->mode == MODE_CSV ? read_header(input, err) : status;
}

static enum cvm_status produce(struct cvm_file_input *input, struct cvm_record_block *block,
                               struct cvm_error *err)
{
    switch (input->mode) {
    case MODE_LINES:
    case MODE_CSV:
        return produce_lines(input, block, err);
    case MODE_VALUES:
        return produce_values(input, block, err);
    case MODE_REST:
        return check_rest(input, err);
    case MODE_DONE:
        break;
    }
    close_file(input);
    return CVM_OK;
}

static enum cvm_status next_block(struct cvm_record_input *records,
                                  struct cvm_record_block *out_block, bool *out_has_block,
                                  struct cvm_error *err)
{
    struct cvm_file_input *input = (struct cvm_file_input *)records;
    struct cvm_record_block block = {0};
    void *data = NULL;
    enum cvm_status status = CVM_OK;
    if (!cvm_queue_pop(input->free_blocks, &data)) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "the import's blocks are gone");
    }
    block.data = data;
    while (status == CVM_OK && block.length == 0 &&
           (input->fd >= 0 || input->file != NULL || input->next_file < input->files.count)) {
        status = input->file == NULL ? open_file(input, err) : produce(input, &block, err);
    }
    if (status != CVM_OK || block.length == 0) {
        (void)cvm_queue_push(input->free_blocks, data);
        if (status == CVM_OK) {
            *out_has_block = false;
        }
        return status;
    }
    block.source = input->file->source;
    block.file = input->file->path;
    block.format = input->header.data == NULL ? CVM_RECORDS_NDJSON : CVM_RECORDS_CSV;
    block.header = input->header.data;
    block.header_length = input->header.length;
    *out_block = block;
    *out_has_block = true;
    return CVM_OK;
}

static void release_block(struct cvm_record_input *records, struct cvm_record_block *block)
{
    struct cvm_file_input *input = (struct cvm_file_input *)records;
    (void)cvm_queue_push(input->free_blocks, block->data);
}

static double progress(const struct cvm_record_input *records)
{
    const struct cvm_file_input *input = (const struct cvm_file_input *)records;
    return input->bytes_total == 0
               ? 1
               : (double)atomic_load(&input->bytes_done) / (double)input->bytes_total;
}

/* ---- records of a block ---- */

static size_t line_length(const struct cvm_record_block *block, size_t at)
{
    if (block->format == CVM_RECORDS_CSV) {
        return cvm_csv_record_length(block->data + at, block->length - at, true);
    }
    const char *newline = memchr(block->data + at, '\n', block->length - at);
    return newline == NULL ? block->length - at : (size_t)(newline - block->data) + 1 - at;
}

struct cvm_slice cvm_record_block_next(const struct cvm_record_block *block, size_t *at)
{
    const char *data = block->data + *at;
    size_t length = line_length(block, *at);
    size_t begin = 0;
    *at += length;
    while (length > 0 && (data[length - 1] == '\n' || data[length - 1] == '\r')) {
        length--;
    }
    while (begin < length && (data[begin] == ' ' || data[begin] == '\t')) {
        begin++;
    }
    return begin == length ? (struct cvm_slice){data, 0} : (struct cvm_slice){data, length};
}

/* ---- life ---- */

static bool create_blocks(struct cvm_file_input *input)
{
    const struct cvm_file_input_options *options = &input->options;
    size_t bytes = options->block_bytes + options->record_bytes_max + 8;
    input->raw_size = bytes;
    input->raw = malloc(bytes);
    input->blocks = calloc(options->block_count, sizeof(*input->blocks));
    input->free_blocks = cvm_queue_create(options->block_count);
    bool is_good = input->raw != NULL && input->blocks != NULL && input->free_blocks != NULL;
    for (size_t b = 0; is_good && b < options->block_count; b++) {
        input->blocks[b] = calloc(1, bytes + CVM_JSON_PADDING);
        is_good = input->blocks[b] != NULL && cvm_queue_push(input->free_blocks, input->blocks[b]);
    }
    return is_good;
}

enum cvm_status cvm_file_input_open(const struct cvm_catalogue *catalogue,
                                    const struct cvm_file_input_options *options,
                                    struct cvm_file_input **out_input, struct cvm_error *err)
{
    struct cvm_file_input *input = calloc(1, sizeof(*input));
    if (input == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read files");
    }
    input->records = (struct cvm_record_input){
        .next = next_block, .release = release_block, .progress = progress};
    input->catalogue = catalogue;
    input->options = *options;
    input->fd = -1;
    cvm_column_init(&input->files, sizeof(struct listed_file));
    cvm_column_init(&input->skipped, sizeof(const char *));
    cvm_column_init(&input->failed, sizeof(const char *));
    input->arena = cvm_arena_create(TEXTS_BYTES_MAX);
    enum cvm_status status = input->arena == NULL || !create_blocks(input)
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to read files")
                                 : list_paths(input, err);
    if (status != CVM_OK) {
        cvm_file_input_close(input);
        return status;
    }
    *out_input = input;
    return CVM_OK;
}

void cvm_file_input_close(struct cvm_file_input *input)
{
    if (input == NULL) {
        return;
    }
    close_file(input);
    for (size_t b = 0; input->blocks != NULL && b < input->options.block_count; b++) {
        free(input->blocks[b]);
    }
    free(input->blocks);
    free(input->raw);
    cvm_queue_destroy(input->free_blocks);
    cvm_column_finish(&input->files);
    cvm_column_finish(&input->skipped);
    cvm_column_finish(&input->failed);
    cvm_arena_destroy(input->arena);
    free(input);
}

struct cvm_record_input *cvm_file_input_records(struct cvm_file_input *input)
{
    return &input->records;
}

static enum cvm_status copy_texts(const struct cvm_column *from, struct cvm_arena *arena,
                                  const char ***out_texts, size_t *out_count, struct cvm_error *err)
{
    const char **texts = CVM_NEW_ARRAY(arena, from->count + 1, const char *);
    for (size_t t = 0; texts != NULL && t < from->count; t++) {
        texts[t] = cvm_arena_string(arena, CVM_COLUMN_DATA(from, const char *)[t]);
        if (texts[t] == NULL) {
            texts = NULL;
        }
    }
    if (texts == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of files");
    }
    *out_texts = texts;
    *out_count = from->count;
    return CVM_OK;
}

enum cvm_status cvm_file_input_report(const struct cvm_file_input *input, struct cvm_arena *arena,
                                      struct cvm_import_report *report, struct cvm_error *err)
{
    enum cvm_status status = copy_texts(&input->skipped, arena, &report->skipped_files,
                                        &report->skipped_file_count, err);
    return status == CVM_OK ? copy_texts(&input->failed, arena, &report->failed_files,
                                         &report->failed_file_count, err)
                            : status;
}
