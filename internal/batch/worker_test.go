package batch

import (
	"sync"
	"testing"

	"grimperium/internal/runner"
)

// An idle worker goes to one target only, however many want one and give theirs back at the same moment.
func TestWorkerHasOneTarget(t *testing.T) {
	var ws workers
	var mu sync.Mutex
	busy := map[*runner.Worker]bool{}
	mark := func(w *runner.Worker, now bool) {
		mu.Lock()
		defer mu.Unlock()
		if busy[w] == now {
			t.Errorf("worker %p is busy twice, or idle twice", w)
		}
		busy[w] = now
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 20000 {
				w, _ := ws.take("rdkit")
				if w == nil {
					w = new(runner.Worker)
				}
				mark(w, true)
				mark(w, false)
				ws.put("rdkit", w)
			}
		})
	}
	group.Wait()
	if ws.started > 4 {
		t.Errorf("%d workers for 4 jobs", ws.started)
	}
}
