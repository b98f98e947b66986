package batch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Row is a molecule as the table has it. It is plain data.
type Row struct {
	ID     string
	Cells  map[string]any // of the columns that the pipeline reads
	Status csvmerge.Status
	Reruns int
	Retry  bool        // its earlier failures don't count
	Died   string      // the target in which the batch before died, "" for none
	Again  bool        // it was tried already in this batch
	Size   []float64   // in the pipeline's numbers, nil where that is not known
	Key    [16]byte    // of all that decides whether it is up to date, the row's results aside
	Known  store.Entry // what the index knows of the molecule
}

// Outcome is what became of a molecule. It is plain data.
type Outcome struct {
	Row       Row
	Status    csvmerge.Status
	Cells     map[string]string // what the row is to say; nil: nothing new
	Gone      map[string]string // columns that the pipeline no longer merges, with what it wrote there
	Failure   *TargetError      // nil: the molecule is up to date
	Ran       bool              // a target was computed, restored or read again
	Recalled  bool              // nothing was evaluated: the row alone had changed
	Ended     Ended
	Warnings  []string
	Targets   []Done
	Began     time.Time
	Seen      store.Seen // the molecule's files, for the index
	Unflushed []string   // files and folders that a power cut could take
}

// Ended is the error that ends a visit before the molecule is done, "" where none did.
type Ended string

const (
	// Interrupted is by a signal: the target under way never happened.
	Interrupted Ended = "interrupted"
	// Stopped is by mage stop, or because enough molecules were taken up.
	Stopped Ended = "no new target starts"
)

func (e Ended) Error() string { return string(e) }

// Done is a target that something was done about.
type Done struct {
	Stage, Outcome string
	Seconds        float64
}

// TargetError is a failure of a target: the molecule's, not the batch's. It counts a rerun. Every
// other error of a visit ends the batch.
type TargetError struct {
	Target   string
	Message  string // for the row and for people
	Reruns   int    // how often the target failed by now
	Skipped  bool   // nothing was tried: it failed before and would fail the same way
	Final    bool   // another attempt can only fail the same way
	Again    bool   // the next attempt does something else
	timedOut bool
	how      string // how the program ended, where Message is in its own words
	crashed  bool   // its runtime ended it: what it wrote is torn
}

func (e *TargetError) Error() string { return e.Message }

// Visitor computes molecules. It knows no table and no index, and touches only artefacts/MOL and
// its own scratch folder. Many goroutines may call it.
type Visitor struct {
	Pipeline *pipeline.Pipeline
	Store    *store.Store
	Builtins map[string]Builtin
	Programs *programs
	Timeouts map[string]time.Duration // by stage, instead of the pipeline's
	Batch    string
	Log      func(...journal.Event) error
	Warn     func(text string)
	Admit    func() bool // whether one more molecule may be computed
	Stopping func() bool // whether no new target may start
	cores    cores
	workers  workers
}

// visit is one molecule under way, with what became of it so far.
type visit struct {
	*Visitor
	Outcome
	m       *pipeline.Molecule
	log     *store.Molecule
	writes  bool     // results may be dropped
	insist  bool     // too few targets of the stage succeeded: at_least leaves none out
	leftOut []string // what the result is without
}

// Visit brings a molecule up to date. The error is about the batch as a whole.
func (v *Visitor) Visit(ctx context.Context, row Row) (Outcome, error) {
	t, err := v.begin(row)
	if _, ok := errors.AsType[*store.FolderError](err); ok { // nothing of it is touched
		text := strings.ReplaceAll(err.Error(), v.Store.Root(), ShownPath(v.Store.Root()))
		t.Failure = &TargetError{Message: row.ID + ": " + oneLine(text), Reruns: row.Reruns}
		t.setCells(map[string]string{})
		return t.Outcome, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	if t.known() {
		return t.Outcome, nil
	}
	if t.m, err = v.Pipeline.Molecule(row.Cells); err != nil {
		return Outcome{}, err
	}
	t.writes = true
	switch err = t.walk(t.perform(ctx)); {
	case err == nil:
		err = t.end()
	case errors.As(err, &t.Ended):
		err = t.log.Flush()
	}
	return t.Outcome, err
}

// begin reads the molecule's log.
func (v *Visitor) begin(row Row) (*visit, error) {
	t := &visit{Visitor: v, Outcome: Outcome{Row: row, Status: row.Status, Began: time.Now()}}
	log, err := v.Store.Molecule(row.ID)
	t.log = log
	if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
		v.Warn(err.Error())
		err = nil
	}
	if err == nil && log.Damage() != "" {
		v.Warn(log.Damage())
	}
	return t, err
}

// known finds the outcome of a molecule of which nothing has to be evaluated: the results in the row
// alone were changed, as in an old copy of the table.
func (t *visit) known() bool {
	last := t.log.Row()
	t.Recalled = t.log.Vouch(t.Row.Known) && t.Row.Known.Key == t.Row.Key && !t.Row.Retry &&
		t.Row.Died == "" && last != nil && last.Status == csvmerge.OK.String() && last.Error == ""
	if t.Recalled {
		t.Status, t.Cells = csvmerge.OK, maps.Clone(last.Cells)
	}
	return t.Recalled
}

// walk judges the targets of a molecule in the order in which they run, and has act deal with each,
// which says by rec and failure what became of the target. walk ends at the first failure.
func (t *visit) walk(act func(*target) error) error {
	undecided := map[string]bool{}
	for _, s := range t.Pipeline.Stages {
		g := &target{stage: s, n: 1, name: s.Name}
		on, err := t.m.Enabled(s)
		up := slices.IndexFunc(s.DependsOn, func(d string) bool { return undecided[d] })
		switch {
		case err == nil && !on:
			g.action = off
		case up >= 0:
			g.action, g.reason = wait, "never computed; runs after "+s.DependsOn[up]
			if t.log.Record(s.Name) != nil || len(t.log.Instances(s.Name)) > 0 {
				g.reason = "not decided yet: runs only if the result of " + s.DependsOn[up] + " changes"
			}
		case err == nil:
			g.n, err = t.m.Instances(s)
		}
		all := []*target{g}
		if err == nil && g.action == fresh {
			all, err = t.stage(s, g.n, act)
		} else {
			err = t.whole(g, err, act)
		}
		if err != nil || t.Failure != nil {
			return err
		}
		undecided[s.Name] = slices.ContainsFunc(all, (*target).undecided)
		if undecided[s.Name] || g.action == off {
			continue
		}
		t.m.Set(s, t.results(all))
		if t.writes {
			if err := t.dropOthers(s, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// whole deals with a stage whose targets are not known: it is off, has to wait, or its enabled or
// for_each has an error.
func (t *visit) whole(g *target, broke error, act func(*target) error) error {
	if t.insist = true; broke != nil && g.action != wait {
		g.verdict = t.cannotEvaluate(g, broke)
	}
	err := act(g)
	t.Failure = g.failure
	return err
}

// undecided reports whether nothing is known yet of what the target gives.
func (g *target) undecided() bool {
	return g.rec == nil && g.failure == nil && !slices.Contains([]action{none, leave, off}, g.action)
}

// stage deals with the targets of a stage: up to the first failure, or, where the stage has
// at_least, with all of them. If too few succeed then, those that failed before are tried again.
func (t *visit) stage(s *pipeline.Stage, n int, act func(*target) error) ([]*target, error) {
	all := make([]*target, n)
	t.insist = false
	take := func(i int) error {
		g := &target{stage: s, i: i, n: n, name: s.Instance(i)}
		if t.m.LeftOut(s, i) {
			g.action, g.reason = none, "what it would be made from was left out"
		} else {
			g.verdict = t.judge(g)
		}
		all[i] = g
		return act(g)
	}
	for i := range n {
		if err := take(i); err != nil {
			return nil, err
		}
		if f := all[i].failure; f != nil && s.AtLeast == 0 {
			t.Failure = f
			t.m.Set(s, t.results(all[:i+1]))
			return nil, nil
		}
	}
	t.insist = good(all) < s.AtLeast
	for i := range n {
		if t.insist && all[i].action == leave {
			if err := take(i); err != nil {
				return nil, err
			}
		}
	}
	t.settle(s, all)
	return all, nil
}

// good counts the targets that have a result, or will have one.
func good(all []*target) (n int) {
	for _, g := range all {
		if g.failure == nil && g.action != none && g.action != leave {
			n++
		}
	}
	return n
}

// settle decides on the failures of a stage with at_least: they end the visit if too few targets
// succeeded, or if one of them has another attempt; else those targets are left out.
func (t *visit) settle(s *pipeline.Stage, all []*target) {
	tooFew := good(all) < s.AtLeast
	var messages []string
	reruns := 0
	for _, g := range all {
		f := g.failure
		if f == nil {
			continue
		}
		messages = append(messages, f.Message)
		if !tooFew && !f.Again {
			continue
		}
		reruns = max(reruns, f.Reruns)
		if t.Failure == nil || t.Failure.Skipped && !f.Skipped || f.Again && !t.Failure.Again {
			t.Failure = f
		}
	}
	if t.Failure != nil {
		t.Failure.Reruns = reruns
		t.m.Set(s, t.results(all))
		return
	}
	for _, g := range all {
		if g.failure != nil {
			g.action = none
			_, reason := Reason(g.failure.Message)
			t.Warnings = append(t.Warnings,
				fmt.Sprintf("a target of %s failed and was left out: %s", s.Name, reason))
		}
	}
	if len(messages) > 0 {
		t.leftOut = append(t.leftOut, fmt.Sprintf("%s; the result is of the other %d of %s",
			strings.Join(messages, "; "), good(all), s.Name))
	}
}

// results are the targets of a stage as expressions see them.
func (t *visit) results(all []*target) []pipeline.Result {
	out := make([]pipeline.Result, len(all))
	for i, g := range all {
		r := pipeline.Result{Status: pipeline.StatusFailed, Outputs: map[string]pipeline.Input{}}
		if g.rec != nil {
			r.Seconds = g.rec.Seconds
		}
		switch {
		case g.action == none || g.action == leave && g.failure == nil:
			r.Status = pipeline.StatusLeftOut
		case g.rec != nil && g.rec.Outcome == store.OK:
			r.Status, r.Values = pipeline.StatusOK, g.rec.Values
			for name, o := range g.rec.Outputs {
				path := t.Store.TargetDir(t.Row.ID, g.name) + "/" + o.File
				r.Outputs[name] = pipeline.Input{Path: path, SHA256: o.SHA256, Size: o.Size}
			}
			t.Warnings = append(t.Warnings, g.rec.Warnings...)
		}
		out[i] = r
	}
	return out
}

// end ends a visit: the row's cells, by the pipeline's merge block, and the molecule's log say what
// became of it.
func (t *visit) end() error {
	merged, err := t.m.Merge(t.Failure != nil)
	if err != nil {
		t.Failure = &TargetError{Target: "merge", Reruns: t.reruns() + 1,
			Message: fmt.Sprintf("%s/merge: %s", t.Row.ID, oneLine(err.Error()))}
		merged, err = t.m.Merge(true) // without what can't be computed
	}
	if t.Failure != nil && t.Failure.Skipped { // nothing was tried, nothing is new
		t.Status, t.Seen = csvmerge.Skip, t.seen()
		return nil
	}
	t.setCells(merged)
	last := t.log.Row()
	if !t.Ran && t.Status == t.Row.Status && last != nil {
		for _, name := range []string{"timestamp_started", "timestamp_completed", "batch_id"} {
			if text, ok := last.Cells[name]; ok {
				t.Cells[name] = text
			}
		}
	}
	t.Gone = t.gone()
	if t.Ran || last == nil || !maps.Equal(last.Cells, t.Cells) || !maps.Equal(last.Gone, t.Gone) {
		err = t.log.PutRow(store.Row{Status: t.Status.String(), Reruns: t.Row.Reruns, Cells: t.Cells,
			Gone: t.Gone, Error: t.Cells["error_message"], Batch: t.Batch, Time: time.Now()})
	}
	t.Seen, t.Unflushed = t.seen(), t.log.Unflushed()
	return err
}

// gone are the columns that the pipeline no longer merges, with what the row was given there. They
// stay in the log, because a batch may be killed before the table has them blank.
func (t *visit) gone() map[string]string {
	last := t.log.Row()
	if last == nil {
		return nil
	}
	cells := maps.Clone(last.Cells)
	maps.Copy(cells, last.Gone)
	maps.DeleteFunc(cells, func(name, text string) bool {
		return text == "" || slices.Contains(Columns, name) || slices.Contains(t.Pipeline.Merged, name)
	})
	return cells
}

// setCells decides on the status, and sets it, the reruns and the message beside the merged cells.
func (t *visit) setCells(cells map[string]string) {
	t.Status, t.Cells = csvmerge.OK, cells
	cells["error_message"] = strings.Join(t.leftOut, "; ")
	reruns := 0
	if f := t.Failure; f != nil {
		t.Status = csvmerge.Rerun
		if !f.Again && (f.Reruns >= t.Pipeline.MaxReruns || f.Final) {
			t.Status = csvmerge.Skip
		}
		cells["error_message"], reruns = f.Message, f.Reruns
	}
	if t.Failure != nil || t.Row.Reruns > 0 {
		cells["reruns"], t.Row.Reruns = strconv.Itoa(reruns), reruns
	}
	cells["status"] = t.Status.String()
	if t.Ran || t.Status != t.Row.Status {
		cells["timestamp_started"], cells["timestamp_completed"] = stamp(t.Began), stamp(time.Now())
		cells["batch_id"] = t.Batch
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

// seen looks at the files of the molecule's results, for the index.
func (t *visit) seen() store.Seen {
	var targets []string
	for _, s := range t.Pipeline.Stages {
		targets = append(append(targets, s.Name), t.log.Instances(s.Name)...)
	}
	return t.log.Seen(targets)
}
