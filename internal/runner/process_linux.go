package runner

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const maxrssUnit = 1024 // bytes of ru_maxrss (getrusage(2))

// ThreadCPU is the CPU time that the calling thread has taken.
func ThreadCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u) // fails only for wrong arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// attributes ask for a new group, and for SIGKILL when the thread that started the child ends.
// Orphaned descendants of this process become its children.
func attributes() *syscall.SysProcAttr {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // fails only before Linux 3.4
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// exited says whether a child has ended, collected or not.
func exited(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err != nil || info.Signo != 0
}
