package journal

import (
	"path/filepath"
	"testing"
)

// The batch that finds another one dead closes the other's account: readers of that batch see its
// end.
func TestEndOfAnotherBatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	dead, next := Writer{Path: path, Batch: "dead"}, Writer{Path: path, Batch: "next"}
	for _, write := range []func() error{
		func() error { return dead.Write(Event{Event: BatchStart}) },
		func() error { return next.Write(Event{Event: BatchEnd, Batch: "dead", Outcome: Failed}) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	var s State
	if err := Open(path).Each(s.Add); err != nil || s.Batch != "dead" || s.Ended.IsZero() {
		t.Errorf("%v, %+v", err, s)
	}
}
