package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

const (
	maxGroup    = 5000                   // rows in one write
	quick       = time.Second            // the row of a molecule that took longer is written at once
	longestWait = 250 * time.Millisecond // for the row of a molecule that was quick
	busyWait    = 200 * time.Millisecond // before a table that is being edited is tried again
	busyLimit   = 10 * time.Second       // then the batch gives up, if nothing else is left to do
	stopCheck   = 500 * time.Millisecond // between looks for mage stop
)

// owner is the one goroutine that has the table, the index and the summary while a batch runs.
type owner struct {
	*Batch
	cancel   context.CancelCauseFunc // of the visits
	failed   error                   // of the batch as a whole
	queue    []string                // molecules to be visited
	later    []Outcome               // molecules to be tried again after all others
	visiting int                     // molecules under way
	found    chan []string           // molecules with touched files; nil: all files were looked at
	enough   bool                    // no more molecules are started
	waiting  []Outcome               // for the table
	due      time.Time               // when it is to be written
	busy     time.Time               // since when somebody edits the table; zero: nobody does
	broken   bool                    // the table can't be written
	rows     map[string]before       // of the molecules whose rows this batch wrote
}

// before is what a row said when its molecule was taken up.
type before struct {
	key    [16]byte
	status csvmerge.Status
}

// all has visitors bring the molecules up to date, as many at once as there are jobs, and merges
// their rows. The first error about the batch as a whole ends it.
func (b *Batch) all(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		if b.open.Load() { // at once: a person may kill the batch after the first signal
			_ = b.journal.Write(journal.Event{Event: journal.Interrupted})
		}
	})()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := &owner{Batch: b, cancel: cancel, queue: b.plan.now, found: make(chan []string, 1),
		rows: map[string]before{}}
	rows, results := make(chan Row), make(chan func() error, b.jobs())
	var visitors sync.WaitGroup
	for range b.jobs() {
		visitors.Go(func() {
			for row := range rows {
				out, err := b.visitor.Visit(ctx, row)
				results <- func() error { // what the owner does with it
					if err == nil {
						err = o.take(out)
					}
					return err
				}
			}
		})
	}
	found := o.found // the loop drops its own
	go func() { found <- b.touched(ctx, b.plan.maybe) }()
	o.loop(ctx, rows, results)
	close(rows)
	visitors.Wait()
	err := cmp.Or(o.failed, b.visitor.Programs.retract(ctx, b.Store))
	for _, out := range o.later { // not tried again after all
		out.Failure.Again, out.Targets = false, nil
		b.sum.add(out)
	}
	if err == nil && len(o.rows) > 0 {
		err = o.restoreRows()
	}
	return err
}

// fail takes in an error about the batch as a whole: the first one ends it.
func (o *owner) fail(err error) {
	if o.failed == nil && err != nil {
		o.failed = err
		o.cancel(err)
	}
}

// loop is the life of the owner.
func (o *owner) loop(ctx context.Context, rows chan<- Row, results <-chan func() error) {
	check := time.NewTicker(stopCheck)
	defer check.Stop()
	for {
		next, ready := o.next(ctx)
		if !ready && o.visiting == 0 && o.found == nil {
			if o.broken || len(o.waiting) == 0 {
				return
			}
			if o.busy.IsZero() {
				o.due = time.Now() // nothing else is left to do
			}
		}
		var to chan<- Row
		if ready {
			to = rows
		}
		var due <-chan time.Time
		if len(o.waiting) > 0 && !o.broken {
			due = time.After(time.Until(o.due))
		}
		select {
		case to <- next:
			o.visiting++
			if next.Again {
				o.later = o.later[1:]
			} else {
				o.queue = o.queue[1:]
			}
		case take := <-results:
			o.visiting--
			o.fail(take())
		case ids := <-o.found:
			o.found = nil
			o.fail(o.add(ids))
		case <-due:
			o.fail(o.write())
		case <-check.C:
			o.checkStop()
		}
	}
}

// next is the molecule that is to be visited next. Those that are tried again come after all
// others, and after the row of their failed attempt: who watches is told of the two in this order.
func (o *owner) next(ctx context.Context) (Row, bool) {
	if ctx.Err() != nil || o.enough || o.stop.Load() {
		return Row{}, false
	}
	for len(o.queue) > 0 {
		id := o.queue[0]
		if i, ok := o.Table.Lookup(id); ok && !o.byHand(i) {
			return o.row(i, o.plan.sizes[id]), true
		}
		o.queue = o.queue[1:] // a person has deleted the row meanwhile, or written Skip into it
	}
	if len(o.later) == 0 || o.found != nil {
		return Row{}, false
	}
	row := o.later[0].Row
	row.Status, row.Reruns, row.Again = csvmerge.Rerun, o.later[0].Failure.Reruns, true
	row.Known, row.Retry = store.Entry{}, false
	failed := func(out Outcome) bool { return out.Row.ID == row.ID }
	if o.busy.IsZero() && slices.ContainsFunc(o.waiting, failed) {
		o.fail(o.write())
	}
	return row, true
}

// add takes in molecules whose files turned out to be touched.
func (o *owner) add(ids []string) error {
	for _, id := range ids {
		i, _ := o.Table.Lookup(id)
		_, m := Precheck(o.Pipeline, o.Table, i)
		o.plan.sizes[id] = m.Size()
	}
	o.queue = append(o.queue, ids...)
	o.countUpToDate(o.plan.maybe, ids)
	n := o.limited(len(ids), o.sum.Scheduled)
	if o.sum.Scheduled += n; n == 0 {
		return nil
	}
	return o.log(journal.Event{Event: journal.Scheduled, Total: o.sum.Scheduled,
		Work: o.plan.work(ids[:n])})
}

// take takes in what became of a molecule.
func (o *owner) take(out Outcome) error {
	o.sum.add(out)
	failure := out.Failure
	switch {
	case out.Ended == Interrupted:
		return nil
	case out.Ended == Stopped:
		o.queue = nil
		return nil
	case failure != nil && failure.Again:
		o.later = append(o.later, out)
	case failure != nil && !failure.Skipped && o.FailFast:
		o.enough, o.sum.Stopped = true, "at the first failure, as -failFast says"
	}
	// Each write of the table flushes, and a flush holds up the programs at work on the same disk.
	wait := o.visitor.Programs.pause()
	if time.Since(out.Began) < quick {
		wait = max(wait, longestWait)
	}
	if o.waiting = append(o.waiting, out); len(o.waiting) >= maxGroup {
		wait = 0
	}
	due := time.Now().Add(wait)
	if len(o.waiting) == 1 || o.busy.IsZero() && due.Before(o.due) {
		o.due = due
	}
	text, raised := o.sum.tooMany(o.Pipeline.Alarms.Failures)
	if !raised {
		return nil
	}
	err := o.log(journal.Event{Event: journal.Note, Error: text})
	if err == nil && o.Pipeline.Alarms.Stop {
		err = ErrAlarm
	}
	return err
}

// checkStop looks whether mage stop was called.
func (o *owner) checkStop() {
	if _, err := os.Lstat(o.Store.Path(store.StopName)); err != nil || o.stop.Load() {
		return
	}
	o.stop.Store(true)
	o.sum.Stopped = "by mage stop"
	if o.visiting > 0 {
		_ = o.log(journal.Event{Event: journal.Stopping}) // only those who watch miss it
	}
}

// write puts the files of finished molecules onto the disk, then merges their rows by one
// replacement of the table. While somebody edits the table the rows wait.
func (o *owner) write() (err error) {
	defer func() { o.broken = o.broken || err != nil }()
	group := o.waiting
	var paths []string
	for _, out := range group {
		paths = append(paths, out.Unflushed...)
	}
	slices.Sort(paths)
	if err := cmp.Or(o.Store.Flush(slices.Compact(paths), len(group)), o.Claims.lost()); err != nil {
		return err
	}
	if err := o.visitor.Programs.confirm(context.Background()); err != nil {
		return err
	}
	changed, err := o.Table.Merge(o.changes(group))
	if _, busy := errors.AsType[*csvmerge.BusyError](err); busy {
		o.due = time.Now().Add(busyWait)
		if o.busy.IsZero() {
			o.busy = time.Now()
		}
		if time.Since(o.busy) > busyLimit && o.visiting == 0 {
			return err
		}
		return nil
	}
	if lost, ok := errors.AsType[*csvmerge.LostError](err); ok { // rows that were deleted meanwhile
		o.warn(lost.Error())
	} else if err != nil {
		return err
	}
	o.waiting, o.busy = nil, time.Time{}
	if err := o.logRows(group, changed); err != nil {
		return err
	}
	return o.note(group)
}

// changes are what the rows of finished molecules are to say. A row whose molecule became another
// while it was computed gets nothing: the next batch computes that one.
func (o *owner) changes(group []Outcome) (changes []csvmerge.Change) {
	for _, out := range group {
		if out.Cells == nil {
			continue
		}
		cells := maps.Clone(out.Cells)
		for name, text := range out.Gone {
			if i, ok := o.Table.Lookup(out.Row.ID); ok && o.hasText(i, name, text) {
				cells[name] = ""
				o.sum.Blanked[name] = true
			}
		}
		row := before{out.Row.Key, out.Row.Status}
		if first, again := o.rows[out.Row.ID]; again {
			row.status = first.status
		}
		o.rows[out.Row.ID] = row
		changes = append(changes, csvmerge.Change{ID: out.Row.ID, Cells: cells, Valid: o.valid(row)})
	}
	return changes
}

// valid tells of a row whether it is still that of the molecule that was computed, and nobody has
// written Skip into it since.
func (o *owner) valid(was before) func(i int) bool {
	return func(i int) bool {
		skip := o.Table.Status(i) == csvmerge.Skip && was.status != csvmerge.Skip
		return o.key(i) == was.key && !skip
	}
}

// logRows tells the journal of rows that were written, and of molecules in which something ran.
func (o *owner) logRows(group []Outcome, changed map[string]bool) error {
	var events []journal.Event
	for _, out := range group {
		switch {
		case !out.Ran && !changed[out.Row.ID]:
			continue
		case !out.Ran:
			o.sum.Rewritten++
		}
		e := journal.Event{Event: journal.Row, Mol: out.Row.ID, Outcome: out.Status.String(),
			Seconds: time.Since(out.Began).Seconds(), Size: out.Row.Size, Values: out.Cells}
		if out.Failure != nil {
			e.Error, e.Retry = out.Failure.Message, out.Failure.Again
		}
		events = append(events, e)
	}
	return o.log(events...)
}

// note tells the index of molecules that are up to date now.
func (o *owner) note(group []Outcome) error {
	youngest := slices.MaxFunc(group, func(a, b Outcome) int {
		return a.Seen.Newest.Compare(b.Seen.Newest)
	}).Seen.Newest
	o.Index.Wait(youngest)
	for _, out := range group {
		i, ok := o.Table.Lookup(out.Row.ID)
		if !ok || out.Failure != nil && o.Table.Status(i) != csvmerge.Skip ||
			o.mayHaveTime(i) || o.key(i) != out.Row.Key {
			continue
		}
		if out.Recalled {
			out.Seen = store.Seen{Files: out.Row.Known.Files, Digest: out.Row.Known.Digest}
		}
		if err := o.Index.Note(out.Row.ID, out.Row.Key, o.rowHash(i), out.Seen); err != nil {
			return err
		}
	}
	return nil
}

// restoreRows merges results once more where somebody's copy of the table, saved in the meantime,
// has undone them: those of this batch where the status is again what it was, and those of earlier
// batches where it is Pending. Another status is a person's edit.
func (o *owner) restoreRows() error {
	if _, err := o.merge(nil); err != nil || o.Table.Edited() == 0 {
		return err
	}
	var changes []csvmerge.Change
	var edited []string
	for i := range o.Table.Len() {
		id := o.Table.ID(i)
		was, mine := o.rows[id]
		e, known := o.Index.Entry(id)
		switch {
		case mine && was.key != o.key(i):
			edited = append(edited, id)
			continue
		case !mine && known && e.Key == o.key(i) && e.Row != o.rowHash(i):
			was = before{e.Key, csvmerge.Pending}
		case !mine:
			continue
		}
		if o.Table.Status(i) != was.status {
			continue
		}
		m, err := o.Store.Molecule(id)
		if err == nil && m.Row() != nil && (!mine || m.Row().Batch == o.id) {
			changes = append(changes, csvmerge.Change{ID: id, Cells: m.Row().Cells, Valid: o.valid(was)})
		}
	}
	if len(edited) > 0 {
		o.warn(fmt.Sprintf("%s became another molecule by an edit while the batch ran (%s); "+
			"the next batch computes that", Count(len(edited), "row"), some(edited, len(edited))))
	}
	changed, err := o.merge(changes)
	if len(changed) > 0 {
		o.warn(fmt.Sprintf("another program saved the table while the batch ran; "+
			"the results of %s were written again", Count(len(changed), "molecule")))
	}
	return err
}

// merge merges changes as soon as nobody else writes the table. Rows that are gone are passed over.
func (b *Batch) merge(changes []csvmerge.Change) (changed map[string]bool, err error) {
	for begin := time.Now(); ; time.Sleep(busyWait) {
		changed, err = b.Table.Merge(changes)
		if _, lost := errors.AsType[*csvmerge.LostError](err); lost {
			return changed, nil
		}
		_, busy := errors.AsType[*csvmerge.BusyError](err)
		if !busy || time.Since(begin) > busyLimit {
			return changed, err
		}
	}
}
