/* row_members.h - columns of a statement as named members, in JSON and in CSV.
 *
 * One table says which member a column is and of what kind; both formats are written from it, so
 * they can not differ in names or in how a value reads.
 */
#ifndef CVM_STORAGE_ROW_MEMBERS_H
#define CVM_STORAGE_ROW_MEMBERS_H

#include "base/json_writer.h"
#include "storage/db.h"

enum cvm_member_kind {
    CVM_MEMBER_END,
    CVM_MEMBER_TEXT,
    CVM_MEMBER_INTEGER,
    CVM_MEMBER_NUMBER,
    CVM_MEMBER_MONEY, /* millionths */
    CVM_MEMBER_FLAG,
    CVM_MEMBER_DAY,
    CVM_MEMBER_MOMENT,
    CVM_MEMBER_STATE, /* of a decision or outcome */
    CVM_MEMBER_JSON,
    CVM_MEMBER_MINUTE,
    CVM_MEMBER_PREFERENCE,  /* of a time of day */
    CVM_MEMBER_PERMISSIONS, /* bits (model/consent.h): ["call outbound marketing", ...] */
};

/* A table ends with CVM_MEMBER_END; columns after it are no members. */
struct cvm_member {
    const char *key;
    enum cvm_member_kind kind;
};

/* As members of the open object. `scratch` is any text builder; what was in it is lost. */
void cvm_members_write(const struct cvm_member *members, const struct cvm_db_value *columns,
                       struct cvm_text *scratch, struct cvm_json_writer *json);

/* A line of CSV (fields as in RFC 4180, lines end with LF), names or values: texts as they are,
 * what is JSON as JSON, nothing where there is none. */
void cvm_members_write_names(const struct cvm_member *members, struct cvm_text *out);
void cvm_members_write_line(const struct cvm_member *members, const struct cvm_db_value *columns,
                            struct cvm_text *scratch, struct cvm_text *out);

/* Of decisions: their ids, which a list of one customer's leaves out, and the rest; of audit rows.
 */
#define CVM_DECISION_MEMBERS    24
#define CVM_DECISION_ID_MEMBERS 2
extern const struct cvm_member cvm_decision_members[CVM_DECISION_MEMBERS + 1];
extern const struct cvm_member cvm_audit_members[];

#endif
