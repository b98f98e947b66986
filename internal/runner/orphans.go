package runner

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// random ids of this process and the program, with a dot between
	markName  = "GRIMPERIUM_TARGET"
	guardName = "GRIMPERIUM_GUARD" // of a guard: the beginning of the marks that it looks for
)

// state is what all calls of Run share. Whoever has the mutex can tell orphans from other children,
// and no pid of an orphan becomes another's.
type state struct {
	sync.Mutex
	prefix  string       // of every mark; "" before the first program
	running int          // programs
	known   map[int]bool // pids of children that are no orphans
	guard   io.Closer    // the guard waits for the end of this pipe
}

var shared = state{known: map[int]bool{}}

// fork starts a program with a mark.
func (s *state) fork(p *program) error {
	s.Lock()
	defer s.Unlock()
	if s.prefix == "" {
		s.prefix = markName + "=" + rand.Text() + "."
		for _, pid := range children() {
			s.known[pid] = true
		}
		s.startGuard() // before the first program: one that outlives a kill -9 has nobody else
	}
	p.mark = s.prefix + rand.Text()
	p.cmd.Env = append(p.cmd.Env, p.mark)
	err := p.cmd.Start()
	if err == nil {
		s.known[p.cmd.Process.Pid] = true
		s.running++
	}
	return err
}

// clean kills and collects what a program, which has ended, left behind. What lives on for half a
// second is left to later programs and to the guard.
func (s *state) clean(p *program) {
	group := p.cmd.Process.Pid
	_ = syscall.Kill(-group, syscall.SIGKILL)
	s.Lock()
	s.running--
	delete(s.known, group) // the last of those that end together is alone
	s.Unlock()
	pause := 100 * time.Microsecond
	for ; s.reap(group, p.mark) && pause < 300*time.Millisecond; pause *= 2 {
		time.Sleep(pause)
	}
}

// reap kills and collects orphans of a group, and those with a mark; if no program is under way,
// all orphans. again: what was killed needs another look, and what shows no environment, as it is
// dying or becoming another program (execve).
func (s *state) reap(ended int, mark string) (again bool) {
	s.Lock()
	defer s.Unlock()
	alone := s.running == 0 && os.Getpid() != 1
	for _, pid := range children() {
		group, err := syscall.Getpgid(pid)
		if err != nil || group == syscall.Getpgrp() || s.known[group] || s.known[pid] {
			continue // to be collected by another
		}
		if got, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); got == pid {
			again = true
			continue
		}
		entries := environ(pid)
		if alone || group == ended || strings.Contains(entries, "\x00"+mark) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			again = true
		}
		again = again || entries == "\x00"
	}
	return again
}

// children returns the children of the main thread, which the Go runtime never ends: Linux gives
// orphans to the first thread that is alive.
func children() (pids []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	for word := range strings.FieldsSeq(string(text)) {
		pid, _ := strconv.Atoi(word)
		pids = append(pids, pid)
	}
	return pids
}

// environ returns the environment of a process, with a zero byte before each entry.
func environ(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return "\x00" + string(text)
}

// startGuard starts this executable again as a guard. Only this process has the other end of the
// guard's standard input. When the input ends, this process is gone, as by kill -9.
func (s *state) startGuard() {
	guard := exec.Command("/proc/self/exe") // this executable even if its file has been replaced
	guard.Args, guard.Dir = []string{"grimperium-guard"}, "/"
	guard.Env = []string{guardName + "=" + s.prefix, "GOMAXPROCS=1"}
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of Ctrl-C and our group
	var err error
	if s.guard, err = guard.StdinPipe(); err == nil && guard.Start() == nil {
		s.known[guard.Process.Pid] = true
	}
}

// init is the guard's main function: mage writes that of this executable.
func init() {
	prefix := os.Getenv(guardName)
	if prefix == "" {
		return
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, os.Stdin)
	killed := true
	for begin := time.Now(); killed && time.Since(begin) < 5*time.Second; {
		killed = false
		folders, _ := filepath.Glob("/proc/[0-9]*")
		for _, folder := range folders {
			pid, _ := strconv.Atoi(filepath.Base(folder))
			if strings.Contains(environ(pid), "\x00"+prefix) {
				killed = syscall.Kill(pid, syscall.SIGKILL) == nil || killed
			}
		}
		time.Sleep(10 * time.Millisecond) // until the killed are gone
	}
	os.Exit(0)
}
