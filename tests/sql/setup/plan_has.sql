-- plan_has(query, text): whether the plan of a query contains a node's name. Plans are not compared
-- between access methods; that a test meets the code it is about is asserted with this.
CREATE FUNCTION plan_has(query text, node text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF strpos(line, node) > 0 THEN RETURN true; END IF;
  END LOOP;
  RETURN false;
END $$;
