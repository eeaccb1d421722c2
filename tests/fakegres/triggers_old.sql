-- AFTER triggers get OLD and NEW however old the row is and wherever it came from: rows older than
-- the history that is kept, and rows of a table that the same transaction created and filled.
SET fakegres.history_retention = 0;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% % old=% new=%', TG_NAME, TG_OP, OLD, NEW;
  RETURN NULL;
END $$;
CREATE TABLE t (id int, v int, s text);
CREATE TRIGGER a_immediate AFTER UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE CONSTRAINT TRIGGER b_deferred AFTER UPDATE OR DELETE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO t SELECT i, i * 10, repeat('s', i) FROM generate_series(1, 6) i;
-- Other changes and a VACUUM move the end of the history past these rows.
CREATE TABLE other (v int);
INSERT INTO other VALUES (0);
UPDATE other SET v = v + 1;
SELECT pg_sleep(0.01);
UPDATE other SET v = v + 1;
VACUUM other;
VACUUM t;
UPDATE t SET v = v + 1 WHERE id = 1;
DELETE FROM t WHERE id = 2;
BEGIN;
UPDATE t SET v = v + 1 WHERE id = 3;
UPDATE t SET v = v + 1 WHERE id = 3;
DELETE FROM t WHERE id = 3;
DELETE FROM t WHERE id = 4;
UPDATE other SET v = v + 1;
COMMIT;
BEGIN;
UPDATE t SET v = 1000 WHERE id = 5;
SAVEPOINT s;
UPDATE t SET v = 2000 WHERE id = 5;
ROLLBACK TO s;
UPDATE t SET v = 3000 WHERE id = 5;
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;
-- A transaction that began before the history's end.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM t;
UPDATE t SET v = -1 WHERE id = 6;
COMMIT;
SELECT * FROM t ORDER BY id;
-- A table of this transaction.
BEGIN;
CREATE TABLE own (id int, v int);
CREATE TRIGGER a_immediate AFTER UPDATE OR DELETE ON own FOR EACH ROW EXECUTE FUNCTION tell();
CREATE CONSTRAINT TRIGGER b_deferred AFTER UPDATE OR DELETE ON own DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO own VALUES (1, 10), (2, 20), (3, 30);
UPDATE own SET v = v + 1 WHERE id = 1;
UPDATE own SET v = v + 1 WHERE id = 1;
DELETE FROM own WHERE id = 2;
SAVEPOINT s;
DELETE FROM own WHERE id = 3;
ROLLBACK TO s;
INSERT INTO own VALUES (4, 40);
UPDATE own SET id = 5 WHERE id = 4;
COMMIT;
SELECT * FROM own ORDER BY id;
-- One that it emptied or rewrote.
BEGIN;
TRUNCATE own;
INSERT INTO own VALUES (7, 70);
UPDATE own SET v = 71;
ALTER TABLE t ALTER v TYPE bigint;
UPDATE t SET v = v + 1 WHERE id = 1;
DELETE FROM t WHERE id = 5;
COMMIT;
SELECT * FROM own ORDER BY id;
SELECT * FROM t ORDER BY id;
-- Transition tables of old rows.
CREATE FUNCTION count_old() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '%', (SELECT string_agg(o::text, ' ' ORDER BY id) FROM old_rows o);
  RETURN NULL;
END $$;
CREATE TRIGGER c_statement AFTER UPDATE ON t REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_old();
UPDATE other SET v = v + 1;
ALTER TABLE t DISABLE TRIGGER a_immediate;
ALTER TABLE t DISABLE TRIGGER b_deferred;
UPDATE t SET v = 0;
