#include "storage/lease.h"

#include <assert.h>
#include <string.h>

#include "storage/db_sql.h"

static enum cvm_status check_name(const char *what, const char *name, struct cvm_error *err)
{
    if (name[0] == '\0' || strlen(name) > CVM_LEASE_NAME_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "the %s of a lease has 1 to %d bytes: '%.120s'", what,
                        CVM_LEASE_NAME_MAX, name);
    }
    return CVM_OK;
}

/* One statement, in the caller's transaction or one of its own. */
static enum cvm_status change(struct cvm_db *db, enum cvm_sql sql,
                              const struct cvm_db_value *params, size_t count, int64_t *out_changed,
                              struct cvm_error *err)
{
    bool is_inside = cvm_db_in_transaction(db);
    enum cvm_status status = is_inside ? CVM_OK : cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, sql), params, count, out_changed, err);
    }
    if (!is_inside && status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (!is_inside) {
        cvm_db_rollback(db);
    }
    return status;
}

struct reading {
    struct cvm_arena *arena; /* NULL: the owner is not wanted */
    bool is_there;
    struct cvm_lease lease;
};

static enum cvm_status read_lease(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct reading *reading = state;
    (void)column_count;
    reading->is_there = true;
    reading->lease = (struct cvm_lease){
        .owner = "",
        .incarnation = columns[2].integer,
        .epoch = columns[3].integer,
        .expires_at_ms = columns[4].integer,
        .committed_at_ms = columns[5].type == CVM_DB_INT ? columns[5].integer : 0,
    };
    if (reading->arena != NULL &&
        !cvm_db_copy_string(reading->arena, &columns[1], &reading->lease.owner)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a lease");
    }
    return CVM_OK;
}

static enum cvm_status find(struct cvm_db *db, const char *resource, struct reading *reading,
                            struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_text(resource);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_LEASE_GET), &param, 1, read_lease, reading, err);
}

static enum cvm_status fail_held(struct cvm_db *db, const char *resource, struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create(4096);
    struct reading reading = {.arena = arena, .lease.owner = ""};
    if (arena == NULL || find(db, resource, &reading, NULL) != CVM_OK) {
        reading.lease.owner = "";
    }
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_CONFLICT, "'%s' is held by '%s'", resource,
                 reading.lease.owner[0] == '\0' ? "another" : reading.lease.owner);
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status take(struct cvm_store *store, enum cvm_sql sql,
                            const struct cvm_lease_wish *wish, int64_t *out_epoch,
                            struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t changed = 0;
    struct reading reading = {0};
    struct cvm_db_value params[] = {
        cvm_db_text(wish->resource),   cvm_db_text(wish->owner),
        cvm_db_int(wish->incarnation), cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_int(wish->ttl_ms),
    };
    enum cvm_status status = check_name("resource", wish->resource, err);
    if (status == CVM_OK) {
        status = check_name("owner", wish->owner, err);
    }
    bool is_inside = cvm_db_in_transaction(db);
    if (status == CVM_OK && !is_inside) {
        status = cvm_db_begin(db, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, sql), params, CVM_DB_COUNT(params), &changed, err);
    }
    if (status == CVM_OK && changed == 0) {
        status = fail_held(db, wish->resource, err);
    }
    if (status == CVM_OK) { /* the row is locked: nobody changes it in between */
        status = find(db, wish->resource, &reading, err);
    }
    if (status == CVM_OK && !is_inside) {
        status = cvm_db_commit(db, err);
    }
    if (!is_inside) {
        cvm_db_rollback(db);
    }
    if (status == CVM_OK) {
        *out_epoch = reading.lease.epoch;
    }
    return status;
}

enum cvm_status cvm_lease_acquire(struct cvm_store *store, const struct cvm_lease_wish *wish,
                                  int64_t *out_epoch, struct cvm_error *err)
{
    return take(store, CVM_SQL_LEASE_ACQUIRE, wish, out_epoch, err);
}

enum cvm_status cvm_lease_steal(struct cvm_store *store, const struct cvm_lease_wish *wish,
                                int64_t *out_epoch, struct cvm_error *err)
{
    return take(store, CVM_SQL_LEASE_STEAL, wish, out_epoch, err);
}

enum cvm_status cvm_lease_renew(struct cvm_store *store, const char *resource, int64_t epoch,
                                int64_t ttl_ms, struct cvm_error *err)
{
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(resource),
        cvm_db_int(epoch),
        cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_int(ttl_ms),
    };
    enum cvm_status status = change(cvm_store_db(store), CVM_SQL_LEASE_RENEW, params,
                                    CVM_DB_COUNT(params), &changed, err);
    return status == CVM_OK && changed == 0
               ? CVM_FAIL(err, CVM_E_CONFLICT, "'%s' was taken over by another process", resource)
               : status;
}

enum cvm_status cvm_lease_release(struct cvm_store *store, const char *resource, int64_t epoch,
                                  struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_text(resource), cvm_db_int(epoch)};
    return change(cvm_store_db(store), CVM_SQL_LEASE_RELEASE, params, CVM_DB_COUNT(params), NULL,
                  err);
}

enum cvm_status cvm_lease_get(struct cvm_store *store, struct cvm_arena *arena,
                              const char *resource, struct cvm_lease *out_lease,
                              struct cvm_error *err)
{
    struct reading reading = {.arena = arena};
    enum cvm_status status = find(cvm_store_db(store), resource, &reading, err);
    if (status == CVM_OK && !reading.is_there) {
        return CVM_FAIL(err, CVM_E_NOT_FOUND, "nobody ever held '%s'", resource);
    }
    if (status == CVM_OK) {
        *out_lease = reading.lease;
    }
    return status;
}

enum cvm_status cvm_lease_now(struct cvm_store *store, int64_t *out_ms, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_int(cvm_store_now_ms(store));
    return cvm_db_get_int(cvm_store_db(store), CVM_SQL_CLOCK_NOW, &param, 1, out_ms, err);
}
