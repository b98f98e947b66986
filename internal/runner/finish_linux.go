package runner

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxrssUnit is the unit of ru_maxrss in bytes (getrusage(2)).
const maxrssUnit = 1024

// ThreadCPU is the CPU time that the calling thread has taken.
func ThreadCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// childAttr: a group of its own, and SIGKILL when the thread that started it ends, which is when the batch dies.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// becomeSubreaper makes orphaned descendants our children, so that they can be found and collected.
func becomeSubreaper() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // fails only before Linux 3.4
}

// finish waits for the leader, and kills and collects what it left behind. The leader stays a zombie until all that is
// done, so that neither its pid nor its group's number can belong to someone else.
func finish(pid int, mark string, s *stopper) (syscall.WaitStatus, syscall.Rusage, error) {
	defer shared.forget(pid)
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			s.disarm()
			return 0, syscall.Rusage{}, err
		}
	}
	s.disarm()
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	reapOrphans(mark)
	s.release()
	status, use, others, err := reapGroup(pid)
	if others {
		reapOrphans(mark) // those that had left the group become ours only when their parents in the group have died
	}
	return status, use, err
}

// exited says whether the leader has ended by itself and waits to be collected.
func exited(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

// reapGroup collects the leader and those of its group that have become our children: all of them are dead or dying.
// The usage is that of the leader, which includes the children that it waited for. others: there were some besides it.
func reapGroup(leader int) (status syscall.WaitStatus, use syscall.Rusage, others bool, err error) {
	for {
		var ws syscall.WaitStatus
		var ru syscall.Rusage
		pid, err := syscall.Wait4(-leader, &ws, 0, &ru)
		switch {
		case pid == leader:
			status, use = ws, ru
		case err == syscall.ECHILD:
			return status, use, others, nil
		case err != nil && err != syscall.EINTR:
			return status, use, others, err
		case err == nil:
			others = true
		}
	}
}

// reapOrphans finds those of our children that no Run started: descendants of a command that left its group
// (setsid) and lost their parent. It kills those that carry the mark, and collects them and those that have ended by
// themselves. A killed orphan's own children come to us next, hence the rounds; a program that forks faster than we
// kill ends the attempt after a second, and is left to the guard.
func reapOrphans(mark string) {
	for begin := time.Now(); time.Since(begin) < time.Second; {
		killed := false
		for _, pid := range orphans() {
			if isMarkedOrphan(pid, mark+"\x00") && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed = true
				wait(pid, 0)
			}
		}
		if !killed {
			return
		}
	}
}

// orphans returns our children that no one here waits for, and collects those of them that have ended.
func orphans() []int {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	var found []int
	own := syscall.Getpgrp()
	for _, pid := range children() {
		if shared.leaders[pid] || isGuard(pid) {
			continue
		}
		pgid, err := syscall.Getpgid(pid)
		// In our own group: a child that another package started. In a leader's group: collected with the group.
		if err != nil || pgid == own || shared.leaders[pgid] {
			continue
		}
		if wait(pid, syscall.WNOHANG) == 0 {
			found = append(found, pid)
		}
	}
	return found
}

// children returns the children of our main thread, which is the one that the kernel gives orphans to (the first
// thread that is alive; the Go runtime never ends the main one). A kernel without CONFIG_PROC_CHILDREN has no such
// file: then what leaves its group lives on until the guard finds it, at the end of the batch.
func children() []int {
	if shared.children == nil {
		f, err := os.Open("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
		if err != nil {
			return nil
		}
		shared.children = f
	}
	text, err := io.ReadAll(io.NewSectionReader(shared.children, 0, 1<<20))
	if err != nil {
		return nil
	}
	var out []int
	for word := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(word); err == nil {
			out = append(out, n)
		}
	}
	return out
}

func isGuard(pid int) bool {
	g := shared.guard.Load()
	return g != nil && pid == g.pid
}

// isMarkedOrphan is isMarked for a child of ours. A process that is becoming another program (execve) shows an empty
// environment for a moment, so an empty one is read again for up to 50 ms.
func isMarkedOrphan(pid int, mark string) bool {
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; time.Sleep(100 * time.Microsecond) {
		block, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || len(block) > 0 {
			return err == nil && hasMark(string(block)+"\x00", mark)
		}
	}
	return false
}

// isMarked says whether an entry of the process's environment begins with mark.
func isMarked(pid int, mark string) bool {
	block, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false // gone, or not ours
	}
	return hasMark(string(block)+"\x00", mark)
}

// oomKills is how many programs the kernel has killed since it started because memory ran out, the machine's or that of a memory cgroup; 0 before Linux 4.13.
func oomKills() int64 {
	text, _ := os.ReadFile("/proc/vmstat")
	_, rest, _ := strings.Cut(string(text), "\noom_kill ")
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseInt(line, 10, 64)
	return n
}

// wait collects one child and returns its pid, or 0 if there is nothing to collect.
func wait(pid, options int) int {
	for {
		got, err := syscall.Wait4(pid, nil, options, nil)
		if err == nil {
			return got
		}
		if err != syscall.EINTR {
			return 0
		}
	}
}

// killMarked kills every process of this machine whose mark begins with prefix, until there is none.
func killMarked(prefix string) {
	for begin := time.Now(); time.Since(begin) < 5*time.Second; {
		killed := false
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err == nil && pid != os.Getpid() && isMarked(pid, prefix) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed = true
			}
		}
		if !killed {
			return
		}
		time.Sleep(10 * time.Millisecond) // until the killed are gone
	}
}
