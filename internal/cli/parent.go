package cli

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// watchParent ends the batch when the mage command that started this program is gone: killed, it does not pass the
// signal on. A shell that started the compiled program and ended (nohup) is no reason to stop.
func watchParent(ctx context.Context, cancel context.CancelFunc) {
	parent := os.Getppid()
	exe, err := os.Readlink("/proc/" + itoa(parent) + "/exe")
	if err != nil || filepath.Base(exe) != "mage" {
		return
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if os.Getppid() != parent {
				cancel()
				return
			}
		}
	}
}
