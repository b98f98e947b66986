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
	"strconv"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/packed"
	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// perform returns what deals with a target by bringing it up to date.
func (t *visit) perform(ctx context.Context) func(*target) error {
	return func(g *target) error {
		last := t.log.Record(g.name)
		switch g.action {
		case fresh:
			g.rec = last
			return nil
		case off, none:
			return nil
		case skip, leave:
			g.failure = &TargetError{Target: g.name, Message: last.Error, Skipped: true,
				Reruns: t.reruns()}
			return nil
		}
		if t.Row.Died == g.name && g.action == run && t.Row.Status == csvmerge.Skip {
			g.attempt = t.Row.Reruns - 1 // it was counted when this batch began
			return t.fail(g, t.record(g), diedMessage)
		}
		switch {
		case ctx.Err() != nil:
			return Interrupted
		case t.Stopping() || !t.Ran && !t.Row.Again && !t.Admit():
			return Stopped
		}
		t.Ran = true
		if g.action == broken {
			return t.fail(g, t.record(g), g.reason)
		}
		return t.try(ctx, g)
	}
}

// record is the beginning of a target's new record.
func (t *visit) record(g *target) *store.Record {
	rec := &store.Record{Target: g.name, Fingerprint: g.fingerprint, Description: g.description,
		Reading: g.reading, Outcome: store.OK, Attempt: g.attempt, Started: time.Now(),
		Programs: map[string]string{}}
	for _, name := range g.stage.Programs {
		rec.Programs[name] = t.Programs.identity[name]
	}
	return rec
}

// try makes one attempt at a target, with its lines in the journal.
func (t *visit) try(ctx context.Context, g *target) error {
	if g.action == run && g.stage.Program != "" {
		release, err := t.cores.take(ctx, g.stage.Cores)
		if err != nil {
			return Interrupted
		}
		defer release()
	}
	e := journal.Event{Event: journal.TargetStart, Mol: t.Row.ID, Stage: g.stage.Name,
		Size: t.Row.Size}
	if g.stage.ForEach {
		e.Instance, e.Instances = g.i+1, g.n
	}
	if err := t.Log(e); err != nil {
		return err
	}
	var outcome string
	var err error
	if g.action == run {
		outcome, err = t.build(ctx, g)
	} else {
		outcome, err = t.readAgain(g)
	}
	if err != nil && !errors.Is(err, Interrupted) {
		return err
	}
	e.Event, e.Size, e.Outcome = journal.TargetEnd, nil, outcome
	done := Done{Stage: g.stage.Name, Outcome: outcome}
	if g.rec != nil {
		e.Seconds, e.Error = g.rec.Seconds, g.rec.Error
		if g.action == run {
			done.Seconds = e.Seconds
		}
	}
	t.Targets = append(t.Targets, done)
	return errors.Join(err, t.Log(e))
}

// Read is the outcome of a target whose values were read again.
const Read = "read"

// readAgain brings an earlier result back if there is one, and evaluates a result's values if they
// are read in another way now. A result that no longer passes fails as if its program had just run;
// the program does not run at once, because the edit may be a slip.
func (t *visit) readAgain(g *target) (outcome string, err error) {
	rec := *cmp.Or(g.earlier, t.log.Record(g.name))
	rec.Target, g.rec, outcome = g.name, &rec, Read
	if g.action == restore {
		outcome, err = journal.Restored, t.log.Restore(&rec)
		if err != nil || rec.Reading == g.reading {
			return outcome, err
		}
	}
	dir := t.Store.TargetDir(t.Row.ID, g.name)
	rec.Outcome, rec.Error, rec.Reading = store.OK, "", g.reading
	if err := t.read(g, dir, &rec); err != nil {
		err = t.fail(g, &rec, err.Error()+" ("+ShownPath(dir)+")")
		g.failure.Again = false
		return store.Failed, err
	}
	return outcome, t.log.Append(&rec)
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

// build computes a target. What a program made in its scratch folder arrives whole, or is kept as a
// failed attempt. A stage of values alone has no program, no files and no folder.
func (t *visit) build(ctx context.Context, g *target) (outcome string, err error) {
	rec := t.record(g)
	salvaged := t.salvaged(g, g.fingerprint, g.attempt)
	x := &execution{stage: g.stage, task: g.task}
	if g.attempt > 0 || len(salvaged) > 0 {
		if x.task, err = t.task(g.stage, g.i, g.attempt, salvaged...); err != nil {
			return store.Failed, t.fail(g, rec, err.Error())
		}
	}
	rec.Command, rec.Timeout = x.task.Words, x.task.Timeout.Seconds()
	if g.stage.Program != "" {
		if err := t.prepare(g, x, salvaged); err != nil {
			return "", err
		}
	}
	var used runner.Result
	if err = t.m.Precheck(g.stage, g.i, g.attempt); err != nil {
		err = &TargetError{Message: err.Error()}
	} else {
		used, err = t.execute(ctx, x)
	}
	ending, failed := errors.AsType[*TargetError](err)
	switch {
	case err != nil && !failed:
		return "", err
	case ctx.Err() != nil:
		return store.Interrupted, errors.Join(Interrupted, t.interrupted(g, x))
	}
	made := trial{t.Row.ID, g.name, g.fingerprint, g.stage.Programs}
	if err := t.Programs.unchanged(ctx, made, failed); err != nil {
		return "", err
	}
	rec.ExitCode, rec.CPU, rec.MaxRSS = used.ExitCode, (used.User + used.System).Seconds(), used.MaxRSS
	rec.Finished = time.Now()
	rec.Seconds = rec.Finished.Sub(rec.Started).Seconds()
	err = t.commit(g, x, rec, ending)
	return rec.Outcome, err
}

// prepare makes a target's scratch folder, with its inputs and files and what an earlier attempt
// left. The command, its environment and its files name the unpacked copies of compressed inputs.
func (t *visit) prepare(g *target, x *execution, salvaged []string) (err error) {
	if x.dir, err = t.Store.Scratch(t.Row.ID + "." + g.name); err != nil {
		return err
	}
	for _, f := range salvaged {
		data, err := os.ReadFile(filepath.Join(t.Store.FailedDir(t.Row.ID, g.name), f))
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(x.dir, salvageName), f, data); err != nil {
			return err
		}
	}
	var copies []string // pairs: an input, and its unpacked copy
	for n, in := range x.task.Inputs {
		if packed.Stored(in.Path) == in.Path {
			continue
		}
		plain := filepath.Join(x.dir, "input", strconv.Itoa(n+1), filepath.Base(in.Path))
		if err := os.MkdirAll(filepath.Dir(plain), 0o777); err != nil {
			return err
		}
		if err := packed.Unpack(in.Path, plain, in.Size); err != nil {
			return err
		}
		copies = append(copies, in.Path, plain)
	}
	r := strings.NewReplacer(copies...)
	x.env = environment(append([]string{"TMPDIR=" + x.dir}, t.m.Environ(x.task)...))
	for _, words := range [][]string{x.task.Argv, x.env} {
		for i, w := range words {
			words[i] = r.Replace(w)
		}
	}
	for _, f := range x.task.Files {
		if f.Keep && len(copies) > 0 {
			f.Content = []byte(r.Replace(string(f.Content)))
		}
		if err := writeFile(x.dir, f.Name, f.Content); err != nil {
			return err
		}
	}
	return nil
}

// commit reads what a program left in its folder, and makes it the target's result or keeps it as a
// failed attempt. ending says why the program failed, nil where it did not.
func (t *visit) commit(g *target, x *execution, rec *store.Record, ending *TargetError) error {
	var outputs *store.Collected
	if ending == nil { // before a parser reads them: Put refuses what was changed since
		outputs = store.Collect(x.dir, g.stage.Outputs)
	}
	missing := store.Regular(x.dir, g.stage.Outputs)
	err := missing
	// A parser must not follow a link or wait for a pipe.
	if missing == nil || errors.Is(missing, fs.ErrNotExist) {
		err = t.read(g, x.dir, rec)
		if missing != nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			err = missing
		}
	}
	if ending != nil && ending.timedOut {
		rec.Outcome = store.TimedOut
	} else {
		ending = x.explain(rec.ExitCode, ending, missing, err)
	}
	switch {
	case x.dir == "" && ending != nil:
		return t.fail(g, rec, ending.Message)
	case ending != nil:
		return t.keepFailed(g, x, rec, ending)
	case x.dir == "":
		err = t.log.Append(rec)
	default:
		err = t.log.Put(rec, x.dir, outputs, g.stage.Keep, g.stage.Compress)
	}
	if output, ok := errors.AsType[*store.OutputError](err); ok {
		return t.keepFailed(g, x, rec, &TargetError{Message: output.Error()})
	}
	g.rec = rec
	if err == nil && x.dir != "" {
		t.m.Moved(x.dir, t.Store.TargetDir(t.Row.ID, g.name))
	}
	return err
}

// explain returns why a target failed, nil if it did not. ending is that of its program, missing an
// output that is missing or no file, err what the parser says.
func (x *execution) explain(exit int, ending *TargetError, missing, err error) *TargetError {
	_, mistake := errors.AsType[*pipeline.EvalError](err)
	lost := errors.Is(err, fs.ErrNotExist)
	if ending != nil {
		// The parser's words are better than an exit code, but not than what the pipeline says that
		// the code means. A file that is torn gives none.
		if err == nil || exit < 0 || ending.crashed || x.stage.ExitCodes[exit] != "" || lost || mistake {
			return ending
		}
		return &TargetError{Message: err.Error(), how: ending.how}
	}
	for _, in := range x.task.Inputs { // the program has the path of the very artefact
		if packed.Stored(in.Path) == in.Path && !store.SameContent(in.Path, in.SHA256) {
			return &TargetError{Message: fmt.Sprintf("its input file %s was changed while it ran; let the "+
				"command work on a copy (the next batch computes that file again)", ShownPath(in.Path))}
		}
	}
	if err == nil {
		return nil
	}
	if !x.stage.Builtin && errors.Is(missing, fs.ErrNotExist) {
		if words, _ := ownWords(x.dir, false); words != "" {
			how := fmt.Sprintf("%s ended with exit code %d; ", x.stage.Program, exit)
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
	f := &TargetError{Target: g.name, Reruns: rec.Attempt + 1, Final: final(g.stage, rec)}
	f.Message = fmt.Sprintf("%s/%s: %s", t.Row.ID, g.name, oneLine(message))
	if f.Final {
		f.Message += "; not tried again, because it can only fail the same way"
	}
	rec.Error, rec.Reruns, rec.Values, rec.Warnings = f.Message, f.Reruns, nil, nil
	t.Ran, g.rec, g.failure = true, rec, f
	err := t.log.Append(rec)
	f.Again = t.another(g, rec)
	return err
}

// dropOthers drops the results of instances that for_each no longer has, or that were left out.
func (t *visit) dropOthers(s *pipeline.Stage, all []*target) error {
	valid := map[string]bool{}
	for _, g := range all {
		valid[g.name] = g.action != none || g.failure != nil
	}
	for _, name := range append(t.log.Instances(s.Name), s.Name) {
		if t.log.Record(name) == nil || valid[name] {
			continue
		}
		if err := t.log.Drop(name); err != nil {
			return err
		}
		t.Ran = true
	}
	return nil
}

// salvaged lists the files that an attempt may use of the last one with the same fingerprint, if it
// ran out of time or was interrupted. A first attempt starts afresh after a time-out: the row was
// set back. Files of an attempt that failed otherwise may be wrong.
func (t *visit) salvaged(g *target, fingerprint string, attempt int) []string {
	if len(g.stage.Salvage) == 0 {
		return nil
	}
	last := t.log.Record(g.name)
	timedOut := last != nil && last.Outcome == store.TimedOut && last.Fingerprint == fingerprint
	if !(timedOut && attempt > 0) && !t.log.Interrupted(g.name, fingerprint) {
		return nil
	}
	return filled(t.Store.FailedDir(t.Row.ID, g.name), g.stage.Salvage...)
}

// interrupted keeps what the next attempt can start from: what the program found, or else what it
// started from itself. All else is swept at the end: an interrupted target never happened.
func (t *visit) interrupted(g *target, x *execution) error {
	for _, from := range []string{x.dir, filepath.Join(x.dir, salvageName)} {
		if found := filled(from, g.stage.Salvage...); len(found) > 0 {
			return t.log.KeepInterrupted(g.name, from, found, g.fingerprint)
		}
	}
	return nil
}

// filled returns the regular files that have something in them.
func filled(dir string, names ...string) (out []string) {
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
func (t *visit) keepFailed(g *target, x *execution, rec *store.Record, f *TargetError) error {
	const note = "failure.txt"
	message := strings.ReplaceAll(f.Message, x.dir+"/", "")
	for _, file := range g.stage.Outputs { // where to look stands at the end
		message = strings.TrimPrefix(message, file+": ")
	}
	words := slices.Clone(x.task.Env) // as a shell reads them: a person may copy the line
	for i, w := range x.task.Argv {
		if i == 0 && !x.stage.Builtin {
			w = t.Programs.path[x.stage.Program]
		}
		words = append(words, quote(w))
	}
	const form = "%s/%s, attempt %d\n%s\n\nThe command, to be tried in this folder:\n%s\n"
	text := fmt.Sprintf(form, t.Row.ID, g.name, rec.Attempt+1, message, strings.Join(words, " "))
	if err := os.RemoveAll(filepath.Join(x.dir, note)); err != nil { // a program's own
		return err
	}
	if err := writeFile(x.dir, note, []byte(text)); err != nil {
		return err
	}
	files := slices.DeleteFunc(slices.Sorted(maps.Values(g.stage.Outputs)), func(name string) bool {
		return !strings.HasSuffix(name, ".out") && !strings.HasSuffix(name, ".log")
	})
	most := append(filled(x.dir, append(files, stderrName, stdoutName)...), "")[0]
	where := ShownPath(filepath.Join(t.Store.FailedDir(t.Row.ID, g.name), most))
	if err := t.log.Fail(g.name, x.dir); err != nil {
		return err
	}
	return t.fail(g, rec, fmt.Sprintf("%s (%s%s)", message, f.how, where))
}

func quote(w string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+@%"
	switch {
	case w != "" && strings.Trim(w, plain) == "":
		return w
	case !strings.Contains(w, "'"):
		return "'" + w + "'"
	}
	return strconv.Quote(w)
}
