package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// StartError says why a program could not be started.
type StartError struct {
	Path string // the program
	// Mine is true if the command is at fault: another command line, or the same one in a folder
	// that is there, would start. It is false if the machine is at fault: no other command would.
	Mine bool
	Err  error // the reason and the way out
}

func (e *StartError) Error() string { return e.Path + ": cannot be started: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *StartError) Unwrap() error { return e.Err }

// waysOut says what to do about an error of the system.
var waysOut = map[syscall.Errno]string{
	syscall.ENOENT:  "install it again, or what its #! line names",
	syscall.EACCES:  "make it executable (chmod +x), on a disk that is not mounted noexec",
	syscall.ENOEXEC: "it is neither a program for this machine nor a script with a #! line",
	syscall.E2BIG:   "write words of the command to a file",
	syscall.EINVAL:  "a word has a zero byte",
	syscall.EAGAIN:  "raise the limit of processes (ulimit -u), or run fewer jobs at once",
	syscall.ENOMEM:  "run fewer jobs at once, or on a machine with more memory",
	syscall.EMFILE:  "raise the limit of open files (ulimit -n)",
	syscall.ENFILE:  "end other programs, or raise the machine's limit of files (fs.file-max)",
	syscall.ENOSPC:  "make room on the disk",
	syscall.EDQUOT:  "make room on the disk, or have the quota raised",
}

// startError explains why a program could not be started.
func startError(c Command, err error) *StartError {
	info, missing := os.Stat(c.Dir)
	if c.Dir != "" && (errors.Is(missing, fs.ErrNotExist) || missing == nil && !info.IsDir()) {
		return &StartError{c.Path, true, fmt.Errorf("its working folder %s is not there", c.Dir)}
	}
	mine := err == syscall.E2BIG || err == syscall.EINVAL
	errno, _ := errors.AsType[syscall.Errno](err)
	ofFile := err != errno && (errno == syscall.ENOENT || errno == syscall.EACCES) // it is named
	if way := waysOut[errno]; way != "" && !ofFile {
		err = fmt.Errorf("%w; %s", err, way)
	}
	return &StartError{c.Path, mine, err}
}

// Find returns the absolute path of a program: of an absolute path, or of a name on PATH. It is ""
// if there is no such program that may be run.
func Find(name string) string {
	path, err := exec.LookPath(name)
	if err != nil || !filepath.IsAbs(path) {
		return ""
	}
	return path
}
