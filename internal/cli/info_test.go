package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"grimperium/internal/journal"
)

func TestTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	j := journal.Create(path)
	end := func(mol, stage, outcome string, seconds float64) journal.Event {
		return journal.Event{Event: journal.TargetEnd, Mol: mol, Stage: stage, Outcome: outcome, Seconds: seconds}
	}
	for _, e := range []journal.Event{
		{Event: journal.BatchStart}, end("a", "one", journal.OK, 1), end("a", "two", journal.OK, 3), {Event: journal.Row, Mol: "a"},
		{Event: journal.Row, Mol: "b"}, // merged only: nothing ran
		end("c", "one", journal.Interrupted, 50), {Event: journal.BatchEnd},
		{Event: journal.BatchStart}, end("c", "one", journal.OK, 2), end("c", "two", journal.Timeout, 10), {Event: journal.Row, Mol: "c"},
		end("d", "gone", journal.OK, 5), // its molecule was interrupted
	} {
		if err := j.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	past, err := readTimes(journal.Open(path))
	if err != nil || past.molecules != 2 || past.total != 16 {
		t.Fatalf("%+v, %v", past, err)
	}
	var out strings.Builder
	past.print(&out, []string{"one", "two", "three"})
	past.printRest(&out, 10, 4)
	past.printRest(&out, 1, 4)
	past.printRest(&out, 0, 4)
	want := `Seconds a target:    runs    median       p95
  one                   2      1.50      1.95
  two                   1      3.00      3.00
  gone                  1      5.00      5.00
To be computed: 10 molecules, about 20s with 4 jobs, at 8.00 s a molecule.
To be computed: 1 molecule, about 8s with 4 jobs, at 8.00 s a molecule.
Nothing is left to compute but what changed since (mage batch -dryRun tells).
`
	if out.String() != want {
		t.Errorf("%s\nwant:\n%s", out.String(), want)
	}
	none, err := readTimes(journal.Open(filepath.Join(t.TempDir(), "none")))
	if err != nil || none.molecules != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

func TestQuantile(t *testing.T) {
	sorted := []float64{1, 2, 3, 4, 5}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.95: 4.8, 1: 5} {
		if got := quantile(sorted, q); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	if quantile([]float64{7}, 0.95) != 7 {
		t.Error("one number is its own quantile")
	}
}
