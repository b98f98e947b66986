package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/internal/batch"
)

// homeVariable names the environment variable that moves the folder of the logs.
const homeVariable = "GRIMPERIUM_HOME"

// The logs that outlive a project, in the folder of home.
const (
	summaryLog = "batch_summary.log"
	invalidLog = "validation_errors.log"
)

// home is the folder of the logs: ~/.grimperium, or what GRIMPERIUM_HOME says.
func home() (dir, source string, err error) {
	if dir := os.Getenv(homeVariable); dir != "" {
		return dir, "environment " + homeVariable, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", "", fmt.Errorf("there is no home folder for the logs; name a folder by %s: %w", homeVariable, err)
	}
	return filepath.Join(user, ".grimperium"), "default", nil
}

// keepLogs compares a batch with the earlier ones of its table and appends it to the logs. A batch that had nothing to do leaves no trace.
// Logs that can't be written are worth a warning, never a failed batch.
func keepLogs(w io.Writer, sum *batch.Summary, table string) {
	if sum.Batch == "" {
		return
	}
	if err := appendLogs(sum, table, time.Now()); err != nil {
		fprintln(w, "Warning: the batch is not in the logs:", err)
	}
}

func appendLogs(sum *batch.Summary, table string, now time.Time) error {
	dir, _, err := home()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, summaryLog)
	past, err := readPast(path, table)
	if err != nil {
		return err
	}
	sum.Alarms = append(sum.Alarms, past.rise(figures{sum.Finished, len(sum.Failures), sum.Invalid})...)
	stamp := now.UTC().Format(time.RFC3339)
	if err := appendTo(path, fmt.Sprintf("%s batch=%s table=%q %s\n", stamp, sum.Batch, table, sum.Line())); err != nil {
		return err
	}
	var lines strings.Builder
	for _, f := range sum.Findings {
		fmt.Fprintf(&lines, "%s batch=%s %s\n", stamp, sum.Batch, strings.Join(strings.Fields(table+":"+f.String()), " "))
	}
	if lines.Len() == 0 {
		return nil
	}
	return appendTo(filepath.Join(dir, invalidLog), lines.String())
}

// appendTo appends a text by one write, so that batches on two tables don't mix their lines.
func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// figures are what is compared between batches.
type figures struct{ finished, failed, invalid int }

// history is the last batches of a table, the latest last.
type history []figures

const (
	pastBytes   = 256 << 10 // of the log are read
	pastBatches = 10        // are compared with
	least       = 5         // more than before is a rise; less may be chance
)

// readPast reads the last batches of a table out of the log.
func readPast(path, table string) (history, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > pastBytes {
		if _, err := f.Seek(-pastBytes, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, pastBytes))
	return parsePast(string(data), table), err
}

var pastLine = regexp.MustCompile(`^\S+ batch=\S+ table=("(?:[^"\\]|\\.)*") .*?\bfinished=(\d+) .*?\bfailed=(\d+) .*?\binvalid=(\d+) `)

// parsePast passes over lines that are none of ours: the log is a text that people edit.
func parsePast(text, table string) history {
	var out history
	named := " table=" + strconv.Quote(table) + " " // to match all lines would take longer than many a batch
	for _, line := range slices.Backward(strings.SplitAfter(text, "\n")) {
		if !strings.Contains(line, named) {
			continue
		}
		m := pastLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var f figures
		var errs [4]error
		var of string
		of, errs[0] = strconv.Unquote(m[1])
		f.finished, errs[1] = strconv.Atoi(m[2])
		f.failed, errs[2] = strconv.Atoi(m[3])
		f.invalid, errs[3] = strconv.Atoi(m[4])
		if errs == [4]error{} && of == table && f.failed <= f.finished {
			if out = append(out, f); len(out) == pastBatches {
				break
			}
		}
	}
	slices.Reverse(out)
	return out
}

// rise says what became worse: failures or invalid rows more than twice as many as the last ten batches of the table let expect, and at least
// five more.
func (h history) rise(now figures) []string {
	if len(h) == 0 {
		return nil
	}
	var sum figures
	for _, f := range h {
		sum = figures{sum.finished + f.finished, sum.failed + f.failed, sum.invalid + f.invalid}
	}
	rises := func(n int, expected float64) bool { return float64(n) > 2*expected && float64(n)-expected >= least }
	var out []string
	if sum.finished > 0 {
		share := float64(sum.failed) / float64(sum.finished)
		if rises(now.failed, share*float64(now.finished)) {
			out = append(out, fmt.Sprintf("failures rise: %d of %d molecules, where %.1f %% failed in the last %d batches of this table", now.failed, now.finished, 100*share, len(h)))
		}
	}
	if mean := float64(sum.invalid) / float64(len(h)); rises(now.invalid, mean) {
		out = append(out, fmt.Sprintf("rows that can't be used rise: %d, where the last %d batches of this table had %.1f on average", now.invalid, len(h), mean))
	}
	return out
}

// parseTimeouts reads "search=60m, pm7=5m".
func parseTimeouts(text string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for _, part := range list(text) {
		stage, limit, ok := strings.Cut(part, "=")
		d, err := time.ParseDuration(strings.TrimSpace(limit))
		if !ok || err != nil || d <= 0 {
			return nil, fmt.Errorf("-timeout=%q: %q is not a stage and its time; write -timeout='search=60m, pm7=5m'", text, part)
		}
		out[strings.TrimSpace(stage)] = d
	}
	return out, nil
}
