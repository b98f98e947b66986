package batch

import (
	"encoding/json"
	"sync"
	"testing"

	"grimperium/internal/runner"
)

// An idle worker goes to one target only, however many want one and give theirs back at the same
// moment.
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
				idle := ws.of("rdkit", 4)
				var w *runner.Worker
				select {
				case w = <-idle:
				default:
					w = new(runner.Worker)
					ws.started.Add(1)
				}
				mark(w, true)
				mark(w, false)
				idle <- w
			}
		})
	}
	group.Wait()
	if n := ws.started.Load(); n > 4 {
		t.Errorf("%d workers for 4 jobs", n)
	}
}

func TestReply(t *testing.T) {
	for text, good := range map[string]bool{
		`{"exit": 0}`:                               true,
		`{"exit": 0, "error": "", "cpu": 0.1}`:      true,
		`{"exit": -9, "error": "killed"}`:           true,
		`{"exit": 3}`:                               true,
		`{"exit": 0, "warnings": ["a"], "new": []}`: true,
		`{}`:                                    false,
		`null`:                                  false,
		`{"exit": null}`:                        false,
		`{"exit": true}`:                        false,
		`{"error": "it went wrong"}`:            false,
		`{"exit": 0, "error": "it went wrong"}`: false,
		`[]`:                                    false,
	} {
		var r reply
		if err := json.Unmarshal([]byte(text), &r); (err == nil) != good {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
}
