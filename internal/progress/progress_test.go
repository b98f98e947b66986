package progress

import (
	"time"

	"grimperium/internal/journal"
)

var (
	noon   = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	stages = []journal.Stage{{Name: "rdkit", Title: "RDKit parameters"},
		{Name: "preopt", Title: "Pre-optimization"},
		{Name: "search", Title: "Conformer search"}, {Name: "pm7", Title: "MOPAC PM7 calculation"},
		{Name: "final"}}
)

var over = journal.Event{Time: at(200), Event: journal.BatchEnd, Outcome: journal.Done}

func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

func batchStart(total int) journal.Event {
	return journal.Event{Time: noon, Event: journal.BatchStart, Total: total, Work: float64(total),
		Jobs: 1, Stages: stages}
}

func start(seconds float64, mol, stage string) journal.Event {
	return journal.Event{Time: at(seconds), Event: journal.TargetStart, Mol: mol, Stage: stage}
}

// end is of a target that was restored, of which nothing is learnt.
func end(seconds float64, mol, stage string) journal.Event {
	return journal.Event{Time: at(seconds), Event: journal.TargetEnd, Mol: mol, Stage: stage,
		Outcome: journal.Restored}
}

func row(seconds float64, mol, status, err string) journal.Event {
	return journal.Event{Time: at(seconds), Event: journal.Row, Mol: mol, Outcome: status,
		Error: err}
}

// instance makes an event one of the n-th of several targets of its stage.
func instance(e journal.Event, n, of int) journal.Event {
	e.Instance, e.Instances = n, of
	return e
}

func timed(e journal.Event, s float64) journal.Event {
	e.Seconds = s
	return e
}

func retried(e journal.Event) journal.Event {
	e.Retry = true
	return e
}

// past is what is known from before, when a target of each of these stages took so many seconds.
func past(seconds map[string]float64) journal.Estimate {
	f := journal.Estimate{}
	for stage, s := range seconds {
		e := timed(end(0, "old", stage), s)
		e.Outcome = journal.OK
		f.Add(start(0, "old", stage))
		f.Add(e)
	}
	return f
}
