package pipeline

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Bounds of the check of a file: slips such as nested for expressions over long lists end here.
const maxCheckBytes = 1 << 30 // more than before the check

var maxCheckTime = 10 * time.Second // a variable for tests

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
	before, late := heap[0].Value.Uint64(), time.After(maxCheckTime)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			if metrics.Read(heap); heap[0].Value.Uint64() < before+maxCheckBytes {
				continue
			}
		case <-late:
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
