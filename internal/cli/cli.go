// Package cli is what the commands of the magefile do. It joins the chemistry (stages), the machine
// (internal) and the table (csvmerge), and turns every outcome into words and an exit code.
//
// The errors of its exported functions have the exit code that mage ends with. Exit code 1 means
// that some molecules failed, and 2 a mistake in the call, the pipeline or the table. 11 means that
// another batch has the table, and 130 that the command was interrupted. The package's own files
// are the two logs in ~/.grimperium.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/magefile/mage/mg"
	"golang.org/x/term"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/pipeline"
	"grimperium/internal/progress"
	"grimperium/internal/runner"
	"grimperium/internal/store"
	"grimperium/internal/tables"
	"grimperium/stages"
)

// The exit codes of the package comment.
const exitFailed, exitMistake, exitLocked, exitInterrupted = 1, 2, 11, 130

// The screens of this process. Text for a person goes there, and data to os.Stdout. The display of
// a batch has the same screen as its warnings: else it would draw over them.
var stdout, stderr = &progress.Screen{Out: os.Stdout}, &progress.Screen{Out: os.Stderr}

// ended gives an error its exit code, unless it has one, and lines that fit into the terminal. That
// standard output could not be written is an error, which goes before others. If nobody reads it
// any more, as with mage why | head, the process ends without a word.
func ended(err error) error {
	if err = cmp.Or(stdout.Failed(), err); err == nil {
		return nil
	}
	e, ok := errors.AsType[*fs.PathError](err)
	if ok && e.Path == os.Stdout.Name() && e.Err == syscall.EPIPE {
		os.Exit(128 + int(syscall.SIGPIPE)) // as a program that SIGPIPE ends
	}
	err = withExitCode(err)
	const before = "Error: " // as mage prints it
	text := strings.TrimPrefix(stderr.Fit(before+err.Error()), before)
	return mg.Fatal(mg.ExitStatus(err), text)
}

func withExitCode(err error) error {
	if _, ok := err.(interface{ ExitStatus() int }); ok {
		return err
	}
	if _, ok := errors.AsType[*store.LockedError](err); ok {
		return mg.Fatal(exitLocked, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return mg.Fatal(exitInterrupted, "interrupted")
	}
	_, start := errors.AsType[*runner.StartError](err) // has its own way out
	for cause, advice := range diskAdvice {
		if errors.Is(err, cause) && !start {
			err = fmt.Errorf("%w (%s; finished results are safe: fix this and run again)", err,
				advice)
		}
	}
	return mg.Fatal(exitMistake, err)
}

// diskAdvice is the way out of an error of the disk.
var diskAdvice = map[error]string{
	syscall.ENOSPC: "the disk has no room for more bytes or files; " + command.Name + unneeded,
	syscall.EDQUOT: "the quota is used up; " + command.Name + unneeded,
	syscall.EIO:    "the disk failed; look into the system's log",
	syscall.EROFS:  "the disk is mounted read-only; remount it",
	syscall.EMFILE: "raise the limit of open files (ulimit -n)",
	syscall.EACCES: "this user lacks the permission; change that by chmod or chown",
	syscall.ENFILE: "the machine can open no more files; end other programs",
	syscall.ENOMEM: "memory ran out; run fewer jobs at once",
	syscall.ESTALE: "the server has changed the files meanwhile",
	syscall.EBUSY:  "a mount point can't be replaced or removed; mount the folder above it instead",
}

const unneeded = " prune lists results that are no longer needed"

// printData prints what another program may read, in whatever width.
func printData(text string) error {
	_, err := os.Stdout.WriteString(text)
	return err
}

const onePress = 100 * time.Millisecond // timeout(1) and go tool send one signal twice, at once

// endSignals are the signals, besides SIGINT and SIGTERM, that end a process unless it handles
// them. A terminal sends some, and schedulers send others before they kill. A process that was
// started with one of them ignored, as by nohup, is meant to go on.
var endSignals = []os.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGXCPU,
	syscall.SIGALRM, syscall.SIGUSR1, syscall.SIGUSR2}

// run gives a command a context. The context ends with the first SIGINT, SIGTERM or other warning,
// and with the mage that started this process. It also ends just before a deadline of ctx. A second
// SIGINT, SIGTERM or SIGQUIT ends the process at once. The error has its exit code.
func run(ctx context.Context, command func(context.Context) error) error {
	deadline, limited := ctx.Deadline()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if limited { // mage -t gives no warning
		left := time.Until(deadline)
		time.AfterFunc(left-min(3*time.Second, left/2), cancel)
	}
	received := make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(received)
	for _, s := range endSignals {
		if !signal.Ignored(s) {
			signal.Notify(received, s)
		}
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // mage batch | head must not end it
	// mage sets a handler of its own at about this time. That handler would end the process with
	// exit code 1 at the second Ctrl-C, and after five seconds.
	defer time.AfterFunc(onePress, func() {
		signal.Reset(syscall.SIGINT)
		signal.Notify(received, syscall.SIGINT)
	}).Stop()
	go func() {
		<-received
		cancel()
		first := time.Now()
		for s := range received { // SIGHUP may come twice from a shell, SIGXCPU comes each second
			byHand := s == syscall.SIGINT || s == syscall.SIGTERM || s == syscall.SIGQUIT
			if byHand && time.Since(first) > onePress {
				fmt.Fprintln(stderr, "Error: interrupted twice; ended at once")
				os.Exit(exitInterrupted)
			}
		}
	}()
	go watchParent(cancel)
	return ended(command(ctx))
}

// watchParent calls cancel when the mage that started this process is gone: a mage that is killed
// passes no signal on. The end of a shell that started the compiled program is no reason to stop.
func watchParent(cancel func()) {
	parent := os.Getppid()
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", parent))
	if filepath.Base(exe) != "mage" {
		return
	}
	for os.Getppid() == parent {
		time.Sleep(500 * time.Millisecond)
	}
	cancel()
}

// Options are the flags of the commands, as the magefile describes them; the zero value is the
// pipeline and the table of the checkout.
type Options struct {
	Pipeline, Table, Artefacts, Set, VarFile string
	Only                                     *string // molecules, as selection reads them; nil: all
	MaxReruns, Jobs                          *int
	DryRun, Verbose, Yes                     bool
	Permissive, FailFast                     bool
	Limit                                    int
	Retry, Timeout                           string
	On                                       string // a cluster's scheduler, "" for this machine
	Detach, Cancel                           bool

	noLogs   bool // nothing is written to the logs in the user's home
	newTable bool // the table does not exist yet
}

// load reads the pipeline and prints its mistakes.
func load(o Options) (*pipeline.Pipeline, error) {
	if o.Jobs != nil && *o.Jobs < 1 {
		return nil, fmt.Errorf("-jobs=%d: a batch uses at least one core", *o.Jobs)
	}
	if o.MaxReruns != nil && *o.MaxReruns < 0 {
		return nil, fmt.Errorf("-maxReruns=%d: at least 0; with 0 or 1 the first failure is the "+
			"last", *o.MaxReruns)
	}
	po := loadOptions()
	po.Set, po.VarFile, po.Environ = o.Set, o.VarFile, os.Environ()
	po.Jobs, po.Reruns = o.Jobs, o.MaxReruns
	if o.Table != "" {
		po.Table = place(o.Table)
	}
	if o.newTable {
		po.Columns = func(string) ([]pipeline.Column, error) { return columnsOf(nil), nil }
	}
	p, err := pipeline.Load(cmp.Or(o.Pipeline, "pipeline.hcl"), po)
	if err == nil && o.Artefacts != "" {
		p.Artefacts = o.Artefacts
	}
	return p, explained(err)
}

// explained prints the mistakes of a pipeline.hcl that an error has.
func explained(err error) error {
	mistakes, ok := errors.AsType[*pipeline.Errors](err)
	if !ok {
		return err
	}
	width, _, noTerminal := term.GetSize(int(os.Stderr.Fd()))
	colour := noTerminal == nil && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
	return cmp.Or(mistakes.Print(os.Stderr, uint(width), colour), err)
}

// place is where the table is that a user names, as the path from the root or a URL.
func place(table string) string {
	wd, _ := os.Getwd() // without one the name stays as it is
	return pipeline.TablePath(wd, table)
}

// readTable reads the table of any kind that a user names.
func readTable(name string) (*csvmerge.Table, error) {
	t, err := tables.Open(place(name), false)
	if err != nil {
		return nil, err
	}
	return t.Rows(), t.Close()
}

// loadOptions are what every pipeline is read with.
func loadOptions() pipeline.Options {
	po := pipeline.Options{Inputs: batch.Inputs, Written: batch.Written, Columns: columns,
		Export: stages.Export{}, Builtins: map[string]func([]string) error{}}
	for _, f := range stages.Functions() {
		po.Functions = append(po.Functions, pipeline.Function{Name: f.Name, Fn: f.Fn,
			Version: f.Version, Params: f.Params, Files: f.Files})
	}
	for _, b := range stages.Builtins() {
		po.Builtins[b.Name] = b.Check
	}
	return po
}

// header returns the columns of the project's table.
func header(table string) ([]string, error) {
	names, err := tables.Header(table)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; -table=FILE names the table, or else pipeline.hcl does", err)
	}
	return names, err
}

// columns are what expressions may name about a table.
func columns(table string) ([]pipeline.Column, error) {
	names, err := header(table)
	return columnsOf(names), err
}

// columnsOf are these columns and those of the format.
func columnsOf(names []string) (out []pipeline.Column) {
	for _, name := range append(names, csvmerge.Known()...) {
		typ := csvmerge.Types(name)
		number := typ == csvmerge.Integer || typ == csvmerge.Number
		out = append(out, pipeline.Column{Name: name, Number: number})
	}
	return out
}

// project is an opened pipeline with its table and artefacts: a batch without its flags.
type project struct {
	batch.Config
	flags string       // for another command that opens the same project; each follows a blank
	batch *batch.Batch // evaluates the results; nil before evaluate
}

// evaluate prepares the project for commands that evaluate results.
func (pr *project) evaluate(ctx context.Context) (err error) {
	pr.batch, err = batch.New(ctx, pr.Config)
	return err
}

// flags are those that name a project.
func (o Options) flags() (flags string) {
	for _, flag := range [][2]string{{"pipeline", o.Pipeline}, {"table", o.Table},
		{"artefacts", o.Artefacts}, {"set", o.Set}} {
		if flag[1] != "" {
			flags += " -" + flag[0] + "=" + batch.Quoted(flag[1])
		}
	}
	return flags
}

// openStore opens an artefacts folder. Its errors have paths as a user reads them.
func openStore(folder string) (*store.Store, error) {
	st, err := store.Open(folder)
	if e, ok := errors.AsType[*store.LinkError](err); ok {
		err = &store.LinkError{Place: batch.ShownPath(e.Place), Target: e.Target}
	}
	return st, err
}

func newProject(p *pipeline.Pipeline, st *store.Store) *project {
	pr := &project{Config: batch.Config{Pipeline: p, Store: st, Warn: stderr,
		Builtins: map[string]batch.Builtin{}}}
	for _, b := range stages.Builtins() {
		run := func(ctx context.Context, w batch.Work) error { return b.Run(ctx, stages.Work(w)) }
		pr.Builtins[b.Name] = batch.Builtin{Version: b.Version, Check: b.Check, Run: run}
	}
	return pr
}

// with opens the project for a command. With write it claims the table before it reads it. It
// refuses an artefacts folder with the results of another table, unless pipeline.hcl names the
// folder: then tables share it on purpose.
func with(o Options, write bool, command func(*project) error) error {
	p, err := load(o)
	if err != nil {
		return err
	}
	if _, err := header(p.Table); err != nil {
		return err
	}
	st, err := openStore(p.Artefacts)
	if err != nil {
		return err
	}
	others, err := st.OthersThan(p.Table)
	if err != nil {
		return err
	}
	_, shared := p.Given["artefacts"]
	for _, other := range others {
		_, err := os.Stat(other)
		there := err == nil || store.IsURL(other)
		if there && (!shared || o.Artefacts != "") {
			return fmt.Errorf("%s: holds the results of another table, %s; give this one a folder "+
				"of its own, -artefacts=FOLDER, or let them share one by artefacts = \"...\" in "+
				"pipeline.hcl", batch.ShownPath(st.Root()), batch.ShownPath(other))
		}
	}
	pr := newProject(p, st)
	pr.flags = o.flags()
	if write {
		if pr.Claims, err = batch.Claim(p.Table, st); err != nil {
			return err
		}
		defer pr.Claims.Release()
		if o.On == "" {
			if err := notOnCluster(st); err != nil {
				return mg.Fatal(exitLocked, err)
			}
		}
	}
	if pr.Source, err = tables.Open(p.Table, write); err != nil {
		return err
	}
	defer pr.Source.Close()
	pr.Table = pr.Source.Rows()
	pr.Index = st.Index()
	pr.Index.ReadOnly = !write
	return command(pr)
}

// open is run for a command that needs the project, opened as by with.
func open(ctx context.Context, o Options, write bool,
	command func(context.Context, *project) error) error {
	return run(ctx, func(ctx context.Context) error {
		return with(o, write, func(pr *project) error { return command(ctx, pr) })
	})
}

// has says whether a table has a mol_id.
func has(t *csvmerge.Table, id string) bool {
	_, ok := t.Lookup(id)
	return ok
}

// pointer is nil for a cell without a value.
func pointer[T any](value any) *T {
	if v, ok := value.(T); ok {
		return &v
	}
	return nil
}
