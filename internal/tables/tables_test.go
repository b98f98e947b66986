package tables

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/tables/pgtest"
)

var server *pgtest.Server

func TestMain(m *testing.M) {
	if place := os.Getenv(victimVariable); place != "" {
		victim(place)
	}
	var err error
	if server, err = pgtest.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	leaseTime, renewEvery = 10*time.Second, 200*time.Millisecond
	code := m.Run()
	server.Remove()
	os.Exit(code)
}

// kinds are the three kinds of tables; each gives a place where there is none yet.
var kinds = map[string]func(t *testing.T) string{
	"csv":    func(t *testing.T) string { return filepath.Join(t.TempDir(), "t.csv") },
	"sqlite": func(t *testing.T) string { return filepath.Join(t.TempDir(), "t ?%.db") },
	"postgres": func(*testing.T) string {
		return server.URL(fmt.Sprintf("thermo_%d", number.Add(1)))
	},
}

var number atomic.Int64

// made is a table of each kind with the same rows.
func made(t *testing.T, kind, text string) (place string) {
	t.Helper()
	place = kinds[kind](t)
	rows, err := csvmerge.Parse("made.csv", []byte(text))
	if err == nil {
		err = Create(place, rows)
	}
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func opened(t *testing.T, place string, write bool) batch.Table {
	t.Helper()
	table, err := Open(place, write)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// content is a table as CSV.
func content(t *testing.T, table *csvmerge.Table) string {
	t.Helper()
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// stored is a table as CSV as it is where it is kept.
func stored(t *testing.T, place string) string {
	t.Helper()
	return content(t, opened(t, place, false).Rows())
}

// as is another program at the table: it runs SQL in a database, where placeholders are $1.
func as(t *testing.T, place, query string, args ...any) {
	t.Helper()
	d, err := find(place)
	if err == nil && !d.shared {
		err = d.openSQLite(false)
	}
	if err == nil {
		defer d.db.Close()
		_, err = d.db.Exec(strings.ReplaceAll(query, "TABLE_", d.table), args...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// edit has another program write a text into a cell.
func edit(t *testing.T, place, id, column, text string) {
	t.Helper()
	if d, _ := find(place); d != nil {
		as(t, place, "UPDATE TABLE_ SET "+quoted(column)+" = $1 WHERE mol_id = $2", text, id)
		return
	}
	rows, err := csvmerge.Read(place)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := rows.Lookup(id)
	rows.SetRecord(i, rows.EditedRecord(i, map[string]string{column: text}))
	past := time.Now().Add(-time.Minute)
	err = errors.Join(os.WriteFile(place, []byte(content(t, rows)), 0o666),
		os.Chtimes(place, past, past))
	if err != nil {
		t.Fatal(err)
	}
}

const head = "mol_id,status,smiles,charge,note,H298_cbs,reruns,batch_id\n"

// odd are tables of CSV of which every byte must come back.
var odd = map[string]string{
	"plain":           head + "a,Pending,C,0,x,-17.545,0,\nb,OK,CC,-1,,,3,b1\n",
	"no rows":         head,
	"no line ending":  head + "a,,C,0,,,,\nb,,C,0,,1.5,,",
	"header alone":    strings.TrimSuffix(head, "\n"),
	"CRLF and a mark": "\ufeff" + strings.ReplaceAll(head+"a,,C,,,-1,,\n", "\n", "\r\n"),
	"mixed endings":   head + "a,,C,,,1,,\r\nb,,C,,,2,,\n",
	"blank records":   "\n" + head + "\n,,\na,,C,,,1,,\n\n\nb,,C,,,2,,\n,,,,\n",
	"other spellings": head +
		"a,complete,C,+1,x,1.50,0.0,\n b ,skipped,C , 2 ,x,1e2,1e1,\nc,,C,-0,,-0.0,00,\n",
	"invalid": head +
		"a,?,C,one,x,nan,-,\nb,,C,1.5,x,\"1,5\",NULL,\nc,,,,,Infinity,9e99,\n",
	"quotes": head +
		"\"a\",,\"C\",\"0\",\"x, \"\"y\"\"\n z\",1,,\nb,,C,,\"\r\n\",\"\",,\n",
	"long and short": head + "a,,C\nb,,C,0,,1,0,,,\"\"\nc,,C,0,,1,,,\n",
	"foreign columns": "mol_id,,status,smiles,Code,code,n,note,mol_id_2,row_number\n" +
		"a,1,,C,007,1,1.5,x,p,q\nb,2,,C,008,,-2,,r,s\n",
	"large numbers": "mol_id,status,smiles,charge,key,x\n" +
		"a,,C,9223372036854775807,12345678901234567,1\nb,,C,99999999999999999999,1,0.1\n",
	"names that change": "mol_id,status,smiles,Charge,charge," + strings.Repeat("ü",
		60) + ",\"a \"\"b\"\"\nc\"\na,,C,1,2,x,y\n",
}

func TestRoundTrip(t *testing.T) {
	for name, text := range odd {
		for kind := range kinds {
			t.Run(kind+" "+name, func(t *testing.T) {
				place := made(t, kind, text)
				if got := stored(t, place); got != text {
					t.Errorf("became\n%q\nfrom\n%q", got, text)
				}
				// To PostgreSQL and back once more.
				other := made(t, "postgres", stored(t, place))
				if got := stored(t, other); got != text {
					t.Errorf("became by way of PostgreSQL\n%q\nfrom\n%q", got, text)
				}
				columns, err := Header(place)
				want, _ := csvmerge.Parse("", []byte(text))
				if err != nil || strings.Join(columns, "|") != strings.Join(want.Columns(), "|") {
					t.Errorf("the header is %q, %v", columns, err)
				}
			})
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	refused := map[string]*csvmerge.Table{}
	for want, text := range map[string]string{
		"t.csv:3: a: mol_id \"a\": the mol_id is on line 2": "a,,C\na,,C\n",
		"t.csv:2: a/b: mol_id":                              "a/b,,C\n", "t.csv:2: a: the row " +
			"has 4 cells": "a,,C,more\n"} {
		refused[want], _ = csvmerge.Parse("t.csv", []byte("mol_id,status,smiles\n"+text))
	}
	wide := csvmerge.Known()
	for n := range 1999 - len(wide) {
		wide = append(wide, fmt.Sprint("c", n))
	}
	wideRows, _ := csvmerge.Parse("t.csv", []byte(strings.Join(wide, ",")+"\n"))
	refused["1999 columns, and a table of the database has at most"] = wideRows
	for kind := range kinds {
		place := made(t, kind, head)
		rows, _ := csvmerge.Parse("t.csv", []byte(head+"a,,C,,,,,\n"))
		if err := Create(place, rows); err == nil || !strings.Contains(err.Error(),
			"there already, and nothing was written") {
			t.Errorf("%s: written over: %v", kind, err)
		}
		if got := stored(t, place); got != head {
			t.Errorf("%s: became %q", kind, got)
		}
		for want, rows := range refused {
			place = kinds[kind](t)
			err := Create(place, rows)
			if kind != "csv" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v; want %s", kind, err, want)
			}
			if _, err := Open(place, false); kind != "csv" && err == nil {
				t.Errorf("%s: half a table is there", kind)
			}
		}
	}
}

// TestMerge merges the same changes into all kinds. They must say the same then.
func TestMerge(t *testing.T) {
	type m = map[string]string
	changes := []csvmerge.Change{
		{ID: "a", Cells: m{"status": "OK", "reruns": "", "batch_id": "b2",
			"note": "x, \"y\"\r\nz"}},
		{ID: "b", Cells: m{"status": "Rerun", "reruns": "2"}},
		{ID: "c", Cells: m{"status": "OK"}, Valid: func(int) bool { return false }},
		{ID: "gone", Cells: m{"status": "OK"}},
	}
	wider := append(changes, csvmerge.Change{ID: "c", Cells: m{"delta_1": "0.5", "homo": "-9.5",
		"word": "w"}})
	for name, text := range odd {
		rows, _ := csvmerge.Parse("t.csv", []byte(text))
		known := func(c csvmerge.Change) bool {
			_, ok := rows.Lookup(c.ID)
			return ok || c.ID == "gone"
		}
		for width, list := range map[string][]csvmerge.Change{"": changes, " wider": wider} {
			want, wantChanged := "", ""
			for _, kind := range []string{"csv", "sqlite", "postgres"} {
				t.Run(kind+" "+name+width, func(t *testing.T) {
					place := made(t, kind, text)
					table := opened(t, place, true)
					var part []csvmerge.Change
					for _, c := range list {
						if known(c) {
							part = append(part, c)
						}
					}
					changed, err := table.Merge(part)
					if _, ok := errors.AsType[*csvmerge.LostError](err); !ok {
						t.Fatalf("the row that is gone: %v", err)
					}
					again, err := table.Merge(part)
					if _, ok := errors.AsType[*csvmerge.LostError](err); !ok || len(again) > 0 {
						t.Errorf("merged again: %v, %v", again, err)
					}
					got := stored(t, place)
					if inMemory := cells(table.Rows()); inMemory != cells(opened(t, place,
						false).Rows()) {
						t.Errorf("in memory\n%s\nstored\n%s", inMemory, got)
					}
					if kind == "csv" {
						want, wantChanged = got, fmt.Sprint(changed)
						return
					}
					if width != "" { // blank cells beyond the header become cells of new columns
						got, want = commas.ReplaceAllString(got, ""),
							commas.ReplaceAllString(want, "")
					}
					if got != want || fmt.Sprint(changed) != wantChanged {
						t.Errorf("is\n%q %v\nwant\n%q %v", got, changed, want, wantChanged)
					}
				})
			}
		}
	}
}

var commas = regexp.MustCompile(`(?m)[,"]*$`)

// cells are all the cells of a table.
func cells(t *csvmerge.Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q\n", t.Columns())
	for i := range t.Len() {
		for _, c := range t.Row(i) {
			fmt.Fprintf(&b, "%q ", c.Text)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// TestEdits has another program edit the table while a batch has it, also rows that it has claimed.
func TestEdits(t *testing.T) {
	for _, name := range []string{"csv", "sqlite", "postgres", "postgres claimed"} {
		t.Run(name, func(t *testing.T) {
			kind, _, claimed := strings.Cut(name, " ")
			place := made(t, kind, head+"a,,C,0,x,1.50,,\nb,,CC,0,y,2,,\n")
			table := opened(t, place, true)
			looks := "C CCC "
			if claimed {
				claims(t, table, 2, []string{"a", "b"}, "a b of 2")
				looks = "C CC C CCC " // as they were claimed, and as they are
			}
			edit(t, place, "a", "note", "mine")
			edit(t, place, "b", "smiles", "CCC")
			seen := ""
			valid := func(i int) bool {
				seen += table.Rows().Texts(i, "smiles")[0] + " "
				return table.Rows().ID(i) == "a"
			}
			ok := map[string]string{"status": "OK", "delta_1": "3.25"}
			changed, err := table.Merge([]csvmerge.Change{{ID: "a", Cells: ok, Valid: valid},
				{ID: "b", Cells: ok, Valid: valid}})
			if err != nil || len(changed) != 1 || seen != looks {
				t.Fatal(changed, err, seen)
			}
			got := cells(opened(t, place, false).Rows())
			for _, want := range []string{`"a" "OK" "C" "0" "mine" "1.50"`,
				`"b" "" "CCC" "0" "y" "2"`, `"3.25"`} {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			edit(t, place, "b", "status", "Skip")
			if ours, asked, err := table.Claim(2, []string{"b", "a"}); err != nil || asked != 2 ||
				len(ours) == 0 ||
				// a file is read when it is written
				kind != "csv" && table.Rows().Status(1) != csvmerge.Skip {
				t.Error(ours, asked, err)
			}
		})
	}
}

// TestStructure has another program change columns and rows of a database.
func TestStructure(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			place := made(t, kind, head+"a,,C,0,x,1.50,,\r\nb,,CC,0,y,2,,\n")
			table := opened(t, place, true)
			as(t, place, `ALTER TABLE TABLE_ ADD COLUMN flag text`)
			as(t, place, `UPDATE TABLE_ SET flag = 'f' WHERE mol_id = 'a'`)
			as(t, place, `INSERT INTO TABLE_ (mol_id, smiles, row_number) VALUES ('new', 'N', 9)`)
			ok := map[string]string{"status": "OK", "word": "w"}
			if _, err := table.Merge([]csvmerge.Change{{ID: "a", Cells: ok}}); err != nil {
				t.Fatal(err)
			}
			as(t, place, `DELETE FROM TABLE_ WHERE mol_id = 'b'`)
			_, err := table.Merge([]csvmerge.Change{{ID: "a", Cells: ok}, {ID: "b", Cells: ok}})
			if _, lost := errors.AsType[*csvmerge.LostError](err); !lost {
				t.Errorf("merged into a row that is gone: %v", err)
			}
			want := head[:len(head)-1] + ",word,flag\n" + "a,OK,C,0,x,1.50,,,w,f\r\nnew,,N,,,,,,,\n"
			if got := stored(t, place); got != want {
				t.Errorf("is\n%q\nwant\n%q", got, want)
			}
			again := opened(t, place, true)
			if _, err := again.Merge([]csvmerge.Change{{ID: "new",
				Cells: map[string]string{"more": "m"}}}); err != nil {
				t.Fatal(err)
			}
			if got := stored(t, place); !strings.HasSuffix(got, "\nnew,,N,,,,,,,,m\n") {
				t.Errorf("is %q", got)
			}
			if _, err := table.Merge([]csvmerge.Change{{ID: "a",
				Cells: map[string]string{"more": "z"}}}); err != nil {
				t.Fatal(err)
			}
			if got := stored(t, place); !strings.Contains(got, "\na,OK,C,0,x,1.50,,,w,f,z\r\n") {
				t.Errorf("is %q", got)
			}
			as(t, place, `ALTER TABLE TABLE_ DROP COLUMN note`)
			if _, err := Open(place, false); err == nil || !strings.Contains(err.Error(),
				`no column "note" any more`) {
				t.Error(err)
			}
			if kind == "postgres" { // dropped, and made again under its name
				as(t, place, `DROP TABLE TABLE_`)
				rows, _ := csvmerge.Parse("", []byte(head))
				if err := Create(place, rows); err != nil || stored(t, place) != head {
					t.Error(err)
				}
			}
		})
	}
}

// TestSQL looks at what a person who writes SQL gets.
func TestSQL(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			place := made(t, kind, "mol_id,status,smiles,charge,H298_cbs,own,code\n"+
				"a,OK,C,0,1.50,1,007\nb,OK,C,x,,,1\nc,,C,,n/a,2.5,2\nd,,C,,0,,\n")
			d, _ := find(place)
			if err := d.open(false); err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for query, want := range map[string]string{
				`SELECT count(*) FROM TABLE_ WHERE status = 'OK'`:  "2",
				`SELECT count(*) FROM TABLE_ WHERE status IS NULL`: "2",
				`SELECT sum("H298_cbs") FROM TABLE_`:               "1.5",
				// zero is a number
				`SELECT count("H298_cbs") FROM TABLE_`:             "2",
				`SELECT count(*) FROM TABLE_ WHERE charge IS NULL`: "3",
				`SELECT sum(own) FROM TABLE_`:                      "3.5",
				`SELECT code FROM TABLE_ WHERE mol_id = 'a'`:       "007",
				// d alone is plain
				`SELECT count(*) FROM TABLE_ WHERE csv_text IS NULL`:                  "1",
				`SELECT mol_id FROM TABLE_ ORDER BY row_number DESC LIMIT 1`:          "d",
				`SELECT version FROM grimperium_tables WHERE name = '` + d.name + `'`: "1",
			} {
				var got sql.NullString
				if err := d.db.QueryRow(strings.ReplaceAll(query, "TABLE_",
					d.table)).Scan(&got); err != nil || got.String != want {
					t.Errorf("%s: %q, %v; want %s", query, got.String, err, want)
				}
			}
		})
	}
}

// TestComments looks for what a person reads who looks at the columns, also at those of a batch.
func TestComments(t *testing.T) {
	queries := map[string]string{"sqlite": `SELECT sql FROM sqlite_master WHERE name = 'molecules'`,
		"postgres": `SELECT string_agg(col_description('TABLE_'::regclass, ordinal_position), ', ') ` +
			`FROM information_schema.columns WHERE table_name = trim('TABLE_', '"')`}
	for kind, query := range queries {
		place := made(t, kind, head+"a,,C,,,,,\n")
		cells := map[string]string{"delta_1": "1.5"}
		if _, err := opened(t, place, true).Merge([]csvmerge.Change{
			{ID: "a", Cells: cells}}); err != nil {
			t.Fatal(err)
		}
		d, _ := find(place)
		if err := d.open(false); err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var got string
		err := d.db.QueryRow(strings.ReplaceAll(query, "TABLE_", d.table)).Scan(&got)
		for _, want := range []string{comments["H298_cbs"], comments["delta_1"],
			comments[textColumn]} {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %q, %v", kind, want, got, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	db, err := sql.Open("sqlite", other)
	if err == nil {
		_, err = db.Exec("CREATE TABLE molecules (mol_id TEXT)")
		err = errors.Join(err, db.Close())
	}
	broken := filepath.Join(dir, "broken.db")
	err = errors.Join(err, os.WriteFile(broken, []byte("SQLite format 3\x00"+strings.Repeat("x",
		5000)), 0o666))
	empty, folder := filepath.Join(dir, "empty.sqlite"), filepath.Join(dir, "folder.db")
	err = errors.Join(err, os.WriteFile(empty, nil, 0o666), os.Mkdir(folder, 0o777))
	newer := made(t, "postgres", head)
	as(t, newer, "UPDATE grimperium_tables SET version = 2 WHERE name = $1",
		regexp.MustCompile("thermo_[0-9]+").FindString(newer))
	torn := made(t, "postgres", head+"a,,C,1.0,,,,\n")
	as(t, torn, "UPDATE TABLE_ SET csv_text = E'a,,C\nb,,C\n'")
	as(t, torn, "CREATE TABLE IF NOT EXISTS by_hand (mol_id text, smiles text)")
	if err != nil {
		t.Fatal(err)
	}
	secret := "postgres://me:geheim@localhost/db?table=t"
	for place, want := range map[string]string{
		filepath.Join(dir, "none.db"): "there is no such table",
		other: "is no table of molecules that mage convert made; write it as CSV and import " +
			"that:\n  sqlite3 -csv -header '" + other + "' 'SELECT * FROM TABLE' > theirs.csv\n",
		server.URL("by_hand"): "is no table of molecules that mage convert made; write it as CSV " +
			"and import that:\n  psql DATABASE -c '\\copy \"by_hand\" TO theirs.csv CSV HEADER'\n",
		broken: "restore the file from a backup",
		empty:  "empty.sqlite: is no SQLite file; restore it",
		folder: "folder.db: is no SQLite file; restore it",
		newer:  "has version 2, and this program reads version 1",
		torn:   "set it to NULL where you changed it",
		server.URL("none"): "there is no table of molecules; make one: mage convert TABLE.csv " +
			"'postgres://",
		server.URL("no.schema"):                   "there is no table of molecules",
		strings.Replace(newer, "thermo", "no", 1): "there is no table of molecules",
		"postgres:///db?host=/nowhere":            "the database does not answer: ",
		"mysql://h/db":                            "the URL of a table is postgres://",
		secret:                                    "PGPASSWORD",
		"postgres://h/db?password=geheim":         "PGPASSWORD",
		"postgres://h:x/db?sslpassword=geheim":    "the URL of a table",
	} {
		for _, write := range []bool{false, true} {
			_, err := Open(place, write)
			if err == nil || !strings.Contains(err.Error(), want) ||
				strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s: %v; want %s", place, err, want)
			}
		}
		if _, err := Header(place); err == nil && place != torn {
			t.Errorf("%s: a header is there", place)
		}
	}
}
