package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"grimperium/csvmerge"
	"grimperium/internal/formats"
)

// TestColumnsPage checks that docs/columns.md describes each column of the shipped pipeline and of
// a conformer, and no other one. The page has the type and the unit with which a column is
// exported.
func TestColumnsPage(t *testing.T) {
	t.Chdir("../..")
	p, err := load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	types := map[formats.Kind]string{formats.Text: "text", formats.Integer: "integer",
		formats.Number: "number", formats.Time: "time"}
	names := append(csvmerge.Known(), p.Merged...)
	for _, c := range kindsOf(t, names) {
		want[c.Name] = types[c.Kind] + "|" + c.Unit
	}
	for _, c := range newExport(t.Context(), new(csvmerge.Table), &ensembles{}, "json").Conformers {
		want[c.Name] = types[c.Kind] + "|" + c.Unit
	}
	page, err := os.ReadFile("docs/columns.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| (.*?) ?\\| (.+) \\|$")
	for _, m := range line.FindAllStringSubmatch(string(page), -1) {
		if got := m[2] + "|" + m[3]; got != want[m[1]] {
			t.Errorf("%s: the page says %q, the export %q", m[1], got, want[m[1]])
		}
		delete(want, m[1])
	}
	for name := range want {
		t.Errorf("docs/columns.md lacks %s", name)
	}
}

// kindsOf are the columns of a table with these names and a row of the values that they have.
func kindsOf(t *testing.T, names []string) []formats.Column {
	t.Helper()
	slices.Sort(names)
	names = slices.Compact(names)
	row := make([]string, len(names))
	example := map[csvmerge.Type]string{csvmerge.Integer: "1", csvmerge.Number: "1.5",
		csvmerge.StatusType: "OK", csvmerge.SMILES: "C",
		csvmerge.Timestamp: "2026-11-01T00:00:00Z", csvmerge.Text: "x"}
	for k, name := range names {
		row[k] = example[csvmerge.Types(name)]
	}
	path := t.TempDir() + "/t.csv"
	text := strings.Join(names, ",") + "\n" + strings.Join(row, ",") + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := csvmerge.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return kinds(table)
}
