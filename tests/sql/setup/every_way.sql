-- every_way(query): the rows of a query, in its order, by every way that a plan can read a table: all
-- of it, by index, by an index alone, by bitmap. One answer if all say the same; otherwise each its own.
CREATE FUNCTION every_way(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  ways text[] := ARRAY['seqscan', 'indexscan', 'indexonlyscan', 'bitmapscan'];
  way text; other text; answer text; answers text[];
BEGIN
  FOREACH way IN ARRAY ways LOOP
    FOREACH other IN ARRAY ways LOOP
      PERFORM set_config('enable_' || other, CASE WHEN other = way OR (way = 'indexonlyscan' AND other = 'indexscan') THEN 'on' ELSE 'off' END, true);
    END LOOP;
    EXECUTE 'SELECT coalesce(string_agg(x::text, '' ''), ''nothing'') FROM (' || query || ') x' INTO answer;
    IF length(answer) > 300 THEN answer := length(answer) || ' bytes, ' || md5(answer); END IF;
    answers := answers || answer;
  END LOOP;
  FOREACH other IN ARRAY ways LOOP PERFORM set_config('enable_' || other, 'on', true); END LOOP;
  IF (SELECT count(DISTINCT a) FROM unnest(answers) a) = 1 THEN
    RETURN NEXT answers[1];
  ELSE
    FOR i IN 1 .. 4 LOOP RETURN NEXT ways[i] || ': ' || answers[i]; END LOOP;
  END IF;
END $$;
