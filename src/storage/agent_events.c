#include "storage/agent_events.h"

#include <assert.h>

#include "storage/db_sql.h"

enum cvm_status cvm_agent_event_add(struct cvm_store *store, const struct cvm_agent_event *event,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value params[] = {
        cvm_db_int(event->at_ms == 0 ? cvm_store_now_ms(store) : event->at_ms),
        cvm_db_text(event->agent_type),
        cvm_db_text(event->agent),
        cvm_db_text(event->event),
        cvm_db_text(event->inputs),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_AGENT_EVENT_ADD), params, CVM_DB_COUNT(params),
                       NULL, err);
}

struct listing {
    cvm_agent_event_fn on_event;
    void *state;
};

static enum cvm_status list_event(void *state, const struct cvm_db_value *columns,
                                  size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    (void)column_count;
    struct cvm_agent_event event = {
        .agent_event = columns[0].integer,
        .at_ms = columns[1].integer,
        .agent_type = cvm_db_string(&columns[2]),
        .agent = cvm_db_string(&columns[3]),
        .event = cvm_db_string(&columns[4]),
        .inputs = cvm_db_string(&columns[5]),
    };
    return listing->on_event(listing->state, &event, err);
}

enum cvm_status cvm_agent_event_list(struct cvm_store *store, int64_t before, int64_t count_max,
                                     cvm_agent_event_fn on_event, void *state,
                                     struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {on_event, state};
    struct cvm_db_value params[] = {
        cvm_db_int(before == 0 ? INT64_MAX : before),
        cvm_db_int(count_max),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_AGENT_EVENT_LIST), params, CVM_DB_COUNT(params),
                        list_event, &listing, err);
}
