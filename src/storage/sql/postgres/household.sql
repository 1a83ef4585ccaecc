-- Households, as the last whole-base run saw them.

-- name: household_part_get
SELECT body
FROM household_part
WHERE part = $1

-- name: household_part_put
INSERT INTO household_part (part, body)
VALUES ($1, $2)
ON CONFLICT (part) DO UPDATE SET body = excluded.body
