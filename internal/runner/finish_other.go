//go:build unix && !linux

package runner

import (
	"syscall"
	"time"
)

// maxrssUnit is the unit of ru_maxrss in bytes: macOS counts bytes (getrusage(2)).
const maxrssUnit = 1

// ThreadCPU is not to be had here: what a builtin computes itself is not counted.
func ThreadCPU() time.Duration { return 0 }

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func becomeSubreaper() {}

// killMarked does nothing: there is no way to see another process's environment. The guard's list of groups has to do.
func killMarked(string) {}

// finish waits for the leader and kills what is left of its group. What has left the group is not found here.
func finish(pid int, _ string, s *stopper) (status syscall.WaitStatus, use syscall.Rusage, err error) {
	defer shared.forget(pid)
	for {
		_, err = syscall.Wait4(pid, &status, 0, &use)
		if err != syscall.EINTR {
			break
		}
	}
	s.disarm()
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	s.release()
	return status, use, err
}

// exited is not to be known here without collecting the leader.
func exited(int) bool { return false }

// oomKills: no system but Linux counts them where we could look.
func oomKills() int64 { return 0 }
