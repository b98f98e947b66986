package pipeline

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/sys/unix"
)

// Bounds of the check of a file: slips such as nested for expressions over long lists end here.
const maxCheckBytes = 1 << 30 // more than before the check

var maxCheckTime = 10 * time.Second // of the processor; a variable for tests

// watch ends the check of a file that takes too much time or memory.
type watch struct {
	underway atomic.Pointer[expression] // that is evaluated now
	ended    atomic.Bool
}

// pass is called by what a check calls often. It ends the goroutine of a check that has ended.
func (w *watch) pass() {
	if w != nil && w.ended.Load() {
		runtime.Goexit()
	}
}

// over runs a check within its bounds; one that breaks them ends at the next call of a function.
func (w *watch) over(check func()) *hcl.Diagnostic {
	done := make(chan struct{})
	go func() {
		check()
		close(done)
	}()
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	before, begin := heap[0].Value.Uint64(), processorTime()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		metrics.Read(heap)
		if heap[0].Value.Uint64() < before+maxCheckBytes && processorTime() < begin+maxCheckTime {
			continue
		}
		w.ended.Store(true)
		var rng hcl.Range
		if e := w.underway.Load(); e != nil {
			rng = e.Range()
		}
		return wrongf(rng, "Expression too expensive", "The expression takes more than 10 "+
			"seconds or 1 GiB while the file is checked.")
	}
}

// processorTime is what this process has computed. Other programs on the machine may slow it down.
func processorTime() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano())
}
