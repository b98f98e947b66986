package runner

import (
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxrssUnit is the unit of ru_maxrss in bytes (getrusage(2)).
const maxrssUnit = 1024

// ThreadCPU is the CPU time that the calling thread has taken.
func ThreadCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u) // fails only for wrong arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// childAttr asks for a new group, and for SIGKILL when the thread that started the child ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// prepare makes orphaned descendants children of this process. A guard follows soon: the first
// program does not wait for it.
func (s *state) prepare() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // fails only before Linux 3.4
	time.AfterFunc(5*time.Millisecond, s.startGuard)
}

// collect waits for the leader and kills the rest of its group. The leader stays a zombie until
// then, so that the number of the group can't be another's.
func (p *process) collect() (status syscall.WaitStatus, use syscall.Rusage, err error) {
	for unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	shared.Lock()
	defer shared.Unlock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	_, err = syscall.Wait4(p.pid, &status, 0, &use) // does not wait
	delete(shared.leaders, p.pid)                   // the last of those that end together is alone
	return status, use, err
}

// exited says whether the leader has ended by itself and waits to be collected.
func exited(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

// guardName is the environment variable that makes a process a guard. Its value is the beginning of
// the marks of the process that is guarded.
const guardName = "GRIMPERIUM_GUARD"

// init turns this process into a guard if startGuard has asked for one. It has to be an init
// function: mage writes the main function.
func init() {
	if prefix := os.Getenv(guardName); prefix != "" {
		signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, os.Stdin)
		killMarked(prefix)
		os.Exit(0)
	}
}

// startGuard starts this executable again as a guard. Only this process has the other end of the
// guard's standard input: its end means that this process is gone, be it by kill -9, for lack of
// memory, or by mage after Ctrl-C. Without a guard, what programs have started lives on.
func (s *state) startGuard() {
	r, w, err := os.Pipe() // both ends are closed on exec
	if err != nil {
		return
	}
	defer r.Close()
	s.Lock()
	defer s.Unlock()
	s.guardPipe = w
	// The link leads to this executable even if its file has been replaced.
	s.guard, _ = syscall.ForkExec("/proc/self/exe", []string{"grimperium-guard"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{guardName + "=" + s.prefix, "GOMAXPROCS=1"},
		Files: []uintptr{r.Fd(), r.Fd(), r.Fd()},  // a guard prints nothing
		Sys:   &syscall.SysProcAttr{Setsid: true}, // out of reach of Ctrl-C and of our group
	})
}

// killMarked kills all processes whose mark begins with prefix, until none is left.
func killMarked(prefix string) {
	killed := true
	for begin := time.Now(); killed && time.Since(begin) < 5*time.Second; {
		killed = false
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range files {
			environ, _ := os.ReadFile(file)
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && findMark(string(environ), prefix) != "" {
				killed = syscall.Kill(pid, syscall.SIGKILL) == nil || killed
			}
		}
		time.Sleep(10 * time.Millisecond) // until the killed are gone
	}
}
