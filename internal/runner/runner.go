// Package runner runs programs within limits and leaves nothing of them behind.
//
// Run runs one program to its end. A Worker is a program that stays and answers requests. Watch
// guards a folder for code of our own. Callers decide what the end of a program means. Files of the
// package: the output streams. Its error: *StartError, if a program could not be started.
//
// A program leads a process group of its own, so Ctrl-C and Ctrl-Z reach only this process. At a
// limit or the end of its context, a group gets SIGTERM, and SIGKILL two seconds later.
//
// On Linux, descendants of a program inherit a mark in their environment, GRIMPERIUM_TARGET, and
// orphans come to this process, a child subreaper. When a program has ended, these are killed: its
// process group; orphans with its mark; and orphans without a mark (env -i setsid) as soon as no
// program, a Worker included, is under way. If this process is killed, the kernel kills its
// programs, and a second process, the guard, kills all that have a mark of this process.
//
// Children in the group of this process, and children from before the first program, are left
// alone. No other code may start children with groups of their own, or collect those of others.
// Process 1 of a container kills no orphan without the mark. A kernel without CONFIG_PROC_CHILDREN
// shows no orphans: the guard finds them when this process has ended.
//
// On macOS only the process group is killed, and programs outlive this process if it is killed.
package runner

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program to run. There is no shell: each word arrives as it is written here.
type Command struct {
	Path string   // the executable, an absolute path
	Args []string // the words after the program's name
	Dir  string   // the working folder
	// Env is the whole environment, "NAME=value". Run adds GRIMPERIUM_TARGET, and TMPDIR=Dir if Env
	// has no TMPDIR: temporary files of a program lie in its folder and count.
	Env []string
	// Stdout and Stderr are files, created or emptied; "" throws the output away. The same path
	// twice is one file. A symbolic link is an error. Nobody waits for a copy, as with a pipe.
	Stdout, Stderr string

	Timeout  time.Duration // of wall time; 0 is no limit, here and below
	MaxBytes int64         // in Dir, see Watch
	MaxFiles int           // in Dir
}

// Result says how a program ended and what it used.
type Result struct {
	ExitCode int    // -1 if a signal ended the program, or if it was never started
	Signal   string // the signal that ended the program, such as "KILL"; "" if it ended by itself

	// At most one of these is set, if this package ended the program.
	TimedOut, Interrupted, TooLarge bool

	OutOfMemory bool // the kernel killed it, or a child that it waited for, as memory ran out
	// User and System are CPU times of the program and of those children that it waited for.
	User, System time.Duration
	// MaxRSS is the largest resident memory of the program or of one of those children, in bytes.
	// On Linux no value is smaller than this process at the start.
	MaxRSS int64

	timeout time.Duration // for String
}

// Run runs the program, and returns when the program and its descendants have ended. The error is a
// *StartError. If ctx has ended already, nothing is started and the result is Interrupted. Run may
// be called from many goroutines.
func Run(ctx context.Context, c Command) (Result, error) {
	if ctx.Err() != nil {
		return Result{ExitCode: -1, Interrupted: true}, nil
	}
	files, err := openStreams(c)
	defer closeAll(files)
	if err != nil {
		return Result{}, startError(c, err)
	}
	// Linux sends the parent-death signal when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := launch(ctx, c, files)
	if err != nil {
		return Result{}, startError(c, err)
	}
	return p.wait(), nil
}

// openStreams opens standard input, output and error. With an error it returns the open ones.
func openStreams(c Command) (files []*os.File, err error) {
	for i, path := range []string{"", c.Stdout, c.Stderr} {
		var f *os.File
		const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_NOFOLLOW
		switch {
		case path == "":
			f, err = os.OpenFile(os.DevNull, os.O_RDWR, 0)
		case i == 2 && path == c.Stdout:
			f = files[1]
		default:
			f, err = os.OpenFile(path, flags, 0o666)
		}
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close() // a second Close of the same file does nothing
	}
}

// environment returns the program's environment. The mark replaces any earlier one: a batch that
// runs inside a target must not kill processes of the outer batch.
func environment(c Command, mark string) []string {
	has := func(name string) func(string) bool {
		return func(e string) bool { return strings.HasPrefix(e, name+"=") }
	}
	out := append(slices.DeleteFunc(slices.Clone(c.Env), has(markName)), mark)
	dir, err := filepath.Abs(c.Dir)
	if err == nil && c.Dir != "" && !slices.ContainsFunc(out, has("TMPDIR")) {
		out = append(out, "TMPDIR="+dir)
	}
	return out
}

func newResult(status syscall.WaitStatus, usage syscall.Rusage) Result {
	r := Result{
		ExitCode: status.ExitStatus(), // -1 after a signal
		User:     time.Duration(usage.Utime.Nano()),
		System:   time.Duration(usage.Stime.Nano()),
		MaxRSS:   int64(usage.Maxrss) * maxrssUnit,
	}
	if s := status.Signal(); status.Signaled() { // a real-time signal has no name
		r.Signal = cmp.Or(strings.TrimPrefix(unix.SignalName(s), "SIG"), strconv.Itoa(int(s)))
	}
	return r
}

// setCause notes why this package ended the program. Another's time may be over: that interrupts.
func (r *Result) setCause(cause error, timeout time.Duration) {
	r.timeout = timeout
	r.TimedOut, r.TooLarge = cause == errTimeout && timeout > 0, cause == errTooLarge
	r.Interrupted = cause != nil && !r.TimedOut && !r.TooLarge
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
