/* contact_window.h - from when to when a customer may be contacted: quiet hours, preferred time and
 * the channel's hours in the customer's time zone. They shift a contact, they never refuse it.
 *
 * A minute is open when it is outside the quiet hours, inside the channel's hours, and inside the
 * preferred hours as far as these leave anything open (else the preference, and then the channel's
 * hours, are passed over). Hours are of the local clock: across a change of clocks a window is as
 * long as the clock says.
 */
#ifndef CVM_RECOMMEND_CONTACT_WINDOW_H
#define CVM_RECOMMEND_CONTACT_WINDOW_H

#include "base/zone.h"
#include "model/contact_policy.h"
#include "recommend/action_value.h"

struct cvm_contact_window {
    int64_t earliest_ms; /* the first open minute not before `from` */
    int64_t latest_ms;   /* the end of the open minutes in a row after it, at most a day later */
};

struct cvm_contact_window cvm_contact_window_from(const struct cvm_contact_policy *policy,
                                                  const struct cvm_zone *zone,
                                                  enum cvm_channel channel,
                                                  const struct cvm_contact_facts *facts,
                                                  int64_t from_ms);

#endif
