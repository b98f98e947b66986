package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
)

const (
	stdoutName  = "stdout"
	stderrName  = "stderr"
	salvageName = "salvage" // the folder with what an earlier attempt left for this one
)

// Builtin is a command that runs inside the batch.
type Builtin struct {
	Version string // part of the fingerprint
	Run     func(ctx context.Context, w Work) error
}

// Work is what a built-in gets.
type Work struct {
	Dir  string
	Args []string
	Run  func(ctx context.Context, dir, log string, argv ...string) error
	Log  io.Writer
}

// execution is a target's command in its scratch folder.
type execution struct {
	stage *pipeline.Stage
	task  *pipeline.Task
	dir   string
	env   []string // whole, "NAME=value"
}

// writeFile writes a file of a scratch folder.
func writeFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o666)
}

// execute runs a command: a program, a worker that stays, or a built-in. A *TargetError says why it
// failed; any other error is the machine's. Of the result, exit code, times and memory count.
func (v *Visitor) execute(ctx context.Context, x *execution) (runner.Result, error) {
	switch {
	case len(x.task.Argv) == 0:
		return runner.Result{}, nil
	case x.stage.Builtin:
		return v.builtin(ctx, x)
	case x.stage.Worker != nil:
		return v.serve(ctx, x)
	}
	return v.program(ctx, x)
}

// command is how a program runs in the target's folder.
func (v *Visitor) command(x *execution, path string, args []string) runner.Command {
	return runner.Command{Path: path, Args: args, Dir: x.dir, Env: x.env, Timeout: x.task.Timeout,
		MaxBytes: x.stage.Limits.Bytes, MaxFiles: x.stage.Limits.Files,
		Stdout: filepath.Join(x.dir, stdoutName), Stderr: filepath.Join(x.dir, stderrName)}
}

func (v *Visitor) program(ctx context.Context, x *execution) (runner.Result, error) {
	c := v.command(x, v.Programs.path[x.stage.Program], x.task.Argv[1:])
	res, err := runner.Run(ctx, c)
	if err != nil {
		return runner.Result{}, startFailure(x.stage.Program, err)
	}
	if res.OK() || res.Interrupted {
		return res, nil
	}
	f := inWords(x.stage, res, x.dir)
	noProgram := res.ExitCode == 126 || res.ExitCode == 127 // a shell could not start one
	if noProgram && x.stage.ExitCodes[res.ExitCode] == "" && script(c.Path) {
		return res, fmt.Errorf("%s could not start the program behind it: %s (%s); install that again",
			x.stage.Program, f.Message, res)
	}
	return res, f
}

// startFailure is the target's if another command could be started, else the machine's: it would be
// the same for every other molecule.
func startFailure(program string, err error) error {
	if start, ok := errors.AsType[*runner.StartError](err); ok && start.Mine {
		return &TargetError{Message: fmt.Sprintf("%s could not be started: %v", program, err)}
	}
	return fmt.Errorf("%s could not be started: %w", program, err)
}

// inWords says why a program failed: what the pipeline says of its exit code, its own words, or how
// it ended. A signal stands first.
func inWords(s *pipeline.Stage, res runner.Result, dir string) *TargetError {
	ended := fmt.Sprintf("%s %s", s.Program, res)
	if res.TimedOut || res.TooLarge || res.Signal == "KILL" { // by another's hand: it gives no reason
		return &TargetError{timedOut: res.TimedOut, Message: ended}
	}
	words, crashed := ownWords(dir, true)
	parts := []string{s.ExitCodes[res.ExitCode], words}
	if res.Signal != "" {
		parts[0] = ended
	}
	parts = slices.DeleteFunc(parts, func(text string) bool { return text == "" })
	f := &TargetError{Message: strings.Join(parts, ": "), crashed: crashed}
	switch hint := s.Signals[res.Signal]; {
	case hint != "":
		f.Message = strings.TrimSuffix(f.Message, ".") + "; " + hint
	case f.Message == "":
		f.Message = ended
	case res.Signal == "":
		f.how = ended + "; "
	}
	return f
}

// builtin runs a command that is part of the batch, with the programs that it starts.
func (v *Visitor) builtin(ctx context.Context, x *execution) (used runner.Result, err error) {
	log, err := os.Create(filepath.Join(x.dir, stdoutName))
	if err != nil {
		return used, err
	}
	defer log.Close()
	ctx, stop := v.command(x, "", nil).Watch(ctx)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := runner.ThreadCPU()
	var mu sync.Mutex // the built-in may run several programs at once
	var notStarted error
	run := func(ctx context.Context, sub, logName string, argv ...string) error {
		path := v.Programs.path[argv[0]]
		if path == "" {
			return fmt.Errorf("the stage %s must name %q in programs = [...], because its command starts it",
				x.stage.Name, argv[0])
		}
		c := v.command(x, path, argv[1:])
		c.Dir, c.Stdout, c.Timeout = sub, filepath.Join(sub, logName), 0 // ctx has the target's
		c.Stderr = c.Stdout
		res, err := runner.Run(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		used.User, used.System = used.User+res.User, used.System+res.System
		used.MaxRSS = max(used.MaxRSS, res.MaxRSS)
		switch {
		case err != nil:
			notStarted = startFailure(argv[0], err)
			return notStarted
		case res.Interrupted:
			return context.Cause(ctx)
		case !res.OK():
			return fmt.Errorf("%s %s", argv[0], res)
		}
		return nil
	}
	work := Work{Dir: x.dir, Args: x.task.Argv[1:], Run: run, Log: log}
	err = v.Builtins[x.stage.Program].Run(ctx, work)
	ended := stop()
	used.User += runner.ThreadCPU() - began // what it computes itself
	switch {
	case err == nil:
		return used, nil
	case notStarted != nil && !ended.Interrupted:
		return used, notStarted
	case ended.TooLarge || ended.TimedOut:
		text := x.stage.Program + " " + ended.String()
		return used, &TargetError{timedOut: ended.TimedOut, Message: text}
	}
	return used, &TargetError{Message: err.Error()}
}

// workers are the programs of stages with a worker attribute. One is started with the first target
// that wants it, and used again by the next; there is one for each job at most.
type workers struct {
	mu      sync.Mutex
	idle    map[string][]*runner.Worker // by stage and environment
	started int
}

// take returns an idle worker, or nil and the number of the one to be started.
func (w *workers) take(key string) (*runner.Worker, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if list := w.idle[key]; len(list) > 0 {
		last := list[len(list)-1]
		w.idle[key] = list[:len(list)-1]
		return last, 0
	}
	w.started++
	return nil, w.started
}

func (w *workers) put(key string, worker *runner.Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle == nil {
		w.idle = map[string][]*runner.Worker{}
	}
	w.idle[key] = append(w.idle[key], worker)
}

// close ends all workers.
func (w *workers) close() {
	for _, list := range w.idle {
		for _, worker := range list {
			worker.Close()
		}
	}
}

// request is a line to a worker: do in this folder what the stage's command does with these words.
type request struct {
	Dir  string   `json:"dir"`
	Args []string `json:"args"`
}

// reply is a worker's line: how the command would have ended, its standard error, and the CPU time
// (seconds). Warnings and Molecule answer the words of validate.
type reply struct {
	Exit     int      `json:"exit"`
	Error    string   `json:"error"`
	CPU      float64  `json:"cpu"`
	Warnings []string `json:"warnings"`
	Molecule string   `json:"molecule"`
}

// failure is a *TargetError if the command would have failed.
func (r reply) failure(program string) error {
	ended := fmt.Sprintf("%s ended with exit code %d", program, r.Exit)
	switch {
	case r.Exit == 0:
		return nil
	case r.Error == "":
		return &TargetError{Message: ended}
	}
	return &TargetError{Message: r.Error, how: ended + "; "}
}

// serve has a target done by a worker. One that dies, hangs or talks nonsense fails this target and
// is replaced for the next.
func (v *Visitor) serve(ctx context.Context, x *execution) (runner.Result, error) {
	key := x.stage.Name + "\x00" + strings.Join(x.task.Env, "\x00")
	w, n := v.workers.take(key)
	if w == nil {
		dir, err := v.Store.Scratch(fmt.Sprintf("worker.%s.%d", x.stage.Name, n))
		if err != nil {
			return runner.Result{}, err
		}
		w, err = startWorker(ctx, v.Programs.path[x.stage.Program], dir, x)
		if ctx.Err() != nil {
			return runner.Result{}, nil
		}
		if err != nil {
			return runner.Result{}, startFailure(x.stage.Program, err)
		}
	}
	var r reply
	res, err := w.Call(ctx, v.command(x, "", nil), request{x.dir, x.task.Argv[1:]}, &r)
	switch {
	case res.Interrupted:
		return runner.Result{}, nil
	case err != nil:
		return runner.Result{}, &TargetError{Message: err.Error(), timedOut: res.TimedOut}
	}
	v.workers.put(key, w)
	used := runner.Result{ExitCode: r.Exit, User: time.Duration(r.CPU * float64(time.Second))}
	if err = r.failure(x.stage.Program); err != nil && r.Error != "" {
		err = cmp.Or(writeFile(x.dir, stderrName, []byte(r.Error+"\n")), err)
	}
	return used, err
}

// startWorker starts a worker in a folder of its own that has the stage's source files.
func startWorker(ctx context.Context, path, dir string, x *execution) (*runner.Worker, error) {
	for _, f := range x.task.Files {
		if !f.Keep {
			if err := writeFile(dir, f.Name, f.Content); err != nil {
				return nil, err
			}
		}
	}
	env := append(slices.Clone(x.env), "TMPDIR="+dir)
	return runner.StartWorker(ctx, runner.Command{Path: path, Args: x.stage.Worker[1:], Dir: dir,
		Env: environment(env), Stderr: filepath.Join(dir, stderrName)})
}

// cores makes a target wait until as many cores as its stage takes are free. A stage that takes
// more than there are has them all.
type cores struct {
	free *semaphore.Weighted
	all  int64
}

func newCores(jobs int) cores { return cores{semaphore.NewWeighted(int64(jobs)), int64(jobs)} }

func (c cores) take(ctx context.Context, n int) (release func(), err error) {
	want := min(int64(max(n, 1)), c.all)
	if err := c.free.Acquire(ctx, want); err != nil {
		return nil, err
	}
	return func() { c.free.Release(want) }, nil
}

// environment is the batch's own with one thread for every library that starts threads, unless set
// says otherwise: what the user's shell happens to hold must not change a result.
func environment(set []string) (out []string) {
	own := map[string]string{}
	oneThread := []string{"OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"}
	for _, kv := range slices.Concat(os.Environ(), oneThread, set) {
		name, value, _ := strings.Cut(kv, "=")
		own[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		out = append(out, name+"="+own[name])
	}
	return out
}
