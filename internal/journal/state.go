package journal

import (
	"slices"
	"strings"
	"time"
)

// State is what the events of a batch add up to. It is plain data for a display, a page or a test.
// The zero value has seen no event. One goroutine at a time may use it.
type State struct {
	Batch          string
	PID            int
	Jobs           int
	Stages         []Stage
	Started, Ended time.Time // zero: not yet
	Stopping       bool      // no new target starts
	Interrupted    bool      // programs are being ended

	Total, Done, Failed int             // molecules: scheduled, finished, finished without OK
	Work, WorkDone      float64         // the weights of the scheduled and the finished ones
	Seconds             float64         // wall time of the computed targets
	UnderWay            []*Molecule     // in the order in which they started
	Retries             map[string]bool // molecules with another attempt in this batch
}

// Molecule is a molecule with a started target and no row yet.
type Molecule struct {
	ID         string
	Size       []float64
	Since      time.Time // its first target in this batch
	Stage      string
	StageSince time.Time
	Instances  int               // targets of that stage, at least 1
	Running    map[int]time.Time // start of the running ones, by instance
	Over       map[int]bool      // instances that have ended
}

// Final says whether e is the row that ends a molecule's part in the batch.
func (e Event) Final() bool { return e.Event == Row && !e.Retry }

// computed says whether a program or a built-in ran to an end.
func (e Event) computed() bool {
	return e.Event == TargetEnd && (e.Outcome == OK || e.Outcome == Failed || e.Outcome == Timeout)
}

// Add takes in the next event. A batch_start begins anew; events of another batch are passed over.
func (s *State) Add(e Event) {
	if e.Event != BatchStart && e.Batch != s.Batch {
		return
	}
	switch e.Event {
	case BatchStart:
		*s = State{Batch: e.Batch, PID: e.PID, Jobs: max(e.Jobs, 1), Stages: e.Stages,
			Started: e.Time, Total: e.Total, Work: e.Work, Retries: map[string]bool{}}
	case Scheduled:
		s.Total, s.Work = e.Total, e.Work
	case Stopping:
		s.Stopping = true
	case Interrupted:
		s.Interrupted = true
	case TargetStart:
		m := s.molecule(e)
		m.Size, m.Running[e.Instance] = e.Size, e.Time
		delete(m.Over, e.Instance) // another attempt
	case TargetEnd:
		if e.computed() {
			s.Seconds += e.Seconds
		}
		if e.Outcome == Interrupted {
			s.remove(e)
			return
		}
		m := s.molecule(e)
		delete(m.Running, e.Instance)
		m.Over[e.Instance] = true
	case Row:
		s.endMolecule(e)
	case BatchEnd:
		s.Ended, s.UnderWay = e.Time, nil
	}
}

func (s *State) endMolecule(row Event) {
	s.remove(row)
	if row.Retry {
		s.Retries[row.Mol] = true
		return
	}
	delete(s.Retries, row.Mol)
	s.Done++
	if !strings.EqualFold(row.Outcome, OK) {
		s.Failed++
	}
	if row.Size != nil {
		s.WorkDone += Weight(row.Size)
	} else {
		s.WorkDone += s.Work / float64(max(s.Total, 1))
	}
}

// molecule returns the molecule of a target. From now on it is under way, in the target's stage.
func (s *State) molecule(e Event) *Molecule {
	i := slices.IndexFunc(s.UnderWay, func(m *Molecule) bool { return m.ID == e.Mol })
	if i < 0 {
		i = len(s.UnderWay)
		s.UnderWay = append(s.UnderWay, &Molecule{ID: e.Mol, Since: e.Time})
	}
	m := s.UnderWay[i]
	if m.Stage != e.Stage {
		m.Stage, m.StageSince = e.Stage, e.Time
		m.Running, m.Over = map[int]time.Time{}, map[int]bool{}
	}
	m.Instances = max(e.Instances, 1)
	return m
}

// remove ends the part of an event's molecule, unless its next attempt has begun.
func (s *State) remove(e Event) {
	s.UnderWay = slices.DeleteFunc(s.UnderWay, func(m *Molecule) bool {
		return m.ID == e.Mol && (!e.Retry || len(m.Running) == 0)
	})
}

// Rest is about how long the batch still takes; false while nothing is known. It assumes that as
// many targets run at a time as so far: a stage may take several cores.
func (s *State) Rest(e *Estimate, now time.Time) (time.Duration, bool) {
	elapsed := now.Sub(s.Started).Seconds()
	if s.Done >= s.Total || elapsed <= 0 {
		return 0, false
	}
	rest := e.Rest(s.Work - s.WorkDone).Seconds()
	if rest == 0 { // only rows that took no target
		return seconds(elapsed / float64(max(s.Done, 1)) * float64(s.Total-s.Done)), s.Done > 0
	}
	busy, longest := s.Seconds, 0.0
	for _, m := range s.UnderWay {
		for _, since := range m.Running {
			busy += now.Sub(since).Seconds()
		}
		whole := e.Rest(Weight(m.Size)).Seconds()
		spent := min(now.Sub(m.Since).Seconds(), whole)
		rest -= spent
		longest = max(longest, whole-spent)
	}
	const settling = 2 // seconds, in which Jobs says more than what has run
	atATime := (busy + settling*float64(s.Jobs)) / (elapsed + settling)
	return seconds(max(rest/atATime, longest)), true
}
