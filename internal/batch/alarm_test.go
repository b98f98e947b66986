package batch

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
)

func TestReason(t *testing.T) {
	for message, want := range map[string]string{
		"mol_00007/rdkit: RDKit can't read the SMILES 'C1CO': SMILES Parse Error: unclosed ring " +
			"(python3 ended with exit code 1; artefacts/mol_00007/rdkit.failed/stderr)": "rdkit|RDKit can't read the SMILES …",
		"a/pm7/12: the SCF did not converge (artefacts/a/pm7.failed/12/pm7.out)": "pm7|the SCF did not converge",
		"a/pm7: the molecule changed its bonds during the PM7 optimisation: C1–O3 is broken " +
			"(2.31 Å); H7 moved from O2 to N5 (artefacts/a/pm7.failed)": "pm7|the molecule " +
			"changed its bonds during the PM7 optimisation",
		"a/pm7/1: the input file has a keyword that MOPAC does not know (MOPAC says: " +
			"UNRECOGNIZED (X)) (artefacts/a/pm7.failed/1/pm7.out)": "pm7|the input file has a " +
			"keyword that MOPAC does not know",
		"a b/search: conformers did not finish within 1h0m0s (artefacts/a b/search.failed)": "search|conformers did not finish within 1h0m0s",
		"MOPAC timeout":             "?|MOPAC timeout",
		"see https://x.y/z: a page": "?|see https://x.y/z",
		"":                          "?|",
	} {
		if stage, reason := Reason(message); stage+"|"+reason != want {
			t.Errorf("%q: %s|%s, want %s", message, stage, reason, want)
		}
	}
}

func TestGroups(t *testing.T) {
	got := Groups([]string{"a/x: one", "b/y: two (there)", "c/y: two (elsewhere)", "d/x: two"})
	var text []string
	for _, g := range got {
		text = append(text, g.String())
	}
	if s := strings.Join(text, "; "); s != "2 y: two; 1 x: one; 1 x: two" {
		t.Errorf("groups %s", s)
	}
}

func TestAlarm(t *testing.T) {
	for name, test := range map[string]struct {
		alarms   pipeline.Alarms
		every    int // molecule fails
		finished int
		rings    int // after so many molecules; 0: not while it runs
	}{
		"none is set":               {pipeline.Alarms{}, 1, 300, 0},
		"more than five fail":       {pipeline.Alarms{Failures: 0.05}, 2, 300, 12},
		"five in a hundred may":     {pipeline.Alarms{Failures: 0.05}, 20, 300, 0},
		"six in a hundred are more": {pipeline.Alarms{Failures: 0.05}, 16, 300, 96},
		"so are six in a few":       {pipeline.Alarms{Failures: 0.05}, 1, 6, 6},
		"five in a few may":         {pipeline.Alarms{Failures: 0.05}, 1, 5, 0},
	} {
		sum, rang := newSummary(0), 0
		for n := range test.finished {
			o := Outcome{Ran: true, Row: Row{ID: fmt.Sprint(n)}}
			if (n+1)%test.every == 0 {
				o.Failure = &TargetError{}
			}
			sum.add(o)
			if sum.tooMany(test.alarms.Failures) != "" {
				rang = n + 1
			}
		}
		if rang != test.rings || len(sum.Alarms) != min(rang, 1) {
			t.Errorf("%s: after %d molecules %q, want after %d", name, rang, sum.Alarms, test.rings)
		}
	}
}

func TestRefused(t *testing.T) {
	for findings, want := range map[string]int{"323": 2, "3": 1, "": 0} {
		b := &Batch{Config: Config{Table: new(csvmerge.Table), Permissive: true, Warn: io.Discard},
			sum: newSummary(40)}
		var found []csvmerge.Finding
		for _, line := range findings {
			found = append(found, csvmerge.Finding{Line: int(line)})
		}
		check(t, b.refuse(found))
		if b.sum.Invalid != want || len(b.sum.Findings) != len(findings) {
			t.Errorf("findings on lines %s: %d rows", findings, b.sum.Invalid)
		}
	}
}

// However molecules finish, they are named in the order of the table.
func TestTableOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.csv")
	check(t, os.WriteFile(path, []byte("mol_id,smiles,status\nm3,C,\nm1,C,\nm2,C,\nm9,C,\n"),
		0o644))
	table, err := csvmerge.Read(path)
	check(t, err)
	sum := newSummary(4)
	for _, id := range []string{"m2", "m9", "gone", "m1", "m3"} {
		o := Outcome{Ran: true, Row: Row{ID: id}, Warnings: []string{"odd", "odd"}}
		if id != "m9" {
			o.Failure = &TargetError{Message: id + "/a: bad luck"}
		}
		sum.add(o)
	}
	sum.finish(table)
	got, want := sum.warnings(), []string{"5 molecules: odd (m3, m1, m2, ...)"}
	if !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
	failures := strings.Join(sum.Failures, "; ")
	if failures != "m3/a: bad luck; m1/a: bad luck; m2/a: bad luck; gone/a: bad luck" {
		t.Errorf("failures %q", failures)
	}
}

func TestLine(t *testing.T) {
	s := Summary{Total: 4, Scheduled: 3, Finished: 3, Counts: map[string]int{"OK": 2},
		Failures: []string{`a/x: say "no" (there)`}, Invalid: 1,
		Elapsed: 1500 * time.Millisecond, Seconds: map[string]float64{"x": 3, "y": 1},
		Alarms: []string{"one", "two"}}
	want := `total=4 scheduled=3 finished=3 completed=2 failed=1 skipped=0 invalid=1 elapsed=1.5s slowest=x(75%) failures="1 x: say …" alarm="one; two"`
	if got := s.Line(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
