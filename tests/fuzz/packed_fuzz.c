/* packed_fuzz.c - any bytes read as a packed journey: nothing outside them is touched, and what can
 * be packed again packs to a body that reads the same. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "model/packed.h"

#define EVENTS_MAX 512
#define CELLS_MAX  16384

struct journey {
    struct cvm_packed_event events[EVENTS_MAX];
    struct cvm_packed_cell cells[CELLS_MAX];
    size_t event_count;
    size_t cell_count;
    bool is_profile;
    bool is_whole; /* all events had room */
    char customer_id[65536];
    struct cvm_consent consent;
};

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void take_event(struct journey *journey, const struct cvm_packed_section *section,
                       uint32_t i, uint8_t rank)
{
    if (journey->event_count == EVENTS_MAX ||
        journey->cell_count + section->column_count > CELLS_MAX) {
        journey->is_whole = false;
        return;
    }
    struct cvm_packed_event *event = &journey->events[journey->event_count++];
    *event = (struct cvm_packed_event){
        .day = cvm_packed_day(section, i),
        .second =
            section->seconds == NULL ? 0 : (int32_t)read_u32(section->seconds + 4 * (size_t)i),
        .source = section->source,
        .rank = rank,
        .topics = section->topics == NULL ? 0 : read_u32(section->topics + 4 * (size_t)i),
        .cells = journey->cells + journey->cell_count,
    };
    for (uint32_t c = 0; c < section->column_count; c++) {
        double value = 0;
        cvm_packed_values(&section->columns[c], section->event_count, i, i + 1, &value);
        if (!isnan(value)) {
            journey->cells[journey->cell_count++] =
                (struct cvm_packed_cell){section->columns[c].attribute, value};
            event->cell_count++;
        }
    }
}

static bool read_journey(struct journey *journey, const unsigned char *body, size_t length)
{
    struct cvm_packed_reader reader;
    struct cvm_packed_profile profile;
    struct cvm_packed_section section;
    uint8_t rank = 0;
    journey->is_profile = length > 0 && body[0] == 0x10;
    journey->is_whole = true;
    journey->event_count = 0;
    journey->cell_count = 0;
    enum cvm_status status = cvm_packed_open(body, length, journey->is_profile, &reader,
                                             journey->is_profile ? &profile : NULL, NULL);
    if (status == CVM_OK && journey->is_profile) {
        memcpy(journey->customer_id, profile.customer_id.data, profile.customer_id.length);
        journey->customer_id[profile.customer_id.length] = '\0';
        journey->consent = profile.consent;
    }
    while (status == CVM_OK) {
        status = cvm_packed_next(&reader, &section, NULL);
        for (uint32_t i = 0; status == CVM_OK && i < section.event_count; i++) {
            take_event(journey, &section, i, rank);
        }
        rank++;
    }
    REQUIRE(status == CVM_E_NOT_FOUND || status == CVM_E_CORRUPT);
    return status == CVM_E_NOT_FOUND;
}

static bool write_journey(struct journey *journey, struct cvm_packer *packer, struct cvm_text *out)
{
    struct cvm_error err = {.message = ""};
    enum cvm_status status =
        cvm_packer_write(packer, journey->is_profile ? journey->customer_id : NULL,
                         journey->is_profile ? &journey->consent : NULL, journey->events,
                         journey->event_count, out, &err);
    REQUIRE(status == CVM_OK || status == CVM_E_INVALID);
    REQUIRE(status == CVM_OK || err.message[0] != '\0');
    return status == CVM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct journey journey;
    unsigned char *body = malloc(size == 0 ? 1 : size); /* exact: reading past the end is seen */
    struct cvm_packer *packer = cvm_packer_create();
    struct cvm_text first;
    struct cvm_text second;
    cvm_text_init(&first, 0);
    cvm_text_init(&second, 0);
    REQUIRE(body != NULL && packer != NULL);
    if (size > 0) {
        memcpy(body, data, size);
    }
    if (read_journey(&journey, body, size) && journey.is_whole &&
        write_journey(&journey, packer, &first)) {
        REQUIRE(read_journey(&journey, (const unsigned char *)first.data, first.length));
        REQUIRE(write_journey(&journey, packer, &second));
        REQUIRE(first.length == second.length);
        REQUIRE(memcmp(first.data, second.data, first.length) == 0);
    }
    cvm_text_finish(&first);
    cvm_text_finish(&second);
    cvm_packer_destroy(packer);
    free(body);
    return 0;
}
