// Package runner runs programs within limits and leaves nothing of them behind.
//
// Run runs one program to its end. A Worker is a program that stays and answers requests. Watch
// guards a folder for code of our own. Callers decide what the end of a program means. Errors are
// *StartError if a program cannot be executed, else those of the system.
//
// A program leads a process group of its own, so Ctrl-C and Ctrl-Z reach only this process. At a
// limit or the end of its context, a group gets SIGTERM, and SIGKILL two seconds later.
//
// On Linux, descendants of a program inherit a mark in their environment, and orphans come to this
// process, a child subreaper. When a program has ended, its process group and orphans with its mark
// are killed. Orphans without a mark (env -i setsid) are killed as soon as no program and no Worker
// is under way. If this process is killed, the kernel kills its programs. A second process, the
// guard, kills all that have a mark of this process. On macOS only the group is killed.
//
// Children in the group of this process, and children from before the first program, are left
// alone. No other code may start children in other groups, or collect children of others. None may
// end a goroutine that is locked to a thread: the kernel kills a program with the thread that
// started it.
package runner

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopGrace is the time between SIGTERM and SIGKILL. mage kills this process 5 s after Ctrl-C.
const stopGrace = 2 * time.Second

// Command is a program to run. There is no shell: each word arrives as it is written here.
type Command struct {
	Path string   // the executable, an absolute path
	Args []string // the words after the program's name
	Dir  string   // the working folder, an absolute path
	// Env is the whole environment, "NAME=value". Run adds the mark, and TMPDIR=Dir unless given.
	Env []string
	// Stdout and Stderr are files, created or emptied; "" throws the output away. The same path
	// twice is one file. A symbolic link is an error.
	Stdout, Stderr string

	Timeout  time.Duration // of wall time; 0 is no limit, here and below
	MaxBytes int64         // in Dir, see Watch
	MaxFiles int           // in Dir
}

// Result says how a program ended and what it used.
type Result struct {
	ExitCode int    // -1 if a signal ended the program, or if it was never started
	Signal   string // the signal that ended the program, such as "KILL"; "" if it ended by itself
	Stop     Stop

	// Of the program and the children that it waited for: CPU times, and the largest resident
	// memory of one of them in bytes. On Linux the memory is no less than that of this process at
	// the start.
	User, System time.Duration
	MaxRSS       int64

	limit string // which one was passed, for String
}

// Stop says for what this package ended a program.
type Stop int

const (
	NotStopped  Stop = iota // the program ended by itself, or somebody else ended it
	TimedOut                // its Timeout
	TooLarge                // its MaxBytes or MaxFiles
	Interrupted             // the end of its context
)

// OK says that the program ended by itself, in time and with exit code 0.
func (r Result) OK() bool { return r.ExitCode == 0 && r.Stop == NotStopped }

// String says how the program ended, to follow its name: "ended with exit code 3".
func (r Result) String() string {
	switch {
	case r.Stop == TimedOut:
		return "did not finish within " + r.limit
	case r.Stop == Interrupted:
		return "was interrupted"
	case r.Stop == TooLarge:
		return "wrote more than " + r.limit + " to its folder, and was ended"
	case r.Signal == "KILL":
		return "was killed by signal KILL, probably because memory ran out: run fewer jobs at " +
			"once, or on a machine with more"
	case r.Signal != "":
		return "was killed by signal " + r.Signal
	case r.ExitCode != 0:
		return fmt.Sprintf("ended with exit code %d", r.ExitCode)
	}
	return "ended well"
}

// Run returns when the program and its descendants have ended. If ctx ends before, nothing is
// started and the result is Interrupted. Run may be called from many goroutines.
func Run(ctx context.Context, c Command) (Result, error) {
	p, err := start(ctx, c, func(*exec.Cmd) error { return nil })
	switch {
	case err == nil:
		return p.wait(), nil
	case ctx.Err() != nil:
		return Result{ExitCode: -1, Stop: Interrupted}, nil
	}
	return Result{}, err
}

// program is a program that was started.
type program struct {
	cmd     *exec.Cmd
	mark    string
	limits  func() Result // ends the watching
	stopped bool          // by this package
}

// start starts a program as the leader of a new process group. attach may change its streams.
func start(ctx context.Context, c Command, attach func(*exec.Cmd) error) (*program, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	stdout, err := create(c.Stdout, 0)
	if err != nil {
		return nil, startError(c, err)
	}
	defer stdout.Close()
	stderr := stdout
	if c.Stderr != c.Stdout {
		if stderr, err = create(c.Stderr, os.O_APPEND); err != nil { // see Worker.Stderr
			return nil, startError(c, err)
		}
		defer stderr.Close()
	}
	running, cancel := context.WithCancel(ctx)
	p := &program{cmd: exec.CommandContext(running, c.Path, c.Args...)}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = c.Dir, stdout, stderr
	p.cmd.Env = append([]string{"TMPDIR=" + c.Dir}, c.Env...) // the last of a name counts
	p.cmd.SysProcAttr, p.cmd.Cancel, p.cmd.WaitDelay = attributes(), p.stop, stopGrace
	err = attach(p.cmd)
	if err == nil {
		err = shared.fork(p)
	}
	if err != nil {
		cancel()
		return nil, startError(c, err)
	}
	watched, limits := c.Watch(ctx)
	context.AfterFunc(watched, cancel)
	p.limits = limits
	return p, nil
}

func create(path string, flags int) (*os.File, error) {
	flags |= os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_NOFOLLOW
	return os.OpenFile(cmp.Or(path, os.DevNull), flags, 0o666)
}

// stop ends the group, unless the program has ended while this process was stopped (Ctrl-Z).
func (p *program) stop() error {
	if exited(p.cmd.Process.Pid) {
		return os.ErrProcessDone
	}
	p.stopped = true
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) // else a stopped one would not see it
}

// wait returns when the program and its descendants have ended.
func (p *program) wait() (r Result) {
	_ = p.cmd.Wait() // its state says the same
	if limits := p.limits(); p.stopped {
		r = limits
	}
	shared.clean(p)
	state := p.cmd.ProcessState
	r.ExitCode, r.User, r.System = state.ExitCode(), state.UserTime(), state.SystemTime()
	r.MaxRSS = int64(state.SysUsage().(*syscall.Rusage).Maxrss) * maxrssUnit
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		r.Signal = strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG")
	}
	if r.ExitCode == 128+int(syscall.SIGKILL) && !p.stopped { // of a shell, whose child was killed
		r.ExitCode, r.Signal = -1, "KILL"
	}
	return r
}

// Watch returns a context that ends at the limits of c: Timeout, MaxBytes and MaxFiles. Everything
// in Dir counts, folders included, every 0.2 seconds. Links are not followed. The time in which
// this process is stopped does not count: a scheduler that suspends a job stops programs and batch.
// stop must be called: it ends the context, and Result.Stop says why that had ended before.
func (c Command) Watch(ctx context.Context) (watched context.Context, stop func() Result) {
	over := errors.New("a limit is passed") // that of an outer Watch is another error
	ctx, cancel := context.WithCancelCause(ctx)
	var r Result // is set before the end of ctx
	if c.Timeout > 0 || c.MaxBytes > 0 || c.MaxFiles > 0 {
		go func() {
			r = c.passed(ctx)
			cancel(over) // or ctx has ended
		}()
	}
	return ctx, func() Result {
		defer cancel(nil)
		switch context.Cause(ctx) {
		case nil:
			return Result{}
		case over:
			return r
		}
		return Result{Stop: Interrupted}
	}
}

const (
	tick    = 200 * time.Millisecond
	stopped = time.Second // if a tick is later by more than this, the process was stopped
)

// passed waits until a limit is passed. It also returns when ctx has ended.
func (c Command) passed(ctx context.Context) Result {
	end := time.Now().Add(c.Timeout)
	for ctx.Err() == nil && (c.Timeout == 0 || time.Now().Before(end)) {
		pause := tick
		if c.Timeout > 0 {
			pause = min(tick, time.Until(end))
		}
		due := time.Now().Add(pause)
		time.Sleep(pause)
		if gap := time.Since(due); gap > stopped {
			end = end.Add(gap)
		}
		if limit := c.tooLarge(); limit != "" {
			return Result{Stop: TooLarge, limit: limit}
		}
	}
	return Result{Stop: TimedOut, limit: c.Timeout.String()}
}

// tooLarge adds up apparent sizes until a limit is passed, and says which, with the attribute of a
// stage that raises it. What vanishes meanwhile does not count.
func (c Command) tooLarge() (over string) {
	if c.MaxBytes == 0 && c.MaxFiles == 0 {
		return ""
	}
	bytes, files := int64(0), -1 // Dir itself does not count
	_ = filepath.WalkDir(c.Dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		files++
		if info, err := e.Info(); err == nil && !e.IsDir() {
			bytes += info.Size()
		}
		switch {
		case c.MaxBytes > 0 && bytes > c.MaxBytes:
			over = fmt.Sprintf("%d bytes (max_bytes)", c.MaxBytes)
		case c.MaxFiles > 0 && files > c.MaxFiles:
			over = fmt.Sprintf("%d files (max_files)", c.MaxFiles)
		default:
			return nil
		}
		return fs.SkipAll
	})
	return over
}

// Worker is a program that stays, as Python with RDKit takes a second to start. It reads requests
// from its standard input and writes replies to its standard output, each a line of JSON, one reply
// to a request. One goroutine at a time may use a worker.
type Worker struct {
	Stderr string // the file of its standard error, which may be emptied meanwhile

	name   string
	in     io.WriteCloser
	lines  chan line // of its standard output; closed at the end of that
	cancel context.CancelFunc
	ended  chan struct{} // closed when result is set
	result Result
}

// line is a line of a worker's output.
type line struct {
	text  []byte
	alone bool // whole, and nothing came with it
}

const (
	maxReply = 1 << 20 // bytes
	maxQuote = 200     // bytes of a wrong reply in a message
)

// StartWorker starts a program as a worker. Its Stdout is not used; its limits and its TMPDIR are
// for the worker's whole life. The errors are those of Run, or the cause of the end of ctx.
func StartWorker(ctx context.Context, c Command) (*Worker, error) {
	w := newWorker(c)
	ctx, w.cancel = context.WithCancel(ctx)
	var out io.Reader
	p, err := start(ctx, c, func(cmd *exec.Cmd) error {
		cmd.Stdout = nil
		in, errIn := cmd.StdinPipe()
		stdout, errOut := cmd.StdoutPipe()
		w.in, out = in, stdout
		return cmp.Or(errIn, errOut)
	})
	if err != nil {
		w.cancel()
		return nil, err
	}
	go w.read(out)
	go func() {
		w.result = p.wait()
		close(w.ended)
	}()
	return w, nil
}

func newWorker(c Command) *Worker {
	return &Worker{Stderr: c.Stderr, name: filepath.Base(c.Path), lines: make(chan line),
		ended: make(chan struct{})}
}

// read passes on the lines of a worker's output, up to its end or a line that is too long.
func (w *Worker) read(from io.Reader) {
	defer close(w.lines)
	out := bufio.NewReaderSize(from, maxReply)
	for err := error(nil); err == nil; {
		var text []byte
		if text, err = out.ReadSlice('\n'); len(text) == 0 {
			return
		}
		select {
		case w.lines <- line{bytes.Clone(text), err == nil && out.Buffered() == 0}:
		case <-w.ended:
			return
		}
	}
}

// Quiet says that the worker lives, and has said nothing since its last reply.
func (w *Worker) Quiet() bool {
	select {
	case <-w.lines:
		return false
	default:
		return true
	}
}

// Call sends a request and waits for the reply within the limits of c, see Watch. With an error the
// worker has ended, and Result says which limit it passed, or how it ended by itself. If ctx ended,
// Result is Interrupted, and the error is the cause of that end.
func (w *Worker) Call(ctx context.Context, c Command, request, reply any) (Result, error) {
	watched, limits := c.Watch(ctx)
	defer limits()
	go func() { _ = json.NewEncoder(w.in).Encode(request) }() // without it there is no reply
	var got line
	select {
	case got = <-w.lines:
	case <-watched.Done():
	}
	if got.alone && json.Unmarshal(got.text, reply) == nil {
		return Result{}, nil
	}
	if watched.Err() != nil {
		w.cancel()
	}
	w.Close()
	text, wrong := got.text[:min(len(got.text), maxQuote)], "no reply that can be read"
	if !got.alone {
		wrong = "a reply that is not one whole line"
	}
	const rule = "; a reply is one line of JSON, and standard output is for replies only"
	switch r := limits(); {
	case r.Stop == Interrupted:
		return r, context.Cause(ctx)
	case !r.OK():
		return r, fmt.Errorf("%s %s", w.name, r)
	case !w.result.OK() && w.result.Stop != Interrupted: // not because of its reply
		return w.result, fmt.Errorf("%s %s", w.name, w.result)
	case len(text) == 0:
		return r, fmt.Errorf("%s gave no reply", w.name)
	default:
		return r, fmt.Errorf("%s gave %s: %q"+rule, w.name, wrong, text)
	}
}

// Close has the worker end by itself, and ends it after a second. It may be called again.
func (w *Worker) Close() {
	w.in.Close()
	defer time.AfterFunc(time.Second, w.cancel).Stop()
	<-w.ended
	w.cancel()
}

// StartError says why a program could not be executed, with the way out.
type StartError struct {
	Mine bool // another command line would start
	error
}

// waysOut says what to do about an error of the execution. 0 is one that the system has not seen.
var waysOut = map[syscall.Errno]string{
	syscall.ENOENT:  "install it again, or what its #! line names",
	syscall.EACCES:  "make it executable (chmod +x), on a disk that is not mounted noexec",
	syscall.ENOEXEC: "it is neither a program for this machine nor a script with a #! line",
	syscall.E2BIG:   "write words of the command to a file",
	syscall.EINVAL:  "a word has a zero byte",
	0:               "a word of the environment has a zero byte",
	syscall.EAGAIN:  "raise the limit of processes (ulimit -u), or run fewer jobs at once",
}

// startError explains why a program could not be started.
func startError(c Command, err error) error {
	errno, _ := errors.AsType[syscall.Errno](err)
	failed, ofFile := errors.AsType[*fs.PathError](err)
	way := waysOut[errno]
	if way == "" || ofFile && failed.Op != "fork/exec" {
		return fmt.Errorf("%s: cannot be started: %w", c.Path, err)
	}
	if ofFile {
		err = failed.Err // without the path
	}
	mine := errno == 0 || errno == syscall.E2BIG || errno == syscall.EINVAL
	return &StartError{mine, fmt.Errorf("%s: cannot be started: %w; %s", c.Path, err, way)}
}

// ErrNotThere is of a program that is not installed.
var ErrNotThere = errors.New("is not there")

// OnPath is the executable that a program with this PATH would start by a name, "" for none.
func OnPath(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if _, err := exec.LookPath(file); err == nil {
			return file
		}
	}
	return ""
}

// Find returns the absolute path of a program: of an absolute path, or of a name on PATH. The error
// says why there is none that may be run.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil && filepath.IsAbs(path) {
		return path, nil
	}
	places := filepath.SplitList(os.Getenv("PATH"))
	if strings.Contains(name, "/") {
		places = []string{""}
	}
	for _, dir := range places {
		path = filepath.Join(dir, name)
		switch _, err := exec.LookPath(path); {
		case !filepath.IsAbs(path) && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("%s is a relative path: give its absolute path", name)
		case errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("%s is not executable: %s", path, waysOut[syscall.EACCES])
		case errors.Is(err, syscall.EISDIR) && places[0] == "":
			return "", fmt.Errorf("%s is a folder", path)
		}
	}
	return "", fmt.Errorf("%s %w", name, ErrNotThere)
}
