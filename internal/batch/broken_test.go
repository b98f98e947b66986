package batch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A for_each or an enabled with an error fails the molecule: what comes after must not go on
// without the stage.
func TestStageThatCannotBeEvaluated(t *testing.T) {
	for _, attribute := range []string{"for_each = range(tonumber(mol.smiles))",
		"enabled = tonumber(mol.smiles) > 1"} {
		dir := t.TempDir()
		h := &history{stages: []string{"stage \"a\" {\n  " + attribute +
			"\n  values = { v = \"WORD\" }\n}\n", "stage \"b\" {\n  values = { v = \"b\" }\n}\n"},
			words: []int{1, 1}, merge: "merge {\n  x = stage.b.v\n}\n"}
		path := filepath.Join(dir, "table.csv")
		const table = "mol_id,smiles,charge,status,reruns,x\nm,C,0,Pending,0,\nn,2,0,Pending,0,\n"
		check(t, os.WriteFile(path, []byte(table), 0o644))
		for n, status := range []string{"Rerun,1", "Skip,2", "Skip,2"} {
			sum := h.run(t, dir, 1)
			data, err := os.ReadFile(path)
			check(t, err)
			if text := string(data); len(sum.Failures) != min(1, 2-n) ||
				!strings.Contains(text, "m,C,0,"+status+",,") ||
				!strings.Contains(text, "n,2,0,OK,0,b,") {
				t.Errorf("%s, batch %d: %s\n%s", attribute, n+1, sum.Line(), text)
			}
		}
	}
}
