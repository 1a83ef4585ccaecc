-- Bulk exports: in the order of their cursor. Where the server prefers to sort, it sorts beyond work_mem on its disk.

-- The permissions in force; a customer who came only with a batch that was taken back is not there, 0 = erased.
-- name: bulk_customers
SELECT c.customer_key, c.customer_id, c.batch, k.updated_day, k.quiet_start_min, k.quiet_end_min, k.preferred_time,
    nullif(k.language, ''), k.recorded & k.granted, k.recorded & ~k.granted
FROM customer c
JOIN batch b ON b.batch = c.batch
LEFT JOIN consent k ON k.customer_key = c.customer_key AND k.version = (
    SELECT max(v.version)
    FROM consent v
    JOIN batch w ON w.batch = v.batch
    WHERE v.customer_key = c.customer_key AND w.state = 'closed'
)
WHERE c.customer_key > $1 AND c.batch <> 0 AND b.state <> 'retracted' AND b.started_at >= $2 AND b.started_at < $3
ORDER BY c.customer_key

-- Undated records in all versions that count, the one in force last; of everybody, beside bulk_customers.
-- name: bulk_attributes
SELECT e.customer_key, e.source, e.identity, e.attributes
FROM event e
JOIN batch b ON b.batch = e.batch
WHERE e.customer_key > $1 AND e.day = -2147483648 AND b.state = 'closed'
ORDER BY e.customer_key, e.source, e.identity, e.version

-- name: bulk_run_next
SELECT r.run_id
FROM run r
JOIN plan p ON p.run_id = r.run_id
WHERE r.run_id > $1 AND p.state <> 'building' AND r.as_of_day BETWEEN $2 AND $3
ORDER BY r.run_id
LIMIT 1

-- States as the view decision_now has them.
-- name: bulk_decisions
SELECT d.customer_key, d.customer_id, d.run_id, r.as_of_day, d.treatment, d.channel, d.offer, d.content, d.language,
    d.arm, d.withheld, d.ghost,
    CASE
        WHEN d.state > 1 THEN d.state
        WHEN p.state = 'recalled' THEN 15
        WHEN p.state IN ('released', 'closed') THEN 1
        ELSE d.state
    END,
    d.value, d.sd, d.price, d.churn, d.selection_probability, d.cost_micro, d.incentive_micro, d.earliest_at,
    d.latest_at, d.horizon, e.file
FROM run r
JOIN plan p ON p.run_id = r.run_id
JOIN decision d ON d.run_id = r.run_id
LEFT JOIN plan_export e ON e.export = d.export
WHERE r.run_id = $1 AND d.customer_key > $2 AND p.state <> 'building' AND r.as_of_day BETWEEN $3 AND $4
ORDER BY d.customer_key

-- name: bulk_audit
SELECT audit_id, at, who, action, object, why, before, after
FROM audit
WHERE audit_id > $1 AND at >= $2 AND at < $3
ORDER BY audit_id
