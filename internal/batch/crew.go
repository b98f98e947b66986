package batch

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"grimperium/csvmerge"
	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/store"
)

// supply says whether there is a molecule to be visited.
type supply int

const (
	exhausted supply = iota // there is none, and none comes
	delayed                 // there is none now, but one may come
	ready
)

// dispatcher has the molecules of a crew, whose own goroutine calls it.
type dispatcher interface {
	next(context.Context) (Row, supply)
	take(Outcome, error) // what became of a molecule
	tick(context.Context)
}

// crew has molecules visited, as many at once as there are jobs, and Ahead more. It ends with ctx,
// or when the molecules are exhausted.
func (v *Visitor) crew(ctx context.Context, d dispatcher) {
	most := v.Jobs + v.Ahead
	results := make(chan func(), most)
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for visiting := int64(0); ; {
		state := exhausted
		for visiting < most && ctx.Err() == nil {
			var row Row
			if row, state = d.next(ctx); state != ready {
				break
			}
			visiting++
			go func() {
				out, err := v.Visit(ctx, row)
				results <- func() { d.take(out, err) }
			}()
		}
		if visiting == 0 && state == exhausted {
			return
		}
		select {
		case result := <-results:
			visiting--
			result()
		case <-clock.C:
			d.tick(ctx)
		}
	}
}

// newVisitor finds the programs. The caller sets what its batch or task is.
func newVisitor(ctx context.Context, c Config) (*Visitor, error) {
	found, err := findPrograms(ctx, c)
	jobs := int64(c.Pipeline.Jobs)
	return &Visitor{Pipeline: c.Pipeline, Store: c.Store, Builtins: c.Builtins, Programs: found,
		Timeouts: c.Timeouts, Jobs: jobs, Form: store.Form(c.Pipeline.Store),
		cores: semaphore.NewWeighted(jobs), warn: c.warnings()}, err
}

// Remote has a job's molecules visited elsewhere, and yields what became of them, now and then
// nothing. It ends when all are finished, or with an error about the batch as a whole.
type Remote func(ctx context.Context, j Job) iter.Seq2[[]Outcome, error]

// Job is all that a batch has to do. It is plain data.
type Job struct {
	Batch    string
	Rows     []Row
	Limit    int                // of molecules, with those that an earlier batch has sent
	Programs map[string]string  // name to identity, of built-ins, too
	Stopping func() bool        // whether no new molecule may be taken up
	Merged   func(Outcome) bool // whether the table says so already, or is not to say so
	Log      func(...journal.Event) error
}

// Job is what there is to do, after DryRun.
func (b *Batch) Job() Job { return b.job(b.planned()) }

// planned are the molecules to be visited, no more than the limit.
func (b *Batch) planned() []string { return b.now[:min(len(b.now), b.Limit)] }

func (b *Batch) job(ids []string) Job {
	j := Job{Batch: b.id, Limit: b.Limit, Programs: b.visitor.Programs.identities(),
		Stopping: b.stop.Load, Merged: b.merged, Log: b.journal.Write}
	for _, id := range ids {
		if i, ok := b.Table.Lookup(id); ok {
			j.Rows = append(j.Rows, b.row(i))
		}
	}
	return j
}

// merged reports whether an outcome is not to be written: the row says it already, is gone, or has
// a person's Skip.
func (b *Batch) merged(out Outcome) bool {
	i, ok := b.Table.Lookup(out.Row.ID)
	if !ok || b.byHand(i) {
		return true
	}
	for column, text := range out.Cells {
		if !b.Source.Says(i, column, text) {
			return false
		}
	}
	return true
}

// Next is the molecule for its next attempt in the same batch; false if it is done with.
func (o Outcome) Next() (Row, bool) {
	row := o.Row
	if !o.Failure.again() {
		return row, false
	}
	row.Status, row.Reruns, row.Again, row.Retry = csvmerge.Rerun, o.Failure.Reruns, true, false
	return row, true
}

// Dead is the molecule after a task died in one of its targets.
func (r Row) Dead(target, cause string, maxReruns int) Row {
	r.Reruns, r.Status, r.Died, r.Cause, r.Retry = r.Reruns+1, csvmerge.Rerun, target, cause, false
	if r.Reruns >= maxReruns {
		r.Status = csvmerge.Skip
	}
	return r
}

// Task is a part of a job, in a process of its own.
type Task struct {
	Job
	Node string                // for messages
	Next func() (Row, bool)    // the next molecule
	Take func([]Outcome) error // gets what became of molecules, when it is on the disk
}

// VersionError says that the programs of a node are not those of the batch.
type VersionError struct{ error }

// taskOwner is the one goroutine of a task that takes outcomes.
type taskOwner struct {
	*Visitor
	task Task
	failing
	waiting []Outcome
	written time.Time
	took    time.Duration // then, beside the flush
}

// DoTask does a task. A *VersionError comes before anything is computed.
func DoTask(ctx context.Context, c Config, t Task) error {
	v, err := newVisitor(ctx, c)
	if err == nil {
		err = v.Programs.same(t.Programs, t.Node)
	}
	if err != nil {
		return err
	}
	defer v.workers.close()
	v.Batch, v.Log, v.Stopping, v.Linger = t.Batch, t.Log, t.Stopping, time.Second/2
	v.Form = cmp.Or(v.Form, store.Zip) // a cluster counts files
	v.Ahead = 1 + v.Jobs/4             // a core is not to wait for the disk
	v.Admit = func() bool { return true }
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := &taskOwner{Visitor: v, task: t, failing: failing{cancel: cancel}, written: time.Now()}
	v.crew(ctx, o)
	o.deliver()
	return cmp.Or(o.failed, v.Programs.retract(c.Store), c.Store.Sweep())
}

// next is the next molecule. A failed one may come again when its outcome is delivered.
func (o *taskOwner) next(context.Context) (Row, supply) {
	row, ok := o.task.Next()
	if !ok && len(o.waiting) > 0 {
		o.deliver()
		row, ok = o.task.Next()
	}
	if !ok {
		return row, exhausted
	}
	return row, ready
}

// tick delivers what is finished, at most a minute later, however slow the disk was.
func (o *taskOwner) tick(context.Context) {
	if time.Since(o.written) > max(time.Second, min(share*o.took, o.took+time.Minute)) {
		o.deliver()
	}
}

func (o *taskOwner) take(out Outcome, err error) {
	o.fail(err)
	if err == nil && out.Ended == "" {
		o.waiting = append(o.waiting, out)
	}
}

// deliver flushes the files of finished molecules and then sends their outcomes. Only this host can
// flush files that it has written.
func (o *taskOwner) deliver() {
	if len(o.waiting) == 0 || o.failed != nil {
		return
	}
	o.fail(flush(o.Store, o.waiting))
	begin := time.Now()
	o.fail(o.Programs.confirm())
	if o.failed == nil {
		o.fail(o.task.Take(o.waiting))
	}
	o.waiting, o.written, o.took = nil, time.Now(), time.Since(begin)
}

// flush puts the files of finished molecules on the disk, and zips in the place of their folders.
func flush(st *store.Store, outs []Outcome) error {
	var paths []string
	var zips []store.Packed
	for i := range outs {
		paths = append(paths, outs[i].Unflushed...)
		if zip := outs[i].Zip; zip != nil {
			zips = append(zips, *zip)
		}
		outs[i].Unflushed = nil
	}
	slices.Sort(paths)
	if err := durable.Sync(slices.Compact(paths)...); err != nil || len(zips) == 0 {
		return err
	}
	seen, err := st.Settle(zips)
	for i := range outs {
		visited := outs[i].Seen.Files == nil // by the next batch, whatever the zip is like
		if now, ok := seen[outs[i].Row.ID]; ok && outs[i].Zip != nil && !visited {
			outs[i].Seen = now
		}
		outs[i].Zip = nil
	}
	return err
}

// same is an error if a program is missing here, or is another version than elsewhere.
func (p *programs) same(elsewhere map[string]string, node string) error {
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		is, want := p.found[name], elsewhere[name]
		if is.Missing != nil {
			return &VersionError{fmt.Errorf("node %s: %w", node, is.Missing)}
		}
		if is.Identity != want {
			return &VersionError{fmt.Errorf("node %s has %s %q, and the host of the batch has "+
				"%q; install one version on all", node, name, is.Identity, want)}
		}
	}
	return nil
}

// remote has the molecules visited elsewhere, and takes in what becomes of them. On a table of
// several batches it claims them first.
func (o *owner) remote(ctx context.Context) {
	ids, ours := o.planned(), []string{}
	for len(ids) > 0 {
		claimed, asked, err := o.Source.Claim(mostClaimed, ids[:min(len(ids), mostClaimed)])
		if o.passes(err) && ctx.Err() == nil { // as a batch without a scheduler waits
			time.Sleep(awayPause)
			continue
		}
		if o.fail(err); err != nil {
			return
		}
		o.sum.Elsewhere += asked - len(claimed)
		ours, ids = append(ours, claimed...), ids[asked:]
	}
	o.queue = nil
	counted := map[string]bool{}
	for _, id := range o.planned() {
		counted[id] = true
	}
	for outs, err := range o.Remote(ctx, o.job(ours)) {
		for _, out := range outs {
			if id := out.Row.ID; !counted[id] { // an earlier batch asked for it
				counted[id] = true
				o.sum.Scheduled++
				o.sum.Unasked -= min(len(o.Only), 1)
			}
			o.take(out, nil)
		}
		o.fail(err)
		o.tick(ctx)
	}
}
