package batch

import (
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/semaphore"
)

// Each part is done once, on no more cores than the batch has idle, and all that are idle are used.
func TestEach(t *testing.T) {
	for _, test := range []struct{ cores, taken, n, most int64 }{
		{1, 1, 5, 1}, {4, 1, 8, 4}, {4, 3, 8, 2}, {4, 4, 8, 1}, {8, 1, 3, 3}, {8, 1, 0, 0},
	} {
		v := &Visitor{cores: semaphore.NewWeighted(test.cores)}
		if !v.cores.TryAcquire(test.taken) {
			t.Fatal("no core")
		}
		var now, most atomic.Int64
		var mu sync.Mutex
		together := sync.NewCond(&mu)
		times := make([]atomic.Int64, test.n)
		v.each(int(test.n), func(i int) {
			times[i].Add(1)
			at := now.Add(1)
			mu.Lock()
			for most.Store(max(most.Load(), at)); most.Load() < test.most; {
				together.Wait() // for all that may run at once
			}
			together.Broadcast()
			mu.Unlock()
			now.Add(-1)
		})
		for i := range times {
			if times[i].Load() != 1 {
				t.Errorf("%+v: part %d was done %d times", test, i, times[i].Load())
			}
		}
		if most.Load() != test.most {
			t.Errorf("%+v: %d at once", test, most.Load())
		}
		if !v.cores.TryAcquire(test.cores - test.taken) {
			t.Errorf("%+v: cores were not given back", test)
		}
	}
}
