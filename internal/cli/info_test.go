package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
)

func TestSeconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	end := func(mol, stage, outcome string, seconds float64) journal.Event {
		return journal.Event{Event: journal.TargetEnd, Mol: mol, Stage: stage, Outcome: outcome,
			Seconds: seconds}
	}
	err := journal.Writer{Path: path}.Write(journal.Event{Event: journal.BatchStart},
		end("a", "one", journal.OK, 1), end("a", "two", journal.OK, 3),
		end("c", "one", journal.Interrupted, 50), end("c", "one", journal.OK, 2),
		end("e", "one", journal.OK, 4), end("c", "two", journal.Timeout, 10),
		end("d", "gone", journal.OK, 5), end("e", "gone", journal.OK, 7))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := printSeconds(&out, []string{"one", "two", "three"}, path); err != nil {
		t.Fatal(err)
	}
	printRest(&out, 10, 80*time.Second, 4)
	printRest(&out, 1, 8*time.Second, 4)
	printRest(&out, 10, 0, 4)
	printRest(&out, 0, 0, 4)
	want := `Time per run (s):    runs    median       p95
  one                   3      2.00      3.80
  two                   1      3.00      3.00
  gone                  2      6.00      6.90
To be computed: 10 molecules, about 20s with 4 jobs, at 8.00 s a molecule.
To be computed: 1 molecule, about 8s with 4 jobs, at 8.00 s a molecule.
To be computed: 10 molecules; how long that takes is known when some are done.
Nothing to compute, unless the pipeline has changed (mage batch -dryRun shows).
`
	if out.String() != want {
		t.Errorf("%s\nwant:\n%s", out.String(), want)
	}
	out.Reset()
	_, err = printSeconds(&out, nil, filepath.Join(t.TempDir(), "none"))
	if err != nil || out.Len() > 0 {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// A row that another program works on has not failed, whatever its message says.
func TestStatuses(t *testing.T) {
	const rows = "mol_id,status,error_message,smiles\na,Running,old,C\nb,Rerun,m/x: new,C\n" +
		"c,Skip,,C\n"
	table, err := csvmerge.Parse("/t.csv", []byte(rows))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	left := printStatuses(&out, table)
	want := `/t.csv: 3 molecules
  Rerun           1   33.3 %
  Running         1   33.3 %
  Skip            1   33.3 %
1 molecule left out by your Skip
Failures by stage and reason:
        1  x: new
`
	if len(left) != 2 || out.String() != want {
		t.Errorf("%d are left: %s\nwant:\n%s", len(left), out.String(), want)
	}
}
