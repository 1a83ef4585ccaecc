/* The world answers a decision. Every random number is drawn for every treatment, used or not, so
 * that two treatments of one customer on one day differ by their probabilities alone. */
#include <string.h>

#include "base/date.h"
#include "base/hash.h"
#include "base/json_writer.h"
#include "base/random.h"
#include "world/world.h"

#define HORIZON_DAYS 90

/* Response windows in days, by treatment; 14 where nothing is said. */
static int window_days(const char *treatment)
{
    static const struct {
        const char *treatment;
        int days;
    } windows[] = {
        {"marketing_call_back", 30}, {"service_call_back", 30}, {"retention_sms", 7},
        {"service_sms", 7},          {"data_boost", 7},         {"early_upgrade", 60},
    };
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        if (strcmp(windows[i].treatment, treatment) == 0) {
            return windows[i].days;
        }
    }
    return 14;
}

/* The fate of a customer from one day on. */
struct fate {
    double reach, accept, churn, reach_delay, accept_delay, churn_delay, minutes;
};

static struct fate draw_fate(uint64_t seed, const struct cvm_world_decision *decision)
{
    const char *id = decision->customer_id;
    uint64_t key = cvm_hash_seeded(id, strlen(id), seed);
    struct cvm_random random;
    cvm_random_init(&random, cvm_hash_mix(key, (uint64_t)(int64_t)decision->day));
    struct fate fate;
    fate.reach = cvm_random_unit(&random);
    fate.accept = cvm_random_unit(&random);
    fate.churn = cvm_random_unit(&random);
    fate.reach_delay = cvm_random_unit(&random);
    fate.accept_delay = cvm_random_unit(&random);
    fate.churn_delay = cvm_random_unit(&random);
    fate.minutes = cvm_random_unit(&random);
    return fate;
}

static void add_state(const struct cvm_world_decision *decision, const char *state, int32_t day,
                      int minutes, struct cvm_text *out)
{
    char date[CVM_DAY_TEXT_SIZE];
    struct cvm_json_writer writer;
    cvm_json_init(&writer, out, false);
    cvm_json_object(&writer);
    cvm_json_key_string(&writer, "decision_id", decision->decision_id);
    cvm_json_key_string(&writer, "customer_id", decision->customer_id);
    cvm_json_key_string(&writer, "treatment", decision->treatment);
    cvm_json_key_string(&writer, "state", state);
    cvm_json_key_string(&writer, "date", cvm_day_format(day, date));
    if (minutes > 0) {
        cvm_json_key_int(&writer, "minutes", minutes);
    }
    cvm_json_object_end(&writer);
    cvm_text_add_char(out, '\n');
}

static void play_contact(const struct cvm_world_decision *decision,
                         const struct cvm_world_truth *truth, const struct fate *fate,
                         struct cvm_text *out)
{
    int window = window_days(decision->treatment);
    int32_t day = decision->day + decision->delay_days;
    bool is_call = strstr(decision->treatment, "call_back") != NULL;
    add_state(decision, "sent", day, 0, out);
    if (!decision->makes_no_contact) {
        add_state(decision, "delivered", day, 0, out);
    }
    if (fate->reach >= truth->reach) {
        add_state(decision, "no_answer", day + window, 0, out);
        return;
    }
    int reached = (int)(fate->reach_delay * fate->reach_delay * window);
    int minutes = is_call ? 3 + (int)(fate->minutes * 18.0) : 0;
    add_state(decision, "reached", day + reached, minutes, out);
    if (truth->accept <= 0.0) {
        return;
    }
    if (fate->accept < truth->accept) {
        int accepted = reached + (int)(fate->accept_delay * (window - reached));
        add_state(decision, "accepted", day + accepted, 0, out);
    } else {
        add_state(decision, "declined", day + window, 0, out);
    }
}

void cvm_world_respond(uint64_t seed, const struct cvm_world_decision *decision,
                       const struct cvm_world_truth *truth, struct cvm_text *out)
{
    struct cvm_world_decision played = *decision;
    if (played.treatment == NULL || played.treatment[0] == '\0') {
        played.treatment = "ignore";
    }
    struct fate fate = draw_fate(seed, &played);
    double churn = truth->churn;
    if (strcmp(played.treatment, "ignore") != 0) {
        play_contact(&played, truth, &fate, out);
        /* The truth averages over being reached; this customer was, or was not. */
        double average = 1.0 - truth->reach * truth->churn_cut;
        bool was_reached = fate.reach < truth->reach;
        churn = average > 0.0 ? churn / average : churn;
        churn *= was_reached ? 1.0 - truth->churn_cut : 1.0;
    }
    bool has_churned = fate.churn < churn;
    int days = has_churned ? 1 + (int)(fate.churn_delay * HORIZON_DAYS) : HORIZON_DAYS;
    add_state(&played, has_churned ? "churned" : "stayed", played.day + days, 0, out);
}
