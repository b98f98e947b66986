package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/command"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// Table is where the rows are kept: a CSV file, or a table of a database.
type Table interface {
	// Rows is the table in memory, always the same, as it was last read, claimed or merged.
	Rows() *csvmerge.Table
	// Claim reads the first n of these rows again. If several batches may work on one table, it
	// takes the rows for this batch. It passes over rows that another batch has taken, or has
	// computed since this batch read the table. asked is the number of ids that it has dealt with.
	Claim(n int, ids []string) (claimed []string, asked int, err error)
	// Merge writes changes, as csvmerge.Table.Merge does; its errors are the same.
	Merge(changes []csvmerge.Change) (changed map[string]bool, err error)
	// Says reports whether Merge of this text would leave a cell as it is.
	Says(row int, column, text string) bool
	// Origin is the Origin of the Change that was merged last into a row, "" if that is not known.
	Origin(id string) string
	// Close gives up all claims.
	Close() error
}

const (
	tick      = 250 * time.Millisecond // finished molecules wait so long for each other
	busyLimit = 10 * time.Second       // the wait for a table that somebody edits, at the end
	awayPause = 2 * time.Second        // between two tries of a silent server
	share     = 20                     // writing rows takes at most 1/share of the time

	slowWrite  = 50 * time.Millisecond // a slower write makes rows wait for a second
	slowWrites = 2                     // before a database is recommended for many rows
	manyRows   = 20_000                // of a table

	mostClaimed = 1000 // molecules that one claim takes
)

// owner is the one goroutine that has the table, the index and the summary while a batch runs.
type owner struct {
	*Batch
	failing
	queue   []string  // molecules to be claimed and visited
	claimed []string  // molecules that are next
	retries []Row     // molecules that failed, for their next attempt after all others
	waiting []Outcome // for the table
	edited  []string  // molecules that another program changed in the table after their visit began
	gone    []string  // molecules that had no row any more when their turn came

	// What is known of the table beside its rows.
	written time.Time     // when the table was last written
	group   int           // how many rows were written then
	writing time.Duration // asking scripts, writing these rows, and claiming rows since
	slow    int           // how many writes took long
}

// failing is a batch or a task that ends with its first error.
type failing struct {
	cancel context.CancelCauseFunc // of the visits
	failed error
}

// fail takes in an error about the whole.
func (f *failing) fail(err error) {
	if f.failed == nil && err != nil {
		f.failed = err
		f.cancel(err)
	}
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
	o := &owner{Batch: b, failing: failing{cancel: cancel}, queue: b.now}
	if o.Remote != nil {
		o.remote(ctx)
	} else {
		b.visitor.crew(ctx, o)
	}
	o.fail(o.write(ctx, busyLimit))
	o.fail(b.visitor.Programs.retract(b.Store))
	if o.failed == nil {
		o.fail(o.restoreRows(ctx))
	}
	o.tellEdited()
	return o.failed
}

// tick looks whether mage stop was called, and writes rows.
func (o *owner) tick(ctx context.Context) {
	stop := o.Store.Path(store.StopName) // made by mage stop
	if _, err := os.Lstat(stop); err == nil && !o.stop.Swap(true) {
		o.end("Stopped by " + command.Name + " stop")
		_ = o.journal.Write(journal.Event{Event: journal.Stopping}) // only those who watch miss it
	}
	// A write flushes, which holds up the programs, and asks scripts for their versions.
	if time.Since(o.written) > share*o.writing && time.Now().After(o.retryAt) {
		o.fail(o.write(ctx, 0))
	}
}

// end says why no further molecule is visited.
func (o *owner) end(why string) {
	o.queue, o.claimed, o.retries, o.sum.Stopped = nil, nil, nil, why
}

// next takes the next molecule from the queue, as its row is now.
func (o *owner) next(ctx context.Context) (row Row, s supply) {
	for s = o.claim(); s == ready; s = o.claim() {
		id := o.claimed[0]
		o.claimed = o.claimed[1:]
		i, ok := o.Table.Lookup(id) // a person may have edited the row
		if ok && !o.byHand(i) {
			return o.row(i), ready
		}
		if ok {
			o.sum.leaveOut()
		} else {
			o.gone = append(o.gone, id)
		}
	}
	if s == delayed || len(o.retries) == 0 {
		return row, s
	}
	row, o.retries = o.retries[0], o.retries[1:]
	// Who watches is told of the failure before the next attempt.
	if slices.ContainsFunc(o.waiting, func(w Outcome) bool { return w.Row.ID == row.ID }) {
		o.fail(o.write(ctx, 0))
	}
	return row, ready
}

// take takes in what became of a molecule.
func (o *owner) take(out Outcome, err error) {
	o.fail(err)
	if err != nil {
		return
	}
	o.sum.add(out)
	switch f := out.Failure; {
	case out.Ended != "":
		o.queue, o.claimed = nil, nil
		return
	case f.again() && o.sum.Stopped == "" && o.Remote == nil: // else the task does it
		row, _ := out.Next()
		o.retries = append(o.retries, row)
	case f != nil && f.Prospect != NotTried && o.FailFast:
		o.end("Stopped at the first failure, as -failFast says")
	}
	o.waiting = append(o.waiting, out)
	if text := o.sum.tooMany(o.Pipeline.Alarms.Failures); text != "" {
		o.fail(o.journal.Write(journal.Event{Event: journal.Note, Error: text}))
		if o.Pipeline.Alarms.Stop {
			o.fail(ErrAlarm)
		}
	}
}

// write flushes the files of finished molecules, then merges their rows by one replacement of the
// table. While somebody edits the table, it tries for limit; with limit 0 the rows go on waiting.
func (o *owner) write(ctx context.Context, limit time.Duration) error {
	group := o.waiting
	if len(group) == 0 {
		return nil
	}
	o.waiting, o.written, o.group = nil, time.Now(), len(group)
	err := cmp.Or(flush(o.Store, group), o.Claims.lost())
	begin := time.Now()
	err = cmp.Or(err, o.visitor.Programs.confirm())
	asked := time.Since(begin)
	var changed map[string]bool
	if err == nil {
		changed, err = o.merge(ctx, o.changes(group), limit)
		o.writing = time.Since(begin)
	}
	if o.passes(err) && limit == 0 {
		o.waiting = group
		return nil
	}
	if err != nil {
		o.sum.Unwritten += len(group)
		return err
	}
	o.slowTable(o.writing - asked)
	for _, out := range group {
		if i, ok := o.Table.Lookup(out.Row.ID); ok && o.key(i) != out.Row.Key {
			o.edited = append(o.edited, out.Row.ID)
		}
	}
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
		if i, ok := o.Table.Lookup(id); ok {
			for _, name := range o.blanked(out.Gone, i) {
				cells[name] = ""
				o.sum.Blanked[name] = true
			}
		}
		// A row whose molecule is another now, or into which a person wrote Skip, stays as it is.
		valid := func(i int) bool {
			skip := o.Table.Status(i) == csvmerge.Skip && out.Row.Status != csvmerge.Skip
			return o.key(i) == out.Row.Key && !skip
		}
		c := csvmerge.Change{ID: id, Cells: cells, Valid: valid, Hold: out.Failure.again()}
		if out.Failure == nil {
			c.Origin = o.origin(out.Row.Key)
		}
		changes = append(changes, c)
	}
	return changes
}

// settle tells the journal of rows that were written, and of molecules in which something ran. One
// line counts the other molecules. It tells the index of molecules that are up to date now.
func (o *owner) settle(group []Outcome, changed map[string]bool) (err error) {
	var events []journal.Event
	unchanged := journal.Event{Event: journal.Unchanged, Counts: map[string]int{}}
	for _, out := range group {
		row := out.Row
		e := journal.Event{Event: journal.Row, Mol: row.ID, Outcome: out.Status.String(),
			Seconds: time.Since(out.Began).Seconds(), Size: row.Size, Values: out.Cells,
			Inputs: o.inputs(row.ID, row.Cells), Shown: out.Shown}
		if out.Failure != nil {
			e.Error, e.Retry = out.Failure.Message, out.Failure.again()
		}
		// The task's journal does not stay, and the outcome waited for this process.
		if o.Remote != nil {
			e.Seconds = 0
			for _, target := range out.Targets {
				events = append(events, target)
				e.Seconds += target.Seconds
			}
		}
		switch {
		case out.Ran || changed[row.ID]:
			events = append(events, e)
			if !out.Ran {
				o.sum.Rewritten++
			}
		case !e.Retry:
			unchanged.Counts[e.Outcome]++
			unchanged.Work += journal.Weight(row.Size)
		}
		if i, ok := o.Table.Lookup(row.ID); ok && o.isSettled(i, out) {
			e := store.Entry{Key: row.Key, Row: o.rowHash(i), Molecule: o.says(i),
				Seen: out.Seen}
			err = cmp.Or(err, o.Index.Note(row.ID, e))
		}
	}
	if len(unchanged.Counts) > 0 {
		events = append(events, unchanged)
	}
	if err == nil && len(events) > 0 {
		err = o.journal.Write(events...)
	}
	return err
}

// isSettled reports whether the next batch has nothing to do about a row that was written.
func (o *owner) isSettled(i int, out Outcome) bool {
	retried := out.Failure != nil && o.Table.Status(i) != csvmerge.Skip
	hadOtherTime := len(o.Timeouts) > 0 && o.gaveUp(i)
	return !retried && !hadOtherTime && o.key(i) == out.Row.Key
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

// restoreRows writes results again that another program has undone in the meantime. Their rows have
// the status that was written last, or that of before with an earlier batch_id: a copy of the table
// brought it back. Of earlier batches the status of before is Pending. Others are a person's edits.
func (o *owner) restoreRows(ctx context.Context) error {
	if _, err := o.merge(ctx, nil, busyLimit); err != nil || o.Table.Edited() == 0 {
		return err
	}
	var changes []csvmerge.Change
	for i := range o.Table.Len() {
		id := o.Table.ID(i)
		was, mine := o.sum.outcomes[id]
		e, known := o.Index.Entry(id)
		switch {
		case mine && was.key != o.key(i):
			o.edited = append(o.edited, id)
			continue
		case !known && !mine:
			continue
		case !mine:
			was = fate{key: e.Key, before: csvmerge.Pending, status: o.Table.Status(i)}
		}
		asWritten := was.key == e.Key && e.Row == o.rowHash(i) && was.status == o.Table.Status(i)
		if asWritten {
			continue
		}
		m, err := o.Store.Molecule(id)
		// The index may know less than the log says: what came later is of other cells.
		if err != nil || m.Row() == nil || !mine && !o.Store.Untouched(id, e) {
			continue
		}
		cells := m.Row().Cells
		if o.Table.Status(i).String() == m.Row().Status {
			cells = maps.Clone(cells)
			delete(cells, "reruns") // a person may give the molecule more attempts
		}
		valid := func(i int) bool {
			now, batch := o.Table.Status(i), o.Table.Texts(i, "batch_id")[0]
			return was.key == o.key(i) && (now.String() == m.Row().Status ||
				now == was.before && batch != m.Row().Cells["batch_id"])
		}
		changes = append(changes, csvmerge.Change{ID: id, Cells: cells, Valid: valid})
	}
	changed, err := o.merge(ctx, changes, busyLimit)
	if len(changed) > 0 {
		o.warn.Printf("another program saved the table while the batch ran; the results of %s "+
			"were written again", Count(len(changed), "molecule"))
	}
	return err
}

// tellEdited warns of rows that were edited or removed while the batch ran.
func (o *owner) tellEdited() {
	slices.Sort(o.edited)
	if edited := slices.Compact(o.edited); len(edited) > 0 {
		o.warn.Printf("what the pipeline reads of %s was edited while the batch ran (%s); the "+
			"next batch takes that up", Count(len(edited), "row"), some(edited))
	}
	if len(o.gone) > 0 {
		o.warn.Printf("the table lost the rows of %s while the batch ran (%s); they were not "+
			"computed", Count(len(o.gone), "molecule"), some(o.gone))
	}
}

// merge merges changes, and warns of rows that are gone. If somebody else writes the table, it
// tries for limit. If a server does not answer, it tries until ctx ends, unless limit is 0.
func (b *Batch) merge(ctx context.Context, changes []csvmerge.Change, limit time.Duration) (
	changed map[string]bool, err error) {
	for begin := time.Now(); ; time.Sleep(tick) {
		changed, err = b.Source.Merge(changes)
		if lost, ok := errors.AsType[*csvmerge.LostError](err); ok {
			b.warn.Print(lost)
			err = nil
		}
		passes := b.passes(err)
		waits := time.Since(begin) < limit || b.away && limit > 0 && ctx.Err() == nil
		if !passes || !waits {
			return changed, err
		}
	}
}

// passes takes in an error of the table, nil too, and says whether it passes. The batch goes on
// meanwhile.
func (b *Batch) passes(err error) bool {
	busy, ok := errors.AsType[*csvmerge.BusyError](err)
	was := b.away
	b.away = ok && busy.Away
	switch {
	case b.away && !was:
		b.warn.Print(busy, ". What is computed is kept in artefacts, and the rows wait until the "+
			"database is back, or for Ctrl-C")
	case was && !b.away && (ok || err == nil):
		b.warn.Print(b.shownTable(), ": the database is back")
	}
	if b.away {
		b.retryAt = time.Now().Add(awayPause)
	}
	return ok
}

// claim has rows taken for this batch, one or as many as are soon finished, unless it has some.
func (o *owner) claim() supply {
	for len(o.claimed) == 0 {
		begin := time.Now()
		if len(o.queue) == 0 || o.failed != nil {
			return exhausted
		}
		if begin.Before(o.retryAt) {
			return delayed
		}
		ids := o.queue[:min(len(o.queue), mostClaimed)]
		claimed, asked, err := o.Source.Claim(max(1, len(o.waiting), o.group), ids)
		o.writing += time.Since(begin)
		if o.passes(err) {
			return delayed
		}
		o.fail(err)
		o.claimed, o.queue = claimed, o.queue[asked:]
		o.sum.Elsewhere += asked - len(claimed)
	}
	return ready
}

// slowTable says once that the rows wait for a file that takes long to write.
func (o *owner) slowTable(took time.Duration) {
	_, isFile := o.Source.(*csvmerge.Table)
	if isFile && took >= slowWrite && o.Table.Len() >= manyRows {
		o.slow++
	}
	if o.slow != slowWrites {
		return
	}
	o.slow++
	file, wait := o.shownTable(), share*o.writing
	o.warn.Printf("%s has %s and takes %s to write. Rows of finished molecules wait %s for each "+
		"other, so that writing takes 5 %% of the time. SQLite has no such wait: %s convert %[1]s "+
		"sqlite:%[6]s.db", file, Count(o.Table.Len(), "row"), took.Round(time.Millisecond),
		wait.Round(100*time.Millisecond), command.Name, strings.TrimSuffix(file, ".csv"))
}
