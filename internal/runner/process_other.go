//go:build unix && !linux

package runner

import (
	"syscall"
	"time"
)

const maxrssUnit = 1 // macOS counts bytes (getrusage(2))

// ThreadCPU is not known here: what code of our own computes itself is not counted.
func ThreadCPU() time.Duration { return 0 }

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func exited(int) bool { return false }
