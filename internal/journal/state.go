package journal

import (
	"cmp"
	"os"
	"strings"
	"time"
)

// State is what the events of a batch add up to. It is plain data for a display, a page or a test.
// The zero value has seen no event. One goroutine at a time may use it.
type State struct {
	Batch          string
	Stages         []Stage
	Started, Ended time.Time // zero: not yet
	Stopping       bool      // no new target starts
	Interrupted    bool      // programs are being ended
	Tasks          *Tasks    // of a batch on a cluster, nil of another
	Jobs           int       // targets that run at a time, at most

	Total, Done, Failed int                  // molecules: scheduled, finished, finished without OK
	Unchanged           int                  // of the finished ones: nothing ran
	Work, WorkDone      float64              // weights of scheduled and finished, without unchanged
	UnderWay            map[string]*Molecule // by mol_id
	Retries             map[string]bool      // molecules with another attempt in this batch
}

// Molecule is a molecule with a started target and no row yet. Its targets run one after the other.
type Molecule struct {
	Size                []float64
	Stage               string
	StageSince          time.Time
	Instance, Instances int       // of the stage's last target, as in its Event
	Running             time.Time // start of that target; zero: it has ended
	Idle                time.Time // its end; zero: it runs
}

// Add takes in the next event. A batch_start begins a new State. Other batches' events don't count.
func (s *State) Add(e Event) {
	if e.Event != BatchStart && (e.Batch != s.Batch || s.UnderWay == nil) {
		return
	}
	m := s.UnderWay[e.Mol]
	switch e.Event {
	case BatchStart:
		*s = State{Batch: e.Batch, Stages: e.Stages, Started: e.Time, Total: e.Total, Jobs: e.Jobs,
			Work: e.Work, UnderWay: map[string]*Molecule{}, Retries: map[string]bool{}}
	case Stopping:
		s.Stopping = true
	case Interrupted:
		s.Interrupted = true
	case TargetStart:
		if m == nil || m.Stage != e.Stage {
			m = &Molecule{Size: e.Size, Stage: e.Stage, StageSince: e.Time}
			s.UnderWay[e.Mol] = m
		}
		m.Instance, m.Instances, m.Running, m.Idle = e.Instance, e.Instances, e.Time, time.Time{}
	case TargetEnd:
		if m != nil {
			m.Running, m.Idle = time.Time{}, e.Time
		}
		if e.Outcome == Interrupted || s.Stopping { // it starts no other target
			delete(s.UnderWay, e.Mol)
		}
	case Row:
		if !e.Retry || m == nil || m.Running.IsZero() { // else the next attempt has begun
			delete(s.UnderWay, e.Mol)
		}
		if e.Retry {
			s.Retries[e.Mol] = true
			return
		}
		delete(s.Retries, e.Mol)
		s.Done++
		s.Total = max(s.Total, s.Done) // what an earlier batch gave to a cluster comes, too
		if !strings.EqualFold(e.Outcome, OK) {
			s.Failed++
		}
		s.WorkDone += Weight(e.Size)
	case Unchanged:
		for status, n := range e.Counts {
			s.Done, s.Unchanged = s.Done+n, s.Unchanged+n
			if !strings.EqualFold(status, OK) {
				s.Failed += n
			}
		}
		s.Work -= e.Work // they say nothing of the pace
	case Cluster:
		s.Tasks = cmp.Or(e.Tasks, s.Tasks)
	case BatchEnd:
		s.Ended = e.Time
		clear(s.UnderWay)
	}
}

// Rest is about how long the batch still takes at the pace so far; 0 until a molecule is finished
// in which something ran. A molecule under way counts as half done.
func (s *State) Rest(now time.Time) time.Duration {
	if s.Tasks != nil { // by the granted cores
		return seconds(s.Tasks.Left * 3600 / float64(s.Tasks.Cores))
	}
	if s.Done == s.Unchanged {
		return 0
	}
	done := s.WorkDone
	for _, m := range s.UnderWay {
		done += Weight(m.Size) / 2
	}
	return seconds(now.Sub(s.Started).Seconds() / done * (s.Work - done))
}

// Estimate is the mean time of each stage, by the weight of molecules.
type Estimate map[string]sums

// Past is what the last 2 MB of a journal tell, and the file before it if the journal is shorter.
func Past(path string) Estimate {
	e := Estimate{}
	info, err := os.Stat(path)
	if earlier, _ := earlierFiles(path); len(earlier) > 0 &&
		(err != nil || info.Size() < pastBytes) {
		_ = OpenTail(earlier[len(earlier)-1], pastBytes).Each(e.Add)
	}
	_ = OpenTail(path, pastBytes).Each(e.Add) // without a journal nothing is known
	return e
}

// sums are of the targets that a stage computed. They are the wall time in seconds, the weights of
// the molecules of the targets, and these weights with each molecule counted once.
type sums struct{ seconds, targets, molecules float64 }

// Weight is how much work a molecule is: the square of its heavy atoms, the first of its sizes; 1
// if they are not known. docs/performance.md has the errors with other powers.
func Weight(size []float64) float64 {
	if len(size) == 0 || !(size[0] > 1) {
		return 1
	}
	return min(size[0]*size[0], 1e12)
}

// Add takes in the next event.
func (e Estimate) Add(event Event) {
	if !event.Computed() {
		return
	}
	s, weight := e[event.Stage], Weight(event.Size)
	s.seconds += event.Seconds
	s.targets += weight
	if event.Instance <= 1 {
		s.molecules += weight
	}
	e[event.Stage] = s
}

// Target is how long a target of a stage takes for a molecule of a size; false if none has run.
func (e Estimate) Target(stage string, size []float64) (time.Duration, bool) {
	s, known := e[stage]
	return seconds(s.seconds / s.targets * Weight(size)), known
}

// Molecule is how long all targets of the stages take for a molecule of a size, one by one.
func (e Estimate) Molecule(size []float64, stages ...string) (sum time.Duration) {
	for _, stage := range stages {
		s := e[stage]
		sum += seconds(s.seconds / s.molecules * Weight(size))
	}
	return sum
}

// seconds is 0 for what is not known: NaN, and the infinite.
func seconds(s float64) time.Duration {
	if s > 0 && s < 1e9 {
		return time.Duration(s * float64(time.Second))
	}
	return 0
}

// Wall is how long that much computing takes as so many jobs, in whole seconds.
func Wall(computing time.Duration, molecules, jobs int) time.Duration {
	each := computing / time.Duration(max(min(molecules, jobs), 1))
	return (each + time.Second - 1).Truncate(time.Second)
}
