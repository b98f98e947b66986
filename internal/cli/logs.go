package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/durable"
)

// homeVariable names the environment variable that moves the folder of the logs.
const homeVariable = "GRIMPERIUM_HOME"

// The logs that outlive a project, in the folder of home.
const (
	summaryLog = "batch_summary.log"
	invalidLog = "validation_errors.log"
)

// home returns the folder of the logs and what sets it: ~/.grimperium, or GRIMPERIUM_HOME.
func home() (dir, source string, err error) {
	if dir := os.Getenv(homeVariable); dir != "" {
		return dir, "environment " + homeVariable, nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", "", fmt.Errorf("there is no home folder for the logs; name a folder by %s: %w",
			homeVariable, err)
	}
	return filepath.Join(user, ".grimperium"), "default", nil
}

// keepLogs appends a batch to the logs. A batch that had nothing to do leaves no trace. An error is
// a warning, never a failed batch.
func keepLogs(w io.Writer, sum *batch.Summary, table string) {
	if sum.Batch == "" {
		return
	}
	if err := appendLogs(sum, table, time.Now()); err != nil {
		fprintln(w, "Warning: the batch is not in the logs:", err)
	}
}

// appendLogs appends to each log by one write, so that batches on two tables don't mix their lines.
func appendLogs(sum *batch.Summary, table string, now time.Time) error {
	dir, _, err := home()
	if err == nil {
		err = os.MkdirAll(dir, 0o777)
	}
	stamp := fmt.Sprintf("%s batch=%s", now.UTC().Format(time.RFC3339), sum.Batch)
	if err == nil {
		line := fmt.Sprintf("%s table=%q %s\n", stamp, table, sum.Line())
		err = durable.Append(filepath.Join(dir, summaryLog), []byte(line))
	}
	var invalid []byte
	for _, f := range sum.Findings {
		finding := strings.Join(strings.Fields(table+":"+f.String()), " ")
		invalid = fmt.Appendf(invalid, "%s %s\n", stamp, finding)
	}
	if err != nil || invalid == nil {
		return err
	}
	return durable.Append(filepath.Join(dir, invalidLog), invalid)
}
