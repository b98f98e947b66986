package tables

import (
	"strings"
	"testing"

	"grimperium/csvmerge"
)

// TestOtherTypes has another program give the columns of a database other types.
func TestOtherTypes(t *testing.T) {
	sqlite := func(mol_id string) []string {
		return []string{`CREATE TABLE other (row_number INTEGER PRIMARY KEY, ` + mol_id + `,
				status TEXT, smiles TEXT, hof NUMERIC, seen BLOB, csv_text TEXT)`,
			`INSERT INTO other (row_number, mol_id, smiles) SELECT row_number, mol_id, smiles
				FROM TABLE_`,
			`DROP TABLE TABLE_`, `ALTER TABLE other RENAME TO molecules`}
	}
	postgres := func(mol_id string) []string {
		return []string{`ALTER TABLE TABLE_ ALTER mol_id TYPE ` + mol_id + ` USING mol_id::` + mol_id +
			`, ALTER status TYPE varchar(9), ADD hof numeric(9, 2), ADD seen timestamptz`}
	}
	for name, statements := range map[string][]string{
		"sqlite integer": sqlite("mol_id INTEGER UNIQUE"), "sqlite real": sqlite("mol_id REAL"),
		"postgres int": postgres("int"), "postgres bigint": postgres("bigint"),
		"postgres float8": postgres("float8"), "postgres numeric": postgres("numeric"),
		"postgres char": postgres("char(5)"), "postgres varchar": postgres("varchar(9)")} {
		t.Run(name, func(t *testing.T) {
			kind, _, _ := strings.Cut(name, " ")
			place := made(t, kind, "mol_id,status,smiles\n1,,C\n20,,CC\n")
			for _, statement := range statements {
				as(t, place, statement)
			}
			table := opened(t, place, true)
			claims(t, table, 1, []string{"1", "20"}, "1 of 1")
			cells := map[string]string{"status": "OK", "hof": "5.25", "seen": ""}
			changed, err := table.Merge([]csvmerge.Change{{ID: "1", Cells: cells}})
			if err != nil || !changed["1"] {
				t.Fatal(changed, err)
			}
			claims(t, table, 1, []string{"20"}, "20 of 1")
			want := "mol_id,status,smiles,hof,seen\n1,OK,C,5.25,\n20,,CC,,\n"
			if got := stored(t, place); got != want {
				t.Errorf("is %q", got)
			}
		})
	}
}

// TestOwnTypes has a person declare the columns of results. What is merged differs there from what
// is kept. The second merge of the same results changes nothing. The rows in memory are those that
// the database has.
func TestOwnTypes(t *testing.T) {
	results := map[string]string{"numeric(10, 2)": "5.2961", "real": "0.123456789",
		"varchar(9)": "text", "char(9)": "text", "date": "2026-11-01T15:04:05+00:00",
		"timestamptz": "2026-11-01T15:04:05Z", "boolean": "true", "bigint": "7", "int": "7",
		"smallint": "-7", "double precision": "5.2961", "numeric": "5.2961000",
		"decimal": "0.12345678901234567"}
	kept := map[string]string{"numeric(10, 2)": "5.30", "real": "0.12345679",
		"date": "2026-11-01"}
	for _, kind := range []string{"sqlite", "postgres"} {
		for typ, text := range results {
			t.Run(kind+" "+typ, func(t *testing.T) {
				place := made(t, kind, "mol_id,status,smiles,own\na,,C,\nb,,CC,\n")
				as(t, place, `ALTER TABLE TABLE_ DROP COLUMN own`)
				if kind == "postgres" {
					as(t, place, `ALTER TABLE TABLE_ ADD COLUMN own `+typ)
				} else {
					as(t, place, `CREATE TABLE other (row_number INTEGER PRIMARY KEY, mol_id TEXT
						UNIQUE, status TEXT, smiles TEXT, own `+typ+`, csv_text TEXT)`)
					as(t, place, `INSERT INTO other (mol_id, smiles) SELECT mol_id, smiles
						FROM TABLE_`)
					as(t, place, `DROP TABLE TABLE_`)
					as(t, place, `ALTER TABLE other RENAME TO molecules`)
				}
				change := []csvmerge.Change{{ID: "a", Cells: map[string]string{"own": text}}}
				for _, want := range []int{1, 0} {
					table := opened(t, place, true)
					if table.Says(0, "own", text) != (want == 0) {
						t.Errorf("merge %d: says %t", want, want == 1)
					}
					changed, err := table.Merge(change)
					if err != nil || len(changed) != want {
						t.Fatalf("changed %v, %v; want %d", changed, err, want)
					}
					now := table.Rows().Texts(0, "own")[0]
					again := opened(t, place, false).Rows().Texts(0, "own")[0]
					if now != again || kind == "postgres" && kept[typ] != "" && now != kept[typ] {
						t.Errorf("in memory %q, stored %q, want %q", now, again, kept[typ])
					}
				}
			})
		}
	}
}

// TestOwnTypesRefuse has a result that a person's column can't keep.
func TestOwnTypesRefuse(t *testing.T) {
	place := made(t, "postgres", "mol_id,status,smiles\na,,C\n")
	as(t, place, `ALTER TABLE TABLE_ ADD own varchar(3)`)
	_, err := opened(t, place, true).Merge([]csvmerge.Change{{ID: "a",
		Cells: map[string]string{"own": "long"}}})
	if err == nil || !strings.Contains(err.Error(), "value too long for type character varying(3)"+
		" (SQLSTATE 22001); give the column another type, such as text: own (VARCHAR)") {
		t.Error(err)
	}
}

// TestDroppedColumn has another program drop columns during a batch. SQLite takes "smiles" for a
// text, if there is no such column, and a batch would take that for a SMILES.
func TestDroppedColumn(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			place := made(t, kind, "mol_id,status,smiles\na,,C\n")
			table := opened(t, place, true)
			as(t, place, `ALTER TABLE TABLE_ RENAME COLUMN smiles TO formula`)
			_, _, err := table.Claim(1, []string{"a"})
			_, mergeErr := table.Merge([]csvmerge.Change{{ID: "a",
				Cells: map[string]string{"status": "OK"}}})
			for _, err := range []error{err, mergeErr} {
				if err == nil || !strings.Contains(err.Error(), "smiles") {
					t.Errorf("error %v, and the row is %q", err, cells(table.Rows()))
				}
			}
		})
	}
}

// TestRefusals has a database refuse what a batch writes, or what a user may do. Every error names
// the thing and the way out.
func TestRefusals(t *testing.T) {
	change := []csvmerge.Change{{ID: "a", Cells: map[string]string{"status": "OK", "word": "w"}}}
	as(t, server.URL("x"), "CREATE TYPE mood AS ENUM ('OK')")
	t.Cleanup(func() { as(t, server.URL("x"), "DROP TYPE mood CASCADE") })
	as(t, server.URL("x"), `CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN RETURN NULL; END'`)
	for statement, want := range map[string]string{
		"CREATE TRIGGER keep BEFORE UPDATE ON TABLE_ FOR EACH ROW EXECUTE FUNCTION keep()": "" +
			"0 of 1 rows were written; ",
		"ALTER TABLE TABLE_ ADD CHECK (status IS NULL)": "violates check constraint",
		"ALTER TABLE TABLE_ ALTER status TYPE mood USING null": "is of type mood but expression " +
			"is of type text; ",
		"ALTER TABLE TABLE_ ADD word text GENERATED ALWAYS AS ('') STORED": `column "word" can ` +
			"only be updated to DEFAULT; ",
	} {
		place := made(t, "postgres", "mol_id,status,smiles\na,,C\n")
		as(t, place, statement)
		_, err := opened(t, place, true).Merge(change)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), refused) {
			t.Errorf("%s: %v", statement, err)
		}
	}

	place := made(t, "postgres", "mol_id,status,smiles\na,,C\n")
	as(t, place, "CREATE ROLE reader LOGIN")
	t.Cleanup(func() { as(t, place, "DROP OWNED BY reader; DROP ROLE reader") })
	as(t, place, "GRANT SELECT ON TABLE_, grimperium_tables, grimperium_batches TO reader")
	reader := strings.Replace(place, "chemist", "reader", 1)
	if got := stored(t, reader); got != "mol_id,status,smiles\na,,C\n" {
		t.Errorf("a reader has %q", got)
	}
	if _, err := Open(reader, true); err == nil || !strings.Contains(err.Error(),
		"permission denied for table grimperium_batches; the owner of the table gives the rights: GRANT") {
		t.Error(err)
	}
}

// TestInvalidStays has a person give columns other types. What was no number stays in its cell: a
// blank would be a singlet.
func TestInvalidStays(t *testing.T) {
	const text = "mol_id,status,smiles,multiplicity,H298_cbs\na,,[CH2],triplet,\"0,0\"\nb,,CC,3,-0\n"
	for kind, statements := range map[string][]string{
		"postgres": {`ALTER TABLE TABLE_ ALTER multiplicity TYPE smallint, ALTER "H298_cbs" TYPE
			numeric(8, 3)`},
		"sqlite": {`CREATE TABLE other (row_number INTEGER PRIMARY KEY, mol_id TEXT UNIQUE, status
			TEXT, smiles TEXT, multiplicity NUMERIC, H298_cbs NUMERIC, csv_text TEXT)`,
			`INSERT INTO other SELECT row_number, mol_id, status, smiles, multiplicity, H298_cbs,
				csv_text FROM TABLE_`,
			`DROP TABLE TABLE_`, `ALTER TABLE other RENAME TO molecules`}} {
		t.Run(kind, func(t *testing.T) {
			place := made(t, kind, text)
			if got := stored(t, place); got != text {
				t.Errorf("before: %q", got)
			}
			for _, statement := range statements {
				as(t, place, statement)
			}
			want := strings.Replace(text, "-0", "0", 1)
			got := strings.Replace(stored(t, place), "0.000", "0", 1)
			if got != want && got != text {
				t.Errorf("is %q", got)
			}
			as(t, place, `UPDATE TABLE_ SET csv_text = NULL WHERE mol_id = 'a'`)
			if got := stored(t, place); !strings.Contains(got, "a,,[CH2],,\n") {
				t.Errorf("without csv_text: %q", got)
			}
		})
	}
}

// TestBlankInKey has a person insert a mol_id that a batch could not find again.
func TestBlankInKey(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		place := made(t, kind, "mol_id,status,smiles\na,,C\n")
		as(t, place, `INSERT INTO TABLE_ (mol_id, smiles) VALUES ('d ', 'N')`)
		_, err := Open(place, false)
		if err == nil || !strings.Contains(err.Error(), `the mol_id "d " has a blank at its `+
			`beginning or end; UPDATE `) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
