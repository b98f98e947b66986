package journal

import (
	"fmt"
	"math"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"
)

// Forecast learns from the events of batches how long a stage takes, by the size of the molecule, and says what is left of the running batch. Give
// it every event, in their order, by Add. One goroutine at a time may use it.
type Forecast struct {
	target, molecule map[string]*times        // by stage: of one target; of all of a molecule's targets
	open             map[string]*openMolecule // by mol
	usual            map[string]float64       // by stage: the share of the last batch's molecules for which it ran; nil: not known

	// Of the running batch.
	started     time.Time
	jobs        int
	total, done int
	ran         map[string]int    // by stage: finished molecules for which it ran
	left        map[string]*class // by size
	busy        float64           // seconds of its targets so far
}

// class is the molecules of a size that are not finished.
type class struct {
	size []float64
	left float64
}

// openMolecule is one under way.
type openMolecule struct {
	size    []float64
	took    map[string]float64 // seconds by stage, so far
	failed  string             // the stage
	running map[string]time.Time
}

// NewForecast returns one that has seen nothing.
func NewForecast() *Forecast {
	f := &Forecast{target: map[string]*times{}, molecule: map[string]*times{}}
	f.begin(Event{})
	return f
}

func (f *Forecast) begin(e Event) {
	f.open, f.ran, f.left, f.busy = map[string]*openMolecule{}, map[string]int{}, map[string]*class{}, 0
	f.started, f.jobs, f.total, f.done = e.Time, max(e.Jobs, 1), e.Total, 0
	for _, s := range e.Sizes {
		if len(s) > 0 {
			f.left[fmt.Sprint(s[1:])] = &class{s[1:], max(s[0], 0)}
		}
	}
}

// Add takes in an event.
func (f *Forecast) Add(e Event) {
	switch e.Event {
	case BatchStart:
		if f.done > 0 {
			f.usual = map[string]float64{}
			for stage, n := range f.ran {
				f.usual[stage] = float64(n) / float64(f.done)
			}
		}
		f.begin(e)
	case Scheduled:
		f.total = e.Total
	case TargetStart:
		m := f.open[e.Mol]
		if m == nil {
			m = &openMolecule{took: map[string]float64{}, running: map[string]time.Time{}}
			f.open[e.Mol] = m
		}
		m.size = e.Size
		m.running[e.Stage] = e.Time
	case TargetEnd:
		f.end(e)
	case Row:
		f.row(e)
	}
}

func (f *Forecast) end(e Event) {
	m := f.open[e.Mol]
	if m == nil {
		return
	}
	delete(m.running, e.Stage)
	switch e.Outcome {
	case Interrupted:
		delete(f.open, e.Mol)
		return
	case OK:
		note(f.target, e.Stage, e.Seconds, m.size)
	case Failed, Timeout:
		m.failed = e.Stage
	default:
		return // nothing was computed
	}
	m.took[e.Stage] += e.Seconds
	f.busy += e.Seconds
}

func note(to map[string]*times, stage string, seconds float64, size []float64) {
	if to[stage] == nil {
		to[stage] = &times{}
	}
	to[stage].add(seconds, size)
}

// row takes in that a molecule is finished.
func (f *Forecast) row(e Event) {
	m := f.open[e.Mol]
	delete(f.open, e.Mol)
	f.done++
	if m == nil {
		return // nothing ran
	}
	for stage, seconds := range m.took {
		f.ran[stage]++
		if stage != m.failed || strings.EqualFold(e.Outcome, OK) { // a target may have failed and been tried again
			note(f.molecule, stage, seconds, m.size)
		}
	}
	if c := f.left[fmt.Sprint(m.size)]; c != nil && c.left > 0 {
		c.left--
	}
}

// Target is how long a target of a stage takes a molecule of a size, 0 where nothing is known of it.
func (f *Forecast) Target(stage string, size []float64) time.Duration {
	if fit := f.target[stage].fitted(); fit != nil {
		s, _ := fit.predict(size)
		return seconds(s)
	}
	return 0
}

// Molecule is how long a molecule of a size takes in the running batch, one target after the other.
func (f *Forecast) Molecule(size []float64) time.Duration {
	sum := f.sum([]*class{{size, 1}})
	return seconds(sum.seconds)
}

// Estimate is how much time is left of a batch.
type Estimate struct {
	Left    time.Duration
	Spread  time.Duration // nine times out of ten it is not further off than this; 0 where nothing is known of that
	AtLeast bool          // molecules are to come that are larger than any so far
}

// Left says when the batch will have ended; false while nothing is known.
func (f *Forecast) Left(now time.Time) (Estimate, bool) {
	elapsed := now.Sub(f.started).Seconds()
	if f.total == 0 || f.done >= f.total || elapsed <= 0 {
		return Estimate{}, false
	}
	sum := f.sum(f.remaining())
	if sum.seconds == 0 {
		if f.done == 0 {
			return Estimate{}, false
		}
		return Estimate{Left: seconds(elapsed / float64(f.done) * float64(f.total-f.done))}, true
	}
	busy, longest := f.busy, 0.0
	for _, m := range f.open {
		spent := 0.0
		for _, s := range m.took {
			spent += s
		}
		for _, since := range m.running {
			spent += now.Sub(since).Seconds()
			busy += now.Sub(since).Seconds()
		}
		whole := f.Molecule(m.size).Seconds()
		sum.seconds -= min(spent, whole)
		longest = max(longest, whole-spent)
	}
	const settling = 2 // seconds, after which what the batch does at a time is known better than what it may
	atATime := (busy + settling*float64(f.jobs)) / (elapsed + settling)
	e := Estimate{Left: seconds(max(sum.seconds/atATime, longest)), AtLeast: sum.beyond > 0.1*sum.seconds}
	if sum.guessed < 0.2*sum.seconds {
		const nineOfTen = 1.645 // standard deviations
		e.Spread = seconds(nineOfTen * sum.spread / atATime)
	}
	return e, true
}

// remaining are the molecules that are not finished, those under way included. Of one for which nothing ran the size was not told: they are scaled to
// the number that is left.
func (f *Forecast) remaining() []*class {
	n := 0.0
	for _, c := range f.left {
		n += c.left
	}
	left := float64(f.total - f.done)
	if n == 0 {
		return []*class{{nil, left}}
	}
	var out []*class
	for _, c := range f.left {
		out = append(out, &class{c.size, c.left * left / n})
	}
	return out
}

// sum is what molecules take together, one target after the other.
type sum struct {
	seconds, spread float64 // the spread as a standard deviation
	beyond          float64 // seconds of those that are larger than any so far
	guessed         float64 // seconds of stages that ran too few times to say how sure that is
}

// sum adds up what molecules are expected to take. A stage counts by how often it ran in this batch; the last batch counts as one molecule more.
func (f *Forecast) sum(classes []*class) sum {
	var out sum
	for stage, times := range f.molecule {
		share, of := float64(f.ran[stage]), float64(f.done)
		if f.usual != nil {
			share, of = share+f.usual[stage], of+1
		}
		if share == 0 {
			continue
		}
		share /= of
		fit := times.fitted()
		var all, squares, beyond float64
		var by mat.VecDense // the derivative of all with respect to the coefficients
		if fit.covariance != nil {
			by = *mat.NewVecDense(fit.coefficients.Len(), nil)
		}
		for _, c := range classes {
			s, terms := fit.predict(c.size)
			all, squares = all+c.left*s, squares+c.left*s*s
			if terms != nil {
				by.AddScaledVec(&by, c.left*s, terms)
			}
			if fit.beyond(c.size) {
				beyond += c.left * s
			}
		}
		out.seconds += share * all
		out.beyond += share * beyond
		own, model := fit.noise*fit.noise*squares, fit.noise*fit.noise*all*all/fit.n
		if fit.covariance != nil {
			model = mat.Inner(&by, fit.covariance, &by)
		}
		if fit.n < fewest {
			out.guessed += share * all
		}
		// Of one molecule all stages take long together: their spreads add up, not the squares of them.
		out.spread += math.Sqrt(share*share*(own+model) + share*(1-share)*(squares+all*all/(of+1)))
	}
	return out
}

func seconds(s float64) time.Duration {
	if !(s < 1e9) { // nor a number, of a damaged journal
		s = 1e9
	}
	return time.Duration(s * float64(time.Second))
}
