package csvmerge

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// randomTable writes a table with everything in it that a merge must keep. That is a BOM, mixed
// line endings, blank lines, short and long rows, and foreign columns. Quoted cells have commas,
// quotes and newlines in them.
func randomTable(r *rand.Rand) (text string, ids []string) {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	columns := []string{"mol_id", "smiles", "status"}
	for _, name := range []string{"charge", "H298_cbs", "delta_1", "error_message", "batch_id"} {
		if r.IntN(2) == 0 {
			columns = append(columns, name)
		}
	}
	for range r.IntN(4) {
		columns = append(columns, pick("note", "note", "ä", "", "x,y", `q"`))
	}
	r.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	ends := [][]string{{"\n"}, {"\r\n"}, {"\n", "\r\n"}}[r.IntN(3)]
	var b strings.Builder
	b.WriteString(pick("", "\ufeff"))
	var header []string
	for _, name := range columns {
		header = append(header, quote(name))
	}
	b.WriteString(strings.Join(header, ",") + pick(ends...))
	for n := range r.IntN(12) {
		for r.IntN(6) == 0 {
			b.WriteString(pick(ends...))
		}
		id := "m" + itoa(n)
		var row []string
		for _, name := range columns {
			cell := pick("", " ", "C", "1.50", `"1.5"`, "nan", `"a,b"`, `""""`, "\"x\ny\"",
				"\"x\r\n\"", "Ω", " C ", `""`, "OK", "-3")
			if name == "mol_id" {
				cell = pick(id, `"`+id+`"`, " "+id)
			}
			row = append(row, cell)
		}
		if r.IntN(4) == 0 {
			row = row[:slices.Index(columns, "mol_id")+1]
		} else if r.IntN(6) == 0 {
			row = append(row, "", "far")
		}
		if slices.Equal(row, []string{""}) {
			continue
		}
		ids = append(ids, id)
		b.WriteString(strings.Join(row, ",") + pick(ends...))
	}
	text = b.String()
	if r.IntN(3) == 0 {
		text = strings.TrimRight(text, "\r\n")
	}
	return text, ids
}

func randomChanges(r *rand.Rand, ids []string) []Change {
	var changes []Change
	for range 1 + r.IntN(3) {
		c := Change{ID: ids[r.IntN(len(ids))], Cells: map[string]string{}}
		for range 1 + r.IntN(4) {
			names := []string{"status", "smiles", "charge", "H298_cbs", "delta_1", "delta_2",
				"error_message", "new", "ne,w"}
			texts := []string{"", "OK", "1.5", "-3", "a,b", "say \"x\"", "two\nlines",
				"long " + strings.Repeat("x", r.IntN(90)), "Ω", " C"}
			c.Cells[names[r.IntN(len(names))]] = texts[r.IntN(len(texts))]
		}
		changes = append(changes, c)
	}
	return changes
}

// checkMerged compares a table before and after a merge, both as encoding/csv reads them. Only the
// cells of the changes may differ. The lines without a change are the same bytes.
func checkMerged(t *testing.T, before, after string, changes []Change) {
	t.Helper()
	old, err := reference([]byte(before))
	if err != nil {
		t.Fatalf("before: %v", err)
	}
	now, err := reference([]byte(after))
	if err != nil || len(now) != len(old) {
		t.Fatalf("after: %d records, before %d; %v", len(now), len(old), err)
	}
	want := map[string]map[string]string{}
	for _, c := range changes {
		if want[c.ID] == nil {
			want[c.ID] = map[string]string{}
		}
		for name, text := range c.Cells {
			want[c.ID][name] = text
		}
	}
	header, added := now[0], len(now[0])-len(old[0])
	if !slices.Equal(header[:len(old[0])], old[0]) {
		t.Fatalf("header %q, before %q", header, old[0])
	}
	idColumn := slices.Index(header, "mol_id")
	at := func(record []string, k int) string {
		if k < len(record) {
			return record[k]
		}
		return ""
	}
	for i := 1; i < len(now); i++ {
		id := strings.TrimSpace(now[i][idColumn])
		if want[id] == nil && added == 0 && !strings.Contains(after,
			lineOf(mustParse(t, before), i-1)) {
			t.Errorf("the line of %s was touched", id)
		}
		for k, name := range header {
			text, changed := want[id][name]
			was := ""
			if k < len(old[0]) {
				was = at(old[i], k)
			}
			switch got := at(now[i], k); {
			case changed && strings.TrimSpace(text+got) == "":
			case changed && got != text && !same(got, text):
				t.Errorf("%s %q is %q, want %q", id, name, got, text)
			case !changed && got != was:
				t.Errorf("%s %q is %q, before %q", id, name, got, was)
			}
		}
		if len(old[i]) > len(old[0]) && !slices.Equal(now[i][len(header):], old[i][len(old[0]):]) {
			t.Errorf("%s: beyond the header there is now %q, before %q", id, now[i], old[i])
		}
		if added > 0 && len(now[i]) < len(header) {
			t.Errorf("%s: the row has %d cells, the new header %d", id, len(now[i]), len(header))
		}
	}
}

// lineOf returns a row's bytes with its line ending.
func lineOf(t *Table, i int) string {
	text := t.rows[i].text
	_, end, _ := scan(text, nil)
	if n := bytes.IndexByte(text[end:], '\n'); n >= 0 {
		return string(text[:end+n+1])
	}
	return string(text)
}

func TestMergeProperty(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 5))
		text, ids := randomTable(r)
		if len(ids) == 0 {
			continue
		}
		table := mustParse(t, text)
		for range 3 {
			before := bytesOf(table)
			changes := randomChanges(r, ids)
			merged := mergeInMemory(t, table, changes)
			checkMerged(t, before, merged, changes)
			if t.Failed() {
				t.Fatalf("seed %d: changes %v\nbefore %q\nafter  %q", seed, changes, before, merged)
			}
		}
	}
}

// mergeInMemory is Merge without the disk. It checks that the table is what Read would make of the
// bytes.
func mergeInMemory(t testing.TB, table *Table, changes []Change) string {
	t.Helper()
	texts := map[int]map[string]string{}
	for _, c := range changes {
		i, ok := table.Lookup(c.ID)
		if !ok {
			t.Fatalf("%s is lost", c.ID)
		}
		if texts[i] == nil {
			texts[i] = map[string]string{}
		}
		maps.Copy(texts[i], c.Cells)
	}
	next, changed := table.merged(texts)
	merged := bytesOf(next)
	if len(changed) == 0 && merged != bytesOf(table) {
		t.Fatalf("merged reports no changed row, but %q is now %q", bytesOf(table), merged)
	}
	*table = *next
	sameAsFile(t, table, []byte(merged))
	if again, changed := table.merged(texts); len(changed) > 0 {
		t.Fatalf("the same merge again has edits: %q", bytesOf(again))
	}
	return merged
}

// FuzzReadMerge gives foreign bytes to the reader, which must accept what encoding/csv accepts, and
// merges a foreign text into the first row.
func FuzzReadMerge(f *testing.F) {
	real, err := os.ReadFile("testdata/molecules.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(real, "a,b")
	f.Add([]byte("\ufeffmol_id,smiles,status,x,x,\r\na,\"C\n\"\r\n\r\nb,,\"\"\"\",1,2,3,4"), "x\r")
	f.Add([]byte("status,smiles,mol_id\n,C,\"a\"\r"), "\"")
	f.Add([]byte("mol_id,smiles,status\na,\"C\"C\n"), "")
	f.Add([]byte("mol_id,smiles,status\na,\"C,\n"), "1e3")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		table, err := parse("t.csv", slices.Clone(data), math.MaxInt)
		want, wantErr := reference(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t.csv:") {
				t.Errorf("error %q does not name the file first", err)
			}
			return
		}
		if wantErr != nil {
			t.Fatalf("encoding/csv does not accept it: %v", wantErr)
		}
		if got := records(table); !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Fatalf("records %q, encoding/csv reads %q", got, want)
		}
		table.Check()
		for i := range table.Len() {
			for _, name := range table.Columns() {
				table.Value(i, name)
			}
		}
		if table.Len() == 0 || table.ID(0) == "" || len(table.Check()) > 0 &&
			table.Check()[0].Severity == Fatal {
			return
		}
		cells := map[string]string{"error_message": text, "status": "OK", "charge": text}
		changes := []Change{{ID: table.ID(0), Cells: cells}}
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") {
			return
		}
		mergeInMemory(t, table, changes)
		i, _ := table.Lookup(changes[0].ID)
		if got := table.Cell(i, "error_message").Text; i != 0 || !same(got, text) {
			t.Errorf("row %d, error_message %q, want %q", i, got, text)
		}
	})
}
