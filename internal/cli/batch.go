package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/progress"
	"grimperium/stages"
)

// Batch runs the pipeline over the table. If molecules stand behind the command, it ends the
// process itself: mage would take them for commands.
func Batch(ctx context.Context, o Options) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // half as many collections: the programs need the cores
	}
	ctx, end := begin(ctx)
	defer end(&err)
	if o.words, err = words(os.Args); err == nil {
		err = runBatch(ctx, o)
	}
	if err == nil && len(o.words) > 0 {
		os.Exit(0)
	}
	return err
}

func runBatch(ctx context.Context, o Options) error {
	timeouts, err := parseTimeouts(o.Timeout)
	if err != nil {
		return err
	}
	pr, err := open(o, !o.DryRun)
	if err != nil {
		return err
	}
	c := pr.Config
	defer c.Claims.Release()
	if c.Only, err = o.chosen(pr.Table); err != nil {
		return err
	}
	c.Permissive, c.FailFast, c.Limit = o.Permissive, o.FailFast, o.Limit
	c.Retry, c.Timeouts = o.Retry, timeouts
	if !o.Yes {
		c.Confirm = func(what string) error { return confirm(ctx, what) }
	}
	var display sync.WaitGroup
	shown, hide := context.WithCancel(context.Background())
	defer hide()
	c.Begin = func(journal string) {
		display.Go(func() { progress.Watch(shown, os.Stderr, journal) })
	}
	b, err := batch.New(ctx, c)
	if err != nil {
		return err
	}
	if o.DryRun {
		return b.DryRun(ctx, os.Stdout, o.Verbose)
	}
	sum, err := b.Run(ctx)
	hide()
	display.Wait()
	if sum == nil {
		return err
	}
	if !o.unlogged {
		keepLogs(os.Stderr, sum, pr.Pipeline.Table)
	}
	printSummary(os.Stderr, sum, pr.Pipeline.Stages, err)
	return outcome(sum, err)
}

// outcome is the error that a batch ends with.
func outcome(sum *batch.Summary, err error) error {
	switch {
	case errors.Is(err, batch.ErrAlarm):
		return &exit{exitFailed, err}
	case err != nil:
		return err
	case sum.Interrupted:
		return &exit{exitInterrupted, errors.New("interrupted")}
	case len(sum.Failures) > 0:
		return &exit{exitFailed,
			fmt.Errorf("%d of %d molecules failed", len(sum.Failures), sum.Scheduled)}
	}
	return nil
}

// confirm asks whether finished results may be computed again. Without a terminal -yes must say so.
func confirm(ctx context.Context, what string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stderr.Fd())) {
		return fmt.Errorf("%s\nNothing was run. mage batch -dryRun shows more; go on with -yes, "+
			"or allow it by max_recompute in pipeline.hcl", what)
	}
	fmt.Fprintf(os.Stderr, "%s\nGo on? [y/N] ", what)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case text := <-answer:
		if text == "y" || text == "yes" {
			return nil
		}
		return errors.New("nothing was run; mage batch -dryRun shows more")
	}
}

// printSummary prints what a batch did. A batch that an error ended before it did anything did not
// find everything up to date: then only the alarms are printed.
func printSummary(w io.Writer, sum *batch.Summary, stages []*pipeline.Stage, err error) {
	if err == nil || len(sum.Targets) > 0 || len(sum.Failures) > 0 {
		sum.Print(w, stages)
		return
	}
	for _, text := range sum.Alarms {
		fmt.Fprintf(w, "ALARM: %s.\n", text)
	}
}

func builtins() map[string]batch.Builtin {
	out := map[string]batch.Builtin{}
	for _, b := range stages.Builtins() {
		run := func(ctx context.Context, w batch.Work) error { return b.Run(ctx, stages.Work(w)) }
		out[b.Name] = batch.Builtin{Version: b.Version, Run: run}
	}
	return out
}

// parseTimeouts reads "search=60m, pm7=5m".
func parseTimeouts(text string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		stage, limit, ok := strings.Cut(part, "=")
		d, err := time.ParseDuration(strings.TrimSpace(limit))
		if !ok || err != nil || d <= 0 {
			return nil, fmt.Errorf("-timeout=%q: %q is not a stage and its time; "+
				"write -timeout='search=60m, pm7=5m'", text, part)
		}
		out[strings.TrimSpace(stage)] = d
	}
	return out, nil
}
