package crash

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestReaders reads all logs again and again while batches put 10,000 results and more, restore
// results, read values again, and compact the logs. A reader never sees a torn line, or one of
// another molecule, before the last line break of a log.
func TestReaders(t *testing.T) {
	rows, rounds := 120, 14
	if testing.Short() {
		rows = 8
	}
	v := newVictim(t, rows)
	v.extra = `,copies="1 2 3"`
	reads, lines, compacted := 0, 0, 0
	length := make([]int, rows) // of each log, in lines
	for round := range rounds {
		// four results of each target are computed, and then taken in turns
		s := settings{fmt.Sprint(round % 2), fmt.Sprint(round / 2 % 2), fmt.Sprint(round)}
		cmd := v.start(s)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for running := true; running; {
			select {
			case err := <-done:
				if _, failed := err.(*exec.ExitError); failed {
					t.Fatalf("round %d: %v: %s", round, err, v.said())
				}
				running = false
			default:
			}
			for n := range rows {
				reads++
				found, err := v.readLog(n)
				if found < length[n] {
					compacted++
				}
				length[n] = found
				if lines += found; err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		}
	}
	put := strings.Count(string(v.read(journalName)), `"event":"target_end"`)
	if put < 84*rows || compacted < rows {
		t.Errorf("only %d results were put and %d logs were compacted", put, compacted)
	}
	t.Logf("%d reads of %d lines, %d results, %d logs compacted", reads, lines, put, compacted)
}

// readLog reads a log as a program of somebody else does, and returns the number of its lines.
func (v *victim) readLog(n int) (int, error) {
	log := unzipped{v}.read("artefacts/" + mol(n) + "/manifest.jsonl")
	records, torn := parseLog(log[:strings.LastIndexByte(string(log), '\n')+1])
	if len(torn) > 0 {
		return 0, fmt.Errorf("a reader of %s sees a torn line: %.200q", mol(n), torn[0])
	}
	for i, r := range records {
		if first := r.Format != ""; first != (i == 0) || first && r.Molecule != mol(n) {
			return 0, fmt.Errorf("a reader of %s sees, as its line %d: %+v", mol(n), i+1, r)
		}
	}
	return len(records), nil
}
