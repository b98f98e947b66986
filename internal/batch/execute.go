package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

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
	Version string                     // part of the fingerprint
	Check   func(words []string) error // what is wrong with the words, whatever the molecule is
	Run     func(ctx context.Context, w Work) error
}

// Work is what a built-in gets.
type Work struct {
	Dir  string
	Args []string
	Run  func(ctx context.Context, dir, log string, argv ...string) error
	Log  io.Writer
	Each func(n int, do func(int)) // calls do for 0 to n-1, at once on idle cores

	// What Keep was given, a later attempt with the same fingerprint and words gets by Kept.
	Keep func(key string, part []byte) error
	Kept func(key string) []byte
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
func (v *Visitor) execute(ctx context.Context, g *target) (runner.Result, error) {
	switch {
	case g.stage.Builtin:
		return v.builtin(ctx, g)
	case g.stage.Worker != nil:
		return v.serve(ctx, g)
	}
	program := v.Programs.found[g.stage.Program]
	c := g.command(program.Path, g.task.Argv[1:]...)
	c.Env = v.withPath(g.stage, c.Env)
	res, err := runner.Run(ctx, c)
	if err != nil {
		return runner.Result{}, startFailure(program.Name, err)
	}
	if res.OK() || res.Stop == runner.Interrupted {
		return res, nil
	}
	f := explainEnd(g.stage, res, g.dir)
	if program.startedNothing(res) && g.stage.ExitCodes[res.ExitCode] == "" {
		return res, fmt.Errorf("%s could not start the program behind it: %s (%s); install that "+
			"again", program.Name, f.Message, res)
	}
	return res, f
}

// command is how a program runs in the target's folder.
func (g *target) command(path string, args ...string) runner.Command {
	return runner.Command{Path: path, Args: args, Dir: g.dir, Timeout: g.limit,
		Env:      environment(g.task.Env, g.stage.Cores),
		MaxBytes: g.stage.Limits.Bytes, MaxFiles: g.stage.Limits.Files,
		Stdout: filepath.Join(g.dir, stdoutName), Stderr: filepath.Join(g.dir, stderrName)}
}

// startFailure is the target's if another command could be started, else the machine's: it would be
// the same for every other molecule.
func startFailure(program string, err error) error {
	if start, ok := errors.AsType[*runner.StartError](err); ok && start.Mine {
		return &TargetError{Message: fmt.Sprintf("%s could not be started: %v", program, err)}
	}
	return fmt.Errorf("%s could not be started: %w", program, err)
}

// explainEnd says why a program failed: what the pipeline says of its exit code, its own words, or
// how it ended. A signal stands first.
func explainEnd(s *pipeline.Stage, res runner.Result, dir string) *TargetError {
	ended := s.Program + " " + res.String()
	f := &TargetError{timedOut: res.Stop == runner.TimedOut, Message: ended}
	if res.Stop != runner.NotStopped || res.Signal == "KILL" { // ended from outside
		return f
	}
	parts := []string{s.ExitCodes[res.ExitCode], ""}
	if res.Signal != "" {
		parts[0] = ended
	}
	parts[1], f.crashed = ownWords(dir, true)
	text := strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ": ")
	if hint := s.Signals[res.Signal]; hint != "" {
		text = strings.TrimSuffix(text, ".") + "; " + hint
	}
	f.Message = cmp.Or(text, ended)
	if text != "" && res.Signal == "" {
		f.how = ended + "; "
	}
	return f
}

// startedNothing reports whether a script says, by its exit code, that it could not start another
// program.
func (f Found) startedNothing(res runner.Result) bool {
	return f.isScript && (res.ExitCode == 126 || res.ExitCode == 127)
}

// endedBehind are exit codes of a shell whose program was ended by HUP, INT, TERM. The runner knows
// that of KILL.
var endedBehind = []int{129, 130, 143}

// itsOwn are the signals by which a program ends of itself. All others came from outside, and the
// program may do better at another time.
var itsOwn = map[string]bool{"SEGV": true, "ABRT": true, "FPE": true, "BUS": true, "ILL": true}

// builtin is a command that is part of the batch, while it runs for a target.
type builtin struct {
	*Visitor
	*target
	cancel context.CancelCauseFunc
	mu     sync.Mutex // of the rest: the built-in may run several programs at once
	used   runner.Result
	fault  error // the first after which it could make less of the molecule, nil for none
}

// builtin runs a command that is part of the batch, with the programs that it starts. If one of
// them can't be started, or is ended from outside, the built-in is ended.
func (v *Visitor) builtin(ctx context.Context, g *target) (used runner.Result, err error) {
	if err := v.Builtins[g.stage.Program].Check(g.task.Argv[1:]); err != nil {
		return used, fmt.Errorf("%s:%d: the command of the stage %s: %w",
			ShownPath(v.Pipeline.Path), g.stage.Line, g.stage.Name, err)
	}
	log, err := os.Create(filepath.Join(g.dir, stdoutName))
	if err != nil {
		return used, err
	}
	defer log.Close()
	ctx, stop := g.command("").Watch(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := runner.ThreadCPU()
	b := &builtin{Visitor: v, target: g, cancel: cancel}
	work := Work{Dir: g.dir, Args: g.task.Argv[1:], Run: b.run, Log: log, Each: v.each,
		Kept: g.parts.Kept, Keep: func(key string, part []byte) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.failed(g.parts.Keep(key, part))
		}}
	err = v.Builtins[g.stage.Program].Run(ctx, work)
	ended := stop()
	b.used.User += runner.ThreadCPU() - began // what it computes itself
	errno, isSystem := errors.AsType[syscall.Errno](err)
	switch {
	case b.fault != nil && ended.Stop == runner.NotStopped:
		return b.used, b.fault
	case err == nil:
		return b.used, nil
	case isSystem && errno != syscall.ENOENT && ended.Stop == runner.NotStopped:
		return b.used, err
	case ended.Stop == runner.TooLarge || ended.Stop == runner.TimedOut:
		err = fmt.Errorf("%s %s", g.stage.Program, ended)
	}
	return b.used, &TargetError{timedOut: ended.Stop == runner.TimedOut, Message: err.Error()}
}

// failed ends the built-in if there is an error. The caller has locked it.
func (b *builtin) failed(err error) error {
	if b.fault = cmp.Or(b.fault, err); err != nil {
		b.cancel(err)
	}
	return err
}

// run runs a program for the built-in, in a folder below the target's.
func (b *builtin) run(ctx context.Context, dir, log string, argv ...string) error {
	program := b.Programs.found[argv[0]]
	if program.Path == "" {
		return fmt.Errorf("the stage %s must name %q in programs = [...], because its command "+
			"starts it", b.stage.Name, argv[0])
	}
	c := b.command(program.Path, argv[1:]...)
	c.Dir, c.Stdout, c.Timeout = dir, filepath.Join(dir, log), 0 // ctx has the target's
	c.Stderr, c.Env = c.Stdout, b.withPath(b.stage, c.Env)
	res, err := runner.Run(ctx, c)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used.User, b.used.System = b.used.User+res.User, b.used.System+res.System
	b.used.MaxRSS = max(b.used.MaxRSS, res.MaxRSS)
	switch {
	case err != nil:
		return b.failed(startFailure(argv[0], err))
	case res.Stop == runner.Interrupted:
		return context.Cause(ctx)
	case program.startedNothing(res):
		return b.failed(fmt.Errorf("%s could not start the program behind it (%s); install that "+
			"again", argv[0], res))
	case res.Stop != runner.NotStopped || res.Signal != "" && !itsOwn[res.Signal] ||
		program.isScript && slices.Contains(endedBehind, res.ExitCode):
		return b.failed(&TargetError{Message: argv[0] + " " + res.String()})
	case !res.OK():
		return fmt.Errorf("%s %s", argv[0], res)
	}
	return nil
}

// each calls do for 0 to n-1, on the target's own core and on cores that are idle at a call.
func (v *Visitor) each(n int, do func(int)) {
	var next atomic.Int64
	var others sync.WaitGroup
	var work func()
	work = func() {
		for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
			if i < n && v.cores.TryAcquire(1) {
				others.Go(func() {
					defer v.cores.Release(1)
					work()
				})
			}
			do(i - 1)
		}
	}
	work()
	others.Wait()
}

// workers are the idle programs of stages with a worker attribute, by stage and environment. One is
// started with the first target that wants it, and used again by the next.
type workers struct {
	idle    sync.Map // of chan *runner.Worker
	started atomic.Int64
}

// of are those of a stage, at most one for each job.
func (w *workers) of(key string, jobs int64) chan *runner.Worker {
	idle, _ := w.idle.LoadOrStore(key, make(chan *runner.Worker, jobs))
	return idle.(chan *runner.Worker)
}

// close ends all workers. None is at work.
func (w *workers) close() {
	for _, idle := range w.idle.Range {
		for range len(idle.(chan *runner.Worker)) {
			(<-idle.(chan *runner.Worker)).Close()
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

// UnmarshalJSON refuses a reply that does not say how the command ended, or says it twice.
func (r *reply) UnmarshalJSON(data []byte) error {
	type plain reply
	const missing = math.MinInt
	p := plain{Exit: missing}
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if p.Exit == missing || p.Exit == 0 && p.Error != "" {
		return errors.New(`"exit" is missing, or 0 beside an "error"`)
	}
	*r = reply(p)
	return nil
}

// serve has a target done by a worker. If the worker dies, hangs or gives an unreadable reply, this
// target fails, and the next one gets a new worker.
func (v *Visitor) serve(ctx context.Context, g *target) (runner.Result, error) {
	idle := v.workers.of(g.stage.Name+"\x00"+strings.Join(g.task.Env, "\x00"), v.Jobs)
	w := take(idle)
	if w == nil {
		dir, err := v.Store.Scratch(fmt.Sprintf("worker.%s.%d", g.stage.Name,
			v.workers.started.Add(1)))
		if err == nil {
			w, err = v.startWorker(ctx, dir, g)
		}
		if ctx.Err() != nil {
			return runner.Result{}, nil
		}
		if err != nil {
			return runner.Result{}, startFailure(g.stage.Program, err)
		}
	}
	r := &g.reply
	res, err := w.Call(ctx, g.command(""), request{g.dir, g.task.Argv[1:]}, r)
	switch {
	case res.Stop == runner.Interrupted:
		return runner.Result{}, nil
	case err != nil: // its standard error is its last target's, unless the worker has removed it
		words, _ := part(w.Stderr, 0, 2*wordsBytes)
		if err := writeFile(g.dir, stderrName, words); err != nil {
			return runner.Result{}, err
		}
		if res.ExitCode != 0 && res.Stop == runner.NotStopped { // its own words say more
			return runner.Result{}, explainEnd(g.stage, res, g.dir)
		}
		return runner.Result{}, &TargetError{Message: err.Error(),
			timedOut: res.Stop == runner.TimedOut}
	}
	idle <- w
	used := runner.Result{ExitCode: r.Exit, User: time.Duration(r.CPU * float64(time.Second))}
	if used.OK() {
		return used, nil
	}
	f := &TargetError{Message: g.stage.Program + " " + used.String()}
	if r.Error != "" {
		f.Message, f.how = r.Error, f.Message+"; "
		err = writeFile(g.dir, stderrName, []byte(r.Error+"\n"))
	}
	return used, cmp.Or(err, error(f))
}

// take takes an idle worker, nil if there is none. Its standard error is empty. A worker that has
// ended meanwhile, or has written what nobody asked for, is left out.
func take(idle chan *runner.Worker) *runner.Worker {
	for {
		select {
		case w := <-idle:
			if w.Quiet() {
				_ = os.Truncate(w.Stderr, 0) // or the worker has removed it
				return w
			}
			w.Close()
		default:
			return nil
		}
	}
}

// startWorker starts a worker in a folder of its own that has the stage's source files.
func (v *Visitor) startWorker(ctx context.Context, dir string, g *target) (*runner.Worker, error) {
	for _, f := range g.task.Files {
		if !f.Keep {
			if err := writeFile(dir, f.Name, f.Content); err != nil {
				return nil, err
			}
		}
	}
	return runner.StartWorker(ctx, runner.Command{Path: v.Programs.found[g.stage.Program].Path,
		Args: g.stage.Worker[1:], Dir: dir, Stderr: filepath.Join(dir, stderrName),
		Env: v.withPath(g.stage, environment(g.task.Env, g.stage.Cores))})
}

// withPath is an environment in which the further programs of a stage are found that were asked for
// their versions. The folder of one stands first on the PATH where another would be found.
func (v *Visitor) withPath(s *pipeline.Stage, env []string) []string {
	path := ""
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		}
	}
	was := path
	for _, name := range slices.Backward(s.Programs) {
		found := v.Programs.found[name].Path
		if name == s.Program || filepath.Base(found) != name {
			continue
		}
		if runner.OnPath(path, name) != found {
			path = strings.TrimSuffix(filepath.Dir(found)+":"+path, ":")
		}
	}
	if path == was {
		return env
	}
	return append(env, "PATH="+path)
}

// environment is the environment of a program: the batch's own with some changes, so that the
// user's shell changes no result. Libraries start as many threads as the stage has cores. TMPDIR is
// left to the runner. LC_ALL does not overrule what the pipeline says of the locale. What the
// pipeline sets overrules all that.
func environment(set []string, cores int) []string {
	locale := slices.ContainsFunc(set, func(kv string) bool {
		return strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG=")
	})
	out := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "TMPDIR=") || locale && strings.HasPrefix(kv, "LC_ALL=")
	})
	for _, library := range []string{"OMP", "MKL", "OPENBLAS"} {
		out = append(out, fmt.Sprintf("%s_NUM_THREADS=%d", library, cores))
	}
	return append(out, set...) // the last of a name counts
}
