#include "agents/event_feed.h"

#include <time.h>

#include "base/log.h"
#include "storage/lease.h"

#define LEASE         "events"
#define LEASE_MS      10000
#define LEASE_KEEP_MS 2000 /* kept so often */
#define PAUSE_MS      250  /* how long nobody looks whether it shall stop */
#define GATHER_MS     200  /* how long others are waited for once the first message has come */
#define FREE_MOST_MS  2000
#define AT_ONCE       500
#define BYTES_MAX     ((size_t)8 << 20) /* of the messages of a batch, about */

struct feed {
    const struct cvm_event_feed_options *options;
    struct cvm_event_intake *intake;
    struct cvm_broker_link *link;
    struct cvm_delivery *deliveries;
    size_t count;
    int64_t epoch; /* of the lease; 0 = not held */
    double kept_at;
    double free_until; /* the store is the others' */
};

static bool must_stop(const struct feed *feed)
{
    return atomic_load(feed->options->is_stopping);
}

static double seconds(const struct feed *feed)
{
    return cvm_context_seconds(feed->options->intake.context);
}

static void pause_a_little(void)
{
    struct timespec pause = {0, PAUSE_MS * INT64_C(1000000)};
    (void)nanosleep(&pause, NULL);
}

static void warn(const struct feed *feed, const char *what, const struct cvm_error *why)
{
    CVM_LOG(feed->options->intake.context->log, CVM_LOG_WARN, what, CVM_TEXT("why", why->message));
}

/* ---- whose turn it is ---- */

static enum cvm_status keep_lease(struct feed *feed, struct cvm_store *store, struct cvm_error *err)
{
    struct cvm_lease_wish wish = {
        .resource = LEASE,
        .owner = feed->options->name,
        .incarnation = feed->options->incarnation,
        .ttl_ms = LEASE_MS,
    };
    return feed->epoch != 0 ? cvm_lease_renew(store, LEASE, feed->epoch, LEASE_MS, err)
                            : cvm_lease_acquire(store, &wish, &feed->epoch, err);
}

static bool is_its_turn(struct feed *feed)
{
    struct cvm_agent_writer *writer = feed->options->intake.site->writer;
    struct cvm_error why = {.message = ""};
    double now = seconds(feed);
    if (feed->options->is_alone ||
        (feed->epoch != 0 && now < feed->kept_at + LEASE_KEEP_MS / 1e3)) {
        return true;
    }
    enum cvm_status status = keep_lease(feed, cvm_agent_writer_lock(writer), &why);
    cvm_agent_writer_unlock(writer);
    feed->kept_at = now;
    if (status == CVM_OK) {
        return true;
    }
    feed->epoch = 0;
    if (status != CVM_E_CONFLICT) {
        warn(feed, "events_wait", &why);
    }
    return false;
}

static void give_lease_back(struct feed *feed)
{
    struct cvm_agent_writer *writer = feed->options->intake.site->writer;
    if (feed->epoch != 0) { /* else it runs out by itself */
        (void)!cvm_lease_release(cvm_agent_writer_lock(writer), LEASE, feed->epoch, NULL);
        cvm_agent_writer_unlock(writer);
    }
}

/* ---- a batch ---- */

static size_t bytes_of(const struct cvm_delivery *delivery)
{
    return delivery->envelope != NULL ? delivery->envelope->payload.length : delivery->raw.length;
}

/* What has come; once something has, also what comes within a moment. */
static enum cvm_status gather(struct feed *feed, struct cvm_error *err)
{
    size_t bytes = 0;
    double until = 0;
    int wait_ms = PAUSE_MS;
    feed->count = 0;
    while (wait_ms > 0 && feed->count < AT_ONCE && bytes < BYTES_MAX) {
        struct cvm_delivery *more = feed->deliveries + feed->count;
        size_t count = 0;
        enum cvm_status status =
            cvm_broker_receive(feed->link, more, AT_ONCE - feed->count, wait_ms, &count, err);
        if (status != CVM_OK) { /* what came before is lost with its link, and comes again */
            return status;
        }
        for (size_t i = 0; i < count; i++) {
            bytes += bytes_of(&more[i]);
        }
        if (feed->count == 0) {
            until = seconds(feed) + GATHER_MS / 1e3;
            until = until > feed->free_until ? until : feed->free_until;
        }
        feed->count += count;
        double left_ms = (until - seconds(feed)) * 1000;
        wait_ms = feed->count == 0 || must_stop(feed) || left_ms < 1 ? 0 : (int)left_ms;
    }
    while (feed->count > 0 && !must_stop(feed) && seconds(feed) < feed->free_until) {
        pause_a_little();
    }
    return CVM_OK;
}

/* That may take long: the link is asked for something meanwhile, so that the broker does not take
 * it for dead. */
static void wait_a_little(struct feed *feed)
{
    struct cvm_broker_depth depth;
    pause_a_little();
    (void)!cvm_broker_depth_of(feed->link, CVM_BROKER_EVENTS, &depth, NULL);
}

/* The messages are kept at hand until they are done with: giving them back would count as a failed
 * delivery. False: they are left to others. */
static bool take(struct feed *feed)
{
    struct cvm_event_take taken = {0};
    const char *told = NULL;
    while (!must_stop(feed) && is_its_turn(feed)) {
        struct cvm_error why = {.message = ""};
        enum cvm_status status = cvm_event_intake_look(feed->intake, &taken.held_up_by, &why);
        if (status == CVM_OK && taken.held_up_by == NULL) {
            status =
                cvm_event_intake_take(feed->intake, feed->deliveries, feed->count, &taken, &why);
        }
        if (status == CVM_OK && taken.held_up_by == NULL) {
            double most = FREE_MOST_MS / 1e3; /* else turns have the store half of the time */
            feed->free_until = seconds(feed) + (taken.seconds > most ? most : taken.seconds);
            return true;
        }
        if (status != CVM_OK) {
            warn(feed, "events_wait", &why);
        } else if (told != taken.held_up_by) {
            CVM_LOG(feed->options->intake.context->log, CVM_LOG_INFO, "events_wait",
                    CVM_TEXT("why", taken.held_up_by));
        }
        told = status == CVM_OK ? taken.held_up_by : NULL;
        wait_a_little(feed);
    }
    return false;
}

/* One that is lost comes again, and finds its mark, or its events. */
static void acknowledge(struct feed *feed)
{
    int64_t lost = 0;
    for (size_t i = 0; i < feed->count; i++) {
        lost += cvm_broker_ack(feed->link, feed->deliveries[i].tag, NULL) != CVM_OK;
    }
    if (lost > 0) {
        CVM_LOG(feed->options->intake.context->log, CVM_LOG_INFO, "acknowledgement_lost",
                CVM_TEXT("agent", CVM_BROKER_EVENTS), CVM_INT("messages", lost));
    }
}

static enum cvm_status serve(struct feed *feed, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    bool goes_on = true;
    while (status == CVM_OK && goes_on && !must_stop(feed) && is_its_turn(feed)) {
        status = gather(feed, err);
        if (status == CVM_OK && feed->count > 0) {
            goes_on = take(feed);
            if (goes_on) {
                acknowledge(feed);
            }
        }
    }
    return status;
}

/* With a link of its own, closed while another process feeds. */
static enum cvm_status feed_a_while(struct feed *feed, struct cvm_error *err)
{
    enum cvm_status status =
        cvm_broker_link_open_with(feed->options->broker, AT_ONCE, &feed->link, err);
    if (status == CVM_OK) {
        status = cvm_broker_declare(feed->link, CVM_BROKER_EVENTS, err);
    }
    if (status == CVM_OK) {
        status = cvm_broker_subscribe(feed->link, CVM_BROKER_EVENTS, err);
    }
    if (status == CVM_OK) {
        status = serve(feed, err);
    }
    cvm_broker_link_close(feed->link);
    feed->link = NULL;
    return status;
}

enum cvm_status cvm_event_feed(const struct cvm_event_feed_options *options, struct cvm_error *err)
{
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 20);
    struct feed feed = {.options = options};
    if (arena == NULL || !(feed.deliveries = CVM_NEW_ARRAY(arena, AT_ONCE, struct cvm_delivery))) {
        cvm_arena_destroy(arena);
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to take events");
    }
    enum cvm_status status = cvm_event_intake_create(&options->intake, &feed.intake, err);
    while (status == CVM_OK && !must_stop(&feed)) {
        if (!is_its_turn(&feed)) {
            pause_a_little();
            continue;
        }
        status = feed_a_while(&feed, err);
        if (status == CVM_E_UNAVAILABLE || status == CVM_E_TIMEOUT) { /* the broker is away */
            pause_a_little();
            status = CVM_OK;
        }
    }
    give_lease_back(&feed);
    cvm_event_intake_destroy(feed.intake);
    cvm_arena_destroy(arena);
    return status;
}
