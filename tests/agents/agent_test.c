/* Each kind of agent by itself: a message in, effects out, on a generated base in a real store. */
#include "engine/run_base.h"

#include "agents/agent.h"
#include "agents/part_shelf.h"
#include "storage/run_parts.h"

#define CUSTOMERS 1500

/* What a runner lends, and keeps. */
struct desk {
    struct base *base;
    struct cvm_agent_site site;
    struct cvm_zone *zone;
    struct cvm_json_reader *reader;
    struct cvm_random random;
    const char *queue; /* of a specialist */
    int kept;
};

static int set_up(void **state)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    assert_non_null(desk);
    desk->base = base_create(CUSTOMERS, NULL);
    desk->reader = cvm_json_reader_create(1 << 20);
    assert_int_equal(cvm_zone_open("UTC", &desk->zone, NULL), CVM_OK);
    desk->site = (struct cvm_agent_site){
        .store_url = desk->base->url,
        .writer = cvm_agent_writer_create(desk->base->store),
        .zone = desk->zone,
        .threads = 2,
        .chunk_size = 256,
    };
    cvm_random_init(&desk->random, 1);
    *state = desk;
    return 0;
}

static int tear_down(void **state)
{
    struct desk *desk = *state;
    cvm_agent_writer_destroy(desk->site.writer);
    cvm_part_shelf_destroy(desk->site.shelf);
    cvm_json_reader_destroy(desk->reader);
    cvm_zone_close(desk->zone);
    base_destroy(desk->base);
    free(desk);
    return 0;
}

static enum cvm_status count_kept(void *state, struct cvm_store *store, struct cvm_error *err)
{
    struct desk *desk = state;
    (void)err;
    assert_true(cvm_db_in_transaction(cvm_store_db(store)));
    desk->kept++;
    return CVM_OK;
}

/* A message's payload in the form that workflows send it. */
static enum cvm_status handle(struct desk *desk, const struct cvm_agent_kind *kind,
                              enum cvm_message_type type, uint32_t shard, const char *payload,
                              struct cvm_text *output, struct cvm_error *err)
{
    struct cvm_envelope message = {.type = type, .shard = shard};
    struct cvm_effects effects = {.customers = 0};
    struct cvm_turn turn = {
        .message = &message,
        .queue = desk->queue,
        .site = &desk->site,
        .context = &desk->base->context,
        .random = &desk->random,
        .arena = desk->base->arena,
        .keep = count_kept,
        .keep_state = desk,
    };
    void *worker = NULL;
    assert_true(cvm_agent_kind_serves(kind, type));
    must(cvm_json_read(desk->reader, desk->base->arena, payload, strlen(payload), false,
                       &turn.payload, err),
         err);
    must(kind->open(&desk->site, &desk->base->context, &worker, err), err);
    cvm_text_init(&effects.output, 0);
    enum cvm_status status = kind->handle(worker, &turn, &effects, err);
    if (status == CVM_OK && effects.write != NULL) {
        struct cvm_db *db = cvm_store_db(desk->base->store);
        must(cvm_db_begin(db, err), err);
        must(effects.write(effects.write_state, desk->base->store, err), err);
        must(cvm_db_commit(db, err), err);
    }
    cvm_text_clear(output);
    cvm_text_add(output, cvm_text_string(&effects.output));
    cvm_text_finish(&effects.output);
    kind->close(worker);
    return status;
}

#define REQUEST                                                                                    \
    "{\"as_of\":\"2024-03-20\",\"replace\":false,\"release\":true,\"seed\":1,"                     \
    "\"realtime_share\":0,\"keep_runs\":3,\"who\":\"test\"}"

static void run_by_agents(struct desk *desk, char digest[CVM_DIGEST_TEXT_SIZE])
{
    struct cvm_text begun;
    struct cvm_text payload;
    struct cvm_text output;
    struct cvm_run_record run;
    struct cvm_error err;
    cvm_text_init(&begun, 0);
    cvm_text_init(&payload, 0);
    cvm_text_init(&output, 0);
    must(handle(desk, &cvm_agent_data, CVM_MESSAGE_CUSTOMER_DATA_REQUEST, CVM_SHARD_NONE,
                "{\"input\":{\"request\":" REQUEST "}}", &begun, &err),
         &err);
    assert_non_null(strstr(cvm_text_string(&begun), "\"parts\":8"));
    cvm_text_add_format(&payload, "{\"input\":{\"request\":" REQUEST "},\"needs\":{\"begin\":%s}}",
                        cvm_text_string(&begun));
    for (uint32_t part = 0; part < 8; part++) {
        if (part == 5) {
            continue; /* lost with its process: made again by who decides */
        }
        must(handle(desk, &cvm_agent_treatment, CVM_MESSAGE_TREATMENT_REQUEST, part,
                    cvm_text_string(&payload), &output, &err),
             &err);
    }
    must(handle(desk, &cvm_agent_allocation, CVM_MESSAGE_ALLOCATION_REQUEST, CVM_SHARD_NONE,
                cvm_text_string(&payload), &output, &err),
         &err);
    assert_int_equal(desk->kept, 1);
    must(cvm_run_get(desk->base->store, desk->base->arena, "latest", &run, &err), &err);
    (void)snprintf(digest, CVM_DIGEST_TEXT_SIZE, "%s", run.plan_digest);
    assert_string_equal(run.state, "done");
    assert_string_equal(run.plan_state, "released");
    cvm_text_finish(&begun);
    cvm_text_finish(&payload);
    cvm_text_finish(&output);
}

static void agents_make_the_plan_of_the_run_in_one_go(void **state)
{
    struct desk *desk = *state;
    struct base *twin = base_create(CUSTOMERS, NULL);
    struct cvm_run_request request = ordinary();
    char digest[CVM_DIGEST_TEXT_SIZE];
    request.seed = 1;
    struct cvm_run_result *whole = run(twin, &request, 2, 1024);
    run_by_agents(desk, digest);
    assert_string_equal(digest, whole->plan_digest);
    cvm_run_result_destroy(whole);
    base_destroy(twin);
}

static void parts_that_stay_in_the_process_make_the_same_plan(void **state)
{
    struct desk *desk = *state;
    struct base *twin = base_create(CUSTOMERS, NULL);
    struct cvm_run_request request = ordinary();
    char digest[CVM_DIGEST_TEXT_SIZE];
    request.seed = 1;
    struct cvm_run_result *whole = run(twin, &request, 2, 1024);
    desk->site.shelf = cvm_part_shelf_create();
    assert_non_null(desk->site.shelf);
    run_by_agents(desk, digest);
    assert_string_equal(digest, whole->plan_digest);
    cvm_run_result_destroy(whole);
    base_destroy(twin);
}

/* ---- evaluation ---- */

static void evaluate(struct desk *desk, const char *payload, struct cvm_text *output)
{
    struct cvm_error err;
    must(handle(desk, &cvm_agent_evaluation, CVM_MESSAGE_EVALUATION_REQUEST, CVM_SHARD_NONE,
                payload, output, &err),
         &err);
}

static void assert_says(const struct cvm_text *output, const char *words)
{
    const char *text = output->length == 0 ? "" : output->data;
    if (strstr(text, words) == NULL) {
        fail_msg("'%s' is not in %s", words, text);
    }
}

static void all_that_went_out_is_evaluated_and_a_run_alone_when_it_is_named(void **state)
{
    struct desk *desk = *state;
    struct cvm_text output;
    struct cvm_run_record found;
    struct cvm_error err;
    char digest[CVM_DIGEST_TEXT_SIZE];
    char words[256];
    char payload[160];
    cvm_text_init(&output, 0);
    evaluate(desk, "{\"input\":{\"as_of\":\"2024-03-20\"}}", &output);
    assert_says(&output, "\"days\":120,\"runs\":0,\"decisions\":0,");
    run_by_agents(desk, digest);
    must(cvm_run_get(desk->base->store, desk->base->arena, "latest", &found, &err), &err);
    evaluate(desk, "{\"input\":{\"as_of\":\"2024-03-20\",\"days\":1}}", &output);
    assert_says(&output, "\"days\":1,\"runs\":1,");
    assert_says(&output, "\"states\":{\"released\":");
    assert_says(&output, "\"contacts\":0,\"outcomes\":{},");
    assert_says(&output, "\"ends_until\":\"2024-06-18\"");
    assert_says(&output, "\"treatment\":\"");
    assert_says(&output, "\"kind\":\"treatment\"");
    evaluate(desk, "{\"input\":{\"as_of\":\"2024-03-19\"}}", &output);
    assert_says(&output, "\"runs\":0,"); /* it was decided the day after */
    evaluate(desk, "{\"input\":{\"run_id\":\"latest\"}}", &output);
    (void)snprintf(
        words, sizeof(words),
        "\"run_id\":\"%s\",\"plan_state\":\"released\",\"plan_digest\":\"%s\",\"runs\":1,",
        found.run_id, digest);
    assert_says(&output, words);
    (void)snprintf(payload, sizeof(payload),
                   "{\"input\":{},\"needs\":{\"plan\":{\"run_id\":\"%s\"}}}", found.run_id);
    evaluate(desk, payload, &output);
    assert_says(&output, words); /* the plan of the step before it */
    cvm_text_finish(&output);
}

static void a_request_answered_before_has_nothing_left_to_do(void **state)
{
    struct desk *desk = *state;
    struct cvm_text output;
    struct cvm_error err;
    char digest[CVM_DIGEST_TEXT_SIZE];
    cvm_text_init(&output, 0);
    run_by_agents(desk, digest);
    must(handle(desk, &cvm_agent_data, CVM_MESSAGE_CUSTOMER_DATA_REQUEST, CVM_SHARD_NONE,
                "{\"input\":{\"request\":" REQUEST "}}", &output, &err),
         &err);
    assert_non_null(strstr(cvm_text_string(&output), "\"parts\":0"));
    assert_non_null(strstr(cvm_text_string(&output), "\"reused\":true"));
    cvm_text_finish(&output);
}

static void one_customer_goes_through_all_kinds(void **state)
{
    static const struct {
        const struct cvm_agent_kind *kind;
        enum cvm_message_type type;
        const char *says;
    } steps[] = {
        {&cvm_agent_data, CVM_MESSAGE_CUSTOMER_DATA_REQUEST, "\"last_batch\":"},
        {&cvm_agent_trigger, CVM_MESSAGE_TRIGGER_REQUEST, "\"triggers\":["},
        {&cvm_agent_journey, CVM_MESSAGE_JOURNEY_REQUEST, "\"insights\":["},
        {&cvm_agent_treatment, CVM_MESSAGE_TREATMENT_REQUEST, "\"treatments\":[{"},
        {&cvm_agent_allocation, CVM_MESSAGE_ALLOCATION_REQUEST, "\"selected_treatment\":"},
    };
    struct desk *desk = *state;
    struct cvm_text output;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    char payload[128];
    cvm_text_init(&output, 0);
    cvm_world_customer_id(3, id);
    (void)snprintf(payload, sizeof(payload), "{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"}",
                   id);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        must(handle(desk, steps[i].kind, steps[i].type, CVM_SHARD_NONE, payload, &output, &err),
             &err);
        assert_non_null(strstr(cvm_text_string(&output), steps[i].says));
    }
    cvm_text_finish(&output);
}

static void a_call_center_specialist_answers_with_call_treatments_only(void **state)
{
    struct desk *desk = *state;
    struct cvm_text output;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    char payload[96];
    cvm_text_init(&output, 0);
    desk->queue = "treatment.call_center";
    assert_ptr_equal(cvm_agent_kind_find(desk->queue), &cvm_agent_treatment);
    cvm_world_customer_id(5, id);
    (void)snprintf(payload, sizeof(payload), "{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"}",
                   id);
    must(handle(desk, &cvm_agent_treatment, CVM_MESSAGE_TREATMENT_REQUEST, CVM_SHARD_NONE, payload,
                &output, &err),
         &err);
    assert_non_null(strstr(cvm_text_string(&output), "\"service_call_back\""));
    assert_non_null(strstr(cvm_text_string(&output), "\"marketing_call_back\""));
    assert_null(strstr(cvm_text_string(&output), "\"retention_sms\""));
    assert_null(strstr(cvm_text_string(&output), "\"ignore\""));
    cvm_text_finish(&output);
}

static void nobody_is_decided_for_whom_no_trigger_found(void **state)
{
    struct desk *desk = *state;
    struct cvm_text output;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    char payload[200];
    cvm_text_init(&output, 0);
    cvm_world_customer_id(5, id);
    (void)snprintf(payload, sizeof(payload),
                   "{\"input\":{\"customer_id\":\"%s\",\"as_of\":\"2024-03-20\"},"
                   "\"needs\":{\"begin\":{},\"look\":{\"triggers\":[]}}}",
                   id);
    must(handle(desk, &cvm_agent_allocation, CVM_MESSAGE_ALLOCATION_REQUEST, CVM_SHARD_NONE,
                payload, &output, &err),
         &err);
    assert_non_null(strstr(cvm_text_string(&output), "\"decision\":null"));
    assert_non_null(strstr(cvm_text_string(&output), "\"reason\":\"no_trigger\""));
    cvm_text_finish(&output);
}

static void a_message_that_says_too_little_is_to_blame(void **state)
{
    static const struct {
        const struct cvm_agent_kind *kind;
        enum cvm_message_type type;
        uint32_t shard;
        const char *payload;
        enum cvm_status status;
    } cases[] = {
        {&cvm_agent_data, CVM_MESSAGE_CUSTOMER_DATA_REQUEST, CVM_SHARD_NONE, "{}", CVM_E_INVALID},
        {&cvm_agent_data, CVM_MESSAGE_CUSTOMER_DATA_REQUEST, CVM_SHARD_NONE,
         "{\"customer_id\":\"nobody\"}", CVM_E_NOT_FOUND},
        {&cvm_agent_data, CVM_MESSAGE_CUSTOMER_DATA_REQUEST, CVM_SHARD_NONE,
         "{\"input\":{\"request\":{\"as_of\":\"someday\"}}}", CVM_E_INVALID},
        {&cvm_agent_treatment, CVM_MESSAGE_TREATMENT_REQUEST, 3, "{}", CVM_E_INVALID},
        {&cvm_agent_treatment, CVM_MESSAGE_TREATMENT_REQUEST, 3,
         "{\"input\":{\"request\":" REQUEST "}}", CVM_E_INVALID},
        {&cvm_agent_treatment, CVM_MESSAGE_TREATMENT_REQUEST, 0,
         "{\"input\":{\"request\":" REQUEST
         "},\"needs\":{\"begin\":{\"run_id\":\"2024-03-20-00000000\",\"parts\":8}}}",
         CVM_E_CONFLICT},
        {&cvm_agent_allocation, CVM_MESSAGE_ALLOCATION_REQUEST, CVM_SHARD_NONE,
         "{\"input\":{\"request\":" REQUEST "}}", CVM_E_INVALID},
        {&cvm_agent_evaluation, CVM_MESSAGE_EVALUATION_REQUEST, CVM_SHARD_NONE,
         "{\"input\":{\"as_of\":\"someday\"}}", CVM_E_INVALID},
        {&cvm_agent_evaluation, CVM_MESSAGE_EVALUATION_REQUEST, CVM_SHARD_NONE,
         "{\"input\":{\"days\":0}}", CVM_E_INVALID},
        {&cvm_agent_evaluation, CVM_MESSAGE_EVALUATION_REQUEST, CVM_SHARD_NONE,
         "{\"input\":{\"hours\":169}}", CVM_E_INVALID},
        {&cvm_agent_evaluation, CVM_MESSAGE_EVALUATION_REQUEST, CVM_SHARD_NONE,
         "{\"input\":{\"run_id\":\"none\"}}", CVM_E_NOT_FOUND},
    };
    struct desk *desk = *state;
    struct cvm_text output;
    cvm_text_init(&output, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cvm_error err = {0};
        enum cvm_status status = handle(desk, cases[i].kind, cases[i].type, cases[i].shard,
                                        cases[i].payload, &output, &err);
        if (status != cases[i].status) {
            fail_msg("case %zu: %d %s", i, (int)status, err.message);
        }
    }
    cvm_text_finish(&output);
}

static void a_queue_of_specialists_belongs_to_its_kind(void **state)
{
    (void)state;
    assert_ptr_equal(cvm_agent_kind_find("treatment"), &cvm_agent_treatment);
    assert_ptr_equal(cvm_agent_kind_find("treatment.call_center"), &cvm_agent_treatment);
    assert_null(cvm_agent_kind_find("treatments"));
    assert_null(cvm_agent_kind_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(agents_make_the_plan_of_the_run_in_one_go, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(parts_that_stay_in_the_process_make_the_same_plan, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            all_that_went_out_is_evaluated_and_a_run_alone_when_it_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_answered_before_has_nothing_left_to_do, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_customer_goes_through_all_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_call_center_specialist_answers_with_call_treatments_only,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_is_decided_for_whom_no_trigger_found, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_message_that_says_too_little_is_to_blame, set_up,
                                        tear_down),
        cmocka_unit_test(a_queue_of_specialists_belongs_to_its_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
