package batch

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// What is stale by its row and what somebody has touched is visited, in the order of the table, and
// nothing else.
func TestScheduled(t *testing.T) {
	dir := t.TempDir()
	h := &history{stages: []string{"stage \"s\" {\n  values = { v = \"${mol.smiles} WORD\" }\n}\n"},
		words: []int{1}, merge: "merge {\n  x = stage.s.v\n}\n"}
	path := filepath.Join(dir, "table.csv")
	check(t, os.WriteFile(path, []byte("mol_id,smiles,charge,status,reruns,x\n"+
		strings.Join([]string{"m1", "m2", "m3", "m4", "m5", "m6"}, ",C,0,Pending,0,\n")+
		",C,0,Pending,0,\n"), 0o644))
	for n, want := range [][]string{{"m1", "m2", "m3", "m4", "m5", "m6"}, nil, {"m2", "m3", "m6"}} {
		if n == 2 {
			data, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path, bytes.Replace(data, []byte("m3,C,"), []byte("m3,CC,"), 1),
				0o644))
			for _, id := range []string{"m2", "m6"} {
				check(t, os.Remove(filepath.Join(dir, "artefacts", id, "manifest.jsonl")))
			}
		}
		sum := h.run(t, dir, 1)
		var started []string
		check(t, journal.Open(filepath.Join(dir, "artefacts",
			"journal.jsonl")).Each(func(e journal.Event) {
			switch {
			case e.Event == journal.BatchStart:
				started = nil
			case e.Event == journal.TargetStart && sum.Batch != "":
				started = append(started, e.Mol)
			}
		}))
		if !slices.Equal(started, want) || sum.Finished != len(want) {
			t.Errorf("batch %d started %v, %d finished of %d", n, started, sum.Finished,
				sum.Scheduled)
		}
	}
}

// The index knows a molecule with results of a stage that is turned off now. Else each batch would
// visit the molecule. The index was lost, and somebody has removed one of these results.
func TestIndexedWithStageOff(t *testing.T) {
	dir := t.TempDir()
	h := &history{stages: []string{"stage \"s\" {\n  enabled = WORD == 1\n" +
		"  command = [\"echo\", mol.smiles]\n  outputs = { out = \"stdout\" }\n}\n"}, words: []int{1},
		merge: "merge {\n  x = status(stage.s)\n}\n"}
	check(t, os.WriteFile(filepath.Join(dir, "table.csv"),
		[]byte("mol_id,smiles,charge,status,reruns,x\nm1,C,0,Pending,0,\nm2,C,0,Pending,0,\n"), 0o644))
	artefacts := filepath.Join(dir, "artefacts")
	h.run(t, dir, 1)
	h.words[0] = 0
	check(t, os.Remove(filepath.Join(artefacts, ".index")))
	check(t, os.Remove(filepath.Join(artefacts, "m2", "s", "stdout")))
	h.run(t, dir, 1)
	st, err := store.Open(artefacts)
	check(t, err)
	for _, id := range []string{"m1", "m2"} {
		if e, ok := st.Index().Entry(id); !ok || !st.Untouched(id, e) {
			t.Errorf("the index does not know %s: %+v", id, e)
		}
	}
}
