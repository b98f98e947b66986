package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/magefile/mage/mg"
	"golang.org/x/term"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/cluster"
	"grimperium/internal/command"
	"grimperium/internal/durable"
	"grimperium/internal/packed"
	"grimperium/internal/store"
)

// Batch runs the pipeline over the table.
func Batch(ctx context.Context, o Options) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // half as many collections: the programs need the cores
	}
	if len(operands) > 0 {
		only := strings.Join(operands, ",")
		if o.Only != nil {
			only += "," + *o.Only
		}
		o.Only = &only
	}
	return last(run(ctx, func(ctx context.Context) error { return runBatch(ctx, o) }))
}

// last is the end of a command behind which molecules may stand. If they do, it ends the process
// after a success: mage would take them for its next commands.
func last(err error) error {
	if err == nil && len(operands) > 0 {
		os.Exit(0)
	}
	return err
}

// Rerun computes molecules again from nothing: a list as that of -only.
func Rerun(ctx context.Context, molecules string, o Options) error {
	o.Retry, o.Permissive = "all", true // the other rows are not used
	return open(ctx, o, true, func(ctx context.Context, pr *project) (err error) {
		if pr.Only, err = selection(molecules, pr.Table); err != nil {
			return err
		}
		pr.Clear = true
		return pr.run(ctx, o)
	})
}

func runBatch(ctx context.Context, o Options) error {
	return with(o, !o.DryRun, func(pr *project) error { return pr.run(ctx, o) })
}

// run is a batch.
func (pr *project) run(ctx context.Context, o Options) (err error) {
	if pr.Timeouts, err = parseTimeouts(o.Timeout); err != nil {
		return err
	}
	if o.Only != nil {
		if pr.Only, err = selection(*o.Only, pr.Table); err != nil && len(operands) > 0 {
			return err
		} else if err != nil {
			return fmt.Errorf("-only=%s: %w", *o.Only, err)
		}
	}
	pr.Permissive, pr.FailFast, pr.Limit, pr.Retry = o.Permissive, o.FailFast, o.Limit, o.Retry
	w, err := pr.onCluster(ctx, o)
	if err != nil {
		return err
	}
	if !o.Yes && !pr.Resume {
		pr.Confirm = func(what string) error {
			return confirm(ctx, what, "Nothing was run. "+command.Name+
				" batch -dryRun shows more; go on with -yes, or allow it by max_recompute in "+
				"pipeline.hcl")
		}
	}
	var display sync.WaitGroup
	shown, hide := context.WithCancel(context.Background())
	defer hide()
	pr.Begin = func(journal string) { display.Go(func() { stderr.Watch(shown, journal) }) }
	b, err := batch.New(ctx, pr.Config)
	if err != nil {
		return pr.outcome(nil, w, o, err)
	}
	if o.DryRun {
		err := b.DryRun(ctx, stdout, o.Verbose)
		if err == nil && w != nil {
			err = w.Show(stdout, b.Job())
		}
		return err
	}
	sum, err := b.Run(ctx)
	hide()
	display.Wait()
	if sum != nil && !o.noLogs {
		keepLogs(stderr, sum, pr.Pipeline.Table)
	}
	return pr.outcome(sum, w, o, err)
}

// printNext prints where the results are, and what to do next.
func (pr *project) printNext(w io.Writer, sum *batch.Summary, o Options) {
	end, form := "/", store.Form(pr.Pipeline.Store)
	if form == store.Zip || form == store.AsItWas && pr.Remote != nil {
		end = packed.ZipSuffix
	}
	fmt.Fprintf(w, "Results: %s; files of each molecule: %s/MOL_ID%s\n",
		batch.ShownPath(pr.Pipeline.Table), batch.ShownPath(pr.Store.Root()), end)
	next := func(words, what string) {
		fmt.Fprintf(w, "Next: %s %s %s.\n", command.Name, words, what)
	}
	if sum.Invalid > 0 {
		table := Options{Pipeline: o.Pipeline, Table: o.Table, Set: o.Set}
		next("validate"+table.flags(), "lists the rows that can't be used")
	}
	if len(sum.Failures) > 0 {
		if id, _, _ := strings.Cut(sum.Failures[0], "/"); has(pr.Table, id) {
			next("why "+batch.Quoted(id)+o.flags(), "shows why it failed")
		}
	}
	switch again := sum.Counts[csvmerge.Rerun.String()]; {
	case sum.Interrupted || sum.Stopped != "": // the summary says how to go on
	case sum.Later > 0:
		next("batch"+o.flags(), "goes on with "+batch.Count(sum.Later, "other molecule"))
	case again > 0:
		next("batch"+o.flags(), "tries "+batch.Count(again, "failed molecule")+" again")
	default:
		next("report"+o.flags(), "writes a page about the results")
	}
}

// outcome prints what a batch did, and gives its exit code. sum is nil for one that did not begin,
// w for one on this machine.
func (pr *project) outcome(sum *batch.Summary, w *cluster.Watcher, o Options, err error) error {
	unfinished := w != nil && w.Note != ""
	if sum == nil {
		if unfinished {
			fmt.Fprintln(stderr, w.Note)
		}
		return err
	}
	did := len(sum.Targets)+len(sum.Failures) > 0
	if err == nil && !unfinished || did {
		sum.Print(stderr, pr.Pipeline.Stages)
	}
	if len(sum.Targets) > 0 {
		pr.printDeviation(stderr)
	}
	if did && !o.noLogs {
		pr.printNext(stderr, sum, o)
	}
	if unfinished {
		fmt.Fprintln(stderr, w.Note)
	}
	switch {
	case errors.Is(err, batch.ErrAlarm):
		return mg.Fatal(exitFailed, err)
	case err == nil && sum.Interrupted:
		return context.Canceled
	case err == nil && len(sum.Failures) > 0:
		return mg.Fatalf(exitFailed, "%d of %d molecules failed", len(sum.Failures), sum.Scheduled)
	}
	return err
}

// confirm asks whether to go on. The error is declined; without a terminal, with the question.
func confirm(ctx context.Context, what, declined string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return fmt.Errorf("%s\n%s", what, declined)
	}
	fmt.Fprintf(stderr, "%s\nGo on? [y/N] ", what)
	// Reading can't be interrupted.
	defer context.AfterFunc(ctx, func() { os.Exit(exitInterrupted) })()
	var answer string
	_, _ = fmt.Scanln(&answer) // a blank line is no
	if answer = strings.ToLower(answer); answer == "y" || answer == "yes" {
		return nil
	}
	return errors.New(declined)
}

// parseTimeouts reads "search=60m, pm7=5m".
func parseTimeouts(text string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	isBetween := func(r rune) bool { return r == ',' || r == ' ' }
	for _, part := range strings.FieldsFunc(text, isBetween) {
		stage, limit, _ := strings.Cut(part, "=")
		d, err := time.ParseDuration(limit)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("-timeout=%q: %q is not a stage and its time; write "+
				"-timeout='search=60m, pm7=5m'", text, part)
		}
		out[stage] = d
	}
	return out, nil
}

// The logs that outlive a project, in the folder of home.
const summaryLog, invalidLog = "batch_summary.log", "validation_errors.log"

// home returns the folder of the logs and what sets it: ~/.grimperium, or GRIMPERIUM_HOME.
func home() (dir, source string, err error) {
	if dir := os.Getenv("GRIMPERIUM_HOME"); dir != "" {
		return dir, "environment GRIMPERIUM_HOME", nil
	}
	dir, err = os.UserHomeDir()
	return filepath.Join(dir, ".grimperium"), "default", err
}

// keepLogs appends a batch to each log, by one write, so that batches on two tables don't mix their
// lines. A batch that had nothing to do leaves no trace. An error is a warning, no failed batch.
func keepLogs(w io.Writer, sum *batch.Summary, table string) {
	if sum.Batch == "" {
		return
	}
	stamp := fmt.Sprintf("%s batch=%s", time.Now().UTC().Format(time.RFC3339), sum.Batch)
	line := fmt.Appendf(nil, "%s table=%q %s\n", stamp, table, sum.Line())
	logs := map[string][]byte{summaryLog: line}
	for _, f := range sum.Findings {
		finding := strings.Join(strings.Fields(table+":"+f.String()), " ")
		logs[invalidLog] = fmt.Appendf(logs[invalidLog], "%s %s\n", stamp, finding)
	}
	dir, _, err := home()
	if err == nil {
		err = os.MkdirAll(dir, 0o777)
	}
	for name, lines := range logs {
		if err == nil {
			err = durable.Append(filepath.Join(dir, name), lines)
		}
	}
	if err != nil {
		fmt.Fprintln(w, "Warning: the batch is not in the logs:", err)
	}
}

// selection returns the mol_ids of a table that a text names. The text is a list with commas,
// quoted as in CSV. Its elements are mol_ids, patterns of path.Match, @FILE, and failed. A FILE has
// such a list, or one mol_id a line. A name that no molecule has is an error.
func selection(text string, t *csvmerge.Table) (ids []string, err error) {
	var names []string
	for _, name := range list(text) {
		file, ok := strings.CutPrefix(name, "@")
		if !ok || has(t, name) {
			names = append(names, name)
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		names = append(names, list(strings.TrimPrefix(string(data), "\ufeff"))...)
	}
	for n := 0; n < len(names); n++ {
		name := names[n]
		// a mol_id with commas
		for last := n + 1; last < min(n+9, len(names)) && !has(t, name); last++ {
			if joined := strings.Join(names[n:last+1], ","); has(t, joined) {
				name, n = joined, last
			}
		}
		if has(t, name) {
			ids = append(ids, name)
			continue
		}
		before := len(ids)
		for i := range t.Len() {
			// A pattern without its closing bracket matches nothing.
			ok, _ := path.Match(name, t.ID(i))
			if ok || name == "failed" && failure(t, i) != "" {
				ids = append(ids, t.ID(i))
			}
		}
		if len(ids) == before {
			return nil, unknown(name, t)
		}
	}
	if ids == nil {
		return nil, errors.New("names no molecule")
	}
	return ids, nil
}

// failure is why a molecule failed, "" if it did not.
func failure(t *csvmerge.Table, i int) string {
	if s := t.Status(i); s != csvmerge.Rerun && s != csvmerge.Skip {
		return ""
	}
	text, _ := t.Value(i, "error_message").(string)
	return text
}

// list returns the cells of a text of CSV, but for blank ones.
func list(text string) []string {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = -1, true, true
	records, _ := r.ReadAll() // with LazyQuotes every text is CSV
	cells := slices.Concat(records...)
	for n, cell := range cells {
		cells[n] = strings.TrimSpace(cell)
	}
	return slices.DeleteFunc(cells, func(cell string) bool { return cell == "" })
}

// unknown is the error for a name that no molecule has, with the mol_id that is most like it.
func unknown(name string, t *csvmerge.Table) error {
	if name == "failed" {
		return errors.New("no molecule of the table has failed")
	}
	ids := make([]string, t.Len())
	for i := range ids {
		ids[i] = t.ID(i)
	}
	like := batch.Like(name, ids, "")
	if name == "help" {
		like = fmt.Sprintf("; %s help batch describes the command", command.Name)
	}
	return fmt.Errorf("the table %s has no molecule %q%s", batch.ShownPath(t.Path()), name, like)
}
