-- BEFORE, AFTER and INSTEAD triggers with the right OLD and NEW; transition tables; deferred
-- constraint triggers after several updates of one row.
CREATE TABLE t (id int, v int, s text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% % % % old=% new=%', TG_NAME, TG_WHEN, TG_LEVEL, TG_OP, OLD, NEW;
  RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER a_before BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER b_after AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER c_statement AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON t FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER d_column AFTER UPDATE OF s ON t FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER e_when AFTER UPDATE ON t FOR EACH ROW WHEN (OLD.v IS DISTINCT FROM NEW.v AND NEW.v > 10) EXECUTE FUNCTION tell();
INSERT INTO t VALUES (1, 1, 'one'), (2, 2, NULL);
UPDATE t SET v = v * 10 WHERE id = 2;
UPDATE t SET s = 'two' WHERE id = 2;
DELETE FROM t WHERE id = 1;
TRUNCATE t;
-- Several updates of one row in one transaction, each with its own OLD and NEW.
BEGIN;
INSERT INTO t VALUES (3, 1, 'a');
UPDATE t SET v = 2 WHERE id = 3;
UPDATE t SET v = 3 WHERE id = 3;
SAVEPOINT s;
UPDATE t SET v = 99 WHERE id = 3;
ROLLBACK TO s;
UPDATE t SET v = 4 WHERE id = 3;
DELETE FROM t WHERE id = 3;
COMMIT;
DROP TABLE t;
-- Triggers that change, refuse, and write.
CREATE TABLE t (id int, v int, changed int DEFAULT 0);
CREATE TABLE log (n serial, op text, id int, old_v int, new_v int);
CREATE FUNCTION adjust() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN IF OLD.v < 0 THEN RETURN NULL; END IF; RETURN OLD; END IF;
  IF NEW.v = 13 THEN RETURN NULL; END IF;
  NEW.changed := coalesce(NEW.changed, 0) + 1;
  RETURN NEW;
END $$;
CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log (op, id, old_v, new_v) VALUES (TG_OP, coalesce(NEW.id, OLD.id), OLD.v, NEW.v); RETURN NULL; END $$;
CREATE TRIGGER adjust BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION adjust();
CREATE TRIGGER log_it AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION log_it();
INSERT INTO t SELECT i, i FROM generate_series(10, 15) i;
UPDATE t SET v = v + 1 RETURNING *;
UPDATE t SET v = -1 WHERE id = 15;
DELETE FROM t WHERE id > 11 RETURNING id;
SELECT * FROM t ORDER BY id;
SELECT * FROM log ORDER BY n;
-- A BEFORE trigger that changes the row it is called for.
CREATE TABLE self (id int, v int);
INSERT INTO self VALUES (1, 1), (2, 2);
CREATE FUNCTION touch_self() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE self SET v = v + 100 WHERE id = OLD.id; RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER touch BEFORE UPDATE ON self FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION touch_self();
UPDATE self SET v = 5 WHERE id = 1;
CREATE TRIGGER touch_delete BEFORE DELETE ON self FOR EACH ROW EXECUTE FUNCTION touch_self();
DELETE FROM self WHERE id = 2;
SELECT * FROM self ORDER BY id;
-- An AFTER trigger that changes the row again, to a depth.
CREATE TABLE deep (id int, v int);
CREATE FUNCTION deeper() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.v < 5 THEN UPDATE deep SET v = v + 1 WHERE id = NEW.id; END IF; RETURN NULL; END $$;
CREATE TRIGGER deeper AFTER INSERT OR UPDATE ON deep FOR EACH ROW EXECUTE FUNCTION deeper();
INSERT INTO deep VALUES (1, 0), (2, 3);
SELECT * FROM deep ORDER BY id;
-- Transition tables.
CREATE TABLE tt (id int, v int);
CREATE FUNCTION summarize() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE o text; n text;
BEGIN
  IF TG_OP <> 'INSERT' THEN SELECT string_agg(r::text, ' ' ORDER BY id) INTO o FROM old_rows r; END IF;
  IF TG_OP <> 'DELETE' THEN SELECT string_agg(r::text, ' ' ORDER BY id) INTO n FROM new_rows r; END IF;
  RAISE NOTICE '% old: % new: %', TG_OP, o, n;
  RETURN NULL;
END $$;
CREATE TRIGGER i AFTER INSERT ON tt REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION summarize();
CREATE TRIGGER u AFTER UPDATE ON tt REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION summarize();
CREATE TRIGGER d AFTER DELETE ON tt REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION summarize();
INSERT INTO tt VALUES (1, 1), (2, 2), (3, 3);
UPDATE tt SET v = v * 2 WHERE id < 3;
DELETE FROM tt WHERE id = 2;
MERGE INTO tt USING (VALUES (1, 7), (9, 9)) s(id, v) ON tt.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v);
UPDATE tt SET v = 0 WHERE false;
-- Deferred constraint triggers see the versions that queued them, at commit.
CREATE TABLE def (id int, v int, big text);
CREATE CONSTRAINT TRIGGER def AFTER INSERT OR UPDATE OR DELETE ON def DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
BEGIN;
INSERT INTO def VALUES (1, 1, 'x');
UPDATE def SET v = 2;
UPDATE def SET v = 3;
SAVEPOINT s;
UPDATE def SET v = 1000;
ROLLBACK TO s;
UPDATE def SET v = 4;
SELECT v FROM def;
COMMIT;
BEGIN;
UPDATE def SET v = 5;
DELETE FROM def;
INSERT INTO def VALUES (2, 6, 'y');
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE def SET v = 7;
SET CONSTRAINTS ALL DEFERRED;
UPDATE def SET v = 8;
ROLLBACK;
SELECT id, v FROM def;
CREATE FUNCTION positive_sum() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT sum(v) FROM def) < 0 THEN RAISE EXCEPTION 'sum is % after % -> %', (SELECT sum(v) FROM def), OLD.v, NEW.v; END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER positive AFTER UPDATE ON def DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION positive_sum();
BEGIN;
UPDATE def SET v = -5;
UPDATE def SET v = -6;
COMMIT;
BEGIN;
UPDATE def SET v = -5;
UPDATE def SET v = 50;
COMMIT;
SELECT id, v FROM def;
-- Large values in OLD and NEW.
CREATE FUNCTION lengths() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% -> %', length(OLD.big), length(NEW.big); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER lengths AFTER UPDATE ON def DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lengths();
DROP TRIGGER def ON def;
BEGIN;
UPDATE def SET big = repeat('large', 100000);
UPDATE def SET big = repeat('larger', 200000);
UPDATE def SET big = 'small';
COMMIT;
-- INSTEAD OF, on a view.
CREATE VIEW vw AS SELECT id, v AS value FROM def;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% old=% new=%', TG_OP, OLD, NEW;
  IF TG_OP = 'INSERT' THEN INSERT INTO def VALUES (NEW.id, NEW.value); RETURN NEW;
  ELSIF TG_OP = 'UPDATE' THEN UPDATE def SET v = NEW.value WHERE id = OLD.id; RETURN NEW;
  ELSE DELETE FROM def WHERE id = OLD.id; RETURN OLD; END IF;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON vw FOR EACH ROW EXECUTE FUNCTION instead();
INSERT INTO vw VALUES (77, 7) RETURNING *;
UPDATE vw SET value = 8 WHERE id = 77 RETURNING *;
DELETE FROM vw WHERE id = 77 RETURNING *;
-- Enabling and disabling.
ALTER TABLE deep DISABLE TRIGGER ALL;
INSERT INTO deep VALUES (7, 0);
ALTER TABLE deep ENABLE TRIGGER deeper;
INSERT INTO deep VALUES (8, 0);
SELECT * FROM deep WHERE id > 6 ORDER BY id;
