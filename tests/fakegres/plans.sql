-- The plans that a person would choose on a large table: by index where few rows are wanted, by bitmap
-- for a few per cent, all of it for half; the inner side of a join by index for few rows, hashed for many.
SET max_parallel_workers_per_gather = 0;
SET jit = off;
-- In the transaction that makes the table a load may be of any size on every store.
BEGIN;
CREATE TABLE large (id int NOT NULL, customer int NOT NULL, state int NOT NULL, amount numeric(10,2) NOT NULL, note text);
INSERT INTO large SELECT i, (i * 7919::bigint) % 20000, i % 100, i / 100.0, 'note ' || i FROM generate_series(1, 1000000) i;
ALTER TABLE large ADD PRIMARY KEY (id);
COMMIT;
CREATE INDEX large_customer ON large (customer);
CREATE INDEX large_state ON large (state, id);
CREATE INDEX large_amount ON large (amount) INCLUDE (customer);
BEGIN;
CREATE TABLE customers (id int, name text NOT NULL);
INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(0, 19999) i;
ALTER TABLE customers ADD PRIMARY KEY (id), ADD UNIQUE (name);
COMMIT;
VACUUM ANALYZE large, customers;
-- One row, or a few.
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE id = 4711;
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE id IN (1, 1000, 100000);
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE id BETWEEN 1000 AND 1100;
EXPLAIN (COSTS OFF) SELECT * FROM customers WHERE name = 'customer 77';
EXPLAIN (COSTS OFF) UPDATE large SET note = 'x' WHERE id = 4711;
EXPLAIN (COSTS OFF) DELETE FROM large WHERE id = 4711;
-- Order and ends.
EXPLAIN (COSTS OFF) SELECT * FROM large ORDER BY id LIMIT 10;
EXPLAIN (COSTS OFF) SELECT * FROM large ORDER BY id DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT max(amount) FROM large;
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE state = 7 ORDER BY id LIMIT 20;
-- The page behind a row.
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE (state, id) > (7, 990007) ORDER BY state, id LIMIT 20;
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE (state, id) < (7, 990007) ORDER BY state DESC, id DESC LIMIT 20;
-- The index has all that is asked for.
EXPLAIN (COSTS OFF) SELECT customer, amount FROM large WHERE amount BETWEEN 100 AND 110;
EXPLAIN (COSTS OFF) SELECT count(*) FROM large WHERE state = 7;
EXPLAIN (COSTS OFF) SELECT state, id FROM large WHERE state = 7 AND id > 990000;
-- A few per cent, scattered; and half of the table.
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE customer < 400;
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE state = 7 OR customer = 12;
EXPLAIN (COSTS OFF) SELECT * FROM large WHERE customer < 10000;
EXPLAIN (COSTS OFF) SELECT sum(amount) FROM large WHERE state < 50 AND note <> '';
EXPLAIN (COSTS OFF) SELECT * FROM large;
-- Joins.
EXPLAIN (COSTS OFF) SELECT * FROM customers c JOIN large l ON l.customer = c.id WHERE c.name = 'customer 77';
EXPLAIN (COSTS OFF) SELECT * FROM large l JOIN customers c ON c.id = l.customer WHERE l.id BETWEEN 1000 AND 1005;
EXPLAIN (COSTS OFF) SELECT c.name, sum(l.amount) FROM large l JOIN customers c ON c.id = l.customer GROUP BY c.name;
EXPLAIN (COSTS OFF) SELECT count(*) FROM customers c WHERE c.id < 5 AND EXISTS (SELECT FROM large l WHERE l.customer = c.id AND l.note = 'x');
-- Prepared, without knowing the value.
SET plan_cache_mode = force_generic_plan;
PREPARE one(int) AS SELECT * FROM large WHERE id = $1;
EXPLAIN (COSTS OFF) EXECUTE one(5);
PREPARE of_customer(int) AS SELECT * FROM large WHERE customer = $1;
EXPLAIN (COSTS OFF) EXECUTE of_customer(5);
