package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/packed"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Read is the outcome of a target whose values were read again.
const Read = "read"

// perform brings a target up to date.
func (t *visit) perform(ctx context.Context, g *target) error {
	switch {
	case g.action == fresh || g.action == none:
		return nil
	case g.action == skip || g.action == leave:
		g.failure = &TargetError{Message: g.last.Error, Prospect: NotTried, Reruns: t.reruns()}
		return nil
	case ctx.Err() != nil:
		return Interrupted
	case t.Stopping() || !t.Ran && !t.Row.Again && !t.Admit():
		return Stopped
	case g.action == broken:
		return t.fail(g, t.record(g), g.reason)
	}
	if err := t.log.Writable(); err != nil {
		return err
	}
	t.Ran = true
	if err := t.log.Unpack(); err != nil {
		return err
	}
	return t.try(ctx, g)
}

// record is the beginning of a target's new record.
func (t *visit) record(g *target) *store.Record {
	rec := &store.Record{Target: g.name, Fingerprint: g.fingerprint, Description: g.description,
		Reading: g.reading, Outcome: store.OK, Attempt: g.attempt, Started: time.Now(),
		Programs: map[string]string{}}
	for _, name := range g.stage.Programs {
		rec.Programs[name] = t.Programs.found[name].Identity
	}
	return rec
}

// try makes one attempt at a target, with its lines in the journal.
func (t *visit) try(ctx context.Context, g *target) (err error) {
	if g.action == run && g.stage.Program != "" {
		n := min(int64(g.stage.Cores), t.Jobs) // a stage that takes more has them all
		if t.cores.Acquire(ctx, n) != nil {
			return Interrupted
		}
		defer t.cores.Release(n)
	}
	e := journal.Event{Event: journal.TargetStart, Mol: t.Row.ID, Stage: g.stage.Name,
		Size: t.Row.Size}
	if g.stage.ForEach {
		e.Instance, e.Instances = g.i+1, g.n
	}
	if err := t.Log(e); err != nil {
		return err
	}
	e.Event = journal.TargetEnd
	e.Outcome = map[action]string{run: store.OK, read: Read, restore: journal.Restored}[g.action]
	if g.action == run {
		err = t.build(ctx, g)
	} else {
		err = t.readAgain(g)
	}
	switch {
	case errors.Is(err, Interrupted):
		e.Outcome = store.Interrupted
	case err != nil:
		return err
	case g.failure != nil:
		e.Outcome, e.Error = g.rec.Outcome, g.rec.Error
	}
	if g.action == run && g.rec != nil {
		e.Seconds = g.rec.Seconds
	}
	e.Time = time.Now()
	t.Targets = append(t.Targets, e)
	return errors.Join(err, t.Log(e))
}

// readAgain brings an earlier result back if there is one, and evaluates the values of a result if
// how they are read changed. A result that no longer passes fails as if its program had just run.
// The program does not run at once, because the edit may be a slip.
func (t *visit) readAgain(g *target) error {
	rec := *cmp.Or(g.earlier, g.last)
	rec.Target, g.rec = g.name, &rec
	if g.action == restore {
		if err := t.log.Restore(&rec); err != nil || rec.Reading == g.reading {
			return err
		}
	}
	dir := t.Store.TargetDir(t.Row.ID, g.name)
	rec.Outcome, rec.Error, rec.Reading = store.OK, "", g.reading
	rec.Attempts, rec.Reruns = nil, 0
	err := t.m.Precheck(g.stage, g.i, rec.Attempt)
	if err == nil {
		if err = t.read(g, dir, &rec); err != nil && g.stage.Program != "" {
			err = fmt.Errorf("%w (%s)", err, ShownPath(dir))
		}
	}
	if err != nil {
		err = t.fail(g, &rec, err.Error())
		if g.failure.again() {
			g.failure.Prospect = TryLater
		}
		return err
	}
	return t.log.Append(&rec)
}

// read evaluates a target's values and warnings from its files in a folder, for its record.
func (t *visit) read(g *target, dir string, rec *store.Record) (err error) {
	paths := map[string]string{}
	for name, file := range g.stage.Outputs {
		paths[name] = dir + "/" + file
	}
	if rec.Values, err = t.m.Read(g.stage, g.i, paths); err != nil {
		return err
	}
	rec.Warnings, err = t.m.Warnings(g.stage, g.i, paths)
	for n, text := range rec.Warnings {
		rec.Warnings[n] = oneLine(text)
	}
	return err
}

// build computes a target. What a program made arrives whole, or is kept as a failed attempt. After
// a time-out the attempt has twice the time. A stage of values alone has no program and no folder.
func (t *visit) build(ctx context.Context, g *target) (err error) {
	rec := t.record(g)
	salvaged := t.salvaged(g)
	if g.attempt > 0 || len(salvaged) > 0 {
		g.task, err = t.m.Task(g.stage, g.i, g.attempt, salvaged...)
	}
	if err == nil {
		if err = t.m.Precheck(g.stage, g.i, g.attempt); err != nil && g.repeats {
			kept := *g.last // of before the condition was there
			kept.Reading, kept.Outcome, kept.Attempt = rec.Reading, rec.Outcome, rec.Attempt
			rec = &kept
		}
	}
	if err == nil && g.stage.Program == "" {
		if err = t.read(g, "", rec); err == nil {
			g.rec, rec.Finished = rec, time.Now()
			return t.log.Append(rec)
		}
	}
	if err != nil {
		return t.fail(g, rec, err.Error())
	}
	if g.limit = t.timeout(g.stage, g.task); g.limit > 0 && t.timedOut(g) {
		g.limit = max(g.limit, time.Duration(2*g.last.Timeout*float64(time.Second)))
	}
	rec.Command, rec.Timeout = g.task.Argv, g.limit.Seconds()
	if err := t.prepare(g, salvaged); err != nil {
		return err
	}
	g.parts = t.Store.Parts(t.Row.ID, g.name, g.fingerprint, g.task.Argv)
	used, err := t.execute(ctx, g)
	store.Share(g.dir)
	ending, failed := errors.AsType[*TargetError](err)
	if failed {
		select {
		case <-ctx.Done():
		case <-time.After(t.Linger):
		}
	}
	switch {
	case err != nil && !failed:
		return err
	case ctx.Err() != nil:
		return errors.Join(Interrupted, t.interrupted(g))
	}
	if err := t.Programs.unchanged(ctx, t.Row.ID, g, failed); err != nil {
		return err
	}
	rec.ExitCode, rec.MaxRSS = used.ExitCode, used.MaxRSS
	rec.CPU = (used.User + used.System).Seconds()
	rec.Finished = time.Now()
	rec.Seconds = rec.Finished.Sub(rec.Started).Seconds()
	return t.commit(g, rec, ending)
}

// timedOut reports whether the last attempt at a target, as it is now, ran out of time.
func (t *visit) timedOut(g *target) bool {
	return g.last != nil && g.last.Outcome == store.TimedOut && g.last.Fingerprint == g.fingerprint
}

// prepare makes a target's scratch folder, with its inputs and files and what an earlier attempt
// left. The command, its environment and its files name the unpacked copies of compressed inputs.
func (t *visit) prepare(g *target, salvaged []string) (err error) {
	if g.dir, err = t.Store.Scratch(t.Row.ID + "." + g.name); err != nil {
		return err
	}
	for _, f := range salvaged {
		data, readErr := os.ReadFile(filepath.Join(t.Store.FailedDir(t.Row.ID, g.name), f))
		err = cmp.Or(err, readErr, writeFile(filepath.Join(g.dir, salvageName), f, data))
	}
	for _, in := range g.task.Inputs {
		place := filepath.Join(g.dir, in.Local)
		err = cmp.Or(err, os.MkdirAll(filepath.Dir(place), 0o777))
		if packed.Stored(in.Path) == in.Path {
			err = cmp.Or(err, os.Symlink(in.Path, place))
		} else {
			err = cmp.Or(err, packed.Unpack(in.Path, place, in.Size))
		}
	}
	for _, f := range g.task.Files {
		err = cmp.Or(err, writeFile(g.dir, f.Name, f.Content))
	}
	return err
}

// commit reads what a program left in its folder, and makes it the target's result or keeps it as a
// failed attempt. ending says why the program failed, nil where it did not.
func (t *visit) commit(g *target, rec *store.Record, ending *TargetError) error {
	// Put refuses what was changed since.
	outputs := store.Collect(g.dir, g.stage.Outputs, g.stage.Limits.Bytes)
	if durable.Passing(outputs.Err) {
		return outputs.Err
	}
	if ending != nil && ending.timedOut {
		rec.Outcome = store.TimedOut
	} else {
		ending = t.explain(g, rec, outputs.Err, ending)
	}
	if ending == nil {
		err := t.log.Put(rec, g.dir, outputs, g.stage.Keep, g.stage.Compress)
		g.rec = rec
		output, refused := errors.AsType[*store.OutputError](err)
		if !refused {
			return err
		}
		ending = &TargetError{Message: output.Error()}
	}
	if err := full(g.dir); err != nil {
		return err
	}
	return t.keepFailed(g, rec, ending)
}

// A file system with less left counts as full. Something is left after most failures: the
// program that had no space, or another target, may have removed files since.
const leastBytes, leastFiles = 1 << 20, 16

// full is an error if the file system of a folder is full: then no failure is the molecule's.
func full(dir string) error {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return nil
	}
	few := fs.Files > 0 && fs.Ffree < leastFiles // some file systems count none
	if few || uint64(fs.Bavail)*uint64(fs.Bsize) < leastBytes {
		return fmt.Errorf("%s: %w", dir, unix.ENOSPC)
	}
	return nil
}

// explain reads the values of a target, and returns why it failed. ending is that of its program.
func (t *visit) explain(
	g *target, rec *store.Record, missing error, ending *TargetError) *TargetError {
	err, absent := missing, errors.Is(missing, fs.ErrNotExist)
	if missing == nil || absent { // a parser must not follow a link or wait for a pipe
		if err = t.read(g, g.dir, rec); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = cmp.Or(missing, err)
		}
	}
	if ending != nil {
		// The parser's words are better than an exit code, but not than what the pipeline says that
		// the code means. A file that is torn gives none.
		_, mistake := errors.AsType[*pipeline.EvalError](err)
		if err == nil || rec.ExitCode < 0 || ending.crashed || mistake ||
			g.stage.ExitCodes[rec.ExitCode] != "" || errors.Is(err, fs.ErrNotExist) {
			return ending
		}
		return &TargetError{Message: err.Error(), how: ending.how}
	}
	for _, in := range g.task.Inputs { // the program has the path of the very artefact
		if packed.Stored(in.Path) == in.Path && !store.SameContent(in.Path, in.SHA256) {
			return &TargetError{Message: "its input file " + ShownPath(in.Path) + " was changed " +
				"while it ran; let the command work on a copy (the next batch computes that file " +
				"again)"}
		}
	}
	if err == nil {
		return nil
	}
	if absent && !g.stage.Builtin {
		if words, _ := ownWords(g.dir, false); words != "" {
			how := fmt.Sprintf("%s ended with exit code %d; ", g.stage.Program, rec.ExitCode)
			return &TargetError{Message: missing.Error() + ": " + words, how: how}
		}
	}
	return &TargetError{Message: err.Error()}
}

// fail records that a target failed.
func (t *visit) fail(g *target, rec *store.Record, message string) error {
	if rec.Outcome == store.OK {
		rec.Outcome = store.Failed
	}
	f := &TargetError{Reruns: rec.Attempt + 1}
	f.Message = fmt.Sprintf("%s/%s: %s", t.Row.ID, g.name, oneLine(message))
	switch {
	case final(g.stage, rec):
		f.Prospect = TryNever
		f.Message += "; not tried again, because it can only fail the same way"
	case t.another(g, rec):
		f.Prospect = TryOther
	}
	rec.Attempts = nil
	for attempt := 1; attempt <= rec.Attempt; attempt++ {
		rec.Attempts = append(rec.Attempts, t.does(g, attempt))
	}
	rec.Error, rec.Reruns, rec.Values, rec.Warnings = f.Message, f.Reruns, nil, nil
	t.Ran, g.rec, g.failure = true, rec, f
	return t.log.Append(rec)
}

// dropOthers drops the results of instances that for_each no longer has, or that were left out.
func (t *visit) dropOthers(s *pipeline.Stage, all []*target) (err error) {
	for _, name := range t.log.TargetsOf(s.Name) {
		isValid := func(g *target) bool { return g.name == name && g.action != none }
		if !slices.ContainsFunc(all, isValid) {
			t.Ran, err = true, cmp.Or(err, t.log.Drop(name))
		}
	}
	return err
}

// salvaged lists the files that an attempt may use of the last attempt with the same fingerprint.
// That attempt ran out of time or was interrupted. After a time-out a first attempt uses no files,
// because the row was set back. Files of an attempt that failed otherwise may be wrong.
func (t *visit) salvaged(g *target) []string {
	if !(t.timedOut(g) && g.attempt > 0) && !t.log.Interrupted(g.name, g.fingerprint) {
		return nil
	}
	return nonEmpty(t.Store.FailedDir(t.Row.ID, g.name), g.stage.Salvage...)
}

// interrupted keeps what the next attempt can start from: what the program found, or else what it
// started from itself. All else is swept at the end: an interrupted target never happened.
func (t *visit) interrupted(g *target) error {
	for _, from := range []string{g.dir, filepath.Join(g.dir, salvageName)} {
		if found := nonEmpty(from, g.stage.Salvage...); len(found) > 0 {
			return t.log.KeepInterrupted(g.name, from, found, g.fingerprint)
		}
	}
	return nil
}

// nonEmpty returns the regular files that have something in them.
func nonEmpty(dir string, names ...string) (out []string) {
	for _, name := range names {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			out = append(out, name)
		}
	}
	return out
}

// keepFailed keeps a failed attempt's folder for reading, with the command to be tried by hand. The
// message names the file that says most, as it will be found.
func (t *visit) keepFailed(g *target, rec *store.Record, f *TargetError) error {
	message := strings.ReplaceAll(f.Message, g.dir+"/", "")
	var likely []string // to tell most
	for _, file := range slices.Sorted(maps.Values(g.stage.Outputs)) {
		message = strings.TrimPrefix(message, file+": ") // where to look stands at the end
		if strings.HasSuffix(file, ".out") || strings.HasSuffix(file, ".log") {
			likely = append(likely, file)
		}
	}
	var words []string // as a shell reads them: a person may copy the line
	for _, set := range g.task.Env {
		name, value, _ := strings.Cut(set, "=")
		words = append(words, name+"="+Quoted(value))
	}
	for _, w := range g.task.Argv {
		words = append(words, Quoted(w))
	}
	if path := t.Programs.found[g.stage.Program].Path; path != "" {
		words[len(g.task.Env)] = Quoted(path)
	}
	text := fmt.Sprintf("%s/%s, attempt %d\n%s\n\nThe command, to be tried in this folder:\n%s\n",
		t.Row.ID, g.name, rec.Attempt+1, message, strings.Join(words, " "))
	const note = "failure.txt"
	err := os.RemoveAll(filepath.Join(g.dir, note)) // a program's own
	err = cmp.Or(err, writeFile(g.dir, note, []byte(text)))
	most := append(nonEmpty(g.dir, append(likely, stderrName, stdoutName)...), "")[0]
	where := ShownPath(filepath.Join(t.Store.FailedDir(t.Row.ID, g.name), most))
	if err = cmp.Or(err, t.log.Fail(g.name, g.dir)); err != nil {
		return err
	}
	return t.fail(g, rec, fmt.Sprintf("%s (%s%s)", message, f.how, where))
}

// Quoted is a word as a shell reads it.
func Quoted(w string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+@%"
	if w != "" && strings.Trim(w, plain) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
