package journal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// staged is a batch of molecules one after the other, whose search takes 0.2 s for each conformer of 3^rotatable bonds, give or take 20 %, and whose
// pm7 takes by the cube of the heavy atoms; at is the time when it had come so far.
func staged(seed uint64, molecules int) (events []Event, ends time.Time) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	count := map[[2]int]int{}
	now := noon
	var targets []Event
	for n := range molecules {
		size := [2]int{1 + rnd.IntN(12), rnd.IntN(6)}
		count[size]++
		mol := fmt.Sprintf("m%d", n)
		for _, s := range []struct {
			stage   string
			seconds float64
		}{{"search", 0.2 * math.Pow(3, float64(size[1]))}, {"pm7", 0.001 * math.Pow(float64(size[0]), 3)}, {"final", 0}} {
			took := s.seconds * math.Exp(0.2*rnd.NormFloat64())
			targets = append(targets, Event{Time: now, Event: TargetStart, Mol: mol, Stage: s.stage, Size: []float64{float64(size[0]), float64(size[1])}})
			now = now.Add(seconds(took))
			targets = append(targets, Event{Time: now, Event: TargetEnd, Mol: mol, Stage: s.stage, Outcome: OK, Seconds: took})
		}
		targets = append(targets, Event{Time: now, Event: Row, Mol: mol, Outcome: "OK"})
	}
	start := Event{Time: noon, Event: BatchStart, Total: molecules, Jobs: 1}
	for size, n := range count {
		start.Sizes = append(start.Sizes, []float64{float64(n), float64(size[0]), float64(size[1])})
	}
	return append([]Event{start}, targets...), now
}

// What is left is told nine times out of ten within the spread, and the spread gets less with what is known.
func TestForecast(t *testing.T) {
	within, told := 0, 0
	var spread [2]float64 // of what is left, when a tenth and a half of the molecules are done
	for seed := range uint64(20) {
		events, ends := staged(seed, 400)
		f := NewForecast()
		done := 0
		for _, e := range events {
			f.Add(e)
			if e.Event != Row {
				continue
			}
			done++
			if done%40 != 0 || done == 400 {
				continue
			}
			got, ok := f.Left(e.Time)
			left := ends.Sub(e.Time)
			if !ok || got.Spread == 0 || math.Abs((got.Left-left).Seconds()) > 0.35*left.Seconds() {
				t.Errorf("seed %d, %d of 400 done: %+v, %v; true: %v", seed, done, got, ok, left)
			}
			told++
			if (got.Left - left).Abs() <= got.Spread {
				within++
			}
			switch done {
			case 40:
				spread[0] += got.Spread.Seconds() / left.Seconds()
			case 200:
				spread[1] += got.Spread.Seconds() / left.Seconds()
			}
		}
	}
	if share := float64(within) / float64(told); share < 0.85 {
		t.Errorf("%.0f %% of the estimates are as near as they say", 100*share)
	}
	if spread[1] > 0.8*spread[0] {
		t.Errorf("the spread of what is left goes from %.2f to %.2f", spread[0]/20, spread[1]/20)
	}
}

func TestForecastOfLittle(t *testing.T) {
	target := func(at float64, mol, stage, outcome string, took float64, size ...float64) []Event {
		return []Event{{Time: noon.Add(seconds(at)), Event: TargetStart, Mol: mol, Stage: stage, Size: size},
			{Time: noon.Add(seconds(at + took)), Event: TargetEnd, Mol: mol, Stage: stage, Outcome: outcome, Seconds: took}}
	}
	row := func(at float64, mol string) []Event {
		return []Event{{Time: noon.Add(seconds(at)), Event: Row, Mol: mol, Outcome: "OK"}}
	}
	batch := func(total, jobs int, sizes ...[]float64) []Event {
		return []Event{{Time: noon, Event: BatchStart, Total: total, Jobs: jobs, Sizes: sizes}}
	}
	small := func(n int) (out []Event) { // molecules of one size, one after the other, 1 s each on the average
		for i := range n {
			out = append(append(out, target(float64(i), fmt.Sprint("s", i), "a", OK, 0.9+0.2*float64(i%2), 1)...), row(float64(i+1), fmt.Sprint("s", i))...)
		}
		return out
	}
	join := func(parts ...[]Event) (out []Event) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for _, test := range []struct {
		name   string
		events []Event
		at     float64 // seconds
		want   float64 // seconds left; -1: nothing is known
		least  bool
		spread bool
	}{
		{"no batch", nil, 10, -1, false, false},
		{"nothing done", batch(4, 1), 10, -1, false, false},
		{"nothing but rows", join(batch(10, 1), row(4, "a"), row(8, "b")), 8, 32, false, false},
		{"few", join(batch(6, 1), small(2)), 2, 4, false, false},
		{"of one size", join(batch(40, 1, []float64{40, 1}), small(20)), 20, 20, false, true},
		{"of no known size", join(batch(40, 1), small(20)), 20, 20, false, true},
		{"in the midst of one", join(batch(40, 1, []float64{40, 1}), small(20), target(20, "x", "a", OK, 1, 1)[:1]), 20.5, 19.5, false, true},
		{"one of no known size", join(batch(40, 1, []float64{39, 1}, []float64{1}), small(20), target(20, "x", "a", OK, 1), row(21, "x")), 21, 19, false, true},
		{"some for which nothing ran", join(batch(40, 1, []float64{40, 1}), small(20), row(20, "x"), row(20, "y")), 20, 20.0 / 22 * 18, false, true},
		{"larger ones to come", join(batch(40, 1, []float64{20, 1}, []float64{20, 5}), small(20)), 20, 20, true, true},
		{"the batch before", join(batch(20, 1), small(20), batch(8, 2, []float64{8, 1})), 1e-3, 4, false, true},
		{"a stage that doesn't run now", join(batch(20, 1), small(20), batch(1000, 1), row(1, "s1"), row(2, "s2"), row(3, "s3")), 3, 997.0 / 4 * 5 / 2, false, true},
		{"an interrupted target", join(batch(40, 1, []float64{40, 1}), small(20), target(20, "x", "a", Interrupted, 90, 1)), 20, 20, false, true},
		{"a restored one", join(batch(40, 1, []float64{40, 1}), small(20), target(20, "x", "a", Restored, 90, 1)), 20, 20, false, true},
		{"the end", join(batch(20, 1), small(20)), 30, -1, false, false},
	} {
		f := NewForecast()
		for _, e := range test.events {
			f.Add(e)
		}
		got, ok := f.Left(noon.Add(seconds(test.at)))
		if ok != (test.want >= 0) || math.Abs(got.Left.Seconds()-test.want) > 0.02*test.want && ok || got.AtLeast != test.least || (got.Spread > 0) != test.spread {
			t.Errorf("%s: %+v, %v; want %g s", test.name, got, ok, test.want)
		}
	}
}

// What is known of the past is what the last bytes before the reader tell, and no more.
func TestPast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	pair := func(mol, stage string, seconds float64) string {
		a, err1 := encode(Event{Time: noon, Event: TargetStart, Mol: mol, Stage: stage})
		b, err2 := encode(Event{Time: noon, Event: TargetEnd, Mol: mol, Stage: stage, Outcome: OK, Seconds: seconds})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		return string(a) + string(b)
	}
	if got := OpenAtEnd(path).Past(1000).Target("search", nil); got != 0 {
		t.Errorf("no journal: %v", got)
	}
	old, recent := pair("m", "search", 1000), pair("m", "search", 3)+pair("n", "search", 1)
	write(t, path, old+recent)
	r := OpenAtEnd(path)
	add(t, path, pair("m", "search", 5000))
	for bytes, want := range map[int]time.Duration{len(recent): 2 * time.Second, len(recent) + 1: 2 * time.Second, len(recent) + 20: 2 * time.Second,
		1 << 20: 1004 * time.Second / 3, 0: 0} {
		if got := r.Past(int64(bytes)).Target("search", nil).Round(time.Microsecond); got != want.Round(time.Microsecond) {
			t.Errorf("last %d bytes: %v, want %v", bytes, got, want)
		}
	}
	if got := Open(path).Past(1<<20).Target("search", nil); got != 0 {
		t.Errorf("before the beginning: %v", got)
	}
}
