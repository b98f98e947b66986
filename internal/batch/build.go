package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/internal/packed"
	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// Streams of a program, as files in its folder.
const (
	stdoutName = "stdout"
	stderrName = "stderr"
)

// salvageName is the folder in a program's own where it finds what an earlier attempt left for it.
const salvageName = "salvage"

// build runs a target in a scratch folder; what it made arrives whole, or is kept as a failed attempt. rec is nil when
// the batch was interrupted: the target never happened.
func (b *Batch) build(ctx context.Context, v *visit, s *pipeline.Stage, i int, d verdict) (*store.Record, error) {
	name := s.Instance(i)
	rec := &store.Record{Fingerprint: d.print, Description: d.lines, Reading: d.reading, Outcome: store.OK, Attempt: d.attempt,
		Programs: b.identities(s), Started: time.Now()}
	task := d.task
	salvaged := b.salvaged(v, name, s, d.print, d.attempt)
	if d.attempt > 0 || len(salvaged) > 0 {
		var err error
		if task, err = b.task(v, s, i, d.attempt, salvaged...); err != nil {
			rec.Outcome = store.Failed
			return rec, b.fail(v, s, i, rec, err.Error())
		}
	}
	rec.Command, rec.Timeout = task.Words, task.Timeout.Seconds()
	if s.Program == "" {
		return rec, b.compute(v, s, i, rec)
	}
	dir, err := b.Store.Scratch(v.id, name)
	if err != nil {
		return nil, err
	}
	if err := b.salvage(v.id, name, dir, salvaged); err != nil {
		return nil, err
	}
	for _, in := range task.Inputs { // this program can't read what is stored compressed
		if err := packed.Unpack(in.Path, dir, in.Size); err != nil {
			return nil, err
		}
	}
	var end ending
	if err := v.m.Precheck(s, i, d.attempt); err != nil {
		end.message = err.Error()
	} else if end, err = b.execute(ctx, v, s, task, dir, rec); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		for _, from := range []string{dir, filepath.Join(dir, salvageName)} { // what it found, or else what it started from
			if found := nonEmpty(from, slices.Clone(s.Salvage)...); len(found) > 0 {
				return nil, b.Store.KeepInterrupted(v.id, name, from, found, d.print)
			}
		}
		return nil, nil // what it left is swept at the end
	}
	rec.Finished = time.Now()
	rec.Seconds = rec.Finished.Sub(rec.Started).Seconds()
	return rec, b.settle(v, s, i, task, dir, rec, end)
}

// ending is how a target's program ended.
type ending struct {
	message string // why it failed, "" where it did not
	how     string // how it ended, where message is in the program's own words
	crashed bool   // its runtime ended it: what it wrote is torn, and no parser knows better
}

// settle reads what a program left in its folder, and commits it or keeps it as a failed attempt.
func (b *Batch) settle(v *visit, s *pipeline.Stage, i int, task *pipeline.Task, dir string, rec *store.Record, end ending) error {
	name := s.Instance(i)
	message := end.message
	var values map[string]any
	var warnings []string
	var err error
	collected := make(chan *store.Collected, 1)
	if message == "" {
		go func() { collected <- store.Collect(dir, s.Outputs, s.Compress) }() // on another core, while the values are read
		if message = changedInput(task); message != "" {
			rec.Outcome = store.Failed
		}
	}
	odd := store.Regular(dir, s.Outputs)
	if err = odd; odd == nil || errors.Is(odd, fs.ErrNotExist) { // a parser must not wait for a pipe, or follow a link
		if values, warnings, err = readOutputs(v, s, i, paths(dir, s.Outputs)); errors.Is(err, fs.ErrNotExist) && odd != nil {
			err = odd
		}
	}
	if message == "" || (err != nil && rec.ExitCode >= 0 && !end.crashed && s.ExitCodes[rec.ExitCode] == "" && !errors.Is(err, fs.ErrNotExist) && rec.Outcome != store.TimedOut && isMessage(err)) {
		// What a parser says of a failed program's output is better than its exit code, but not than what the pipeline says that this means,
		// and not where a signal ended the program in the middle of a line.
		if err != nil {
			message = err.Error()
		}
	}
	if message == "" {
		rec.Values, rec.Warnings = values, warnings
		err := b.Store.Commit(v.man, name, dir, <-collected, s.Keep, s.Compress, rec)
		if err == nil {
			v.m.Moved(dir, b.Store.TargetDir(v.id, name))
			v.man.Put(name, rec)
			return nil
		}
		var lacking *store.OutputError
		if !errors.As(err, &lacking) {
			return err // the disk is full, or the folder is not ours to write: no fault of this molecule
		}
		message = err.Error()
	}
	if end.message == "" && len(task.Argv) > 0 && !s.Builtin && errors.Is(odd, fs.ErrNotExist) { // "well", and without its files: many programs fail so
		if words, _ := ownWords(dir, false); words != "" {
			message, end.how = odd.Error()+": "+words, fmt.Sprintf("%s ended with exit code %d; ", s.Program, rec.ExitCode)
		}
	}
	if rec.Outcome == store.OK {
		rec.Outcome = store.Failed
	}
	rec.Outputs = nil
	message = strings.ReplaceAll(message, dir+"/", "")
	for _, f := range s.Outputs { // where to look stands at the end
		message = strings.TrimPrefix(message, f+": ")
	}
	if err := b.keepFailed(v, s, name, dir, task, rec.Attempt, message); err != nil {
		return err
	}
	return b.fail(v, s, i, rec, fmt.Sprintf("%s (%s%s)", message, end.how, b.whereToLook(v.id, name, s)))
}

// salvaged lists the files that an attempt may use of the last one of the same fingerprint, if that ran out of time or was interrupted: what an attempt
// made that failed otherwise may be wrong. A first attempt starts afresh after a time-out: the row was set back.
func (b *Batch) salvaged(v *visit, name string, s *pipeline.Stage, print string, attempt int) []string {
	if len(s.Salvage) == 0 {
		return nil
	}
	last := v.man.Targets[name]
	timedOut := last != nil && last.Outcome == store.TimedOut && last.Fingerprint == print && attempt > 0
	if !timedOut && !b.Store.Interrupted(v.id, name, print) {
		return nil
	}
	return nonEmpty(b.Store.FailedDir(v.id, name), slices.Clone(s.Salvage)...)
}

// salvage copies these files into the scratch folder's own folder for them.
func (b *Batch) salvage(mol, name, dir string, files []string) error {
	for _, f := range files {
		if err := copyFile(filepath.Join(b.Store.FailedDir(mol, name), f), filepath.Join(dir, salvageName, f)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// compute evaluates a stage of values alone: it has no program, no files and no folder.
func (b *Batch) compute(v *visit, s *pipeline.Stage, i int, rec *store.Record) error {
	err := v.m.Precheck(s, i, rec.Attempt)
	if err == nil {
		rec.Values, rec.Warnings, err = readOutputs(v, s, i, nil)
	}
	rec.Finished = time.Now()
	rec.Seconds = rec.Finished.Sub(rec.Started).Seconds()
	if err != nil {
		rec.Outcome = store.Failed
		return b.fail(v, s, i, rec, err.Error())
	}
	v.man.Put(s.Instance(i), rec)
	return nil
}

// isMessage tells a parser's words from a mistake in an expression, which names its line.
func isMessage(err error) bool { return !strings.Contains(err.Error(), ".hcl:") }

// nonEmpty returns the files with something in them: most programs are silent on one of their streams.
func nonEmpty(dir string, names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		info, err := os.Lstat(filepath.Join(dir, n))
		return err != nil || !info.Mode().IsRegular() || info.Size() == 0
	})
}

func (b *Batch) identities(s *pipeline.Stage) map[string]string {
	if len(s.Programs) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, name := range s.Programs {
		out[name] = b.programs.identity[name]
	}
	return out
}

// execute writes the target's files and runs its command.
func (b *Batch) execute(ctx context.Context, v *visit, s *pipeline.Stage, task *pipeline.Task, dir string, rec *store.Record) (end ending, err error) {
	for _, f := range task.Files {
		if err := b.writeFile(dir, f); err != nil {
			return end, err
		}
	}
	if len(task.Argv) == 0 {
		return end, nil
	}
	cmd := runner.Command{Dir: dir, Env: environment(v.m.Environ(task)), Timeout: task.Timeout, MaxBytes: s.Limits.Bytes, MaxFiles: s.Limits.Files,
		Stdout: filepath.Join(dir, stdoutName), Stderr: filepath.Join(dir, stderrName)}
	if s.Builtin {
		end.message, err = b.builtin(ctx, s, task, cmd, rec)
		return end, err
	}
	if s.Worker != nil {
		return b.serve(ctx, s, task, cmd, rec)
	}
	if err := b.Store.Reuse(cmd.Stdout, cmd.Stderr); err != nil {
		return end, err
	}
	cmd.Path, cmd.Args = b.programs.path[s.Program], task.Argv[1:]
	res, err := runner.Run(ctx, cmd)
	if err != nil {
		return ending{message: fmt.Sprintf("%s could not be started: %v", s.Program, err)}, nil
	}
	rec.ExitCode, rec.MaxRSS, rec.CPU = res.ExitCode, res.MaxRSS, (res.User + res.System).Seconds()
	if res.TimedOut {
		rec.Outcome = store.TimedOut
	}
	if res.OK() || res.Interrupted {
		return end, nil
	}
	return inWords(s, res, dir), nil
}

// inWords says why a program failed: what it means by its exit code, its own words, or how it ended. A signal stands first.
func inWords(s *pipeline.Stage, res runner.Result, dir string) ending {
	ended := fmt.Sprintf("%s %s", s.Program, res)
	if res.TimedOut || res.TooLarge || res.Signal == "KILL" {
		return ending{message: ended} // by another's hand: it gives no reason
	}
	words, crashed := ownWords(dir, true)
	meaning := s.ExitCodes[res.ExitCode]
	if res.Signal != "" {
		message := strings.TrimSuffix(ended+": "+words, ": ")
		if hint := s.Signals[res.Signal]; hint != "" {
			message = strings.TrimSuffix(message, ".") + "; " + hint
		}
		return ending{message, "", crashed}
	}
	switch {
	case words == "" && meaning == "":
		return ending{message: ended}
	case words == "":
		return ending{meaning, ended + "; ", crashed}
	case meaning != "":
		return ending{meaning + ": " + words, ended + "; ", crashed}
	}
	return ending{words, ended + "; ", crashed}
}

// builtin runs a command that is part of the batch, with the programs that it starts.
func (b *Batch) builtin(ctx context.Context, s *pipeline.Stage, task *pipeline.Task, cmd runner.Command, rec *store.Record) (string, error) {
	log, err := b.Store.Create(cmd.Stdout, 0o666)
	if err != nil {
		return "", err
	}
	defer log.Close()
	if task.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, task.Timeout)
		defer cancel()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := runner.ThreadCPU()
	defer func() { rec.CPU += (runner.ThreadCPU() - began).Seconds() }() // what it computes itself, as CREST's own time counts beside that of its xTB
	run := func(ctx context.Context, sub, logName string, argv ...string) error {
		path := b.programs.path[argv[0]]
		if path == "" {
			return fmt.Errorf("the stage %s must name %q in programs = [...], because its command starts it", s.Name, argv[0])
		}
		c := cmd
		c.Path, c.Args, c.Dir = path, argv[1:], sub
		c.Stdout, c.Stderr = filepath.Join(sub, logName), filepath.Join(sub, logName)
		c.Timeout = 0 // ctx has the target's
		before := runner.ThreadCPU()
		if err := b.Store.Reuse(c.Stdout); err != nil {
			return err
		}
		res, err := runner.Run(ctx, c)
		began += runner.ThreadCPU() - before // to start a program is no computing
		rec.CPU += (res.User + res.System).Seconds()
		rec.MaxRSS = max(rec.MaxRSS, res.MaxRSS)
		switch {
		case err != nil:
			return err
		case res.Interrupted:
			return context.Cause(ctx)
		case !res.OK():
			return fmt.Errorf("%s %s", argv[0], res)
		}
		return nil
	}
	err = b.Builtins[s.Program].Run(ctx, Work{Dir: cmd.Dir, Args: task.Argv[1:], Run: run, Log: log})
	switch {
	case err == nil:
		return "", nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		rec.Outcome = store.TimedOut
		return fmt.Sprintf("%s did not finish within %s", s.Program, task.Timeout), nil
	}
	return err.Error(), nil
}

// keepFailed keeps a failed attempt's folder for reading, with the command that can be tried by hand.
func (b *Batch) keepFailed(v *visit, s *pipeline.Stage, name, dir string, task *pipeline.Task, attempt int, message string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s/%s, attempt %d\n%s\n", v.id, name, attempt+1, message)
	if len(task.Argv) > 0 {
		text.WriteString("\nThe command, to be tried in this folder:\n")
		for _, kv := range task.Env {
			text.WriteString(kv + " ")
		}
		for i, w := range task.Argv {
			if i == 0 && !s.Builtin {
				w = b.programs.path[s.Program]
			}
			text.WriteString(quote(w) + " ")
		}
		text.WriteString("\n")
	}
	note := filepath.Join(dir, "failure.txt")
	if err := os.RemoveAll(note); err != nil { // a program's own, which may be a link
		return err
	}
	if err := os.WriteFile(note, []byte(text.String()), 0o644); err != nil {
		return err
	}
	_, err := b.Store.Fail(v.id, name, dir)
	return err
}

// quote writes a word as a shell reads it: for a person to copy, never for us to run.
func quote(w string) string {
	if w != "" && strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+@%") == "" {
		return w
	}
	if !strings.Contains(w, "'") {
		return "'" + w + "'"
	}
	return strconv.Quote(w)
}

// whereToLook names the file of a failed attempt that says most.
func (b *Batch) whereToLook(mol, name string, s *pipeline.Stage) string {
	dir := b.Store.FailedDir(mol, name)
	var candidates []string
	for _, out := range sortedNames(s.Outputs) {
		if f := s.Outputs[out]; strings.HasSuffix(f, ".out") || strings.HasSuffix(f, ".log") {
			candidates = append(candidates, f)
		}
	}
	for _, f := range append(candidates, stderrName, stdoutName) {
		if info, err := os.Lstat(filepath.Join(dir, f)); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return shown(filepath.Join(dir, f))
		}
	}
	return shown(dir)
}
