//go:build unix && !linux

package runner

import (
	"syscall"
	"time"
)

const maxrssUnit = 1 // macOS counts bytes (getrusage(2))

// ThreadCPU is not known here: what code of our own computes itself is not counted.
func ThreadCPU() time.Duration { return 0 }

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (s *state) prepare() {} // no guard: the environment of another process can't be read
func exited(int) bool     { return false }

// collect waits for the leader and kills the rest of its group.
func (p *process) collect() (status syscall.WaitStatus, use syscall.Rusage, err error) {
	err = syscall.EINTR
	for err == syscall.EINTR {
		_, err = syscall.Wait4(p.pid, &status, 0, &use)
	}
	shared.Lock()
	defer shared.Unlock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	delete(shared.leaders, p.pid)
	return status, use, err
}
