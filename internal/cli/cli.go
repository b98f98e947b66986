// Package cli is what the commands of the magefile do: it joins the chemistry (stages), the machine (internal) and
// the table (csvmerge), and turns every outcome into words and an exit code.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/term"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/progress"
	"grimperium/internal/store"
	"grimperium/stages"
)

// Exit codes.
const (
	exitFailed      = 1  // some molecules failed
	exitMistake     = 2  // in the call, the pipeline, the table, or a program is missing
	exitLocked      = 11 // another batch has the table
	exitInterrupted = 130
)

// exit is an error with the exit code that mage ends with. It must reach mage bare, not wrapped.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string   { return e.err.Error() }
func (e *exit) ExitStatus() int { return e.code }
func (e *exit) Unwrap() error   { return e.err }

// ended gives an error its exit code; an *exit keeps its own.
func ended(err error) error {
	var e *exit
	var locked *store.LockedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.As(err, &locked):
		return &exit{exitLocked, err}
	case errors.Is(err, context.Canceled):
		return &exit{exitInterrupted, errors.New("interrupted")}
	}
	for is, advice := range diskAdvice {
		if errors.Is(err, is) {
			err = fmt.Errorf("%w (%s; nothing that was finished is lost: then run again)", err, advice)
			break
		}
	}
	return &exit{exitMistake, err}
}

// diskAdvice is the way out of what a disk can do to a batch.
var diskAdvice = map[error]string{
	syscall.ENOSPC: "the disk has no room for more bytes or files; make some, mage prune lists what nothing needs",
	syscall.EDQUOT: "the quota is used up; make room, mage prune lists what nothing needs",
	syscall.EIO:    "the disk did not do what it was asked to; look into the system's log",
	syscall.EROFS:  "the disk is mounted to be read only; remount it",
	syscall.EACCES: "this user may not write there; change the permissions",
}

// Options are the flags that commands share; the zero value is the checkout's own pipeline and table.
type Options struct {
	Pipeline, Table, Artefacts string
	Set, VarFile               string
	Only                       string // mol_ids, separated by commas
	MaxReruns, Jobs            *int
	DryRun, Permissive         bool
	FailFast                   bool   // no molecule is started after one has failed
	Limit                      int    // molecules; 0: all
	Retry                      string // skipped molecules to try again: "all", a stage, or a text in the error message
	Timeout                    string // of stages, for this batch only: "search=60m, pm7=5m"
	unlogged                   bool   // nothing goes into the logs of the user's home
}

// project is an opened pipeline with its table and artefacts.
type project struct {
	pipeline *pipeline.Pipeline
	table    *csvmerge.Table
	store    *store.Store
	index    *store.Index
}

// load reads the pipeline; its mistakes are printed.
func load(o Options) (*pipeline.Pipeline, error) {
	po := pipeline.Options{Set: o.Set, VarFile: o.VarFile, Environ: os.Environ(), Reruns: o.MaxReruns, Jobs: o.Jobs, Reserved: batch.Columns, Columns: columns}
	if o.Table != "" {
		abs, err := filepath.Abs(o.Table)
		if err != nil {
			return nil, err
		}
		po.Table = abs
	}
	for _, f := range stages.Functions() {
		po.Functions = append(po.Functions, pipeline.Function{Name: f.Name, Description: f.Description, Example: f.Example, Fn: f.Fn, Version: f.Version})
	}
	for _, b := range stages.Builtins() {
		po.Builtins = append(po.Builtins, b.Name)
	}
	if o.Jobs != nil && *o.Jobs < 1 {
		return nil, fmt.Errorf("-jobs=%d: a batch uses at least one core", *o.Jobs)
	}
	path := o.Pipeline
	if path == "" {
		path = "pipeline.hcl"
	}
	p, err := pipeline.Load(path, po)
	var mistakes *pipeline.Errors
	if errors.As(err, &mistakes) {
		width, colour := screen(os.Stderr)
		if err := mistakes.Print(os.Stderr, width, colour); err != nil {
			return nil, err
		}
	}
	return p, err
}

// screen tells the width of a terminal, and whether it shows colours; 0 and no for what is none.
func screen(f *os.File) (width uint, colour bool) {
	if !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		w = 0
	}
	return uint(w), os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// columns are what expressions may name: the columns of the table, and those of the format that a table may leave out.
func columns(table string) ([]pipeline.Column, error) {
	t, err := csvmerge.OpenStream(table) // the header is enough
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var out []pipeline.Column
	seen := map[string]bool{}
	for _, name := range append(t.Columns(), csvmerge.Known()...) {
		if !seen[name] {
			seen[name] = true
			kind := csvmerge.Types(name)
			out = append(out, pipeline.Column{Name: name, Number: kind == csvmerge.Integer || kind == csvmerge.Number})
		}
	}
	return out, nil
}

// open opens everything that a batch needs; write claims the table first, so that what is read stays true.
func open(o Options, write bool) (*project, batch.Claims, error) {
	p, err := load(o)
	if err != nil {
		return nil, nil, err
	}
	if o.Artefacts != "" {
		p.Artefacts = o.Artefacts
	}
	pr := &project{pipeline: p}
	if _, err := os.Stat(p.Table); err != nil {
		return nil, nil, tableError(p.Table, err)
	}
	if pr.store, err = store.Open(p.Artefacts); err != nil {
		return nil, nil, err
	}
	var claims batch.Claims
	if write {
		if claims, err = batch.Claim(p.Table, pr.store); err != nil {
			return nil, nil, err
		}
	}
	if pr.table, err = csvmerge.Read(p.Table); err != nil {
		claims.Release()
		return nil, nil, err
	}
	pr.index = pr.store.Index()
	pr.index.ReadOnly = !write
	return pr, claims, nil
}

func tableError(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: there is no such table (pipeline.hcl names it; -table=FILE names another)", path)
	}
	return err
}

// signals ends ctx on Ctrl-C, SIGTERM and SIGHUP, and when mage, which started us, is gone.
func signals(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a reader of our output that ends (mage batch | head) is no reason to die
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(ctx)
	go watchParent(ctx, cancel)
	return ctx, func() { cancel(); stop() }
}

// Batch runs the pipeline over the table.
func Batch(ctx context.Context, o Options) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // half as many collections: between two programs nothing else may be on the way
	}
	ctx, stop := signals(ctx)
	defer stop()
	return ended(runBatch(ctx, o))
}

func runBatch(ctx context.Context, o Options) error {
	timeouts, err := parseTimeouts(o.Timeout)
	if err != nil {
		return err
	}
	pr, claims, err := open(o, !o.DryRun)
	if err != nil {
		return err
	}
	defer claims.Release()
	shown := newDisplay(os.Stderr)
	b, err := batch.New(ctx, batch.Config{Pipeline: pr.pipeline, Table: pr.table, Store: pr.store, Index: pr.index, Claims: claims,
		Builtins: builtins(), Only: list(o.Only), Permissive: o.Permissive, FailFast: o.FailFast,
		Limit: o.Limit, Retry: o.Retry, Timeouts: timeouts, Warn: os.Stderr, Begin: shown.start})
	if err != nil {
		return err
	}
	if o.DryRun {
		return b.DryRun(os.Stdout)
	}
	sum, err := b.Run(ctx)
	shown.end()
	if sum == nil {
		return err
	}
	if !o.unlogged {
		keepLogs(os.Stderr, sum, pr.pipeline.Table)
	}
	sum.Print(os.Stderr, pr.pipeline.Stages)
	switch {
	case errors.Is(err, batch.ErrAlarm):
		return &exit{exitFailed, err}
	case err != nil:
		return err
	case sum.Interrupted:
		return &exit{exitInterrupted, errors.New("interrupted")}
	case len(sum.Failures) > 0:
		return &exit{exitFailed, fmt.Errorf("%d of %d molecules failed", len(sum.Failures), sum.Scheduled)}
	}
	return nil
}

func list(text string) []string {
	var out []string
	for _, s := range strings.Split(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func builtins() map[string]batch.Builtin {
	out := map[string]batch.Builtin{}
	for _, b := range stages.Builtins() {
		out[b.Name] = batch.Builtin{Version: b.Version, Run: func(ctx context.Context, w batch.Work) error {
			return b.Run(ctx, stages.Work(w))
		}}
	}
	return out
}

// display is the progress display while a batch has something to show.
type display struct {
	out  *os.File
	stop chan struct{}
	done chan struct{}
}

func newDisplay(out *os.File) *display { return &display{out: out} }

func (d *display) start(journal string) {
	d.stop, d.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(d.done)
		progress.Watch(context.Background(), d.out, journal, d.stop)
	}()
}

func (d *display) end() {
	if d.stop != nil {
		close(d.stop)
		<-d.done
	}
}

// fprintln writes a line that no one can do anything about if it fails.
func fprintln(w io.Writer, a ...any) { _, _ = fmt.Fprintln(w, a...) }
