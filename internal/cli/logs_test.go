package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
)

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(homeVariable, dir)
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	sum := func(failed, invalid int) *batch.Summary {
		s := &batch.Summary{Batch: "b1", Finished: 100, Invalid: invalid, Counts: map[string]int{"OK": 100 - failed}}
		for range failed {
			s.Failures = append(s.Failures, batch.Failure{Message: "m/pm7/1: the SCF did not converge (artefacts/m/pm7.failed)"})
		}
		for n := range invalid {
			s.Findings = append(s.Findings, csvmerge.Finding{Line: n + 2, ID: "m", Column: "charge", Cell: "x\ny", Problem: "not an integer"})
		}
		return s
	}
	table := `/data/a "b" batch=1 table.csv`
	for n := range 12 {
		s := sum(2, 1)
		if err := appendLogs(s, table, now); err != nil || len(s.Alarms) > 0 {
			t.Fatalf("batch %d: %v, alarms %q", n, err, s.Alarms)
		}
	}
	if err := appendLogs(sum(90, 90), "/other.csv", now); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		failed, invalid int
		alarms          []string
	}{{4, 2, nil}, {6, 5, nil}, {7, 1, []string{"failures rise: 7 of 100 molecules, where 2.0 % failed in the last 10 batches"}},
		{2, 6, []string{"rows that can't be used rise: 6, where the last 10 batches of this table had 1.0 on average"}}} {
		path := filepath.Join(dir, summaryLog)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s := sum(test.failed, test.invalid)
		if err := appendLogs(s, table, now); err != nil || len(s.Alarms) != len(test.alarms) {
			t.Errorf("%d failed, %d invalid: %v, alarms %q", test.failed, test.invalid, err, s.Alarms)
		}
		for i := range test.alarms {
			if i < len(s.Alarms) && !strings.HasPrefix(s.Alarms[i], test.alarms[i]) {
				t.Errorf("alarm %q, want %q", s.Alarms[i], test.alarms[i])
			}
		}
		if err := os.WriteFile(path, before, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	invalid, err := os.ReadFile(filepath.Join(dir, invalidLog))
	if err != nil || !strings.HasPrefix(string(invalid), "2026-11-23T10:00:00Z batch=b1 "+table+`:2: m: charge "x\ny": not an integer`+"\n") {
		t.Errorf("%v: %q", err, invalid)
	}
}

func TestUpToDateLeavesNoTrace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	t.Setenv(homeVariable, dir)
	keepLogs(os.Stderr, &batch.Summary{}, "t.csv")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder was made: %v", err)
	}
	var warned strings.Builder
	t.Setenv(homeVariable, "/dev/null/x")
	keepLogs(&warned, &batch.Summary{Batch: "b"}, "t.csv")
	if !strings.HasPrefix(warned.String(), "Warning: the batch is not in the logs:") {
		t.Errorf("warning %q", warned.String())
	}
}

// FuzzPast gives foreign texts to the reader of the log: it passes over what is none of its lines, and never gives figures that can't be.
func FuzzPast(f *testing.F) {
	f.Add(`2026-11-23T10:00:00Z batch=b1 table="t.csv" total=3 scheduled=2 finished=2 completed=0 failed=2 skipped=0 invalid=1 elapsed=0.1s` + "\n")
	f.Add(`x batch=b table="t\"" finished=99999999999999999999999 failed=-1 invalid=0 ` + "\nelse\n")
	f.Fuzz(func(t *testing.T, text string) {
		past := parsePast(text, "t.csv")
		if len(past) > pastBatches {
			t.Errorf("%d batches", len(past))
		}
		for _, p := range past {
			if p.failed < 0 || p.invalid < 0 || p.failed > p.finished {
				t.Errorf("%+v", p)
			}
		}
		past.rise(figures{10, 10, 10})
	})
}

func TestParseTimeouts(t *testing.T) {
	got, err := parseTimeouts(" search = 60m, pm7=5m ,")
	if err != nil || len(got) != 2 || got["search"] != time.Hour || got["pm7"] != 5*time.Minute {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"search", "search=", "search=60", "search=-1m", "search=0s"} {
		if _, err := parseTimeouts(bad); err == nil || !strings.Contains(err.Error(), "-timeout='search=60m, pm7=5m'") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}
