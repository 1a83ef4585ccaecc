-- Prices made anew during a day.

-- name: day_price_newest
SELECT made_at, made_by, body
FROM day_price
WHERE as_of_day = ?1 AND run_id = ?2
ORDER BY number DESC
LIMIT 1

-- name: day_price_add
INSERT INTO day_price (as_of_day, number, run_id, made_at, made_by, body)
SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5
FROM day_price
WHERE as_of_day = ?1
