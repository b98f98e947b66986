package journal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func after(s float64) time.Time { return noon.Add(seconds(s)) }

func started(at float64, mol, stage string, size ...float64) Event {
	return Event{Time: after(at), Event: TargetStart, Mol: mol, Stage: stage, Size: size}
}

func ended(at float64, mol, stage, outcome string, took float64) Event {
	return Event{Time: after(at), Event: TargetEnd, Mol: mol, Stage: stage, Outcome: outcome,
		Seconds: took}
}

func row(at float64, mol, status string, size ...float64) Event {
	return Event{Time: after(at), Event: Row, Mol: mol, Outcome: status, Size: size}
}

func begun(total int, work float64, jobs int) Event {
	return Event{Time: noon, Event: BatchStart, Total: total, Work: work, Jobs: jobs}
}

// molecules are n of one size, one after the other, 1 s each on average, with their rows.
func molecules(n int, size ...float64) (out []Event) {
	for i := range n {
		mol, took := fmt.Sprint("s", i), 0.9+0.2*float64(i%2)
		out = append(out, started(float64(i), mol, "a", size...),
			ended(float64(i)+took, mol, "a", OK, took), row(float64(i+1), mol, "OK", size...))
	}
	return out
}

func join(parts ...any) (out []Event) {
	for _, p := range parts {
		switch p := p.(type) {
		case Event:
			out = append(out, p)
		case []Event:
			out = append(out, p...)
		}
	}
	return out
}

func TestState(t *testing.T) {
	failed := row(9, "c", "Rerun")
	failed.Error = "c/a: no"
	retry := row(5, "d", "Rerun")
	retry.Retry, retry.Error = true, "d/a: not yet"
	instance := func(e Event, n int) Event {
		e.Instance, e.Instances = n, 3
		return e
	}
	start := begun(6, 60, 2)
	start.Batch, start.Table = "b", "t.csv"
	events := join(started(0, "old", "a"), start,
		started(1, "a", "one", 3), started(1, "b", "one", 2), ended(2, "a", "one", OK, 1),
		instance(started(2, "a", "two", 3), 1),
		instance(ended(3, "a", "two", OK, 1), 1), instance(started(3, "a", "two", 3), 2),
		ended(4, "b", "one", Interrupted, 9),
		started(4, "c", "one"), ended(5, "c", "one", Timeout, 1), failed, row(6, "f", "OK"),
		started(4, "d", "one", 1), ended(5, "d", "one", Failed, 0.5), retry,
		Event{Event: Stopping}, Event{Event: Interrupted})
	var s State
	for _, e := range events {
		if e.Mol != "old" {
			e.Batch = "b"
		}
		s.Add(e)
	}
	s.Add(Event{Event: Row, Batch: "another", Mol: "a", Outcome: "OK"})
	want := State{Batch: "b", Started: noon, Stopping: true, Interrupted: true, Jobs: 2,
		Total: 6, Done: 2, Failed: 1, Work: 60, WorkDone: 2, Retries: map[string]bool{"d": true},
		UnderWay: map[string]*Molecule{"a": {Size: []float64{3}, Stage: "two", StageSince: after(2),
			Instance: 2, Instances: 3, Running: after(3)}}}
	if !reflect.DeepEqual(s, want) { // neither c nor f has a known size
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	for _, e := range []Event{started(10, "d", "one", 1), row(11, "d", "Skip", 1),
		{Time: after(12), Event: BatchEnd, Outcome: Failed, Error: "disk"}} {
		e.Batch = "b"
		s.Add(e)
	}
	if len(s.Retries) != 0 || s.Failed != 2 || s.WorkDone != 3 || len(s.UnderWay) != 0 ||
		!s.Ended.Equal(after(12)) {
		t.Errorf("at the end: %+v", s)
	}
	s.Add(begun(7, 9, 1))
	s.Add(Event{Event: Unchanged, Counts: map[string]int{"OK": 5, "Skip": 1}, Work: 8})
	if s.Done != 6 || s.Failed != 1 || s.Unchanged != 6 || s.Work != 1 {
		t.Errorf("with unchanged molecules: %+v", s)
	}
	s.Add(begun(1, 1, 1))
	s.Add(started(1, "late", "one"))
	if s.Add(Event{Event: Row, Mol: "late", Outcome: "Rerun", Retry: true}); len(s.UnderWay) != 1 ||
		len(s.Retries) != 1 {
		t.Errorf("a row that is written after its next attempt has begun: %+v", s)
	}
}

func TestRest(t *testing.T) {
	unchanged := Event{Time: noon, Event: Unchanged, Counts: map[string]int{"OK": 100}, Work: 400}
	for _, test := range []struct {
		name   string
		events []Event
		at     float64 // seconds
		want   float64 // seconds left; 0: nothing is known, or none
	}{
		{"no batch", nil, 10, 0},
		{"nothing done", join(begun(4, 4, 1)), 10, 0},
		{"nothing done, one under way", join(begun(4, 4, 1), started(0, "a", "a")), 10, 0},
		{"nothing but rows", join(begun(10, 10, 1), row(4, "a", "OK"), row(8, "b", "OK")), 8, 32},
		{"of one size", join(begun(40, 40, 1), molecules(20)), 20, 20},
		{"of a known size", join(begun(40, 160, 1), molecules(20, 2)), 20, 20},
		{"in the midst of one", join(begun(40, 160, 1), molecules(20, 2), started(20, "x", "a", 2)),
			20.5, 19.5},
		{"one of no known size", join(begun(40, 157, 1), molecules(20, 2), started(20, "x", "a"),
			ended(21, "x", "a", OK, 1), row(21, "x", "OK")), 21, 19.7},
		{"some for which nothing ran", join(begun(40, 160, 1), molecules(20, 2),
			row(20, "x", "OK", 2), row(20, "y", "OK", 2)), 20, 20.0 / 22 * 18},
		{"larger ones to come", join(begun(40, 20*4+20*16, 1), molecules(20, 2)), 20, 80},
		{"the next batch", join(begun(20, 80, 1), molecules(20, 2), begun(8, 8*16, 2)), 1e-3, 0},
		{"of four at a time", join(begun(80, 320, 4), molecules(20, 2), started(20, "x", "a", 2),
			started(20, "y", "a", 2)), 20.5, 57.6},
		{"another attempt", join(begun(21, 84, 1), molecules(20, 2), started(20, "x", "a", 2),
			ended(21, "x", "a", Failed, 1),
			Event{Event: Row, Mol: "x", Outcome: "Rerun", Retry: true}), 21, 1.05},
		{"the end", join(begun(20, 20, 1), molecules(20)), 30, 0},
		{"unchanged ones", join(begun(140, 560, 1), unchanged, molecules(20, 2)), 20, 20},
		{"none but unchanged", join(begun(140, 560, 1), unchanged, started(1, "x", "a", 2)), 1, 0},
	} {
		s := State{}
		for _, event := range test.events {
			s.Add(event)
		}
		if got := s.Rest(after(test.at)); math.Abs(got.Seconds()-test.want) > 0.02*test.want {
			t.Errorf("%s: %v; want %g s", test.name, got, test.want)
		}
	}
}

// What is left is near the truth for molecules whose time goes with some other power, in any order.
func TestRestOfMany(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		start, ends := begun(400, 0, 1), 0.0
		var events []Event
		for n := range 400 {
			atoms := float64(1 + rnd.IntN(12))
			took := 0.01 * math.Pow(atoms, 2.5) * math.Exp(0.2*rnd.NormFloat64())
			mol := fmt.Sprint("m", n)
			events = append(events, started(ends, mol, "a", atoms),
				ended(ends+took, mol, "a", OK, took), row(ends+took, mol, "OK", atoms))
			start.Work += Weight([]float64{atoms})
			ends += took
		}
		s := State{}
		for _, event := range append([]Event{start}, events...) {
			s.Add(event)
			if s.Done < 40 || s.Done > 360 || event.Event != Row {
				continue
			}
			left := ends - event.Time.Sub(noon).Seconds()
			if got := s.Rest(event.Time); math.Abs(got.Seconds()-left) > 0.25*left {
				t.Fatalf("seed %d, %d of 400 done: %v; true: %.1f s", seed, s.Done, got, left)
			}
		}
	}
}

func TestEstimate(t *testing.T) {
	e := Past("")
	if d, known := e.Target("a", nil); known || d != 0 || e.Molecule(nil, "a") != 0 {
		t.Error("of nothing something is known")
	}
	// three conformers: 2, 4 and 6 s
	for i, outcome := range []string{OK, Failed, Timeout, Interrupted, Restored} {
		event := ended(1, "m", "pm7", outcome, float64(2+2*i))
		event.Instance, event.Size = i+1, []float64{2}
		e.Add(event)
	}
	e.Add(ended(0, "m", "final", OK, 0))
	if d, known := e.Target("pm7", []float64{4}); !known || d != 16*time.Second {
		t.Errorf("a target of a molecule of twice the size: %v", d)
	}
	if _, known := e.Target("final", nil); !known {
		t.Error("a stage that takes no time is not known")
	}
	if d := e.Molecule([]float64{4}, "pm7", "final", "other"); d != 48*time.Second {
		t.Errorf("the molecule: %v", d)
	}
	for size, want := range map[float64]float64{-1: 1, 0: 1, 1: 1, 3: 9, math.NaN(): 1,
		math.Inf(1): 1e12} {
		if got := Weight([]float64{size, 99}); got != want {
			t.Errorf("weight of %g: %g", size, got)
		}
	}
	for _, tt := range []struct {
		computing time.Duration
		molecules int
		jobs      int
		want      string
	}{{time.Hour, 100, 4, "15m0s"}, {time.Hour, 2, 4, "30m0s"},
		{1234567 * time.Microsecond, 1, 0, "2s"}, {123456 * time.Millisecond, 0, 1, "2m4s"}} {
		if got := Wall(tt.computing, tt.molecules, tt.jobs).String(); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// The past is what the last bytes tell, and no more.
func TestPast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	w := Writer{Path: path}
	pair := func(took float64) {
		if err := w.Write(started(0, "m", "search"), ended(0, "m", "search", OK, took),
			row(0, "m", "OK")); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want time.Duration) {
		t.Helper()
		if got, _ := Past(path).Target("search", nil); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(0)
	pair(2)
	pair(4)
	check(3 * time.Second)
	for range pastBytes / 1000 {
		if err := w.Write(Event{Event: Note, Error: strings.Repeat("x", 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	pair(6)
	check(6 * time.Second)
}

// A batch that goes on with the tasks of a cluster gets rows that it did not ask for.
func TestMoreThanAsked(t *testing.T) {
	var s State
	for _, e := range []Event{begun(1, 1, 1), row(1, "a", "OK"), row(2, "b", "OK")} {
		s.Add(e)
	}
	if s.Done != 2 || s.Total != 2 {
		t.Errorf("%d of %d", s.Done, s.Total)
	}
}
