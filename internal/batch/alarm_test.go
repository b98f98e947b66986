package batch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
)

func TestReason(t *testing.T) {
	for message, want := range map[string]string{
		"mol_00007/rdkit: RDKit can't read the SMILES 'C1CO': SMILES Parse Error: unclosed ring (python3 ended with exit code 1; artefacts/mol_00007/rdkit.failed/stderr)": "rdkit|RDKit can't read the SMILES …",
		"a/pm7/12: the SCF did not converge (artefacts/a/pm7.failed/12/pm7.out)":                                                                                           "pm7|the SCF did not converge",
		"a/pm7: the molecule changed its bonds during the PM7 optimisation: C1–O3 is broken (2.31 Å); H7 moved from O2 to N5 (artefacts/a/pm7.failed)":                     "pm7|the molecule changed its bonds during the PM7 optimisation",
		"a/pm7/1: the deck has a keyword that MOPAC does not know (MOPAC says: UNRECOGNIZED (X)) (artefacts/a/pm7.failed/1/pm7.out)":                                       "pm7|the deck has a keyword that MOPAC does not know",
		"a b/search: conformers did not finish within 1h0m0s (artefacts/a b/search.failed)":                                                                                "search|conformers did not finish within 1h0m0s",
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
		atEnd    bool
	}{
		"none is set":                {pipeline.Alarms{}, 1, 300, 0, false},
		"more than five fail":        {pipeline.Alarms{Failures: 0.05}, 2, 300, 12, true},
		"five in a hundred may":      {pipeline.Alarms{Failures: 0.05}, 20, 300, 0, false},
		"six in a hundred are more":  {pipeline.Alarms{Failures: 0.05}, 16, 300, 96, true},
		"a small batch, at its end":  {pipeline.Alarms{Failures: 0.05}, 2, 5, 0, true},
		"one failure in three is no": {pipeline.Alarms{Failures: 0.05}, 3, 3, 0, false},
	} {
		sum, rang := newSummary(0), 0
		for n := range test.finished {
			o := Outcome{Ran: true}
			if (n+1)%test.every == 0 {
				o.Failure = &TargetError{}
			}
			sum.add(o)
			if _, raised := sum.tooMany(test.alarms.Failures); raised {
				rang = n + 1
			}
		}
		sum.tooManyInAll(test.alarms.Failures)
		if rang != test.rings || (len(sum.Alarms) == 1) != test.atEnd {
			t.Errorf("%s: after %d molecules %q, want after %d", name, rang, sum.Alarms, test.rings)
		}
	}
}

func TestTooManyInvalid(t *testing.T) {
	alarms := pipeline.Alarms{Invalid: 0.05, Stop: true}
	sum := newSummary(40)
	sum.leaveOut([]csvmerge.Finding{{Line: 2}, {Line: 2}, {Line: 3}})
	if err := sum.tooManyInvalid(alarms); err != nil || sum.Invalid != 2 {
		t.Errorf("2 of 40 rows: %v; %d", err, sum.Invalid)
	}
	sum.leaveOut([]csvmerge.Finding{{Line: 9}})
	if err := sum.tooManyInvalid(alarms); !errors.Is(err, ErrAlarm) {
		t.Errorf("3 of 40 rows: %v", err)
	}
}

func TestLine(t *testing.T) {
	s := Summary{Total: 4, Scheduled: 3, Finished: 3, Counts: map[string]int{"OK": 2}, Failures: []string{`a/x: say "no" (there)`}, Invalid: 1,
		Elapsed: 1500 * time.Millisecond, Seconds: map[string]float64{"x": 3, "y": 1}, Alarms: []string{"one", "two"}}
	want := `total=4 scheduled=3 finished=3 completed=2 failed=1 skipped=0 invalid=1 elapsed=1.5s slowest=x(75%) failures="1 x: say …" alarm="one; two"`
	if got := s.Line(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
