package journal

import (
	"math"
	"time"
)

// Estimate says from the events so far how long targets, molecules and the rest of a batch take.
// Add takes the events in their order. One goroutine at a time may use it.
type Estimate struct {
	targets map[string]pace // by stage
	stages  map[string]pace // all targets of a stage, by stage
	open    map[string]pace // what a molecule under way has taken so far, by mol_id
	batch   pace            // of the molecules that are finished in the running batch
	count   float64         // of these molecules
	before  pace            // of one molecule in the batch before
}

// pace is the wall time of molecules, and their weight.
type pace struct{ seconds, weight float64 }

func (p pace) plus(seconds, weight float64) pace {
	return pace{p.seconds + seconds, p.weight + weight}
}

// of is how long molecules of that weight take; 0 if that is not known.
func (p pace) of(weight float64) time.Duration {
	if p.weight == 0 {
		return 0
	}
	return seconds(p.seconds / p.weight * weight)
}

func seconds(s float64) time.Duration {
	return time.Duration(min(max(s, 0), 1e9) * float64(time.Second))
}

// NewEstimate returns an estimate that knows nothing.
func NewEstimate() *Estimate {
	return &Estimate{targets: map[string]pace{}, stages: map[string]pace{}, open: map[string]pace{}}
}

// Weight is how much work a molecule is, by its sizes, of which the first is its heavy atoms; 1 if
// they are not known. In the batches of testdata/molecules*.csv and random_small.csv the seconds of
// a target go with the heavy atoms to the power 1.9 (pm7) to 2.7 (search). With 2, the time left
// has the smallest error in random order and in table order (docs/performance.md).
func Weight(size []float64) float64 {
	if len(size) == 0 || !(size[0] > 1) {
		return 1
	}
	return math.Pow(min(size[0], 1e6), 2)
}

// Add takes in the next event.
func (e *Estimate) Add(event Event) {
	switch m, open := e.open[event.Mol]; {
	case event.Event == BatchStart:
		if e.batch.seconds > 0 {
			e.before = pace{e.batch.seconds / e.count, e.batch.weight / e.count}
		}
		e.batch, e.count = pace{}, 0
		clear(e.open)
	case event.Event == TargetStart && !open:
		e.open[event.Mol] = pace{0, Weight(event.Size)}
	case event.computed() && open:
		e.open[event.Mol] = m.plus(event.Seconds, 0)
		e.targets[event.Stage] = e.targets[event.Stage].plus(event.Seconds, m.weight)
		if event.Instance > 1 {
			m.weight = 0 // the molecule counts once
		}
		e.stages[event.Stage] = e.stages[event.Stage].plus(event.Seconds, m.weight)
	case event.Final():
		e.batch = e.batch.plus(m.seconds, Weight(event.Size))
		e.count++
		delete(e.open, event.Mol)
	}
}

// Target is how long a target of a stage takes for a molecule of a size; false if none has run.
func (e *Estimate) Target(stage string, size []float64) (time.Duration, bool) {
	p, known := e.targets[stage]
	return p.of(Weight(size)), known
}

// Molecule is how long all targets of the stages take for a molecule of a size, one after the
// other.
func (e *Estimate) Molecule(size []float64, stages ...string) (sum time.Duration) {
	for _, stage := range stages {
		sum += e.stages[stage].of(Weight(size))
	}
	return sum
}

// Rest is how long molecules of that weight take in the running batch, one target after the other;
// 0 if that is not known. The batch before counts as one molecule.
func (e *Estimate) Rest(work float64) time.Duration {
	return e.batch.plus(e.before.seconds, e.before.weight).of(work)
}

// Wall is how long that much computing takes as so many jobs, in whole seconds.
func Wall(computing time.Duration, molecules, jobs int) time.Duration {
	each := computing / time.Duration(max(min(molecules, jobs), 1))
	return (each + time.Second - 1).Truncate(time.Second)
}

// pastBytes of the journal tell how long things take: some thousand targets.
const pastBytes = 2 << 20

// Past is what the end of the journal before the next event of r tells.
func (r *Reader) Past() *Estimate {
	e := NewEstimate()
	if r.offset > 0 {
		// A piece of a line is no event.
		_ = (&Reader{r.path, max(r.offset-pastBytes, 0), r.offset}).Each(e.Add)
	}
	return e
}
