package runner

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// markName is the environment variable by which the descendants of a command are known, wherever they hide. Its
// value is the batch's random id, a dot, and a number that is the command's own.
const markName = "GRIMPERIUM_TARGET"

// state is what a process has once: its children, its status as a subreaper, its guard. It can't belong to a
// caller, since two callers share it anyway.
type state struct {
	once  sync.Once
	batch string
	count atomic.Int64
	guard atomic.Pointer[guard]
	begun sync.Once // the guard has been started

	// mu makes fork and registration one step: who looks at our children (reapOrphans) must be able to tell a
	// command's leader, or the guard, from an orphan.
	mu       sync.Mutex
	leaders  map[int]bool
	children *os.File // the system's list of our children, opened once
	oom      int64    // of the kernel's count of such kills, those from before the first program, and those that a command has been given as its cause of death
}

var shared state // the one global of this package; see state

// newMark returns the mark of a new command, and prepares the process for its first one.
func (s *state) newMark() string {
	s.once.Do(func() {
		s.batch = rand.Text()
		s.leaders = map[int]bool{}
		s.oom = oomKills()
		becomeSubreaper()
	})
	return fmt.Sprintf("%s=%s.%d", markName, s.batch, s.count.Add(1))
}

// fork starts a program and enters it among the leaders.
func (s *state) fork(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err == nil {
		s.leaders[pid] = true
	}
	return pid, err
}

// protect starts the guard.
func (s *state) protect() {
	s.begun.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.guard.Store(startGuard(s.batch))
	})
}

// forget is called when the leader's pid is free again.
func (s *state) forget(pid int) {
	s.mu.Lock()
	delete(s.leaders, pid)
	s.mu.Unlock()
}

// ranOut says whether the kernel has killed a program for lack of memory whose end no command has had as its cause of death yet. One that has
// nothing to do with the batch may be taken for it, if ours was killed by another hand: then, too, memory has run out on this machine.
func (s *state) ranOut() bool {
	now := oomKills()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.oom >= now {
		return false
	}
	s.oom++
	return true
}

// withMark returns the environment with the mark in place of any earlier one: of a batch that runs inside
// another's stage, the inner one must not kill what is the outer one's.
func withMark(env []string, mark string) []string {
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, markName+"=") {
			out = append(out, e)
		}
	}
	return append(out, mark)
}

// hasMark says whether an environment block, entries separated by zero bytes, has an entry that begins with mark.
func hasMark(block, mark string) bool {
	return strings.HasPrefix(block, mark) || strings.Contains(block, "\x00"+mark)
}

// Guard: if the batch is killed so that it can't clean up (kill -9, out of memory, or mage after its five seconds),
// the kernel's parent-death signal ends the programs, but not the programs that those have started. A second process
// therefore keeps the list of running groups. It reads from a pipe of which only the batch has the other end: end
// of file means that the batch is gone, whatever the reason.
type guard struct {
	pipe *os.File
	pid  int
}

// guardName is the environment variable that makes a process a guard. Its value is the batch's id.
const guardName = "GRIMPERIUM_GUARD"

// startGuard starts this very executable again as a guard. It returns nil if that fails: a batch without a guard
// is as good as any other program that is killed.
func startGuard(batch string) *guard {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	r, w, err := os.Pipe() // both ends are closed on exec
	if err != nil {
		return nil
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		w.Close()
		return nil
	}
	defer null.Close()
	pid, err := syscall.ForkExec(exe, []string{"grimperium-guard"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{guardName + "=" + batch, "GOMAXPROCS=1"},
		Files: []uintptr{r.Fd(), null.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // out of reach of Ctrl-C and of the batch's group
	})
	if err != nil {
		w.Close()
		return nil
	}
	return &guard{w, pid}
}

// tell adds a group to the guard's list, or takes it off. It never waits: were the guard stopped by someone and its
// pipe full, the batch goes on unguarded.
func (g *guard) tell(sign byte, pgid int) {
	if g == nil {
		return
	}
	conn, err := g.pipe.SyscallConn()
	if err != nil {
		return
	}
	line := fmt.Appendf(nil, "%c%d\n", sign, pgid)
	_ = conn.Write(func(fd uintptr) bool {
		_, _ = syscall.Write(int(fd), line)
		return true
	})
}
