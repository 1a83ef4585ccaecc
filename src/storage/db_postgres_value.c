/* db_postgres_value.c - values to and from PostgreSQL's binary format: big-endian, by type. */
#include "storage/db_postgres.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of types: fixed in every PostgreSQL (its pg_type.dat). */
enum {
    TYPE_BOOL = 16,
    TYPE_BYTEA = 17,
    TYPE_NAME = 19,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_TEXT = 25,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_UNKNOWN = 705,
    TYPE_BPCHAR = 1042,
    TYPE_VARCHAR = 1043,
    TYPE_DATE = 1082,
    TYPE_TIMESTAMP = 1114,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_NUMERIC = 1700,
};

#define NUMERIC_NEGATIVE 0x4000
#define NUMERIC_POSITIVE 0x0000

/* ---- to the server ---- */

static bool is_text(const struct cvm_db_value *value)
{
    return value->type == CVM_DB_TEXT || value->type == CVM_DB_BLOB;
}

/* As strict as a STRICT table: what is no integer is refused, not cut. */
static bool to_integer(const struct cvm_db_value *value, int64_t *out_integer)
{
    if (value->type == CVM_DB_INT) {
        *out_integer = value->integer;
        return true;
    }
    if (value->type == CVM_DB_DOUBLE) {
        double number = value->number;
        bool is_whole = number >= -0x1p63 && number < 0x1p63 && number == floor(number);
        *out_integer = is_whole ? (int64_t)number : 0;
        return is_whole;
    }
    char text[24];
    char *end = NULL;
    if (value->bytes.length == 0 || value->bytes.length >= sizeof(text)) {
        return false;
    }
    memcpy(text, value->bytes.data, value->bytes.length);
    text[value->bytes.length] = '\0';
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    *out_integer = integer;
    return errno == 0 && *end == '\0';
}

static bool to_number(const struct cvm_db_value *value, double *out_number)
{
    *out_number = value->type == CVM_DB_INT ? (double)value->integer : value->number;
    return !is_text(value);
}

static void put_number(struct postgres_params *params, size_t at, double number, bool is_short)
{
    char *scratch = params->scratch[at];
    if (is_short) {
        float narrow = (float)number;
        uint32_t bits = 0;
        memcpy(&bits, &narrow, sizeof(bits));
        bits = htobe32(bits);
        memcpy(scratch, &bits, sizeof(bits));
        params->lengths[at] = 4;
    } else {
        uint64_t bits = 0;
        memcpy(&bits, &number, sizeof(bits));
        bits = htobe64(bits);
        memcpy(scratch, &bits, sizeof(bits));
        params->lengths[at] = 8;
    }
}

static bool put_integer(struct postgres_params *params, size_t at, int64_t integer, Oid type)
{
    char *scratch = params->scratch[at];
    if (type == TYPE_INT8) {
        uint64_t bits = htobe64((uint64_t)integer);
        memcpy(scratch, &bits, sizeof(bits));
        params->lengths[at] = 8;
        return true;
    }
    if (type == TYPE_INT4) {
        uint32_t bits = htobe32((uint32_t)(int32_t)integer);
        memcpy(scratch, &bits, sizeof(bits));
        params->lengths[at] = 4;
        return integer >= INT32_MIN && integer <= INT32_MAX;
    }
    scratch[0] = integer != 0;
    params->lengths[at] = 1; /* boolean */
    return true;
}

static void put_text(struct postgres_params *params, size_t at, const struct cvm_db_value *value)
{
    if (is_text(value)) {
        /* A pointer is NULL for SQL's null only. */
        params->values[at] = value->bytes.length == 0 ? "" : value->bytes.data;
        params->lengths[at] = (int)value->bytes.length;
        return;
    }
    char *scratch = params->scratch[at];
    params->lengths[at] =
        value->type == CVM_DB_INT
            ? snprintf(scratch, sizeof(params->scratch[at]), "%lld", (long long)value->integer)
            : snprintf(scratch, sizeof(params->scratch[at]), "%.17g", value->number);
}

static enum cvm_status encode_value(Oid type, const struct cvm_db_value *value,
                                    struct postgres_params *params, size_t at,
                                    struct cvm_error *err)
{
    bool fits = true;
    int64_t integer = 0;
    double number = 0;
    params->values[at] = params->scratch[at];
    params->formats[at] = 1;
    if (value->type == CVM_DB_NULL) {
        params->values[at] = NULL;
        params->lengths[at] = 0;
        return CVM_OK;
    }
    if (is_text(value) && value->bytes.length > INT32_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a value has more than 2 GiB");
    }
    switch (type) {
    case TYPE_INT8:
    case TYPE_INT4:
    case TYPE_BOOL:
        fits = to_integer(value, &integer) && put_integer(params, at, integer, type);
        break;
    case TYPE_FLOAT8:
    case TYPE_FLOAT4:
        fits = to_number(value, &number);
        put_number(params, at, number, type == TYPE_FLOAT4);
        break;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_NAME:
    case TYPE_UNKNOWN:
    case TYPE_BYTEA:
        put_text(params, at, value);
        break;
    default:
        return CVM_FAIL(err, CVM_E_INTERNAL, "value %zu has a type (%u) that is not known here",
                        at + 1, type);
    }
    return fits ? CVM_OK
                : CVM_FAIL(err, CVM_E_CONFLICT, "value %zu does not fit its column", at + 1);
}

enum cvm_status postgres_encode(const struct postgres_statement *statement,
                                const struct cvm_db_value *params,
                                struct postgres_params *out_params, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < statement->param_count; i++) {
        status = encode_value(statement->types[i], &params[i], out_params, i, err);
    }
    return status;
}

/* ---- from the server ---- */

enum cvm_db_column_kind postgres_kind_of_type(Oid type)
{
    switch (type) {
    case TYPE_INT8:
    case TYPE_INT4:
    case TYPE_INT2:
        return CVM_DB_COLUMN_INTEGER;
    case TYPE_FLOAT8:
    case TYPE_FLOAT4:
        return CVM_DB_COLUMN_NUMBER;
    case TYPE_NUMERIC:
        return CVM_DB_COLUMN_DECIMAL;
    case TYPE_BOOL:
        return CVM_DB_COLUMN_BOOLEAN;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_NAME:
    case TYPE_UNKNOWN:
        return CVM_DB_COLUMN_TEXT;
    case TYPE_BYTEA:
        return CVM_DB_COLUMN_BINARY;
    case TYPE_DATE:
        return CVM_DB_COLUMN_DATE;
    case TYPE_TIMESTAMP:
        return CVM_DB_COLUMN_TIME;
    case TYPE_TIMESTAMPTZ:
        return CVM_DB_COLUMN_MOMENT;
    default:
        return CVM_DB_COLUMN_OTHER;
    }
}

static uint16_t read_16(const char *data)
{
    uint16_t bits = 0;
    memcpy(&bits, data, sizeof(bits));
    return be16toh(bits);
}

static uint32_t read_32(const char *data)
{
    uint32_t bits = 0;
    memcpy(&bits, data, sizeof(bits));
    return be32toh(bits);
}

static double read_double(const char *data)
{
    uint64_t bits = 0;
    double number = 0;
    memcpy(&bits, data, sizeof(bits));
    bits = be64toh(bits);
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static double read_float(const char *data)
{
    uint32_t bits = read_32(data);
    float number = 0;
    memcpy(&number, &bits, sizeof(number));
    return (double)number;
}

/* Sums of integers come as this: groups of four decimal digits, the first worth 10000^weight. A
 * whole number that fits is an integer, anything else a double. */
static struct cvm_db_value read_numeric(const char *data)
{
    int count = read_16(data);
    int weight = (int16_t)read_16(data + 2);
    unsigned sign = read_16(data + 4);
    double number = 0;
    int64_t integer = 0;
    bool is_integer = sign == NUMERIC_POSITIVE || sign == NUMERIC_NEGATIVE;
    if (!is_integer) {
        return cvm_db_double(NAN);
    }
    for (int i = 0; i < count || i <= weight; i++) {
        int digits = i < count ? read_16(data + 8 + 2 * i) : 0;
        number += digits * pow(10000, weight - i);
        if (i > weight) {
            is_integer = is_integer && digits == 0;
        } else {
            is_integer = is_integer && !__builtin_mul_overflow(integer, 10000, &integer) &&
                         !__builtin_add_overflow(integer, digits, &integer);
        }
    }
    bool is_negative = sign == NUMERIC_NEGATIVE;
    return is_integer ? cvm_db_int(is_negative ? -integer : integer)
                      : cvm_db_double(is_negative ? -number : number);
}

static enum cvm_status decode_value(Oid type, const char *data, size_t length,
                                    struct cvm_db_value *out, struct cvm_error *err)
{
    switch (type) {
    case TYPE_INT8: {
        uint64_t bits = 0;
        memcpy(&bits, data, sizeof(bits));
        *out = cvm_db_int((int64_t)be64toh(bits));
        break;
    }
    case TYPE_INT4:
        *out = cvm_db_int((int32_t)read_32(data));
        break;
    case TYPE_INT2:
        *out = cvm_db_int((int16_t)read_16(data));
        break;
    case TYPE_BOOL:
        *out = cvm_db_int(data[0] != 0);
        break;
    case TYPE_FLOAT8:
        *out = cvm_db_double(read_double(data));
        break;
    case TYPE_FLOAT4:
        *out = cvm_db_double(read_float(data));
        break;
    case TYPE_NUMERIC:
        *out = read_numeric(data);
        break;
    case TYPE_BYTEA:
        *out = cvm_db_blob(data, length);
        break;
    case TYPE_TEXT:
    case TYPE_VARCHAR:
    case TYPE_BPCHAR:
    case TYPE_NAME:
    case TYPE_UNKNOWN:
        *out = cvm_db_text_n(data, length); /* libpq ends each value in '\0' */
        break;
    default:
        return CVM_FAIL(err, CVM_E_INTERNAL, "a column has a type (%u) that is not known here",
                        type);
    }
    return CVM_OK;
}

enum cvm_status postgres_decode(const PGresult *result, int row, struct cvm_db_value *columns,
                                struct cvm_error *err)
{
    int count = PQnfields(result);
    enum cvm_status status = CVM_OK;
    for (int i = 0; status == CVM_OK && i < count; i++) {
        if (PQgetisnull(result, row, i)) {
            columns[i] = cvm_db_null();
        } else {
            status = decode_value(PQftype(result, i), PQgetvalue(result, row, i),
                                  (size_t)PQgetlength(result, row, i), &columns[i], err);
        }
    }
    return status;
}
