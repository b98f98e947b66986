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
	sum := &batch.Summary{Batch: "b1", Total: 3, Finished: 2, Invalid: 1, Counts: map[string]int{"OK": 1},
		Failures: []string{"m/pm7/1: the SCF did not converge (artefacts/m/pm7.failed)"},
		Findings: []csvmerge.Finding{{Line: 2, ID: "m", Column: "charge", Cell: "x\ny", Problem: "not an integer"}}}
	const table = `/data/a "b" batch=1 table.csv`
	for range 2 {
		if err := appendLogs(sum, table, now); err != nil {
			t.Fatal(err)
		}
	}
	for name, line := range map[string]string{
		summaryLog: `2026-11-23T10:00:00Z batch=b1 table="/data/a \"b\" batch=1 table.csv" ` + sum.Line(),
		invalidLog: `2026-11-23T10:00:00Z batch=b1 /data/a "b" batch=1 table.csv:2: m: charge "x\ny": not an integer`,
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if want := strings.Repeat(line+"\n", 2); err != nil || string(text) != want {
			t.Errorf("%s: %v\n%s\nwant:\n%s", name, err, text, want)
		}
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
