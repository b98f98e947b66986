package runner

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// reap kills and collects orphans that p, which has ended, left behind; if no program is under way,
// all orphans. again: what was killed, and the orphans that it leaves, need another look.
func (s *state) reap(p *process) (again bool) {
	s.Lock()
	defer s.Unlock()
	alone := len(s.leaders) == 0 && os.Getpid() != 1
	own := syscall.Getpgrp()
	for _, pid := range children() {
		group, err := syscall.Getpgid(pid)
		if err != nil || group == own || s.leaders[group] != nil || s.leaders[pid] != nil ||
			pid == s.guard || slices.Contains(s.foreign, pid) {
			continue // to be collected by another
		}
		if got, _ := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); got == pid {
			again = true
			continue
		}
		mark, clear := s.markOf(pid)
		if alone || mark == p.mark || group == p.pid {
			clear = syscall.Kill(pid, syscall.SIGKILL) != nil
		}
		again = again || !clear
	}
	return again
}

// children returns the children of the main thread, to which Linux gives orphans: they go to the
// first thread that is alive, and the Go runtime never ends the main one.
func children() (pids []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	for word := range strings.FieldsSeq(string(text)) {
		pid, _ := strconv.Atoi(word)
		pids = append(pids, pid)
	}
	return pids
}

// markOf returns the mark of a child, or "". clear is false if the child is dying or is becoming
// another program (execve), when it shows no environment and no command line.
func (s *state) markOf(pid int) (mark string, clear bool) {
	for range 2 { // the second look tells an empty environment from one that was not there yet
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || len(environ) > 0 {
			return findMark(string(environ), s.prefix), !errors.Is(err, syscall.ESRCH)
		}
		words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && len(words) == 0 {
			return "", false
		}
	}
	return "", true
}

// findMark returns the entry of an environment that begins with prefix, or "". Zero bytes separate
// the entries.
func findMark(environ, prefix string) string {
	for entry := range strings.SplitSeq(environ, "\x00") {
		if strings.HasPrefix(entry, prefix) {
			return entry
		}
	}
	return ""
}

// ranOut says whether the kernel has killed a program for lack of memory that is not yet the cause
// of another Result. The program may have been another's: then, too, memory has run out.
func (s *state) ranOut() bool {
	s.Lock()
	defer s.Unlock()
	if s.oom >= oomKills() {
		return false
	}
	s.oom++
	return true
}

// oomKills is the number of programs that Linux has killed since its start because memory ran out,
// the machine's or that of a memory cgroup; 0 before Linux 4.13.
func oomKills() (n int64) {
	text, _ := os.ReadFile("/proc/vmstat")
	_, rest, _ := strings.Cut(string(text), "\noom_kill ")
	_, _ = fmt.Sscan(rest, &n)
	return n
}
