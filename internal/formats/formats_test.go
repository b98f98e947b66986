package formats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// example has a value and a nil in a column of each kind, names that need quotes, and molecules
// with two, no and one conformers.
var example = Export{
	Columns: []Column{{"mol_id", Text, ""}, {"n, \"x\"\ny", Integer, ""},
		{"hof", Number, "kcal/mol"},
		{"x", Number, ""}, {"at", Time, ""}},
	Conformers: []Column{{"rank", Integer, ""}, {"gap", Number, "eV"}},
	Rows:       3,
	Row: func(i int) (values []any, conformers [][]any, err error) {
		switch i {
		case 0:
			at := time.Date(2026, 11, 1, 13, 0, 0, 5001e3, time.FixedZone("", 3600))
			return []any{"a", int64(-1 << 60), -57.85852, 0.1, at},
				[][]any{{int64(1), 10.5}, {int64(2), nil}}, nil
		case 1:
			return []any{"b", nil, nil, nil, nil}, nil, nil
		}
		return []any{"", int64(0), 0.0, 0.0, time.Unix(0, 0)}, [][]any{{int64(1), 0.0}}, nil
	},
}

func write(t testing.TB, x Export) (parquet, sqlite string) {
	t.Helper()
	dir := t.TempDir()
	parquet, sqlite = filepath.Join(dir, "t.parquet"), filepath.Join(dir, "t.db")
	for path, write := range map[string]func(io.Writer) error{
		parquet: func(w io.Writer) error { return WriteParquet(w, x) },
		sqlite:  func(w io.Writer) error { return WriteSQLite(context.Background(), w, x) },
	} {
		var out bytes.Buffer
		if err := errors.Join(write(&out), os.WriteFile(path, out.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return parquet, sqlite
}

// duckDB returns a function that runs a query of DuckDB and returns its rows as JSON.
func duckDB(t *testing.T) func(query string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "duckdb")
	build := exec.Command("go", "build", "-C", "testdata/duckdb", "-o", path, ".")
	build.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("DuckDB can't be built: %v\n%s", err, out)
	}
	return func(query string) string {
		out, err := exec.Command(path, query).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		return strings.TrimSpace(string(out))
	}
}

func TestParquetByDuckDB(t *testing.T) {
	path, _ := write(t, example)
	many := example
	many.Rows, many.Conformers = rowGroup+2, nil
	many.Row = func(i int) ([]any, [][]any, error) {
		return []any{fmt.Sprintf("m%d", i), int64(i), float64(i), nil, nil}, nil, nil
	}
	large, _ := write(t, many)
	query := duckDB(t)
	for _, test := range []struct{ query, want string }{
		{"SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM %s)", `{"name":"mol_id","type":"VARCHAR"}
{"name":"n, \"x\"\ny","type":"BIGINT"}
{"name":"hof","type":"DOUBLE"}
{"name":"x","type":"DOUBLE"}
{"name":"at","type":"TIMESTAMP WITH TIME ZONE"}
{"name":"conformers","type":"STRUCT(rank BIGINT, gap DOUBLE)[]"}`},
		{"SELECT mol_id, COLUMNS(c -> c LIKE 'n,%%') AS n, hof, epoch_us(\"at\") AS us, " +
			"conformers FROM %s",
			`{"mol_id":"a","n":-1152921504606846976,"hof":-57.85852,"us":1793534400005001,"conformers":[{"rank":1,"gap":10.5},{"rank":2,"gap":null}]}
{"mol_id":"b","n":null,"hof":null,"us":null,"conformers":[]}
{"mol_id":"","n":0,"hof":0.0,"us":0,"conformers":[{"rank":1,"gap":0.0}]}`},
		{"SELECT path_in_schema AS path, key_value_metadata AS unit FROM parquet_metadata(%s) " +
			"WHERE cardinality(key_value_metadata) > 0",
			`{"path":"hof","unit":{"unit":"kcal/mol"}}
{"path":"conformers, list, element, gap","unit":{"unit":"eV"}}`},
		{"SELECT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata(%s) ORDER " +
			"BY ALL",
			`{"key":"unit.gap","value":"eV"}
{"key":"unit.hof","value":"kcal/mol"}`},
	} {
		if got := query(fmt.Sprintf(test.query, "'"+path+"'")); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.query, got, test.want)
		}
	}
	want := fmt.Sprintf(`{"rows":%d,"sum":%d.0,"groups":2}`, many.Rows, many.Rows*(many.Rows-1)/2)
	got := query(fmt.Sprintf("SELECT count(*) AS rows, sum(hof) AS sum, (SELECT "+
		"max(row_group_id) + 1 FROM parquet_metadata('%s')) AS groups FROM '%[1]s'", large))
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSQLiteColumns(t *testing.T) {
	for n, want := range map[int]bool{2000: true, 2001: false} {
		err := WriteSQLite(t.Context(), io.Discard, Export{Columns: numbered(n)})
		if (err == nil) != want || !want && !strings.Contains(err.Error(), "take -format=parquet") {
			t.Errorf("%d columns: %v", n, err)
		}
	}
}

// numbered are so many columns of texts.
func numbered(n int) (columns []Column) {
	for k := range n {
		columns = append(columns, Column{Name: fmt.Sprint("c", k)})
	}
	return columns
}

func TestSQLite(t *testing.T) {
	_, path := write(t, example)
	out, err := exec.Command("/usr/bin/python3", "-c", `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(*db.execute("SELECT * FROM molecules"), *db.execute("SELECT * FROM conformers"), sep="\n")
print(*db.execute("SELECT sql FROM sqlite_master"), *db.execute("PRAGMA integrity_check"), sep="\n")
`, path).CombinedOutput()
	want := `('a', -1152921504606846976, -57.85852, 0.1, '2026-11-01T12:00:00.005001Z')
('b', None, None, None, None)
('', 0, 0.0, 0.0, '1970-01-01T00:00:00Z')
('a', 1, 10.5)
('a', 2, None)
('', 1, 0.0)
('CREATE TABLE molecules (\n  "mol_id" TEXT,\n  "n, ""x""\ny" INTEGER,\n  "hof" REAL, -- kcal/mol\n  "x" REAL,\n  "at" TEXT\n)',)
('CREATE TABLE conformers (\n  "mol_id" TEXT,\n  "rank" INTEGER,\n  "gap" REAL -- eV\n)',)
('ok',)
`
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out, want)
	}
}

// A row that can't be read, or a writer that fails, ends the export with its error.
func TestWriteErrors(t *testing.T) {
	broken := example
	cause := errors.New("no file")
	broken.Row = func(i int) ([]any, [][]any, error) { return nil, nil, cause }
	full := errors.New("the disk is full")
	for name, write := range map[string]func(io.Writer, Export) error{
		"parquet": WriteParquet,
		"sqlite": func(w io.Writer, x Export) error {
			return WriteSQLite(context.Background(), w, x)
		},
	} {
		if err := write(io.Discard, broken); !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
		if err := write(failing{full}, example); !errors.Is(err, full) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }
