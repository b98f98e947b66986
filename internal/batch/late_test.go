package batch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"grimperium/internal/journal"
)

// In a large table the files of what is up to date otherwise are looked at while what is stale for certain is under way; what was touched comes last.
func TestTouchedComesLast(t *testing.T) {
	dir := t.TempDir()
	h := &history{stages: []string{"stage \"s\" {\n  values = { v = \"${mol.smiles} WORD\" }\n}\n"}, words: []int{1}, merge: "merge {\n  x = stage.s.v\n}\n"}
	var table strings.Builder
	table.WriteString("mol_id,smiles,charge,status,reruns,x\n")
	for i := range lookFirst + 100 {
		fmt.Fprintf(&table, "m%04d,C,0,Pending,0,\n", i)
	}
	path := filepath.Join(dir, "table.csv")
	check(t, os.WriteFile(path, []byte(table.String()), 0o644))
	h.run(t, dir, 1)
	for h.run(t, dir, 1).Fresh != lookFirst+100 {
		t.Fatal("not up to date")
	}
	h.run(t, dir, 1) // with the index settled
	data, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, bytes.Replace(data, []byte("m0100,C,"), []byte("m0100,CC,"), 1), 0o644))
	for _, id := range []string{"m0005", "m0250"} {
		check(t, os.Remove(filepath.Join(dir, "artefacts", id, "manifest.jsonl")))
	}
	sum := h.run(t, dir, 1)
	if sum.Finished != 3 || sum.Scheduled != 3 || sum.Fresh != lookFirst+97 {
		t.Errorf("%d finished of %d, %d up to date", sum.Finished, sum.Scheduled, sum.Fresh)
	}
	events, err := journal.Open(filepath.Join(dir, "artefacts", "journal.jsonl")).Next()
	check(t, err)
	var started []string
	total := 0
	for _, e := range events {
		switch e.Event {
		case journal.BatchStart:
			total, started = e.Total, nil
		case journal.Scheduled:
			total = e.Total
		case journal.TargetStart:
			started = append(started, e.Mol)
		}
	}
	if total != 3 || !slices.Equal(started, []string{"m0100", "m0005", "m0250"}) {
		t.Errorf("started %v of %d", started, total)
	}
}
