package journal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// madeEvents are the events of two batches with retries, and of molecules that stay open.
func madeEvents(seed uint64) (events []Event) {
	random := rand.New(rand.NewPCG(seed, 1))
	at := noon
	add := func(e Event) {
		at = at.Add(time.Millisecond)
		e.Time, e.Batch = at, e.Batch+"b2"
		events = append(events, e)
	}
	add(Event{Event: BatchStart, Batch: "not "})
	add(Event{Event: TargetStart, Batch: "not ", Mol: "m1", Stage: "pm7"})
	add(Event{Event: BatchStart, Total: 9, Work: 99, Jobs: 2,
		Settings: map[string]string{"mol": "x"}})
	for range random.IntN(60) {
		mol := fmt.Sprint("m", random.IntN(9))
		e := Event{Mol: mol, Stage: "pm7", Size: []float64{float64(random.IntN(9))}, Outcome: OK}
		switch random.IntN(9) {
		case 0, 1, 2:
			e.Event, e.Instance, e.Instances = TargetStart, random.IntN(3), 2
		case 3, 4:
			e.Event, e.Seconds = TargetEnd, 1.5
		case 5, 6:
			e.Event, e.Values = Row, map[string]string{"a": `}} "event":"row"`, "b": `"}}`}
			e.Outcome = []string{"OK", "Skip"}[random.IntN(2)]
			e.Shown = [][]string{nil, {"-57.86 kcal/mol"}}[random.IntN(2)]
		case 7:
			e.Event, e.Retry, e.Inputs = Row, true, map[string]string{"smiles": "C"}
		case 8:
			e = Event{Event: []string{Note, Stopping, Interrupted, Cluster, Row}[random.IntN(5)],
				Error: `"mol":"m1"`, Tasks: &Tasks{Running: 1}}
			if e.Event == Row {
				e.Batch, e.Mol = "not ", mol
			}
		}
		add(e)
	}
	if random.IntN(2) == 0 {
		add(Event{Event: BatchEnd, Outcome: Done})
	}
	add(Event{Event: BatchStart, Batch: "foreign ", Table: "other.csv"})
	add(Event{Event: Row, Batch: "foreign ", Mol: "m1", Outcome: "OK"})
	return events
}

// states are what Each and Skim of a journal add up to. The newest two rows are whole.
func states(t *testing.T, path string) (each, skimmed State) {
	t.Helper()
	var whole [2][]Event
	kind := map[bool]int{true: 1}
	first := Open(path)
	first.OwnTable = func(table string) bool { return table != "other.csv" }
	if err := first.Each(func(e Event) {
		each.Add(e)
		if e.Event == BatchStart {
			whole = [2][]Event{}
		} else if e.Final() && e.Batch == each.Batch {
			k := kind[e.Outcome == "OK"]
			whole[k] = append(whole[k], e)
		}
	}); err != nil {
		t.Fatal(err)
	}
	var rows [2][]Event
	r := Open(path)
	r.OwnTable = first.OwnTable
	if err := r.Skim(2, func(e Event) {
		skimmed.Add(e)
		if e.Event == BatchStart {
			rows = [2][]Event{}
		} else if e.Final() && e.Batch == skimmed.Batch {
			k := kind[e.Outcome == "OK"]
			rows[k] = append(rows[k], e)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for k := range rows {
		from := max(0, len(whole[k])-2)
		if len(rows[k]) != len(whole[k]) || !reflect.DeepEqual(rows[k][from:], whole[k][from:]) {
			t.Fatalf("the newest of the rows %+v are not those of %+v", rows[k], whole[k])
		}
		for _, row := range rows[k][:from] {
			if row.Values != nil {
				t.Fatalf("the values of %+v are decoded, and it is not one of the newest", row)
			}
		}
	}
	if each.Batch != "b2" {
		t.Fatalf("the last batch is %q", each.Batch)
	}
	if rest := all(t, r); len(rest) > 0 {
		t.Fatalf("Each after Skim gives %+v", rest)
	}
	return each, skimmed
}

func TestSkim(t *testing.T) {
	for seed := range uint64(100) {
		path := filepath.Join(t.TempDir(), "journal.jsonl")
		if err := (Writer{Path: path}).Write(madeEvents(seed)...); err != nil {
			t.Fatal(err)
		}
		if each, skimmed := states(t, path); !reflect.DeepEqual(each, skimmed) {
			t.Fatalf("seed %d: skimmed %+v, want %+v", seed, skimmed, each)
		}
	}
	none := Open(filepath.Join(t.TempDir(), "none"))
	if err := none.Skim(2, func(Event) { t.Error("an event") }); err != nil {
		t.Error(err)
	}
}

// TestSkimTorn cuts a journal at every byte of its end, and goes on behind it as a batch does.
func TestSkimTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if err := (Writer{Path: path}).Write(madeEvents(4)...); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(whole) - 700; n < len(whole); n++ {
		write(t, path, string(whole[:n])+"\n"+line(Note))
		if each, skimmed := states(t, path); !reflect.DeepEqual(each, skimmed) {
			t.Fatalf("cut at %d: skimmed %+v, want %+v", n, skimmed, each)
		}
	}
}
