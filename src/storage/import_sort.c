#include "storage/import_sort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/columns.h"

#define FOLDER_DEFAULT   "/var/tmp"
#define WRITE_BYTES      ((size_t)1 << 20)
#define READ_BYTES_MIN   ((size_t)16 << 10)
#define READ_BYTES_MAX   ((size_t)4 << 20)
#define MEMORY_BYTES_MIN ((size_t)64 << 10)
#define INSERTION_MAX    24
#define BUCKET_BITS      11
#define KEY_BITS         63

/* What decides almost every comparison, without touching the record itself. */
struct entry {
    uint64_t key;
    uint64_t identity;
    uint64_t source_offset; /* source in the top 8 bits, offset in units of 8 bytes below */
};
#define OFFSET_MASK ((UINT64_C(1) << 56) - 1)

struct run {
    off_t offset;
    off_t end;
};

struct cvm_sorter {
    size_t memory_bytes;
    const char *folder;
    struct cvm_column records; /* bytes, in units of 8 */
    struct cvm_column entries;
    struct cvm_column scratch; /* of sorting */
    struct cvm_column runs;
    struct cvm_buffer write_buffer;
    int fd; /* of the runs; -1 = none yet */
    off_t file_end;
    int64_t count;
};

/* ---- order ---- */

static int compare_places(const struct cvm_import_record *a, const struct cvm_import_record *b)
{
    if (a->file != b->file) {
        return a->file < b->file ? -1 : 1;
    }
    return (a->record > b->record) - (a->record < b->record);
}

static const struct cvm_import_record *record_of(const struct cvm_sorter *sorter,
                                                 const struct entry *entry)
{
    const char *records = sorter->records.buffer.data;
    return (const struct cvm_import_record *)(const void *)(records +
                                                            (entry->source_offset & OFFSET_MASK) *
                                                                8);
}

static bool is_before(const struct cvm_sorter *sorter, const struct entry *a, const struct entry *b)
{
    if (a->key != b->key) {
        return a->key < b->key;
    }
    uint64_t a_source = a->source_offset >> 56;
    uint64_t b_source = b->source_offset >> 56;
    if (a_source != b_source) {
        return a_source < b_source;
    }
    if (a->identity != b->identity) {
        return a->identity < b->identity;
    }
    return compare_places(record_of(sorter, a), record_of(sorter, b)) < 0;
}

static void sort_few(const struct cvm_sorter *sorter, struct entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct entry moving = entries[i];
        size_t at = i;
        while (at > 0 && is_before(sorter, &moving, &entries[at - 1])) {
            entries[at] = entries[at - 1];
            at--;
        }
        entries[at] = moving;
    }
}

/* Merge sort: n log n whatever the input; recursion is log2(count) deep. */
static void sort_bucket(const struct cvm_sorter *sorter, struct entry *entries,
                        struct entry *scratch, size_t count)
{
    if (count <= INSERTION_MAX) {
        sort_few(sorter, entries, count);
        return;
    }
    size_t half = count / 2;
    sort_bucket(sorter, entries, scratch, half);
    sort_bucket(sorter, entries + half, scratch + half, count - half);
    memcpy(scratch, entries, half * sizeof(*entries));
    size_t left = 0;
    size_t right = half;
    size_t out = 0;
    while (left < half && right < count) {
        bool take_right = is_before(sorter, &entries[right], &scratch[left]);
        entries[out++] = take_right ? entries[right++] : scratch[left++];
    }
    memcpy(entries + out, scratch + left, (half - left) * sizeof(*entries));
}

/* One pass of radix by the top bits of the key, which is a hash, makes buckets that fit the cache.
 */
static void sort_entries(struct cvm_sorter *sorter)
{
    size_t starts[(1 << BUCKET_BITS) + 1] = {0};
    struct entry *entries = CVM_COLUMN_DATA(&sorter->entries, struct entry);
    struct entry *sorted = CVM_COLUMN_DATA(&sorter->scratch, struct entry);
    size_t count = sorter->entries.count;
    for (size_t i = 0; i < count; i++) {
        starts[(entries[i].key >> (KEY_BITS - BUCKET_BITS)) + 1]++;
    }
    for (size_t b = 0; b < (1 << BUCKET_BITS); b++) {
        starts[b + 1] += starts[b];
    }
    for (size_t i = 0; i < count; i++) {
        sorted[starts[entries[i].key >> (KEY_BITS - BUCKET_BITS)]++] = entries[i];
    }
    size_t begin = 0;
    for (size_t b = 0; b < (1 << BUCKET_BITS); b++) {
        sort_bucket(sorter, sorted + begin, entries + begin, starts[b] - begin);
        begin = starts[b];
    }
    struct cvm_column swapped = sorter->entries;
    sorter->entries = sorter->scratch;
    sorter->scratch = swapped;
}

/* ---- collecting ---- */

struct cvm_sorter *cvm_sorter_create(size_t memory_bytes, const char *temporary_folder)
{
    struct cvm_sorter *sorter = calloc(1, sizeof(*sorter));
    if (sorter == NULL) {
        return NULL;
    }
    sorter->memory_bytes = memory_bytes > MEMORY_BYTES_MIN ? memory_bytes : MEMORY_BYTES_MIN;
    sorter->folder = temporary_folder == NULL ? FOLDER_DEFAULT : temporary_folder;
    sorter->fd = -1;
    cvm_column_init(&sorter->records, 8);
    cvm_column_init(&sorter->entries, sizeof(struct entry));
    cvm_column_init(&sorter->scratch, sizeof(struct entry));
    cvm_column_init(&sorter->runs, sizeof(struct run));
    return sorter;
}

void cvm_sorter_destroy(struct cvm_sorter *sorter)
{
    if (sorter == NULL) {
        return;
    }
    if (sorter->fd >= 0) {
        (void)close(sorter->fd);
    }
    cvm_column_finish(&sorter->records);
    cvm_column_finish(&sorter->entries);
    cvm_column_finish(&sorter->scratch);
    cvm_column_finish(&sorter->runs);
    cvm_buffer_finish(&sorter->write_buffer);
    free(sorter);
}

int64_t cvm_sorter_count(const struct cvm_sorter *sorter)
{
    return sorter->count;
}

int64_t cvm_sorter_spilled_bytes(const struct cvm_sorter *sorter)
{
    return (int64_t)sorter->file_end;
}

static enum cvm_status open_file(struct cvm_sorter *sorter, struct cvm_error *err)
{
    char path[4096];
    sorter->fd = open(sorter->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (sorter->fd >= 0) {
        return CVM_OK;
    }
    int length = snprintf(path, sizeof(path), "%s/cvm-import-XXXXXX", sorter->folder);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return CVM_FAIL(err, CVM_E_INVALID, "the path of the temporary folder is too long");
    }
    sorter->fd = mkostemp(path, O_CLOEXEC);
    if (sorter->fd < 0) {
        return CVM_FAIL(err, CVM_E_DENIED, "cannot make a temporary file in '%s': %s",
                        sorter->folder, strerror(errno));
    }
    (void)unlink(path);
    return CVM_OK;
}

static enum cvm_status write_out(struct cvm_sorter *sorter, size_t length, struct cvm_error *err)
{
    const char *data = sorter->write_buffer.data;
    while (length > 0) {
        ssize_t written = pwrite(sorter->fd, data, length, sorter->file_end);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write a temporary file in '%s': %s",
                            sorter->folder, strerror(errno));
        }
        data += written;
        length -= (size_t)written;
        sorter->file_end += written;
    }
    return CVM_OK;
}

/* Write the records in order as a run and start afresh. */
static enum cvm_status spill(struct cvm_sorter *sorter, struct cvm_error *err)
{
    enum cvm_status status = sorter->fd >= 0 ? CVM_OK : open_file(sorter, err);
    struct run *run = NULL;
    if (status == CVM_OK) {
        void *first = NULL;
        status = cvm_column_extend(&sorter->runs, 1, &first, err);
        run = first;
    }
    if (status != CVM_OK) {
        return status;
    }
    sort_entries(sorter);
    run->offset = sorter->file_end;
    const struct entry *entries = CVM_COLUMN_DATA(&sorter->entries, struct entry);
    size_t used = 0;
    for (size_t i = 0; status == CVM_OK && i < sorter->entries.count; i++) {
        const struct cvm_import_record *record = record_of(sorter, &entries[i]);
        if (used > 0 && used + record->length > WRITE_BYTES) {
            status = write_out(sorter, used, err);
            used = 0;
        }
        if (status == CVM_OK) {
            status = cvm_buffer_reserve(&sorter->write_buffer,
                                        record->length > WRITE_BYTES ? record->length : WRITE_BYTES,
                                        err);
        }
        if (status == CVM_OK) {
            memcpy((char *)sorter->write_buffer.data + used, record, record->length);
            used += record->length;
        }
    }
    status = status == CVM_OK ? write_out(sorter, used, err) : status;
    run->end = sorter->file_end;
    sorter->records.count = 0;
    sorter->entries.count = 0;
    sorter->scratch.count = 0;
    return status;
}

enum cvm_status cvm_sorter_add(struct cvm_sorter *sorter, const struct cvm_import_record *record,
                               struct cvm_error *err)
{
    size_t bytes = sorter->records.count * 8 + record->length +
                   (sorter->entries.count + 1) * 2 * sizeof(struct entry);
    enum cvm_status status = CVM_OK;
    if (bytes > sorter->memory_bytes && sorter->entries.count > 0) {
        status = spill(sorter, err);
    }
    void *room = NULL;
    void *entry = NULL;
    size_t offset = sorter->records.count;
    if (status == CVM_OK) {
        status = cvm_column_extend(&sorter->records, record->length / 8, &room, err);
    }
    if (status == CVM_OK) {
        status = cvm_column_extend(&sorter->entries, 1, &entry, err);
    }
    /* Room to sort is taken along, so that finishing cannot fail. */
    if (status == CVM_OK) {
        status = cvm_column_extend(&sorter->scratch, 1, NULL, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    memcpy(room, record, record->length);
    *(struct entry *)entry = (struct entry){
        .key = record->key,
        .identity = record->identity,
        .source_offset = (uint64_t)record->source << 56 | offset,
    };
    sorter->count++;
    return CVM_OK;
}

void cvm_sorter_finish(struct cvm_sorter *sorter)
{
    sort_entries(sorter);
}

/* ---- merging ---- */

struct stream {
    struct cvm_sorter *sorter;
    const struct cvm_import_record *record; /* the current one; NULL at the end */
    size_t entry;                           /* in memory: the next one */
    bool is_file;
    struct run run; /* file: what is not read yet */
    struct cvm_buffer buffer;
    size_t at;
    size_t filled;
};

struct cvm_sort_merge {
    struct stream *streams;
    size_t stream_count;
    size_t *heap; /* numbers of streams that have a record; the least on top */
    size_t heap_count;
    size_t read_bytes;
    bool is_started;
};

static bool is_less(const struct cvm_sort_merge *merge, size_t a, size_t b)
{
    const struct cvm_import_record *x = merge->streams[a].record;
    const struct cvm_import_record *y = merge->streams[b].record;
    if (x->key != y->key) {
        return x->key < y->key;
    }
    if (x->source != y->source) {
        return x->source < y->source;
    }
    if (x->identity != y->identity) {
        return x->identity < y->identity;
    }
    return compare_places(x, y) < 0;
}

static void sift_down(struct cvm_sort_merge *merge, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->heap_count; child++) {
            least = is_less(merge, merge->heap[child], merge->heap[least]) ? child : least;
        }
        if (least == at) {
            return;
        }
        size_t moved = merge->heap[at];
        merge->heap[at] = merge->heap[least];
        merge->heap[least] = moved;
        at = least;
    }
}

/* Make at least `bytes` of the run available at stream->at. */
static enum cvm_status fill(struct stream *stream, size_t bytes, struct cvm_error *err)
{
    size_t rest = stream->filled - stream->at;
    if (rest >= bytes) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_buffer_reserve(&stream->buffer, bytes, err);
    if (status != CVM_OK) {
        return status;
    }
    char *data = stream->buffer.data;
    memmove(data, data + stream->at, rest);
    stream->at = 0;
    stream->filled = rest;
    while (stream->filled < bytes) {
        off_t left = stream->run.end - stream->run.offset;
        size_t room = stream->buffer.size_bytes - stream->filled;
        size_t wanted = (off_t)room > left ? (size_t)left : room;
        ssize_t got = pread(stream->sorter->fd, data + stream->filled, wanted, stream->run.offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot read a temporary file back: %s",
                            got < 0 ? strerror(errno) : "it ends too early");
        }
        stream->filled += (size_t)got;
        stream->run.offset += got;
    }
    return CVM_OK;
}

static enum cvm_status advance(struct stream *stream, struct cvm_error *err)
{
    if (!stream->is_file) {
        const struct cvm_column *entries = &stream->sorter->entries;
        stream->record =
            stream->entry >= entries->count
                ? NULL
                : record_of(stream->sorter, &CVM_COLUMN_DATA(entries, struct entry)[stream->entry]);
        stream->entry++;
        return CVM_OK;
    }
    if (stream->record != NULL) {
        stream->at += stream->record->length;
        stream->record = NULL;
    }
    if (stream->at == stream->filled && stream->run.offset == stream->run.end) {
        return CVM_OK;
    }
    enum cvm_status status = fill(stream, sizeof(*stream->record), err);
    if (status == CVM_OK) {
        const char *data = (const char *)stream->buffer.data + stream->at;
        status = fill(stream, ((const struct cvm_import_record *)(const void *)data)->length, err);
    }
    if (status == CVM_OK) {
        stream->record = (const void *)((const char *)stream->buffer.data + stream->at);
    }
    return status;
}

static enum cvm_status open_streams(struct cvm_sort_merge *merge, struct cvm_sorter *const *sorters,
                                    size_t sorter_count, struct cvm_error *err)
{
    size_t s = 0;
    for (size_t i = 0; i < sorter_count; i++) {
        merge->streams[s++].sorter = sorters[i];
        for (size_t r = 0; r < sorters[i]->runs.count; r++) {
            merge->streams[s].sorter = sorters[i];
            merge->streams[s].is_file = true;
            merge->streams[s++].run = CVM_COLUMN_DATA(&sorters[i]->runs, struct run)[r];
        }
    }
    for (s = 0; s < merge->stream_count; s++) {
        struct stream *stream = &merge->streams[s];
        enum cvm_status status =
            stream->is_file ? cvm_buffer_reserve(&stream->buffer, merge->read_bytes, err) : CVM_OK;
        status = status == CVM_OK ? advance(stream, err) : status;
        if (status != CVM_OK) {
            return status;
        }
        if (stream->record != NULL) {
            merge->heap[merge->heap_count++] = s;
        }
    }
    for (size_t h = merge->heap_count / 2; h-- > 0;) {
        sift_down(merge, h);
    }
    return CVM_OK;
}

enum cvm_status cvm_sort_merge_open(struct cvm_sorter *const *sorters, size_t sorter_count,
                                    size_t memory_bytes, struct cvm_sort_merge **out_merge,
                                    struct cvm_error *err)
{
    struct cvm_sort_merge *merge = calloc(1, sizeof(*merge));
    if (merge == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to merge");
    }
    merge->stream_count = sorter_count;
    for (size_t i = 0; i < sorter_count; i++) {
        merge->stream_count += sorters[i]->runs.count;
    }
    size_t bytes = memory_bytes / (merge->stream_count + 1);
    merge->read_bytes = bytes < READ_BYTES_MIN   ? READ_BYTES_MIN
                        : bytes > READ_BYTES_MAX ? READ_BYTES_MAX
                                                 : bytes;
    merge->streams = calloc(merge->stream_count + 1, sizeof(*merge->streams));
    merge->heap = calloc(merge->stream_count + 1, sizeof(*merge->heap));
    enum cvm_status status = merge->streams == NULL || merge->heap == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to merge")
                                 : open_streams(merge, sorters, sorter_count, err);
    if (status != CVM_OK) {
        cvm_sort_merge_close(merge);
        return status;
    }
    *out_merge = merge;
    return CVM_OK;
}

void cvm_sort_merge_close(struct cvm_sort_merge *merge)
{
    if (merge == NULL) {
        return;
    }
    for (size_t s = 0; merge->streams != NULL && s < merge->stream_count; s++) {
        cvm_buffer_finish(&merge->streams[s].buffer);
    }
    free(merge->streams);
    free(merge->heap);
    free(merge);
}

enum cvm_status cvm_sort_merge_next(struct cvm_sort_merge *merge,
                                    const struct cvm_import_record **out_record,
                                    struct cvm_error *err)
{
    if (merge->is_started && merge->heap_count > 0) {
        struct stream *stream = &merge->streams[merge->heap[0]];
        enum cvm_status status = advance(stream, err);
        if (status != CVM_OK) {
            return status;
        }
        if (stream->record == NULL) {
            merge->heap[0] = merge->heap[--merge->heap_count];
        }
        sift_down(merge, 0);
    }
    merge->is_started = true;
    *out_record = merge->heap_count == 0 ? NULL : merge->streams[merge->heap[0]].record;
    return CVM_OK;
}
