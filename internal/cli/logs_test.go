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
	t.Setenv("GRIMPERIUM_HOME", dir)
	sum := &batch.Summary{Batch: "b1", Total: 3, Finished: 2, Invalid: 1,
		Counts:   map[string]int{"OK": 1},
		Failures: []string{"m/pm7/1: the SCF did not converge (artefacts/m/pm7.failed)"},
		Findings: []csvmerge.Finding{{Line: 2, ID: "m", Column: "charge", Cell: "x\ny",
			Problem: "not an integer"}}}
	const table = `/data/a "b" batch=1 table.csv`
	for range 2 {
		keepLogs(os.Stderr, sum, table)
	}
	for name, line := range map[string]string{
		"batch_summary.log":     `batch=b1 table="/data/a \"b\" batch=1 table.csv" ` + sum.Line(),
		"validation_errors.log": `batch=b1 /data/a "b" batch=1 table.csv:2: m: charge "x\ny": not an integer`,
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		lines := strings.SplitAfter(string(text), "\n")
		if err != nil || len(lines) != 3 {
			t.Fatalf("%s: %v, %q", name, err, text)
		}
		for _, got := range lines[:2] {
			stamp, rest, _ := strings.Cut(got, " ")
			if at, err := time.Parse(time.RFC3339, stamp); err != nil ||
				time.Since(at) > time.Hour || rest != line+"\n" {
				t.Errorf("%s: %v\n%s\nwant:\n%s", name, err, got, line)
			}
		}
	}
}

func TestUpToDateLeavesNoTrace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	t.Setenv("GRIMPERIUM_HOME", dir)
	keepLogs(os.Stderr, &batch.Summary{}, "t.csv")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder was made: %v", err)
	}
	var warned strings.Builder
	t.Setenv("GRIMPERIUM_HOME", "/dev/null/x")
	keepLogs(&warned, &batch.Summary{Batch: "b"}, "t.csv")
	if !strings.HasPrefix(warned.String(), "Warning: the batch is not in the logs:") {
		t.Errorf("warning %q", warned.String())
	}
}

func TestParseTimeouts(t *testing.T) {
	got, err := parseTimeouts(" search=60m, pm7=5m ,")
	if err != nil || len(got) != 2 || got["search"] != time.Hour || got["pm7"] != 5*time.Minute {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"search", "search=", "search=60", "search=-1m", "search=0s"} {
		if _, err := parseTimeouts(bad); err == nil ||
			!strings.Contains(err.Error(), "-timeout='search=60m, pm7=5m'") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}
