-- Foreign keys to a heap table with a primary key (constraints.sql has the other ways round):
-- what is checked when, after a row was changed again before its check.
\set VERBOSITY terse
CREATE TABLE pk (id int PRIMARY KEY) USING heap;
INSERT INTO pk SELECT generate_series(1, 5);
CREATE TABLE fk (a int REFERENCES pk DEFERRABLE INITIALLY DEFERRED, b int);
INSERT INTO fk VALUES (1, 0), (2, 0), (NULL, 0);
-- The insert's check is not lost because the row was updated, and the update of another column needs one.
BEGIN;
INSERT INTO fk VALUES (999, 0);
UPDATE fk SET b = 1;
COMMIT;
SELECT * FROM fk ORDER BY a;
BEGIN;
INSERT INTO fk VALUES (999, 0);
UPDATE fk SET b = 1 WHERE a = 999;
UPDATE fk SET b = 2 WHERE a = 999;
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO fk VALUES (999, 0);
SAVEPOINT s;
UPDATE fk SET b = 1 WHERE a = 999;
ROLLBACK TO s;
COMMIT;
BEGIN;
INSERT INTO fk VALUES (999, 0);
SAVEPOINT s;
UPDATE fk SET b = 1 WHERE a = 999;
RELEASE s;
UPDATE fk SET b = 2 WHERE a = 999;
COMMIT;
-- What is put right before the commit is right.
BEGIN;
INSERT INTO fk VALUES (999, 0);
UPDATE fk SET b = 1 WHERE a = 999;
UPDATE fk SET a = 3 WHERE a = 999;
COMMIT;
BEGIN;
INSERT INTO fk VALUES (998, 0);
UPDATE fk SET b = 1 WHERE a = 998;
DELETE FROM fk WHERE a = 998;
COMMIT;
BEGIN;
INSERT INTO fk VALUES (6, 0);
UPDATE fk SET b = 1 WHERE a = 6;
INSERT INTO pk VALUES (6);
COMMIT;
-- A committed row that is made wrong, then changed in another column.
BEGIN;
UPDATE fk SET a = 997 WHERE a = 1;
UPDATE fk SET b = 5 WHERE a = 997;
COMMIT;
BEGIN;
DELETE FROM pk WHERE id = 2;
UPDATE fk SET b = 6 WHERE a = 2;
COMMIT;
SELECT * FROM fk ORDER BY a;
-- The table that the transaction created.
BEGIN;
CREATE TABLE own (a int REFERENCES pk DEFERRABLE INITIALLY DEFERRED, b int);
INSERT INTO own VALUES (999, 0), (1, 0);
UPDATE own SET b = 1;
COMMIT;
BEGIN;
CREATE TABLE own (a int REFERENCES pk DEFERRABLE INITIALLY DEFERRED, b int);
INSERT INTO own VALUES (4, 0), (1, 0);
UPDATE own SET b = 1;
COMMIT;
SELECT * FROM own ORDER BY a;
-- Not deferred: one statement that inserts, and a trigger that updates what it inserted.
CREATE TABLE now (a int REFERENCES pk, b int);
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE now SET b = b + 1 WHERE a = NEW.a; RETURN NULL; END $$;
CREATE TRIGGER "Again, before the check" AFTER INSERT ON now FOR EACH ROW EXECUTE FUNCTION again();
INSERT INTO now VALUES (996, 0);
INSERT INTO now VALUES (5, 0);
SELECT * FROM now ORDER BY a;
-- Actions of the referenced table on rows older than the transaction.
CREATE TABLE cascades (a int REFERENCES pk ON DELETE CASCADE ON UPDATE CASCADE, b int);
INSERT INTO cascades SELECT i, 0 FROM generate_series(1, 5) i;
DELETE FROM now;
DELETE FROM pk WHERE id = 5;
UPDATE pk SET id = 50 WHERE id = 4;
SELECT * FROM cascades ORDER BY a;
SELECT * FROM own ORDER BY a;
SELECT * FROM fk ORDER BY a;
