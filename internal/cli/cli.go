// Package cli is what the commands of the magefile do. It joins the chemistry (stages), the machine
// (internal) and the table (csvmerge), and turns every outcome into words and an exit code.
//
// The errors of its exported functions have the exit code that mage ends with: 1 some molecules
// failed, 2 a mistake in the call, the pipeline or the table, 11 another batch has the table, 130
// interrupted. Its own files are the two logs in ~/.grimperium.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
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
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &exit{exitInterrupted, errors.New("interrupted")}
	}
	var start *runner.StartError // has its own way out
	for cause, advice := range diskAdvice {
		if errors.Is(err, cause) && !errors.As(err, &start) {
			err = fmt.Errorf("%w (%s; nothing that was finished is lost: then run again)", err, advice)
			break
		}
	}
	return &exit{exitMistake, err}
}

// diskAdvice is the way out of an error of the disk.
var diskAdvice = map[error]string{
	syscall.ENOSPC: "the disk has no room for more bytes or files; " +
		"make some, mage prune lists what nothing needs",
	syscall.EDQUOT: "the quota is used up; make room, mage prune lists what nothing needs",
	syscall.EIO:    "the disk failed; look into the system's log",
	syscall.EROFS:  "the disk is mounted read-only; remount it",
	syscall.EMFILE: "raise the limit of open files (ulimit -n)",
	syscall.ENFILE: "end other programs, or raise the machine's limit of files (fs.file-max)",
	syscall.EACCES: "this user may not write there; change the permissions",
}

// Options are the flags of the commands; the zero value is the pipeline and the table of the
// checkout.
type Options struct {
	Pipeline, Table, Artefacts string
	Set, VarFile               string
	Only                       *string // molecules, as selection reads them; nil: all
	MaxReruns, Jobs            *int
	DryRun, Permissive         bool
	Verbose                    bool   // DryRun lists every target
	Yes                        bool   // computes finished results again without asking
	FailFast                   bool   // no molecule is started after one has failed
	Limit                      int    // molecules; 0: all
	Retry                      string // skipped molecules: "all", of a stage, with a text in the error
	Timeout                    string // of stages, for this batch only: "search=60m, pm7=5m"

	words    []string // molecules behind the command batch
	unlogged bool     // nothing is written to the logs in the user's home
}

// project is an opened pipeline with its table and artefacts: a batch without its flags.
type project struct{ batch.Config }

// load reads the pipeline and prints its mistakes.
func load(o Options) (*pipeline.Pipeline, error) {
	if o.Jobs != nil && *o.Jobs < 1 {
		return nil, fmt.Errorf("-jobs=%d: a batch uses at least one core", *o.Jobs)
	}
	po := pipeline.Options{Set: o.Set, VarFile: o.VarFile, Environ: os.Environ(), Jobs: o.Jobs,
		Reruns: o.MaxReruns, Reserved: batch.Columns, Columns: columns}
	var err error
	if o.Table != "" {
		if po.Table, err = filepath.Abs(o.Table); err != nil {
			return nil, err
		}
	}
	for _, f := range stages.Functions() {
		po.Functions = append(po.Functions, pipeline.Function(f))
	}
	for _, b := range stages.Builtins() {
		po.Builtins = append(po.Builtins, b.Name)
	}
	p, err := pipeline.Load(cmp.Or(o.Pipeline, "pipeline.hcl"), po)
	var mistakes *pipeline.Errors
	if errors.As(err, &mistakes) {
		width, colour := screen(os.Stderr)
		if err := mistakes.Print(os.Stderr, width, colour); err != nil {
			return nil, err
		}
	}
	if err == nil && o.Artefacts != "" {
		p.Artefacts = o.Artefacts
	}
	return p, err
}

// screen returns the width of a terminal and whether it shows colours; 0 and false for a file and a
// terminal that moves no cursor.
func screen(f *os.File) (width uint, colour bool) {
	if !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	w, _, _ := term.GetSize(int(f.Fd()))
	return uint(w), os.Getenv("NO_COLOR") == ""
}

// columns are what expressions may name: the columns of the table and those of the format.
func columns(table string) ([]pipeline.Column, error) {
	names, err := csvmerge.ReadHeader(table)
	if err != nil {
		return nil, err
	}
	var out []pipeline.Column
	for _, name := range append(names, csvmerge.Known()...) {
		typ := csvmerge.Types(name)
		number := typ == csvmerge.Integer || typ == csvmerge.Number
		out = append(out, pipeline.Column{Name: name, Number: number})
	}
	return out, nil
}

// open opens everything that a batch needs. With write it claims the table before it reads it.
func open(o Options, write bool) (*project, error) {
	p, err := load(o)
	if err != nil {
		return nil, err
	}
	if _, err := csvmerge.ReadHeader(p.Table); err != nil {
		return nil, err
	}
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return nil, err
	}
	if err := ownFolder(o, p, st); err != nil {
		return nil, err
	}
	pr := &project{batch.Config{Pipeline: p, Store: st, Builtins: builtins(), Warn: os.Stderr}}
	if write {
		if pr.Claims, err = batch.Claim(p.Table, st); err != nil {
			return nil, err
		}
	}
	if pr.Table, err = csvmerge.Read(p.Table); err != nil {
		pr.Claims.Release()
		return nil, err
	}
	pr.Index = st.Index()
	pr.Index.ReadOnly = !write
	return pr, nil
}

// ownFolder refuses an artefacts folder with the results of another table, unless pipeline.hcl
// names the folder: then tables share it on purpose.
func ownFolder(o Options, p *pipeline.Pipeline, st *store.Store) error {
	if _, named := p.Given["artefacts"]; named && o.Artefacts == "" {
		return nil
	}
	others, err := st.OthersThan(p.Table)
	others = slices.DeleteFunc(others, func(t string) bool { _, err := os.Stat(t); return err != nil })
	if err != nil || len(others) == 0 {
		return err
	}
	own := batch.ShownPath(strings.TrimSuffix(p.Table, ".csv") + ".artefacts")
	return fmt.Errorf("%s: holds the results of another table, %s; give this one a folder of "+
		"its own, -artefacts=%s, or let them share one by artefacts = \"...\" in pipeline.hcl",
		batch.ShownPath(st.Root()), batch.ShownPath(others[0]), own)
}

// fprintln writes a line. Nothing can be done about an error.
func fprintln(w io.Writer, a ...any) { _, _ = fmt.Fprintln(w, a...) }
