// Package runner runs one program to its end, within limits, and leaves nothing of it behind: no process,
// and no descriptor that a forgotten grandchild could hold on to.
//
// It knows nothing of stages, molecules or results: what the program's exit means is decided by its callers.
//
// A program runs in a process group of its own, so Ctrl-C in the terminal reaches only the batch, which then
// ends the group itself. Ctrl-Z, too, stops only the batch: its programs go on computing until they end.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"grimperium/internal/inplace"
)

// Command is one program to run. There is no shell in between: every word arrives as it is written here.
type Command struct {
	Path string   // the executable, an absolute path
	Args []string // the words after the program's name
	Dir  string   // the working directory
	Env  []string // the whole environment, "NAME=value"; GRIMPERIUM_TARGET is added to it

	// Stdout and Stderr are files, created or emptied; "" throws the output away. The same path twice is one
	// file that both write to. They are files and not pipes, so that nothing waits for a grandchild's copy.
	Stdout, Stderr string

	Timeout time.Duration // of wall time; 0 is none

	// MaxBytes and MaxFiles are the most that Dir, and Stdout and Stderr outside of it, may hold; 0 is no limit.
	// What was there before the start counts too. They guard the disk: the folder is measured a tenth of a
	// second after the start and a few times a second from then on, not after the end.
	MaxBytes int64
	MaxFiles int

	stdin, stdout *os.File // of a Worker, instead of /dev/null and Stdout
	started       func()   // told when the program runs
}

// Result says how a program ended and what it used.
type Result struct {
	ExitCode int    // -1 if a signal ended the program, or if it was never started
	Signal   string // the signal that ended the program, such as "KILL"; "" if it ended by itself

	// At most one of these is set, when it was us who ended the program.
	TimedOut, Interrupted, TooLarge bool

	OutOfMemory bool // the kernel has killed it, or a program that it waited for, because memory ran out

	Wall time.Duration
	// User and System are the CPU times of the program and of those of its children that it waited for.
	User, System time.Duration
	// MaxRSS is the largest resident memory of the program or of one of those children, in bytes. Linux counts
	// the moment before exec too, so that no value is smaller than the batch's own memory at the start.
	MaxRSS int64

	timeout time.Duration // for String
}

// stopGrace is what a program has between SIGTERM and SIGKILL: mage kills us five seconds after Ctrl-C, and the
// batch needs some of those for its own bookkeeping.
const stopGrace = 2 * time.Second

// Run runs the program and waits until it and everything that it started has ended. The error is non-nil only
// if the program could not be started; how it ended is in the result. When ctx ends, or a limit of the command
// is passed, the program's group gets SIGTERM, and SIGKILL two seconds later.
//
// Run may be called from many goroutines. On Linux it makes the process a child subreaper, and it collects orphans
// that are not in the process's own group: a process that uses this package may start other children by os/exec,
// but not with a group of their own.
func Run(ctx context.Context, c Command) (Result, error) {
	if ctx.Err() != nil {
		return Result{ExitCode: -1, Interrupted: true}, nil
	}
	files, err := openStreams(c)
	defer closeAll(files)
	if err != nil {
		return Result{}, err
	}
	// Linux sends the parent-death signal when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	begin := time.Now()
	mark := shared.newMark()
	pid, err := start(c, files, mark)
	if err != nil {
		return Result{}, startError(c, err)
	}
	if c.started != nil {
		closeAll(files) // the worker's ends of its pipes are the worker's alone
		c.started()
	}
	s := &stopper{pgid: pid, command: c}
	s.arm(ctx)
	status, usage, err := finish(pid, mark, s)
	if err != nil {
		return Result{}, fmt.Errorf("%s: cannot be waited for: %w", c.Path, err)
	}
	r := newResult(status, usage)
	r.Wall, r.timeout = time.Since(begin), c.Timeout
	r.TimedOut, r.Interrupted, r.TooLarge = s.cause == causeTimeout, s.cause == causeContext, s.cause == causeSize
	if through := r.ExitCode == 128+int(syscall.SIGKILL); (through || r.Signal == "KILL" && s.cause == causeNone) && shared.ranOut() {
		r.ExitCode, r.Signal, r.OutOfMemory = -1, "KILL", true // a shell between passes a signal on as an exit code
	}
	return r, nil
}

// openStreams opens the child's standard input, output and error, in this order. What it has opened is returned
// with an error too.
func openStreams(c Command) ([]*os.File, error) {
	in, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	files := []*os.File{in}
	if c.stdin != nil {
		in.Close()
		files[0] = c.stdin
	}
	for i, path := range []string{c.Stdout, c.Stderr} {
		if i == 1 && path == c.Stdout {
			files = append(files, files[1])
			break
		}
		if i == 0 && c.stdout != nil {
			files = append(files, c.stdout)
			continue
		}
		if path == "" {
			path = os.DevNull
		}
		f, err := inplace.Create(path, 0o666)
		if err != nil {
			return files, fmt.Errorf("%s: cannot be created for the program's output: %w", path, pathCause(err))
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close() // the same file twice is closed once; a second Close only reports an error
	}
}

// start forks and executes the program as the leader of a new process group, and registers it.
func start(c Command, files []*os.File, mark string) (int, error) {
	if !filepath.IsAbs(c.Path) {
		return 0, errors.New("not an absolute path")
	}
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: withMark(c.Env, mark), Sys: childAttr()}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	argv := append([]string{c.Path}, c.Args...)
	for wait := time.Millisecond; ; wait *= 2 {
		pid, err := shared.fork(c.Path, argv, attr)
		// "Text file busy": a program that was written a moment ago, while another goroutine forked, stays open
		// for writing in that other child until its exec.
		if err != syscall.ETXTBSY || wait > 200*time.Millisecond {
			return pid, err
		}
		time.Sleep(wait)
	}
}

func startError(c Command, err error) error {
	if info, statErr := os.Stat(c.Dir); c.Dir != "" && (statErr != nil || !info.IsDir()) {
		return fmt.Errorf("%s: cannot be started: its working folder %s is not there", c.Path, c.Dir)
	}
	switch {
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("%s: cannot be started: its arguments and environment are too long; write them to a file", c.Path)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%s: cannot be started: neither a program for this machine nor a script with a #! line", c.Path)
	}
	return fmt.Errorf("%s: cannot be started: %w", c.Path, err)
}

func newResult(status syscall.WaitStatus, usage syscall.Rusage) Result {
	r := Result{
		ExitCode: status.ExitStatus(), // -1 after a signal
		User:     time.Duration(usage.Utime.Nano()),
		System:   time.Duration(usage.Stime.Nano()),
		MaxRSS:   int64(usage.Maxrss) * maxrssUnit,
	}
	if status.Signaled() {
		r.Signal = strings.TrimPrefix(unix.SignalName(status.Signal()), "SIG")
		if r.Signal == "" {
			r.Signal = fmt.Sprint(int(status.Signal())) // a real-time signal has no name
		}
	}
	return r
}

// OK says that the program ended by itself, in time and with exit code 0.
func (r Result) OK() bool {
	return r.ExitCode == 0 && r.Signal == "" && !r.TimedOut && !r.Interrupted && !r.TooLarge
}

const lessMemory = ": run fewer jobs at once, or on a machine with more"

// String says how the program ended, to follow its name: "ended with exit code 3".
func (r Result) String() string {
	switch {
	case r.TimedOut:
		return fmt.Sprintf("did not finish within %v", r.timeout)
	case r.Interrupted:
		return "was interrupted"
	case r.TooLarge:
		return "wrote more than it may to its folder, and was ended"
	case r.OutOfMemory:
		return "was killed by the system, because memory ran out" + lessMemory
	case r.Signal == "KILL":
		return "was killed by signal KILL, probably because memory ran out" + lessMemory
	case r.Signal != "":
		return "was killed by signal " + r.Signal
	case r.ExitCode != 0:
		return fmt.Sprintf("ended with exit code %d", r.ExitCode)
	}
	return "ended well"
}

// Find returns the absolute path of the first candidate that can be run: an absolute path, or a name on PATH.
// The error lists what was looked for.
func Find(candidates []string) (string, error) {
	var notes []string
	for _, name := range candidates {
		if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) {
			notes = append(notes, name+" (neither a plain name nor an absolute path)")
			continue
		}
		path, err := exec.LookPath(name)
		if err == nil && filepath.IsAbs(path) {
			return path, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			name += " (not executable)"
		}
		notes = append(notes, name)
	}
	return "", fmt.Errorf("no such program: looked for %s; install it, add its folder to PATH, or give its absolute path",
		strings.Join(notes, ", "))
}

// pathCause takes the operation and the path off an error of the os package: our messages name the path themselves.
func pathCause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
