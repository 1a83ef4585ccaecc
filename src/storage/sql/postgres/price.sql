-- Prices made anew during a day.

-- name: day_price_newest
SELECT made_at, made_by, body
FROM day_price
WHERE as_of_day = $1 AND run_id = $2
ORDER BY number DESC
LIMIT 1

-- name: day_price_add
INSERT INTO day_price (as_of_day, number, run_id, made_at, made_by, body)
SELECT CAST($1 AS BIGINT), coalesce(max(number), 0) + 1, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT),
    CAST($5 AS TEXT)
FROM day_price
WHERE as_of_day = $1
