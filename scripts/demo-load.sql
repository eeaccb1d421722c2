-- A small shop and its sensors, drawn from a fixed seed so that every run shows the same.
SELECT setseed(0.42) \g /dev/null
BEGIN;
CREATE TABLE customers (
    id int, name text, city text, segment text, since date, notes jsonb
) USING fakegres;
INSERT INTO customers
SELECT i,
       (ARRAY['Ada','Bo','Chen','Dina','Emil','Fatou','Gita','Hugo','Ines','Jun'])[1 + floor(random() * 10)::int]
         || ' ' || (ARRAY['Okafor','Meyer','Silva','Novak','Tanaka','Haddad','Larsen','Rossi','Kaya','Dubois'])[1 + floor(random() * 10)::int],
       -- Few large cities and many small ones.
       (ARRAY['Berlin','Lagos','São Paulo','Osaka','Oslo','Turin','Lyon','Ulm'])[1 + floor(8 * random() ^ 2.5)::int],
       CASE WHEN random() < 0.08 THEN 'business' WHEN random() < 0.2 THEN 'club' ELSE 'private' END,
       date '2019-01-01' + floor(random() ^ 0.6 * 2000)::int,
       CASE WHEN random() < 0.3 THEN jsonb_build_object('newsletter', random() < 0.5, 'visits', floor(random() * 40)) END
FROM generate_series(1, 10000) i;

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY, customer int, placed timestamptz, amount numeric(10,2), status text
) USING fakegres;
INSERT INTO orders (customer, placed, amount, status)
-- A few customers order most, and most orders are small.
SELECT 1 + floor(10000 * random() ^ 3)::int,
       timestamptz '2024-01-01 00:00+00' + random() * interval '365 days',
       round((4 + 60 * exp(1.1 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())))::numeric, 2),
       CASE WHEN random() < 0.9 THEN 'delivered' WHEN random() < 0.6 THEN 'returned' ELSE 'open' END
FROM generate_series(1, 120000);

CREATE TABLE measurements (
    sensor int, at timestamptz, celsius real, battery smallint
) USING fakegres;
INSERT INTO measurements
SELECT s, timestamptz '2024-06-01 00:00+00' + n * interval '5 minutes',
       18 + 7 * sin(2 * pi() * (n % 288) / 288) + (s % 5) + (random() - 0.5), 100 - n / 45
FROM generate_series(1, 50) s, generate_series(0, 3999) n;
COMMIT;
ANALYZE customers, orders, measurements;
