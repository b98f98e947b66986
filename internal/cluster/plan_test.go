package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
)

// planned is a plan of so many molecules of so many seconds on 4 cores, and its first chunks.
func planned(t *testing.T, molecules int, seconds float64, tasks int) (*Plan, []*Chunk) {
	p := NewPlan(pipeline.Cluster{Cores: 4, Time: time.Hour, Tasks: tasks}, 3, 1)
	for n := range molecules {
		p.Add(Piece{batch.Row{ID: fmt.Sprint("m", n), Status: csvmerge.Pending}, seconds})
	}
	chunks, err := p.Deal()
	check(t, err)
	return p, chunks
}

// Chunks that Slurm does not accept are as if they had not been dealt.
func TestWithdraw(t *testing.T) {
	p, chunks := planned(t, 1000, 60, 100)
	p.Withdraw(chunks[5:])
	if len(p.chunks) != 5 || len(p.Open()) != 5 || len(p.unassigned) != 800 {
		t.Errorf("%d chunks, %d open, %d in no task", len(p.chunks), len(p.Open()),
			len(p.unassigned))
	}
	again, err := p.Deal()
	check(t, err)
	given := map[string]bool{}
	for _, c := range slices.Concat(chunks[:5], again) {
		for _, piece := range c.Pieces {
			given[piece.Row.ID] = true
		}
	}
	if again[0].Number != 5 || len(given) != 1000 || len(p.unassigned) != 0 {
		t.Errorf("chunk %d, %d molecules are in tasks", again[0].Number, len(given))
	}
}

func TestTooLong(t *testing.T) {
	p, _ := planned(t, 1, 60, 1)
	p.Add(Piece{batch.Row{ID: "big"}, 9000})
	p.Add(Piece{batch.Row{ID: "long"}, 4000})
	p.Add(Piece{batch.Row{ID: "short"}, 3000})
	const want = "2 molecules of more than 1h0m0s are expected, and a task has no more. The longest " +
		"is big, about 2h30m0s. Raise time in the cluster block."
	if got := p.tooLong(); got != want {
		t.Error(got)
	}
}

// The work is in as many tasks as their wall time asks for, evenly, the longest molecules first.
func TestDeal(t *testing.T) {
	for _, c := range []struct {
		molecules      int
		seconds        float64
		tasks          int
		chunks, cores  int
		pieces, pooled int // of the first chunk; for a later submission
	}{
		{1, 1, 100, 1, 1, 1, 0},              // no more cores than molecules
		{100, 1, 100, 1, 4, 100, 0},          // little work is not spread
		{1000, 60, 100, 25, 4, 40, 0},        // ten minutes for each of four cores
		{1000, 60, 5, 7, 4, 143, 0},          // 60 % of an hour for each of four cores
		{20_000, 600, 10, 1000, 4, 15, 5446}, // no more than an array has
	} {
		p, chunks := planned(t, c.molecules, c.seconds, c.tasks)
		first := chunks[0]
		if len(chunks) != c.chunks || first.Cores != c.cores || len(first.Pieces) != c.pieces ||
			len(p.unassigned) != c.pooled {
			t.Errorf("%v: %d chunks of %d cores, %d pieces in the first, %d for later", c,
				len(chunks), first.Cores, len(first.Pieces), len(p.unassigned))
		}
	}
	p := NewPlan(pipeline.Cluster{Cores: 1, Time: time.Hour, Tasks: 3}, 3, 1)
	for _, s := range []float64{10, 2000, 30, 1500, 20, 1900} {
		p.Add(Piece{batch.Row{ID: fmt.Sprint(s)}, s})
	}
	chunks, err := p.Deal()
	check(t, err)
	var got []string
	for _, c := range chunks {
		for _, piece := range c.Pieces {
			got = append(got, piece.Row.ID)
		}
		got = append(got, "|")
	}
	if want := "2000 10 | 1900 20 | 1500 30 |"; strings.Join(got, " ") != want {
		t.Error(got)
	}
}

// What the state of a task and of its process says about the chunk.
func TestObserve(t *testing.T) {
	const looks = 2
	for name, c := range map[string]struct {
		sight  Sight
		gone   int // at the look with this number; 0: never
		reruns int // of the molecule in which the task died
	}{
		"pending":                        {Sight{State: Waiting}, 0, 0},
		"running":                        {Sight{State: Running, Fresh: true}, 0, 0},
		"running, its process is silent": {Sight{State: Running}, 0, 0},
		"Slurm gives no answer":          {Sight{State: Unknown}, 0, 0},
		"forgotten, but alive":           {Sight{State: Unlisted, Fresh: true}, 0, 0},
		"forgotten and silent": {Sight{State: Unlisted,
			Dead: map[string]string{"m0": "s"}}, 2, 1},
		"over":                           {Sight{State: Over}, 1, 0},
		"over, and it gave work back":    {Sight{State: Over, Fresh: true, Ended: true}, 1, 0},
		"over, but its process lives on": {Sight{State: Over, Fresh: true}, 0, 0},
		"died in a molecule": {Sight{State: Over, Dead: map[string]string{"m0": "s"}},
			1, 1},
	} {
		p, _ := planned(t, 2, 1, 1)
		at := 0
		for look := 1; look <= looks && at == 0; look++ {
			if gone, _ := p.Observe(func(*Chunk) Sight { return c.sight }); len(gone) > 0 {
				at = look
			}
		}
		reruns := 0
		for _, piece := range p.unassigned {
			reruns += piece.Row.Reruns
		}
		if at != c.gone || reruns != c.reruns || at > 0 && len(p.unassigned) != 2 {
			t.Errorf("%s: gone at look %d, %d in no task, %d reruns", name, at,
				len(p.unassigned), reruns)
		}
	}
}

// A molecule belongs to its newest chunk, and is finished once.
func TestTake(t *testing.T) {
	p, chunks := planned(t, 3, 1, 1)
	out := func(id string, again bool) batch.Outcome {
		o := batch.Outcome{Row: batch.Row{ID: id}, Status: csvmerge.OK}
		if again {
			o.Failure = &batch.TargetError{Prospect: batch.TryOther, Reruns: 1}
		}
		return o
	}
	if !p.Take(out("m0", false)) || p.Take(out("m0", false)) || !p.Take(out("m1", true)) {
		t.Error("one outcome counts, and a failure with another attempt is none")
	}
	p.Observe(func(*Chunk) Sight { return Sight{State: Over} })
	again, err := p.Deal()
	check(t, err)
	if len(again) != 1 || len(again[0].Pieces) != 2 || again[0].Number != 1 ||
		again[0].Pieces[0].Row.Reruns+again[0].Pieces[1].Row.Reruns != 1 {
		t.Fatalf("%+v", again)
	}
	// A process of the first chunk lives on and finishes a molecule; then the plan is read from
	// files.
	p.Take(out("m1", false))
	q := NewPlan(p.Spec, 3, 1)
	q.Restore(&Chunk{Number: 0, Pieces: chunks[0].Pieces})
	q.Restore(&Chunk{Number: 1, Pieces: again[0].Pieces})
	for _, id := range []string{"m0", "m1"} {
		q.Take(out(id, false))
	}
	for _, plan := range []*Plan{p, q} {
		if open := plan.Open(); len(open) != 1 || open[0].Number != 1 || len(open[0].left) != 1 ||
			plan.Done() {
			t.Errorf("%+v", open)
		}
		plan.Take(out("m2", false))
		if !plan.Done() {
			t.Error("not done")
		}
	}
}

// A node that fails twice, or refuses, gets no more tasks.
func TestExclude(t *testing.T) {
	p, _ := planned(t, 1000, 60, 100)
	see := func(blame, refused bool) func(c *Chunk) Sight {
		first := p.Open()[0]
		return func(c *Chunk) Sight {
			if c != first {
				return Sight{State: Running}
			}
			return Sight{State: Over, Node: "n1", Blame: blame, Refused: refused}
		}
	}
	for n, want := range [][]string{nil, {"n1"}, {"n1"}} {
		if p.Observe(see(true, false)); !slices.Equal(p.Excluded, want) {
			t.Error(n, p.Excluded)
		}
	}
	p.Excluded, p.failed = nil, map[string]int{}
	if p.Observe(see(true, true)); len(p.Excluded) != 1 {
		t.Error("a node that refuses is not excluded")
	}
}

// Submissions that finish nothing come to an end.
func TestRounds(t *testing.T) {
	p, _ := planned(t, 10, 1, 1)
	for n := 1; ; n++ {
		p.Observe(func(*Chunk) Sight { return Sight{State: Over, Ended: true, Cause: "no disk"} })
		if _, err := p.Deal(); err != nil {
			if n != maxRounds || !strings.Contains(err.Error(), "the last task: no disk") {
				t.Error(n, err)
			}
			return
		}
	}
}

// A process that goes on counts the same submissions as one that made all of them.
func TestRecall(t *testing.T) {
	for name, c := range map[string]struct {
		reruns []int // of the molecule in each submission, which has two chunks
		worked []int
		want   int
	}{
		"nothing works":         {[]int{0, 0, 0}, nil, 3},
		"the first one worked":  {[]int{0, 0, 0}, []int{1}, 2},
		"the last one worked":   {[]int{0, 0, 0}, []int{4}, 0},
		"deaths count as work":  {[]int{0, 1, 2}, nil, 1},
		"the last task is lost": {[]int{0, 1, 1}, nil, 2},
	} {
		p := NewPlan(pipeline.Cluster{}, 3, 1)
		for n, reruns := range c.reruns {
			row := batch.Row{ID: "m", Status: csvmerge.Rerun, Reruns: reruns}
			p.Restore(&Chunk{Number: 2 * n, First: 2 * n, Pieces: []Piece{{row, 1}}})
			p.Restore(&Chunk{Number: 2*n + 1, First: 2 * n})
		}
		worked := map[int]bool{}
		for _, n := range c.worked {
			worked[n] = true
		}
		if p.Recall(worked); p.rounds != c.want {
			t.Errorf("%s: %d", name, p.rounds)
		}
	}
}

func TestFits(t *testing.T) {
	c := &Chunk{Wall: 100 * time.Minute}
	for _, f := range []struct {
		seconds float64
		since   time.Duration
		want    bool
	}{{1e9, 9 * time.Minute, true}, {1e9, 11 * time.Minute, false}, {600, 76 * time.Minute, true},
		{600, 78 * time.Minute, false}} {
		if c.Fits(Piece{Seconds: f.seconds}, f.since) != f.want {
			t.Error(f)
		}
	}
}
