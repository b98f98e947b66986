package csvmerge

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// place writes a table into a fresh folder.
func place(t testing.TB, text string) string {
	path := filepath.Join(t.TempDir(), "t.csv")
	edited(t, path, text)
	return path
}

// edited writes a file as someone else would have done a while ago, so that Merge need not wait.
func edited(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path string) *Table {
	t.Helper()
	table, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func content(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sameAsFile checks that a table in memory is what Read would make of its file.
func sameAsFile(t testing.TB, table *Table, data []byte) {
	t.Helper()
	fresh, err := parse(table.path, slices.Clone(data), math.MaxInt)
	if err != nil {
		t.Fatalf("the written table is not readable: %v\n%q", err, data)
	}
	if got := bytesOf(table); got != string(data) {
		t.Fatalf("in memory %q\non the disk %q", got, data)
	}
	a, b := *table, *fresh
	a.info, a.edits = nil, 0
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("in memory %+v, read again %+v", a, b)
	}
}

// bytesOf returns the file of a table.
func bytesOf(t *Table) string {
	text := slices.Concat(t.top, t.header)
	for _, r := range t.rows {
		text = append(text, r.text...)
	}
	return string(text)
}

const v21 = "timestamp_started,timestamp_completed,crest_status,crest_conformers_generated,crest_time," +
	"mopac_status,mopac_time,delta_1,delta_2,delta_3,most_stable_hof,error_message"

func TestMergeBytes(t *testing.T) {
	type m = map[string]string
	tests := []struct {
		name, before string
		changes      []Change
		after        string // "" = nothing is written
	}{
		{"one cell", head + "a,C,\nb,C,\n", []Change{{ID: "b", Cells: m{"status": "OK"}}}, head +
			"a,C,\nb,C,OK\n"},
		{"no last newline", head + "a,C,", []Change{{ID: "a", Cells: m{"status": "OK"}}}, head +
			"a,C,OK"},
		{"CRLF and BOM", "\ufeffmol_id,smiles,status\r\na,C,\r\nb,C,x\r\n",
			[]Change{{ID: "a", Cells: m{"status": "OK"}}},
			"\ufeffmol_id,smiles,status\r\na,C,OK\r\nb,C,x\r\n"},
		{"mixed line endings", "mol_id,smiles,status\r\na,C,\nb,C,\r\n\r\nc,C",
			[]Change{{ID: "b", Cells: m{"status": "OK"}}, {ID: "c", Cells: m{"status": "Skip"}},
				{ID: "a", Cells: m{"status": "Rerun"}}},
			"mol_id,smiles,status\r\na,C,Rerun\nb,C,OK\r\n\r\nc,C,Skip"},
		{"other cells stay",
			"mol_id,smiles,H298_cbs,status,x\n\"a\",\"C\", 1.50 ,\"\",\"q\"\"\n\"\n",
			[]Change{{ID: "a", Cells: m{"status": "OK"}}},
			"mol_id,smiles,H298_cbs,status,x\n\"a\",\"C\", 1.50 ,OK,\"q\"\"\n\"\n"},
		{"last cell empty", "mol_id,smiles,status,\na,C,,\n",
			[]Change{{ID: "a", Cells: m{"status": "OK"}}},
			"mol_id,smiles,status,\na,C,OK,\n"},
		{"shorter and longer", head + "a,CCCCCC,OK\nb,C,OK\nc,CCC,OK\n",
			[]Change{{ID: "a", Cells: m{"smiles": "C"}}, {ID: "b", Cells: m{"smiles": "CCCCCCCCC"}},
				{ID: "c", Cells: m{"smiles": ""}}},
			head + "a,C,OK\nb,CCCCCCCCC,OK\nc,,OK\n"},
		{"what no table may hold", head + "a,C,\n",
			[]Change{{ID: "a", Cells: m{"smiles": "x\x00\xffy"}}}, head + "a,x??y,\n"},
		{"quoting", head + "a,C,\n", []Change{{ID: "a", Cells: m{"smiles": "x,\"y\"\nz"}}}, head +
			"a,\"x,\"\"y\"\"\nz\",\n"},
		{"quoted cell cleared", head + "a,\"C,C\",\n", []Change{{ID: "a", Cells: m{"smiles": ""}}},
			head + "a,,\n"},
		{"short row", "mol_id,smiles,status,x,y,z\na\nb,C\n",
			[]Change{{ID: "a", Cells: m{"x": "1", "z": ""}}},
			"mol_id,smiles,status,x,y,z\na,,,1,,\nb,C\n"},
		{"cell to blank in a short row", "mol_id,smiles,status,x\na\n",
			[]Change{{ID: "a", Cells: m{"x": ""}}}, ""},
		{"same text", head + "a,C,OK\n", []Change{{ID: "a",
			Cells: m{"status": "OK", "smiles": "C"}}}, ""},
		{"same but for spaces and quotes", head + "a, C ,\"OK\"\n",
			[]Change{{ID: "a", Cells: m{"status": "OK", "smiles": "C"}}},
			""},
		{"a name of digits", "mol_id,smiles,status,x,y\na,C,OK,7,0042\n",
			[]Change{{ID: "a", Cells: map[string]string{"x": "007", "y": "42"}}},
			"mol_id,smiles,status,x,y\na,C,OK,007,42\n"},
		{"same number", "mol_id,smiles,status,H298_cbs,charge,x\na,C,OK,1.50,1.0,1e3\n",
			[]Change{{ID: "a", Cells: m{"H298_cbs": "1.5", "charge": "1", "x": "1000"}}},
			""},
		{"marker is not blank", "mol_id,smiles,status,H298_cbs\na,C,OK,nan\n",
			[]Change{{ID: "a", Cells: m{"H298_cbs": ""}}},
			"mol_id,smiles,status,H298_cbs\na,C,OK,\n"},
		{"zero is not blank", "mol_id,smiles,status,H298_cbs\na,C,OK,\n",
			[]Change{{ID: "a", Cells: m{"H298_cbs": "0.0"}}},
			"mol_id,smiles,status,H298_cbs\na,C,OK,0.0\n"},
		{"same quoted text with CRLF", head + "a,\"x\r\ny\",OK\n",
			[]Change{{ID: "a", Cells: m{"smiles": "x\r\ny"}}}, ""},
		{"format 2.1 in its order", head + "a,C,\r\nb\n\nc,C,OK",
			[]Change{{ID: "b", Cells: m{"status": "OK", "delta_1": "0.5"}}},
			"mol_id,smiles,status," + v21 +
				"\na,C,,,,,,,,,,,,,\r\nb,,OK,,,,,,,,0.5,,,,\n\nc,C,OK,,,,,,,,,,,,"},
		{"only what is missing of it", "mol_id,smiles,status,error_message,delta_1\na,C\n",
			[]Change{{ID: "a", Cells: m{"delta_3": "1"}}},
			"mol_id,smiles,status,error_message,delta_1,timestamp_started,timestamp_completed,crest_status," +
				"crest_conformers_generated,crest_time,mopac_status,mopac_time,delta_2,delta_3,most_stable_hof\n" +
				"a,C,,,,,,,,,,,,1,\n"},
		{"foreign columns by name, those of 2.0 first", head + "a,C,\n",
			[]Change{{ID: "a", Cells: m{"zeta": "1", "be,ta": "2", "reruns": "1"}}},
			"mol_id,smiles,status,reruns,\"be,ta\",zeta\na,C,,1,2,1\n"},
		{"all columns that are named come with the first", head + "a,C,\n",
			[]Change{{ID: "a", Cells: m{"zeta": "1", "beta": ""}}},
			"mol_id,smiles,status,beta,zeta\na,C,,,1\n"},
		{"blank needs no column", head + "a,C,\n",
			[]Change{{ID: "a", Cells: m{"error_message": "", "zeta": " "}}}, ""},
		{"a row too long keeps its rest without a header", head + "a,C,,,extra\nb,C,\n",
			[]Change{{ID: "b", Cells: m{"x": "1"}}},
			"mol_id,smiles,status,x\na,C,,,,extra\nb,C,,1\n"},
		{"a row too long is changed itself", head + "a,C,,,extra\n",
			[]Change{{ID: "a", Cells: m{"x": "1", "status": "OK"}}},
			"mol_id,smiles,status,x\na,C,OK,1,,extra\n"},
		{"nameless last column", "mol_id,smiles,status,\na,C,,\n",
			[]Change{{ID: "a", Cells: m{"x": "1"}}},
			"mol_id,smiles,status,,x\na,C,,,1\n"},
		{"the later change wins", head + "a,C,\n",
			[]Change{{ID: "a", Cells: m{"status": "Rerun"}}, {ID: "a", Cells: m{"status": "OK"}}},
			head + "a,C,OK\n"},
		{"both columns of a name", "mol_id,x,smiles,x,status\na,1,C,2,\n",
			[]Change{{ID: "a", Cells: m{"x": "3"}}},
			"mol_id,x,smiles,x,status\na,3,C,3,\n"},
		{"duplicate foreign names", "mol_id,x,smiles,x,status\na,1,C,2,\n",
			[]Change{{ID: "a", Cells: m{"status": "OK"}}},
			"mol_id,x,smiles,x,status\na,1,C,2,OK\n"},
		{"no changes", head + "a,C,\n", nil, ""},
		{"CR at the end of the file", head + "a,C\r",
			[]Change{{ID: "a", Cells: m{"status": "x\r"}}}, head + "a,C,\"x\r\"\r"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := place(t, test.before)
			table := mustRead(t, path)
			before, _ := os.Stat(path)
			written, err := merge(table, test.changes)
			if err != nil {
				t.Fatal(err)
			}
			after := test.after
			if after == "" {
				after = test.before
				if now, _ := os.Stat(path); !sameFile(before, now) {
					t.Error("the file was written though nothing differs")
				}
			}
			if written != (test.after != "") {
				t.Errorf("written = %v", written)
			}
			if got := content(t, path); got != after {
				t.Errorf("after the merge\n%q, want\n%q", got, after)
			}
			sameAsFile(t, table, []byte(after))
			if again, err := merge(table, test.changes[max(0, len(test.changes)-1):]); again ||
				err != nil {
				t.Errorf("the same merge again: written %v, error %v", again, err)
			}
		})
	}
}

func TestMergeLostRows(t *testing.T) {
	path := place(t, head+"a,C,\nb,C,\nb,C,\nc,C,\n")
	table := mustRead(t, path)
	ok := map[string]string{"status": "OK", "x": ""}
	other := map[string]string{"new": "1"}
	written, err := merge(table, []Change{{ID: "gone", Cells: other}, {ID: "b", Cells: other},
		{ID: "gone", Cells: ok}, {ID: "c", Cells: ok}})
	want := path + ": no row has the mol_id gone, b any more, or several have it; results that " +
		"are not in the table: 2"
	if _, is := errors.AsType[*LostError](err); !written || !is || err.Error() != want {
		t.Errorf("written %v, error %v, want %s", written, err, want)
	}
	if got, want := content(t, path), head+"a,C,\nb,C,\nb,C,\nc,C,OK\n"; got != want {
		t.Errorf("after the merge %q, want %q", got, want)
	}
	written, err = merge(table, []Change{{ID: "gone", Cells: ok}})
	if _, is := errors.AsType[*LostError](err); written || !is {
		t.Errorf("only a lost row: written %v, error %v", written, err)
	}
}

func TestMergeRealTable(t *testing.T) {
	before, err := os.ReadFile("testdata/molecules.csv")
	if err != nil {
		t.Fatal(err)
	}
	path := place(t, string(before))
	table := mustRead(t, path)
	if found := table.Check(); len(found) != 0 {
		t.Errorf("findings %+v", found)
	}
	first := map[string]string{"status": "OK", "delta_1": "4.61", "most_stable_hof": "-12.935"}
	if _, err := merge(table, []Change{{ID: "mol_00001", Cells: first}}); err != nil {
		t.Fatal(err)
	}
	upgraded := content(t, path)
	second := map[string]string{"status": "Rerun", "reruns": "1",
		"error_message": "search: timed out, after 30 min"}
	if _, err := merge(table, []Change{{ID: "mol_00057", Cells: second}}); err != nil {
		t.Fatal(err)
	}
	a, b := strings.Split(upgraded, "\n"), strings.Split(content(t, path), "\n")
	differ := 0
	for i := range a {
		if a[i] != b[i] {
			differ++
		}
	}
	if len(a) != len(b) || differ != 1 {
		t.Errorf("%d lines differ, want 1", differ)
	}
	i, _ := table.Lookup("mol_00057")
	if got := table.Value(i, "error_message"); got != "search: timed out, after 30 min" {
		t.Errorf("error_message %q", got)
	}
}

// merge says whether Merge has written the table.
func merge(t *Table, changes []Change) (written bool, err error) {
	changed, err := t.Merge(changes)
	return len(changed) > 0, err
}

func TestMergeTellsChangedRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte("mol_id,smiles,status\na,C,OK\nb,C,\nc,C,\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	ok := map[string]string{"status": "OK"}
	changed, err := mustRead(t, path).Merge([]Change{{ID: "a", Cells: ok}, {ID: "b", Cells: ok},
		{ID: "c", Cells: ok, Valid: func(row int) bool { return row != 2 }}})
	if err != nil || len(changed) != 1 || !changed["b"] {
		t.Errorf("changed %v, error %v", changed, err)
	}
}
