package e2e

import (
	"strings"
)

// witness makes the database itself note, in the transaction that does it, what must never be: whoever looks from time
// to time would miss what was mended in between.
//
//	I1  a node gives weight to a generation that the route of its revision does not
//	I2  a node gives weight to a retired generation
//	I3  a node's revision goes back, in one incarnation or over many
//	I4  a switch counts as applied and a node that is required has not been seen there, in its present run or in one
//	    before, whose state file it came up with
const witness = `
	CREATE TABLE witness_receipt (router text, node text, environment text, incarnation text, revision bigint, PRIMARY KEY (router, node, environment));
	CREATE TABLE witness_violation (at timestamptz NOT NULL DEFAULT clock_timestamp(), what text NOT NULL);

	CREATE FUNCTION witness_receipt() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE before witness_receipt; want jsonb;
	BEGIN
		SELECT * INTO before FROM witness_receipt w
			WHERE w.router = NEW.router AND w.node = NEW.node AND w.environment = NEW.environment;
		IF before.revision > NEW.revision THEN
			INSERT INTO witness_violation (what) VALUES (format('I3: node %s of %s goes from revision %s (%s) back to %s (%s)',
				NEW.node, NEW.environment, before.revision, before.incarnation, NEW.revision, NEW.incarnation));
		END IF;
		INSERT INTO witness_receipt VALUES (NEW.router, NEW.node, NEW.environment, NEW.incarnation, NEW.revision)
			ON CONFLICT (router, node, environment) DO UPDATE SET incarnation = excluded.incarnation, revision = excluded.revision;
		SELECT weights INTO want FROM switch s WHERE s.environment = NEW.environment AND s.revision = NEW.revision;
		INSERT INTO witness_violation (what)
			SELECT format('I1: node %s of %s gives %s to generation %s at revision %s, which gives %s', NEW.node, NEW.environment,
				w.value, w.key, NEW.revision, coalesce(want ->> w.key, 'nothing'))
			FROM jsonb_each_text(NEW.weights) w WHERE w.value <> coalesce(want ->> w.key, '0');
		INSERT INTO witness_violation (what)
			SELECT format('I2: node %s of %s gives weight to the retired generation %s', NEW.node, NEW.environment, g.number)
			FROM generation g WHERE g.environment = NEW.environment AND g.state = 'retired' AND coalesce(NEW.weights ->> g.number::text, '0') <> '0';
		RETURN NULL;
	END $$;
	CREATE TRIGGER witness AFTER INSERT OR UPDATE ON receipt FOR EACH ROW EXECUTE FUNCTION witness_receipt();

	CREATE FUNCTION witness_switch() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO witness_violation (what)
			SELECT format('I4: switch %s of %s counts as applied, node %s (%s) was seen at %s', NEW.revision, NEW.environment, n.name, n.incarnation,
				(SELECT max(r.revision) FROM receipt r WHERE r.environment = NEW.environment AND r.router = n.router AND r.node = n.name))
			FROM node n WHERE NOT n.removed AND NOT NEW.degraded AND NOT EXISTS (
				SELECT FROM receipt r WHERE r.environment = NEW.environment AND r.router = n.router AND r.node = n.name
					AND r.revision >= NEW.revision);
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER witness AFTER UPDATE ON switch DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
		WHEN (OLD.status <> 'applied' AND NEW.status = 'applied') EXECUTE FUNCTION witness_switch();`

// testify has the lab's database note violations from now on. Its schema must be there.
func (l *lab) testify() {
	l.Helper()
	l.sql(witness)
}

// testimony lists what must not be, as the database has noted it or says it now. It may be asked at any time.
func (l *lab) testimony() ([]string, error) {
	return l.tryText(`
		SELECT what FROM witness_violation
		UNION ALL SELECT format('I8: %s has %s switches and revision %s', e.name, count(s.*), e.revision)
			FROM environment e LEFT JOIN switch s ON s.environment = e.name GROUP BY e.name, e.revision HAVING count(s.*) <> e.revision OR max(s.revision) <> e.revision
		UNION ALL SELECT format('I8: switch %s of %s has %s events of its commit', s.revision, s.environment, count(v.*))
			FROM switch s LEFT JOIN event v ON v.environment = s.environment AND v.revision = s.revision AND v.kind = 'switch.committed'
			GROUP BY s.environment, s.revision HAVING count(v.*) <> 1
		UNION ALL SELECT format('I8: switch %s of %s is %s and has %s events of that', s.revision, s.environment, s.status, count(v.*))
			FROM switch s LEFT JOIN event v ON v.environment = s.environment AND v.revision = s.revision AND v.kind = 'switch.' || s.status
			WHERE s.status <> 'committed' GROUP BY s.environment, s.revision, s.status HAVING count(v.*) <> 1
		UNION ALL SELECT format('I8: %s switches of %s are under way at once', count(*), environment)
			FROM switch WHERE status = 'committed' GROUP BY environment HAVING count(*) > 1
		UNION ALL SELECT format('%s of %s is at revision %s, the route at %s', r.node, r.environment, r.revision, e.revision)
			FROM receipt r JOIN environment e ON e.name = r.environment WHERE r.revision > e.revision
		UNION ALL SELECT format('the route of %s gives weight to generation %s, which is %s', e.name, g.number, g.state)
			FROM environment e JOIN generation g ON g.environment = e.name
			WHERE coalesce(e.weights ->> g.number::text, '0') <> '0' AND g.state NOT IN ('live', 'standby', 'shifting')
		UNION ALL SELECT format('a switch of the kind %s that nobody asked for: %s of %s', kind, revision, environment)
			FROM switch WHERE kind IN ('heal', 'recover')`)
}

// sworn fails the test with whatever must not be.
func (l *lab) sworn(seed uint64) {
	l.Helper()
	seen, err := l.testimony()
	if err != nil {
		l.Fatal(err)
	}
	if len(seen) > 0 {
		l.Errorf("seed %d: %d violations:\n%s", seed, len(seen), strings.Join(seen[:min(20, len(seen))], "\n"))
	}
}
