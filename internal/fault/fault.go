// Package fault marks the instants at which a crash or a failing disk would hurt most, so that the torture test can have them happen there:
// before and after each rename, flush, and write of the table, the manifests, the index and the journal.
//
// It is not responsible for what follows. Unless GRIMPERIUM_FAULT is set it does nothing.
package fault

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Variable is the environment variable that arms one fault: NAME:N ends the process by SIGKILL when it passes the point NAME for the N-th
// time, NAME:N:EIO (or ENOSPC, EDQUOT, EROFS) fails there with that error, from then on with a + behind it, and @:N ends the process at the N-th passing
// of any point.
const Variable = "GRIMPERIUM_FAULT"

// Steps are the operations that Around is used for; each has a point before it and one after it.
var Steps = []string{
	"batch.deaths",     // the rerun of a molecule in which the last batch died
	"csvmerge.flush",   // the new table, onto the disk
	"csvmerge.folder",  // the table's folder, onto the disk
	"csvmerge.replace", // the new table, in the place of the old one
	"csvmerge.write",   // the bytes of the new table
	"index.line",
	"index.replace",
	"journal.line",
	"store.aside",    // a file that was edited by hand, out of the way
	"store.clear",    // what is left of a result that can't be kept
	"store.flush",    // one file or folder, onto the disk
	"store.flushAll", // the whole file system
	"store.forget",   // the record of an earlier result that was brought back
	"store.manifest", // a manifest or a record that is not flushed yet, in its place
	"store.move",     // a result or a failed attempt, to its place
	"store.replace",  // a flushed manifest, in the place of the old one
	"store.scratch",
	"store.spare", // a file that nothing needs, to be used again
	"store.sweep",
	"store.write", // the bytes of a manifest, or of the record of an earlier result
}

// Before and After are a step's two points.
func Before(step string) string { return step + ".before" }

// After is the point behind a step.
func After(step string) string { return step + ".after" }

// plan is the armed fault, nil for none: what a process is told once. It is the one global of this package.
var plan = parse(os.Getenv(Variable))

type armed struct {
	name  string // "@" for any
	at    int64
	err   error // nil: SIGKILL
	stays bool  // the error comes again at each later passing
	seen  atomic.Int64
}

var errs = map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "EDQUOT": syscall.EDQUOT, "EROFS": syscall.EROFS}

// parse reads the variable. A fault that nobody can mean ends the program: a test that arms nothing would prove nothing.
func parse(text string) *armed {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, ":")
	a := &armed{name: parts[0]}
	ok := len(parts) == 2 || len(parts) == 3
	if ok {
		n, err := strconv.Atoi(parts[1])
		a.at, ok = int64(n), err == nil && n > 0
	}
	if ok && len(parts) == 3 {
		name, stays := strings.CutSuffix(parts[2], "+")
		a.stays = stays
		a.err, ok = errs[name]
	}
	step := strings.TrimSuffix(strings.TrimSuffix(a.name, ".before"), ".after")
	if !ok || a.name != "@" && (step == a.name || !slices.Contains(Steps, step)) {
		fmt.Fprintf(os.Stderr, "%s=%q: no such fault\n", Variable, text)
		os.Exit(2)
	}
	return a
}

// Around runs one step between its two points. An armed point fails in the place of the step, or after it was done.
func Around(step string, op func() error) error {
	if plan == nil {
		return op()
	}
	if err := plan.pass(Before(step)); err != nil {
		return err
	}
	if err := op(); err != nil {
		return err
	}
	return plan.pass(After(step))
}

func (a *armed) pass(point string) error {
	if a.name != "@" && a.name != point {
		return nil
	}
	n := a.seen.Add(1)
	if n < a.at || n > a.at && !a.stays {
		return nil
	}
	if a.err == nil {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
	return fmt.Errorf("%s (a staged fault): %w", point, a.err)
}
