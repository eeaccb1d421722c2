-- What `make run` shows: ordinary SQL on tables whose rows are in a key-value store.
\set QUIET on
\timing off
\echo
\echo '— What there is (fakegres.tables)'
SELECT name, rows, pg_size_pretty(bytes) AS size, store FROM fakegres.tables ORDER BY name;

\echo '— Aggregates and a join: what the cities buy'
SELECT city, count(DISTINCT c.id) AS customers, count(*) AS orders, sum(amount) AS revenue, round(avg(amount), 2) AS average
FROM customers c JOIN orders o ON o.customer = c.id
WHERE status <> 'returned'
GROUP BY city ORDER BY revenue DESC LIMIT 5;

\echo '— Windows: each month against the one before'
SELECT to_char(month, 'Mon') AS month, revenue, round(100 * (revenue / lag(revenue) OVER (ORDER BY month) - 1), 1) AS "change %"
FROM (SELECT date_trunc('month', placed) AS month, sum(amount) AS revenue FROM orders GROUP BY 1) m
ORDER BY m.month LIMIT 6;

\echo '— The warmest hour of the day, over all sensors'
SELECT extract(hour FROM at AT TIME ZONE 'UTC')::int AS hour, round(avg(celsius)::numeric, 2) AS celsius, min(battery) AS battery
FROM measurements GROUP BY 1 ORDER BY celsius DESC LIMIT 3;

\echo '— A transaction: refunds, a mistake that a savepoint takes back, and what comes of it'
SELECT now() AS before_the_change \gset
SELECT count(*) FILTER (WHERE status = 'returned') AS returned, sum(amount) AS total FROM orders;
BEGIN;
UPDATE orders SET amount = 0, status = 'refunded' WHERE status = 'returned'
  AND amount > (SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY amount) FROM orders WHERE status = 'returned');
SAVEPOINT careful;
DELETE FROM orders WHERE status = 'delivered';
SELECT count(*) AS "left after the mistake" FROM orders;
ROLLBACK TO careful;
DELETE FROM orders WHERE status = 'open' AND placed < (SELECT min(placed) + interval '10 days' FROM orders WHERE status = 'open');
COMMIT;
SELECT count(*) FILTER (WHERE status = 'returned') AS returned, count(*) FILTER (WHERE status = 'refunded') AS refunded, sum(amount) AS total FROM orders;

\echo '— The table as it was before that (SET fakegres.as_of)'
SET fakegres.as_of = :'before_the_change';
SELECT count(*) FILTER (WHERE status = 'returned') AS returned, count(*) FILTER (WHERE status = 'refunded') AS refunded, sum(amount) AS total FROM orders;
RESET fakegres.as_of;

\echo '— EXPLAIN ANALYZE'
EXPLAIN (ANALYZE, COSTS off, SUMMARY off) SELECT status, count(*) FROM orders WHERE amount > 100 GROUP BY status;

\echo '— The store (fakegres.status())'
\x on
SELECT * FROM fakegres.status();
\x off
