package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

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
	Died   string      // the target in which the batch before, or a task, died; "" for none
	Cause  string      // why it died there, "" if nothing is known
	Again  bool        // it was tried already in this batch
	Size   []float64   // in the pipeline's numbers, nil where that is not known
	Key    [16]byte    // of all that decides whether it is up to date, the row's results aside
	Says   uint64      // hash of the molecule and the reference, as the row has them
	Known  store.Entry // what the index knows of the molecule
}

// Outcome is what became of a molecule. It is plain data.
type Outcome struct {
	Row       Row
	Status    csvmerge.Status
	Cells     map[string]string // what is merged into the row; nil: nothing
	Gone      map[string]string // columns no longer merged, with their last values
	Failure   *TargetError      // nil: the molecule is up to date
	Ran       bool              // a target was computed, restored or read again
	Ended     Ended
	Warnings  []string
	Targets   []journal.Event // the end of each target about which something was done
	Began     time.Time
	Shown     []string      // what the display says of the result
	Seen      store.Seen    // the molecule's files, for the index
	Unflushed []string      // files and folders that a power cut could take
	Zip       *store.Packed // that it becomes when this is flushed; nil: none
}

// Ended is the error that ends a visit before the molecule is done, "" where none did.
type Ended string

const (
	Interrupted Ended = "interrupted"          // by a signal: the target under way never happened
	Stopped     Ended = "no new target starts" // by mage stop, or enough molecules were taken up
)

func (e Ended) Error() string { return string(e) }

// TargetError is a failure of a target: the molecule's, not the batch's. It counts a rerun. Every
// other error of a visit ends the batch.
type TargetError struct {
	Message  string // for the row and for people
	Reruns   int    // how often the target failed by now
	Prospect Prospect
	timedOut bool
	how      string // how the program ended, where Message is in its own words
	crashed  bool   // its runtime ended it: what it wrote is torn
}

func (e *TargetError) Error() string { return e.Message }

// Prospect says what another attempt at a failed target would do.
type Prospect int

const (
	TryLater Prospect = iota // the same: the next batch tries, up to max_reruns
	TryOther                 // something else: this batch tries
	TryNever                 // fail the same way, by the exit code
	NotTried                 // the same, and max_reruns is reached: nothing was tried now
)

// again reports whether the molecule comes again in this batch.
func (e *TargetError) again() bool { return e != nil && e.Prospect == TryOther }

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
	Admit    func() bool // whether one more molecule may be computed
	Stopping func() bool // whether no new target may start
	Jobs     int64       // cores that all targets may take at once
	Ahead    int64       // molecules beyond Jobs that are under way, while others wait for the disk
	Form     store.Form  // in which a finished molecule is kept
	// Linger is how long after the failure of a target the visits may still be told to end. A
	// scheduler sends its signal to this process and to the programs at once.
	Linger  time.Duration
	cores   *semaphore.Weighted
	workers workers
	warn    *log.Logger
}

// visit is one molecule under way, with what became of it so far.
type visit struct {
	*Visitor
	Outcome
	m       *pipeline.Molecule
	log     *store.Molecule
	targets []*target       // judged so far, in the order in which they run
	decided map[string]bool // stages whose results are known by now
	writes  bool            // results may be dropped
	insist  bool            // too few targets of the stage succeeded: at_least leaves none out
	leftOut []string        // what the result is without
	untried bool            // the next batch tries a target that was left out
}

// Visit brings a molecule up to date. The error is about the batch as a whole.
func (v *Visitor) Visit(ctx context.Context, row Row) (Outcome, error) {
	t, err := v.begin(row)
	if err == nil {
		t.writes = true
		err = t.walk(func(g *target) error { return t.perform(ctx, g) })
	}
	if t.unusable(err) {
		text := oneLine(v.shown(err.Error()))
		t.Failure = &TargetError{Message: row.ID + ": " + text, Reruns: row.Reruns}
		blank := map[string]string{} // the results may be those of what the row said before
		for _, name := range v.Pipeline.Merged {
			blank[name] = ""
		}
		t.setCells(blank, nil)
		return t.Outcome, nil
	}
	switch {
	case err == nil:
		err = t.end()
	case errors.As(err, &t.Ended):
		err = t.log.Flush()
	}
	return t.Outcome, err
}

// unusable reports whether an error is of the molecule's folder, as of one that is another user's.
func (t *visit) unusable(err error) bool {
	_, folder := errors.AsType[*store.FolderError](err)
	at := ""
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		at = e.Path
	} else if e, ok := errors.AsType[*os.LinkError](err); ok {
		at = e.New
	}
	return folder || errors.Is(err, fs.ErrPermission) &&
		strings.HasPrefix(at, t.Store.Path(t.Row.ID)+"/")
}

// shown is a text with the paths of artefacts as a user reads them.
func (v *Visitor) shown(text string) string {
	return strings.ReplaceAll(text, v.Store.Root(), ShownPath(v.Store.Root()))
}

// begin reads the molecule's log and its row.
func (v *Visitor) begin(row Row) (t *visit, err error) {
	t = &visit{Visitor: v, decided: map[string]bool{},
		Outcome: Outcome{Row: row, Status: row.Status, Began: time.Now()}}
	t.log, err = v.Store.Molecule(row.ID)
	if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
		v.warn.Print(v.shown(err.Error()))
	} else if err != nil {
		return t, err
	}
	if text := t.log.Damage(); text != "" {
		v.warn.Print(v.shown(text))
	}
	t.log.Vouch(row.Known)
	t.m, err = v.Pipeline.Molecule(row.Cells)
	return t, err
}

// end writes what became of the molecule into its log, and the cells of its row into the outcome.
func (t *visit) end() error {
	merged, err := t.m.Merge(t.Failure != nil)
	for _, name := range t.Pipeline.Merged {
		err = cmp.Or(err, unsuitable(name, merged[name]))
	}
	if err != nil {
		t.Failure = &TargetError{Reruns: t.reruns() + 1,
			Message: fmt.Sprintf("%s/merge: %s", t.Row.ID, oneLine(err.Error()))}
		merged, err = t.m.Merge(true) // without what can't be computed
		for name, text := range merged {
			if unsuitable(name, text) != nil {
				merged[name] = ""
			}
		}
	}
	t.Warnings = append(t.Warnings, t.m.Blank...)
	last := t.log.Row()
	t.setCells(merged, last)
	t.Gone = t.gone()
	another := last != nil && last.Molecule != t.Row.Says &&
		!(last.Molecule == 0 && t.log.IsZip()) // an old zip is not written again for that
	if t.Ran || last == nil || another || !maps.Equal(last.Cells, t.Cells) ||
		!maps.Equal(last.Gone, t.Gone) {
		err = t.log.PutRow(store.Row{Status: t.Status.String(), Reruns: t.Row.Reruns,
			Molecule: t.Row.Says, Cells: t.Cells, Gone: t.Gone, Error: t.Cells["error_message"],
			Batch: t.Batch, Time: time.Now()})
		if t.Failure == nil {
			t.Shown = t.m.Display()
		}
	}
	if err == nil && t.Failure == nil && !t.untried {
		t.Zip, err = t.log.Finish(t.Form, t.current())
	}
	t.Seen, t.Unflushed = t.seen(), t.log.Unflushed()
	if t.Zip != nil {
		t.Unflushed = []string{t.Zip.Temp}
	}
	return err
}

// unsuitable is an error if a text has not the type that its column has in the format.
func unsuitable(column, text string) error {
	form, typ := "numbers", csvmerge.Types(column)
	switch {
	case text == "" || typ != csvmerge.Integer && typ != csvmerge.Number || typ.Value(text) != nil:
		return nil
	case typ == csvmerge.Integer:
		form = "whole numbers"
	}
	return fmt.Errorf("%s = %.60q, but the cells of that column are %s", column, text, form)
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
		return text == "" || slices.Contains(Inputs, name) || slices.Contains(Written, name) ||
			slices.Contains(t.Pipeline.Merged, name)
	})
	return cells
}

// setCells decides on the status, and sets it, the reruns and the message beside the merged cells.
// The time stamps are the last ones if nothing ran.
func (t *visit) setCells(cells map[string]string, last *store.Row) {
	t.Status, t.Cells = csvmerge.OK, cells
	cells["error_message"] = strings.Join(t.leftOut, "; ")
	reruns := 0
	if f := t.Failure; f != nil {
		t.Status = csvmerge.Rerun
		usedUp := f.Prospect == TryLater && f.Reruns >= t.Pipeline.MaxReruns
		if f.Prospect == TryNever || f.Prospect == NotTried || usedUp {
			t.Status = csvmerge.Skip
		}
		cells["error_message"], reruns = f.Message, f.Reruns
	}
	if t.Failure != nil || t.Row.Reruns > 0 {
		cells["reruns"], t.Row.Reruns = strconv.Itoa(reruns), reruns
	}
	cells["status"] = t.Status.String()
	stamps := map[string]string{"batch_id": t.Batch,
		"timestamp_started":   t.Began.UTC().Format(csvmerge.TimeLayout),
		"timestamp_completed": time.Now().UTC().Format(csvmerge.TimeLayout)}
	for name, text := range stamps {
		if t.Ran || t.Status != t.Row.Status {
			cells[name] = text
		} else if last != nil && last.Cells[name] != "" {
			cells[name] = last.Cells[name]
		}
	}
}

// seen looks at the files of the molecule's results, for the index. Without them the next batch
// visits the molecule. So it does if the molecule has user's files of its own, which may change.
func (t *visit) seen() store.Seen {
	own := func(g *target) bool { return g.task != nil && g.task.Own }
	if t.untried || slices.ContainsFunc(t.targets, own) {
		return store.Seen{}
	}
	return t.log.Seen(t.current())
}

// current are the targets with a record whose stage is in the pipeline. Of a stage that is turned
// off, or was not reached, the results count that are there.
func (t *visit) current() []string {
	unused := map[*pipeline.Stage]bool{}
	for _, g := range t.targets {
		unused[g.stage] = g.action == off
	}
	return slices.DeleteFunc(t.log.Targets(), func(target string) bool {
		s := t.Pipeline.Stage(store.StageOf(target))
		return s == nil || unused[s] && t.log.Verify(target, t.log.Record(target)) != ""
	})
}
