package durable

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Fault is asked before each operation, by its name and path; an error takes the place of the
// operation. The names are "append", "write", "flush", "rename", "remove" and "sync". Tests set it.
// It is nil in a process whose environment has no GRIMPERIUM_FAULT.
var Fault func(op, path string) error

// Torn is an error of Fault for an append: half of the bytes are written, then Then is called.
type Torn struct{ Then func() error }

func (*Torn) Error() string { return "a torn append" }

func fault(op, path string) error {
	if Fault == nil {
		return nil
	}
	return Fault(op, path)
}

// variable is the environment variable that arms one fault in a process. N ends the process by
// SIGKILL before its N-th operation; N:torn in the middle of an append. N:EIO fails the N-th
// operation with that error, and N:EIO+ all operations from then on. So do ENOSPC, EDQUOT, EROFS.
const variable = "GRIMPERIUM_FAULT"

var errnos = map[string]syscall.Errno{
	"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "EDQUOT": syscall.EDQUOT, "EROFS": syscall.EROFS}

func init() {
	text := os.Getenv(variable)
	if text == "" {
		return
	}
	number, what, _ := strings.Cut(text, ":")
	at, err := strconv.ParseInt(number, 10, 64)
	name, stays := strings.CutSuffix(what, "+")
	errno, known := errnos[name]
	if err != nil || what != "" && what != "torn" && !known {
		panic(variable + "=" + text + ": no such fault") // a test that arms nothing proves nothing
	}
	var count atomic.Int64
	Fault = func(op, path string) error {
		switch n := count.Add(1); {
		case n < at || n > at && !stays:
			return nil
		case known:
			return fmt.Errorf("%s %s (a staged fault): %w", op, path, errno)
		case what == "torn" && op == "append":
			return &Torn{kill}
		}
		return kill()
	}
}

func kill() error {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
