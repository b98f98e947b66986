package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// owner is the one goroutine that has the table, the index and the summary while a batch runs.
type owner struct {
	*Batch
	cancel  context.CancelCauseFunc // of the visits
	failed  error                   // of the batch as a whole
	queue   []string                // molecules to be visited
	again   map[string]Row          // those of them that failed, for their next attempt
	waiting []Outcome               // for the table
	tableState
}

// all has the molecules brought up to date, as many at once as there are jobs, and merges their
// rows. The first error about the batch as a whole ends it.
func (b *Batch) all(ctx context.Context) error {
	if err := b.begin(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { // at once: a person may kill the batch after the signal
		_ = b.journal.Write(journal.Event{Event: journal.Interrupted})
	})()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := &owner{Batch: b, cancel: cancel, queue: b.plan.now, again: map[string]Row{}}
	o.loop(ctx)
	o.fail(o.write(ctx, busyLimit))
	o.fail(b.visitor.Programs.retract(ctx, b.Store))
	if o.failed == nil {
		o.fail(o.restoreRows(ctx))
	}
	return o.failed
}

// fail takes in an error about the batch as a whole: the first one ends it.
func (o *owner) fail(err error) {
	if o.failed == nil && err != nil {
		o.failed = err
		o.cancel(err)
	}
}

// loop has the molecules visited, and takes in what becomes of them, until none is left.
func (o *owner) loop(ctx context.Context) {
	if o.Remote != nil {
		o.remote(ctx)
		return
	}
	next := func() (row Row, ok, later bool) {
		row, ok = o.next(ctx)
		return row, ok, o.later
	}
	take := func(out Outcome, err error) { o.fail(o.take(out, err)) }
	o.visitor.crew(ctx, next, take, func() { o.tock(ctx) })
}

// tock looks whether mage stop was called, and writes rows.
func (o *owner) tock(ctx context.Context) {
	stop := o.Store.Path(store.StopName) // made by mage stop
	if _, err := os.Lstat(stop); err == nil && !o.stop.Swap(true) {
		o.queue, o.claimed, o.sum.Stopped = nil, nil, "Stopped by mage stop"
		_ = o.journal.Write(journal.Event{Event: journal.Stopping}) // only those who watch miss it
	}
	// A write flushes, which holds up the programs, and asks scripts for their versions.
	since := time.Since(o.written)
	enough := since > o.visitor.Programs.pause() || len(o.waiting) > maxGroup
	if enough && since > share*o.took && !o.waits() {
		o.fail(o.write(ctx, 0))
	}
}

// next takes the next molecule from the queue, as its row is now.
func (o *owner) next(ctx context.Context) (Row, bool) {
	for o.claim(ctx) {
		id := o.claimed[0]
		o.claimed = o.claimed[1:]
		if row, ok := o.again[id]; ok {
			// Who watches is told of the failure before the next attempt.
			if slices.ContainsFunc(o.waiting, func(w Outcome) bool { return w.Row.ID == id }) {
				o.fail(o.write(ctx, 0))
			}
			return row, true
		}
		if i, ok := o.Table.Lookup(id); ok && !o.byHand(i) { // a person may have edited the row
			return o.row(i, o.plan.sizes[id]), true
		}
	}
	return Row{}, false
}

// take takes in what became of a molecule.
func (o *owner) take(out Outcome, err error) error {
	if err != nil {
		return err
	}
	o.sum.add(out)
	switch f := out.Failure; {
	case out.Ended != "":
		o.claimed = nil
		o.queue = slices.DeleteFunc(o.queue, func(id string) bool {
			_, again := o.again[id]
			return !again
		})
		return nil
	case f != nil && f.Again && o.sum.Stopped == "" && o.Remote == nil: // else the task does it
		row, _ := out.Next()
		o.queue, o.again[row.ID] = append(o.queue, row.ID), row
	case f != nil && !f.Skipped && o.FailFast:
		o.queue, o.claimed, o.sum.Stopped = nil, nil, "Stopped at the first failure, as -failFast says"
	}
	o.waiting = append(o.waiting, out)
	if text := o.sum.tooMany(o.Pipeline.Alarms.Failures); text != "" {
		err = o.journal.Write(journal.Event{Event: journal.Note, Error: text})
		if err == nil && o.Pipeline.Alarms.Stop {
			err = ErrAlarm
		}
	}
	return err
}

// write flushes the files of finished molecules, then merges their rows by one replacement of the
// table. While somebody edits the table, it tries for limit; with limit 0 the rows go on waiting.
func (o *owner) write(ctx context.Context, limit time.Duration) error {
	group := o.waiting
	if len(group) == 0 {
		return nil
	}
	o.waiting, o.written, o.group = nil, time.Now(), len(group)
	err := cmp.Or(flush(o.Store, group), o.Claims.lost(),
		o.visitor.Programs.confirm(context.Background()))
	if err != nil {
		return err
	}
	begin := time.Now()
	changed, err := o.merge(ctx, o.changes(group), limit)
	if o.cantNow(err) && limit == 0 {
		o.waiting = group
		return nil
	}
	if err != nil {
		return err
	}
	o.took = time.Since(begin)
	o.slowTable()
	return o.settle(group, changed)
}

// changes are what the rows of finished molecules are to say.
func (o *owner) changes(group []Outcome) (changes []csvmerge.Change) {
	for n, out := range group {
		id, cells := out.Row.ID, maps.Clone(out.Cells)
		if cells == nil {
			continue
		}
		group[n].Cells = cells // the journal is told of blanked cells, too
		for name, text := range out.Gone {
			if i, ok := o.Table.Lookup(id); ok && o.Table.Says(i, name, text) {
				cells[name] = ""
				o.sum.Blanked[name] = true
			}
		}
		// A row whose molecule is another now, or into which a person wrote Skip, stays as it is.
		valid := func(i int) bool {
			skip := o.Table.Status(i) == csvmerge.Skip && out.Row.Status != csvmerge.Skip
			return o.key(i) == out.Row.Key && !skip
		}
		c := csvmerge.Change{ID: id, Cells: cells, Valid: valid,
			Hold: out.Failure != nil && out.Failure.Again}
		if out.Failure == nil {
			c.Origin = o.origin(out.Row.Key)
		}
		changes = append(changes, c)
	}
	return changes
}

// settle tells the journal of rows that were written and of molecules in which something ran, and
// the index of molecules that are up to date now.
func (o *owner) settle(group []Outcome, changed map[string]bool) (err error) {
	var events []journal.Event
	for _, out := range group {
		row := out.Row
		e := journal.Event{Event: journal.Row, Mol: row.ID, Outcome: out.Status.String(),
			Seconds: time.Since(out.Began).Seconds(), Size: row.Size, Values: out.Cells,
			Inputs: o.inputs(row.ID, row.Cells)}
		if out.Failure != nil {
			e.Error, e.Retry = out.Failure.Message, out.Failure.Again
		}
		if o.Remote != nil { // the task's journal does not stay, and the outcome waited for this process
			events, e.Seconds = append(events, out.Targets...), 0
			for _, target := range out.Targets {
				e.Seconds += target.Seconds
			}
		}
		if out.Ran || changed[row.ID] {
			events = append(events, e)
		}
		if !out.Ran && changed[row.ID] {
			o.sum.Rewritten++
		}
		i, ok := o.Table.Lookup(row.ID)
		if !ok || out.Failure != nil && o.Table.Status(i) != csvmerge.Skip ||
			len(o.Timeouts) > 0 && o.gaveUp(i) || o.key(i) != row.Key {
			continue
		}
		err = cmp.Or(err, o.Index.Note(row.ID, row.Key, o.rowHash(i), out.Seen))
	}
	if err == nil && len(events) > 0 {
		err = o.journal.Write(events...)
	}
	return err
}

// inputs are the SMILES of a molecule and the cells that the pipeline reads, for the journal.
func (b *Batch) inputs(id string, cells map[string]any) map[string]string {
	out := map[string]string{}
	if i, ok := b.Table.Lookup(id); ok {
		out["smiles"] = b.Table.Texts(i, "smiles")[0]
	}
	for name, value := range cells {
		if value != nil {
			out[name] = fmt.Sprint(value)
		}
	}
	return out
}

// restoreRows writes results again that somebody's copy of the table, saved in the meantime, has
// undone: those of this batch where the status is again what it was, and those of earlier batches
// where it is Pending. Another status is a person's edit.
func (o *owner) restoreRows(ctx context.Context) error {
	if _, err := o.merge(ctx, nil, busyLimit); err != nil || o.Table.Edited() == 0 {
		return err
	}
	var changes []csvmerge.Change
	var edited []string
	for i := range o.Table.Len() {
		id := o.Table.ID(i)
		was, mine := o.sum.outcomes[id]
		if e, ok := o.Index.Entry(id); ok && !mine && e.Row != o.rowHash(i) {
			was.key, was.before = e.Key, csvmerge.Pending
		}
		valid := func(i int) bool { return was.key == o.key(i) && was.before == o.Table.Status(i) }
		switch {
		case mine && was.key != o.key(i):
			edited = append(edited, id)
		case valid(i):
			if m, err := o.Store.Molecule(id); err == nil && m.Row() != nil {
				changes = append(changes, csvmerge.Change{ID: id, Cells: m.Row().Cells, Valid: valid})
			}
		}
	}
	if len(edited) > 0 {
		o.warn(fmt.Sprintf("%s became another molecule by an edit while the batch ran (%s); "+
			"the next batch computes that", Count(len(edited), "row"), some(edited)))
	}
	changed, err := o.merge(ctx, changes, busyLimit)
	if len(changed) > 0 {
		o.warn(fmt.Sprintf("another program saved the table while the batch ran; "+
			"the results of %s were written again", Count(len(changed), "molecule")))
	}
	return err
}

// merge merges changes, and tries for so long as limit if somebody else writes the table. For a
// server that does not answer it waits until the batch is interrupted, unless limit is 0. It warns
// of rows that are gone.
func (b *Batch) merge(ctx context.Context, changes []csvmerge.Change, limit time.Duration) (
	changed map[string]bool, err error) {
	begin, said := time.Now(), false
	for {
		changed, err = b.Source.Merge(changes)
		if lost, ok := errors.AsType[*csvmerge.LostError](err); ok {
			b.warn(lost.Error())
			return changed, nil
		}
		busy, ok := errors.AsType[*csvmerge.BusyError](err)
		wait, patient := tick, time.Since(begin) < limit
		if ok && busy.Away && limit > 0 && ctx.Err() == nil {
			if wait, patient = awayPause, true; !said {
				b.warn(busy.Error() + "; the batch waits until the database is back, or for Ctrl-C")
				said = true
			}
		}
		if !ok || !patient {
			return changed, err
		}
		time.Sleep(wait)
	}
}
