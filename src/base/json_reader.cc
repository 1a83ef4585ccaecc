/* json_reader.cc - simdjson On-Demand finds the structure; this file visits every token of it once
 * and lays the tree into the arena.
 *
 * On-Demand checks only what is visited, so everything is: containers, separators, each scalar to
 * its last byte, and the end of the document. Exceptions are compiled out of simdjson, and nothing
 * here allocates with a throwing operator, so none can cross into C.
 */
#define SIMDJSON_EXCEPTIONS 0

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include <simdjson.h>

extern "C" {
#include "base/json_reader.h"
}

namespace ondemand = simdjson::ondemand;
using simdjson::error_code;

static_assert(CVM_JSON_PADDING >= simdjson::SIMDJSON_PADDING, "padding is part of our contract");

struct cvm_json_reader {
    ondemand::parser parser;
    size_t document_bytes_max;
    /* scratch of the duplicate key check, kept between documents */
    const cvm_json_value **members;
    size_t members_capacity;
    size_t fault_offset;

    explicit cvm_json_reader(size_t bytes_max) noexcept
        : parser(bytes_max), document_bytes_max(bytes_max), members(nullptr), members_capacity(0),
          fault_offset(0)
    {
    }
};

namespace
{

constexpr size_t CAPACITY_MIN = 64 * 1024;
constexpr size_t NODES_MIN = 8;
constexpr size_t NODES_MAX = 128;
constexpr size_t PAIRWISE_MAX = 16; /* members up to which comparing all pairs is cheapest */
constexpr uint64_t ONES = 0x0101010101010101ULL;
constexpr uint64_t HIGHS = 0x8080808080808080ULL;

/* One document being read. */
struct reading {
    cvm_json_reader *reader;
    cvm_arena *arena;
    const char *begin; /* as the caller counts offsets */
    const char *end;
    const char *at; /* the last token looked at: where an error is reported */
    ondemand::document *document;
    cvm_json_value *nodes; /* unused nodes of the last block */
    size_t nodes_left;
    size_t nodes_taken;
    cvm_error *err;
};

enum cvm_status fail(const reading &r, const char *at, const char *what)
{
    size_t offset = at >= r.begin && at <= r.end ? (size_t)(at - r.begin) : 0;
    r.reader->fault_offset = offset;
    return CVM_FAIL(r.err, CVM_E_INVALID, "JSON at byte %zu: %s", offset, what);
}

enum cvm_status fail_memory(const reading &r)
{
    return CVM_FAIL(r.err, CVM_E_LIMIT, "JSON document of %zu bytes needs more memory than allowed",
                    (size_t)(r.end - r.begin));
}

bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The first byte that is no part of valid UTF-8; `end` if there is none. Only for messages. */
const char *find_bad_utf8(const char *begin, const char *end)
{
    const char *p = begin;
    while (p < end) {
        size_t left = (size_t)(end - p);
        unsigned char lead = (unsigned char)*p;
        size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        if (size > left || !cvm_utf8_is_valid(p, size)) {
            return p;
        }
        p += size;
    }
    return end;
}

/* What follows the bracket that closes the whole document; `end` if nothing does or none closes it.
 * Only for messages. */
const char *find_trailing_text(const char *begin, const char *end)
{
    int64_t depth = 0;
    bool in_string = false;
    bool is_closed = false;
    for (const char *p = begin; p < end; p++) {
        if (in_string) {
            in_string = *p != '"';
            p += *p == '\\' ? 1 : 0;
        } else if (is_closed && !is_space(*p)) {
            return p;
        } else if (*p == '"') {
            in_string = true;
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (*p == ']' || *p == '}') {
            depth--;
            is_closed = depth <= 0;
        }
    }
    return end;
}

enum cvm_status fail_incomplete(const reading &r)
{
    const char *trailing = find_trailing_text(r.begin, r.end);
    return trailing < r.end
               ? fail(r, trailing, "text after the end of the document")
               : fail(r, r.end, "the document ends before an object or array is closed");
}

/* Walk the quotes of a document that simdjson refused: the first control character inside a string,
 * or, when want_open, the quote that is never closed. Only for messages. */
const char *find_string_fault(const char *begin, const char *end, bool want_open)
{
    const char *open = nullptr;
    for (const char *p = begin; p < end; p++) {
        if (open == nullptr) {
            open = *p == '"' ? p : nullptr;
        } else if (*p == '\\') {
            p++;
        } else if (*p == '"') {
            open = nullptr;
        } else if (!want_open && (unsigned char)*p < 0x20) {
            return p;
        }
    }
    return want_open && open != nullptr ? open : end;
}

const char *current_place(const reading &r)
{
    const char *place = nullptr;
    if (r.document == nullptr || r.document->current_location().get(place) || place < r.begin ||
        place > r.end) {
        return r.at;
    }
    return place;
}

/* Say in our words what simdjson found. */
enum cvm_status fail_code(const reading &r, error_code code)
{
    switch (code) {
    case simdjson::MEMALLOC:
    case simdjson::CAPACITY:
        return fail_memory(r);
    case simdjson::UTF8_ERROR:
        return fail(r, find_bad_utf8(r.begin, r.end), "invalid UTF-8");
    case simdjson::UNCLOSED_STRING:
        return fail(r, find_string_fault(r.begin, r.end, true),
                    "a string that begins here is never closed");
    case simdjson::UNESCAPED_CHARS:
        return fail(r, find_string_fault(r.begin, r.end, false),
                    "control character inside a string");
    case simdjson::EMPTY:
        return fail(r, r.begin, "the document is empty");
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
        return fail_incomplete(r);
    default:
        return fail(r, current_place(r), "missing or misplaced comma, colon, bracket or key");
    }
}

cvm_json_value *take_node(reading &r)
{
    if (r.nodes_left == 0) {
        size_t count = std::min(std::max(r.nodes_taken, NODES_MIN), NODES_MAX);
        r.nodes = static_cast<cvm_json_value *>(
            cvm_arena_alloc_raw(r.arena, count, sizeof(cvm_json_value)));
        if (r.nodes == nullptr) {
            return nullptr;
        }
        r.nodes_left = count;
    }
    r.nodes_left--;
    r.nodes_taken++;
    cvm_json_value *node = r.nodes++;
    memset(static_cast<void *>(node), 0, sizeof(*node));
    return node;
}

/* The first '"' or '\\' at or after p. The document holds one (its strings are known to be closed)
 * and the padding allows to read eight bytes at once. */
const char *find_quote_or_escape(const char *p)
{
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lowest byte comes first");
    for (;; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        uint64_t quote = word ^ (ONES * '"');
        uint64_t escape = word ^ (ONES * '\\');
        uint64_t hits = (((quote - ONES) & ~quote) | ((escape - ONES) & ~escape)) & HIGHS;
        if (hits != 0) {
            return p + (__builtin_ctzll(hits) >> 3);
        }
    }
}

/* The contents of the string whose opening quote stands before `text`; *out_end is the byte after
 * the closing quote. Text without escapes is not copied. */
enum cvm_status read_string(reading &r, const char *text, cvm_slice *out, const char **out_end)
{
    const char *stop = find_quote_or_escape(text);
    if (*stop == '"') {
        *out = cvm_slice{text, (size_t)(stop - text)};
        *out_end = stop + 1;
        return CVM_OK;
    }
    while (*stop != '"') {
        stop = find_quote_or_escape(stop + 2);
    }
    /* Unescaping never makes text longer, but it writes whole vectors. */
    char *copy = static_cast<char *>(
        cvm_arena_alloc_raw(r.arena, (size_t)(stop - text) + CVM_JSON_PADDING, 1));
    if (copy == nullptr) {
        return fail_memory(r);
    }
    uint8_t *destination = reinterpret_cast<uint8_t *>(copy);
    std::string_view plain;
    ondemand::raw_json_string raw(reinterpret_cast<const uint8_t *>(text));
    if (r.reader->parser.unescape(raw, destination).get(plain) ||
        !cvm_utf8_is_valid(plain.data(), plain.size())) {
        return fail(r, text - 1, "invalid escape or lone surrogate in a string");
    }
    *out = cvm_slice{plain.data(), plain.size()};
    *out_end = stop + 1;
    return CVM_OK;
}

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p)) {
        p++;
    }
    return p;
}

/* from_chars reports both overflow and underflow as out of range; strtod tells them apart. */
bool read_extreme_double(const reading &r, const cvm_slice &raw, double *out_number)
{
    char *copy = cvm_arena_copy(r.arena, raw.data, raw.length);
    if (copy == nullptr) {
        return false;
    }
    *out_number = strtod(copy, nullptr);
    return std::isfinite(*out_number);
}

enum cvm_status read_number(reading &r, cvm_json_value *node)
{
    const char *begin = node->raw.data;
    const char *end = begin + node->raw.length;
    const char *digits = *begin == '-' ? begin + 1 : begin;
    const char *p = skip_digits(digits, end);
    bool is_whole = p == end;
    bool is_good = p > digits && (*digits != '0' || p == digits + 1);

    if (is_good && p < end && *p == '.') {
        const char *fraction = p + 1;
        p = skip_digits(fraction, end);
        is_good = p > fraction;
    }
    if (is_good && p < end && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1;
        exponent += exponent < end && (*exponent == '+' || *exponent == '-') ? 1 : 0;
        p = skip_digits(exponent, end);
        is_good = p > exponent;
    }
    if (!is_good || p != end) {
        return fail(r, begin, "not a number");
    }
    if (is_whole && std::from_chars(begin, end, node->integer).ec == std::errc()) {
        node->type = CVM_JSON_INT;
        node->number = (double)node->integer;
        return CVM_OK;
    }
    node->integer = 0;
    node->type = CVM_JSON_DOUBLE;
    if (std::from_chars(begin, end, node->number).ec != std::errc() &&
        !read_extreme_double(r, node->raw, &node->number)) {
        return fail(r, begin, "number out of range");
    }
    return CVM_OK;
}

enum cvm_status read_word(reading &r, cvm_json_value *node)
{
    if (cvm_slice_equals(node->raw, "null")) {
        node->type = CVM_JSON_NULL;
    } else if (cvm_slice_equals(node->raw, "true") || cvm_slice_equals(node->raw, "false")) {
        node->type = CVM_JSON_BOOL;
        node->boolean = node->raw.length == 4;
    } else {
        return fail(r, node->raw.data, "a value is missing or misspelt");
    }
    return CVM_OK;
}

/* `token` runs up to the next token. */
enum cvm_status read_scalar(reading &r, std::string_view token, cvm_json_value *node)
{
    const char *begin = token.data();
    const char *end = begin + token.size();
    while (end > begin && is_space(end[-1])) {
        end--;
    }
    node->raw = cvm_slice{begin, (size_t)(end - begin)};
    if (begin == end) {
        return fail(r, begin, "a value is missing");
    }
    if (*begin == '"') {
        const char *string_end = nullptr;
        node->type = CVM_JSON_STRING;
        enum cvm_status status = read_string(r, begin + 1, &node->string, &string_end);
        if (status == CVM_OK && string_end != end) {
            return fail(r, string_end, "text after a string");
        }
        return status;
    }
    if (*begin == '-' || is_digit(*begin)) {
        return read_number(r, node);
    }
    return read_word(r, node);
}

/* The text of the container that began at `begin` and was just left. */
cvm_slice container_text(const reading &r, const char *begin)
{
    const char *next = nullptr;
    if (r.document->current_location().get(next) || next > r.end) {
        next = r.end;
    }
    while (next > begin + 1 && is_space(next[-1])) {
        next--;
    }
    return cvm_slice{begin, (size_t)(next - begin)};
}

bool keys_are_equal(const cvm_json_value *a, const cvm_json_value *b)
{
    return a->key.length == b->key.length && memcmp(a->key.data, b->key.data, a->key.length) == 0;
}

enum cvm_status fail_duplicate(const reading &r, const cvm_json_value *member)
{
    int shown = (int)std::min(member->key.length, (size_t)64);
    size_t offset = (size_t)(member->raw.data - r.begin);
    r.reader->fault_offset = offset;
    return CVM_FAIL(r.err, CVM_E_INVALID, "JSON at byte %zu: key '%.*s' appears twice in an object",
                    offset, shown, member->key.data);
}

bool reserve_members(cvm_json_reader *reader, size_t count)
{
    if (count <= reader->members_capacity) {
        return true;
    }
    size_t capacity = std::max(count, reader->members_capacity * 2);
    void *grown = realloc(reader->members, capacity * sizeof(*reader->members));
    if (grown == nullptr) {
        return false;
    }
    reader->members = static_cast<const cvm_json_value **>(grown);
    reader->members_capacity = capacity;
    return true;
}

/* Sorting, not hashing: n log n whatever keys an attacker picks. */
enum cvm_status check_many_keys(const reading &r, const cvm_json_value *object)
{
    cvm_json_reader *reader = r.reader;
    if (!reserve_members(reader, object->child_count)) {
        return fail_memory(r);
    }
    const cvm_json_value **begin = reader->members;
    const cvm_json_value **end = begin;
    for (const cvm_json_value *m = object->first_child; m != nullptr; m = m->next) {
        *end++ = m;
    }
    std::sort(begin, end, [](const cvm_json_value *a, const cvm_json_value *b) {
        if (a->key.length != b->key.length) {
            return a->key.length < b->key.length;
        }
        int order = memcmp(a->key.data, b->key.data, a->key.length);
        return order != 0 ? order < 0 : a->raw.data < b->raw.data;
    });
    const cvm_json_value **twin = std::adjacent_find(begin, end, keys_are_equal);
    return twin == end ? CVM_OK : fail_duplicate(r, twin[1]);
}

enum cvm_status check_keys(const reading &r, const cvm_json_value *object)
{
    if (object->child_count > PAIRWISE_MAX) {
        return check_many_keys(r, object);
    }
    for (const cvm_json_value *m = object->first_child; m != nullptr; m = m->next) {
        for (const cvm_json_value *other = object->first_child; other != m; other = other->next) {
            if (keys_are_equal(m, other)) {
                return fail_duplicate(r, m);
            }
        }
    }
    return CVM_OK;
}

enum cvm_status read_value(reading &r, ondemand::value &value, int depth, cvm_json_value *node);

enum cvm_status read_array(reading &r, ondemand::array &array, int depth, cvm_json_value *node)
{
    const char *begin = r.at;
    cvm_json_value **tail = &node->first_child;
    if (depth > CVM_JSON_DEPTH_MAX) {
        return fail(r, begin, "nested too deeply");
    }
    for (auto element : array) {
        ondemand::value value;
        error_code code = element.get(value);
        if (code) {
            return fail_code(r, code);
        }
        cvm_json_value *child = take_node(r);
        if (child == nullptr) {
            return fail_memory(r);
        }
        enum cvm_status status = read_value(r, value, depth, child);
        if (status != CVM_OK) {
            return status;
        }
        *tail = child;
        tail = &child->next;
        node->child_count++;
    }
    node->type = CVM_JSON_ARRAY;
    node->raw = container_text(r, begin);
    return CVM_OK;
}

enum cvm_status read_member(reading &r, ondemand::field &field, int depth, cvm_json_value *member)
{
    const char *key_end = nullptr;
    const char *key = field.key().raw();
    r.at = key - 1;
    enum cvm_status status = read_string(r, key, &member->key, &key_end);
    if (status != CVM_OK) {
        return status;
    }
    return read_value(r, field.value(), depth, member);
}

enum cvm_status read_object(reading &r, ondemand::object &object, int depth, cvm_json_value *node)
{
    const char *begin = r.at;
    cvm_json_value **tail = &node->first_child;
    if (depth > CVM_JSON_DEPTH_MAX) {
        return fail(r, begin, "nested too deeply");
    }
    for (auto entry : object) {
        ondemand::field field;
        error_code code = std::move(entry).get(field);
        if (code) {
            return fail_code(r, code);
        }
        cvm_json_value *member = take_node(r);
        if (member == nullptr) {
            return fail_memory(r);
        }
        enum cvm_status status = read_member(r, field, depth, member);
        if (status != CVM_OK) {
            return status;
        }
        *tail = member;
        tail = &member->next;
        node->child_count++;
    }
    node->type = CVM_JSON_OBJECT;
    node->raw = container_text(r, begin);
    return check_keys(r, node);
}

/* `depth` is that of the container around the value. */
enum cvm_status read_value(reading &r, ondemand::value &value, int depth, cvm_json_value *node)
{
    std::string_view token = value.raw_json_token();
    error_code code = simdjson::SUCCESS;
    r.at = token.data();
    if (*r.at == '{') {
        ondemand::object object;
        code = value.get_object().get(object);
        return code ? fail_code(r, code) : read_object(r, object, depth + 1, node);
    }
    if (*r.at == '[') {
        ondemand::array array;
        code = value.get_array().get(array);
        return code ? fail_code(r, code) : read_array(r, array, depth + 1, node);
    }
    if (*r.at == '"') {
        /* Step over it now: left to the iterator, a string before a colon would pass as a key. */
        ondemand::raw_json_string ignored;
        code = value.get_raw_json_string().get(ignored);
        if (code) {
            return fail_code(r, code);
        }
    }
    return read_scalar(r, token, node);
}

/* A scalar is the whole document: its text is all there is, so trailing bytes show up in it. */
enum cvm_status read_root(reading &r, ondemand::document &document, cvm_json_value *root)
{
    std::string_view token;
    error_code code = document.raw_json_token().get(token);
    if (code) {
        return fail_code(r, code);
    }
    r.at = token.data();
    if (*r.at == '{') {
        ondemand::object object;
        code = document.get_object().get(object);
        return code ? fail_code(r, code) : read_object(r, object, 1, root);
    }
    if (*r.at == '[') {
        ondemand::array array;
        code = document.get_array().get(array);
        return code ? fail_code(r, code) : read_array(r, array, 1, root);
    }
    return read_scalar(r, std::string_view(r.at, (size_t)(r.end - r.at)), root);
}

bool is_container(const cvm_json_value *value)
{
    return value->type == CVM_JSON_OBJECT || value->type == CVM_JSON_ARRAY;
}

enum cvm_status read_document(reading &r, const char *text, size_t length,
                              const cvm_json_value **out_value)
{
    ondemand::parser &parser = r.reader->parser;
    if (parser.capacity() < length) {
        /* Grow in powers of two: documents of slowly rising size must not allocate each time. */
        size_t capacity = CAPACITY_MIN;
        while (capacity < length) {
            capacity *= 2;
        }
        capacity = std::min(capacity, parser.max_capacity());
        /* simdjson opens a level, and the scalar in it, before ours are counted and refused. */
        error_code code = parser.allocate(capacity, CVM_JSON_DEPTH_MAX + 4);
        if (code) {
            return fail_code(r, code);
        }
    }
    ondemand::document document;
    error_code code =
        parser.iterate(simdjson::padded_string_view(text, length, length + CVM_JSON_PADDING))
            .get(document);
    if (code) {
        return fail_code(r, code);
    }
    r.document = &document;
    cvm_json_value *root = take_node(r);
    if (root == nullptr) {
        return fail_memory(r);
    }
    enum cvm_status status = read_root(r, document, root);
    if (status != CVM_OK) {
        return status;
    }
    const char *rest = nullptr;
    if (is_container(root) && document.current_location().get(rest) == simdjson::SUCCESS) {
        return fail(r, rest, "text after the end of the document");
    }
    *out_value = root;
    return CVM_OK;
}

} // namespace

struct cvm_json_reader *cvm_json_reader_create(size_t document_bytes_max)
{
    size_t bytes_max = std::min(document_bytes_max, (size_t)UINT32_MAX - CVM_JSON_PADDING);
    return new (std::nothrow) cvm_json_reader(std::max(bytes_max, (size_t)CVM_JSON_PADDING));
}

void cvm_json_reader_destroy(struct cvm_json_reader *reader)
{
    if (reader != nullptr) {
        free(reader->members);
        delete reader;
    }
}

size_t cvm_json_fault_offset(const struct cvm_json_reader *reader)
{
    return reader->fault_offset;
}

enum cvm_status cvm_json_read(struct cvm_json_reader *reader, struct cvm_arena *arena,
                              const char *text, size_t length, bool is_padded,
                              const struct cvm_json_value **out_value, struct cvm_error *err)
{
    if (length > reader->document_bytes_max) {
        return CVM_FAIL(err, CVM_E_LIMIT, "JSON document of %zu bytes: at most %zu are allowed",
                        length, reader->document_bytes_max);
    }
    if (!is_padded) {
        char *copy = static_cast<char *>(cvm_arena_alloc_raw(arena, length + CVM_JSON_PADDING, 1));
        if (copy == nullptr) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory to copy a JSON document of %zu bytes",
                            length);
        }
        if (length > 0) {
            memcpy(copy, text, length);
        }
        memset(copy + length, ' ', CVM_JSON_PADDING);
        text = copy;
    }
    reading r = {};
    r.reader = reader;
    r.arena = arena;
    r.begin = text;
    r.end = text + length;
    r.at = text;
    r.err = err;
    size_t mark = length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return read_document(r, text + mark, length - mark, out_value);
}
