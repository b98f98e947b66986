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

// crew has molecules visited, as many at once as there are jobs and Ahead of them, until next has
// none and says that there will be none later. One goroutine, the caller's, calls the functions.
func (v *Visitor) crew(ctx context.Context, next func() (row Row, ok, later bool),
	take func(Outcome, error), tock func()) {
	most := v.Jobs + v.Ahead
	results := make(chan func(), most)
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for visiting := int64(0); ; {
		wait := false
		for visiting < most {
			row, ok, later := next()
			wait = later
			if !ok {
				break
			}
			visiting++
			go func() {
				out, err := v.Visit(ctx, row)
				results <- func() { take(out, err) }
			}()
		}
		if visiting == 0 && !wait {
			return
		}
		select {
		case result := <-results:
			visiting--
			result()
		case <-clock.C:
			tock()
		}
	}
}

// newVisitor finds the programs. The caller sets what its batch or task is.
func newVisitor(ctx context.Context, c Config) (*Visitor, error) {
	found, err := findPrograms(ctx, c)
	jobs := int64(c.jobs())
	return &Visitor{Pipeline: c.Pipeline, Store: c.Store, Builtins: c.Builtins, Programs: found,
		Timeouts: c.Timeouts, Jobs: jobs, Form: store.Form(c.Pipeline.Store),
		cores: semaphore.NewWeighted(jobs)}, err
}

// Remote has a job's molecules visited elsewhere, and yields what became of them, now and then
// nothing. It ends when all are finished, or with an error about the batch as a whole.
type Remote func(ctx context.Context, j Job) iter.Seq2[[]Outcome, error]

// Job is all that a batch has to do. It is plain data.
type Job struct {
	Batch    string
	Rows     []Row
	Programs map[string]string // name to identity, of built-ins, too
	Stopping func() bool       // whether no new molecule may be taken up
	Log      func(...journal.Event) error
}

// Job is what there is to do, after a plan was made.
func (b *Batch) Job() Job {
	j := Job{Batch: b.id, Programs: maps.Clone(b.visitor.Programs.identity), Stopping: b.stop.Load,
		Log: b.journal.Write}
	for _, id := range b.plan.now[:min(len(b.plan.now), b.Limit)] {
		i, _ := b.Table.Lookup(id)
		j.Rows = append(j.Rows, b.row(i, b.plan.sizes[id]))
	}
	return j
}

// Next is the molecule for its next attempt in the same batch; false if it is done with.
func (o Outcome) Next() (Row, bool) {
	row, f := o.Row, o.Failure
	if f == nil || !f.Again {
		return row, false
	}
	row.Status, row.Reruns, row.Again, row.Retry = csvmerge.Rerun, f.Reruns, true, false
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

const linger = time.Second / 2

// taskOwner is the one goroutine of a task that takes outcomes.
type taskOwner struct {
	*Visitor
	task    Task
	cancel  context.CancelCauseFunc // of the visits
	failed  error                   // of the task as a whole
	waiting []Outcome
	written time.Time
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
	v.Batch, v.Log, v.Stopping, v.Linger = t.Batch, t.Log, t.Stopping, linger
	v.Form = cmp.Or(v.Form, store.Zip) // a cluster counts files
	v.Ahead = 1 + v.Jobs/4             // a core is not to wait for the disk
	v.Admit = func() bool { return true }
	v.Warn = func(text string) { fmt.Fprintln(c.Warn, "Warning:", text) }
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o := &taskOwner{Visitor: v, task: t, cancel: cancel, written: time.Now()}
	next := func() (row Row, ok, later bool) {
		row, ok = o.next(ctx)
		return row, ok, false
	}
	v.crew(ctx, next, o.take, func() {
		if time.Since(o.written) > max(time.Second, v.Programs.pause()) {
			o.deliver(ctx)
		}
	})
	o.deliver(ctx)
	return cmp.Or(o.failed, v.Programs.retract(ctx, c.Store), c.Store.Sweep())
}

func (o *taskOwner) fail(err error) {
	if o.failed == nil && err != nil {
		o.failed = err
		o.cancel(err)
	}
}

// next is the next molecule. A failed one may come again when its outcome is delivered.
func (o *taskOwner) next(ctx context.Context) (row Row, ok bool) {
	if ctx.Err() != nil {
		return row, false
	}
	if row, ok = o.task.Next(); !ok && len(o.waiting) > 0 {
		o.deliver(ctx)
		row, ok = o.task.Next()
	}
	return row, ok
}

func (o *taskOwner) take(out Outcome, err error) {
	if o.fail(err); err == nil && out.Ended == "" {
		o.waiting = append(o.waiting, out)
	}
}

// deliver flushes the files of finished molecules, which this host alone can, then gives the
// outcomes away.
func (o *taskOwner) deliver(ctx context.Context) {
	if len(o.waiting) == 0 || o.failed != nil {
		return
	}
	o.fail(cmp.Or(flush(o.Store, o.waiting), o.Programs.confirm(ctx)))
	if o.failed == nil {
		o.fail(o.task.Take(o.waiting))
	}
	o.waiting, o.written = nil, time.Now()
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
		if now, ok := seen[outs[i].Row.ID]; ok && outs[i].Zip != nil {
			outs[i].Seen = now
		}
		outs[i].Zip = nil
	}
	return err
}

// same is an error if a program is missing here, or is another version than elsewhere.
func (p *programs) same(elsewhere map[string]string, node string) error {
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		is, want := p.identity[name], elsewhere[name]
		if err := p.missing[name]; err != nil {
			return &VersionError{fmt.Errorf("node %s: %w", node, err)}
		}
		if is != want {
			return &VersionError{fmt.Errorf("node %s has %s %q, and the host of the batch has %q; "+
				"install one version on all", node, name, is, want)}
		}
	}
	return nil
}

// remote has the molecules visited elsewhere, and takes in what becomes of them. On a table of
// several batches it claims them first.
func (o *owner) remote(ctx context.Context) {
	job, ours := o.Job(), map[string]bool{}
	var ids []string
	for _, row := range job.Rows {
		ids = append(ids, row.ID)
	}
	for len(ids) > 0 {
		n := min(len(ids), mostClaimed)
		claimed, asked, err := o.Source.Claim(n, ids[:n])
		if o.fail(err); err != nil {
			return
		}
		for _, id := range claimed {
			ours[id] = true
		}
		ids = ids[asked:]
	}
	job.Rows = slices.DeleteFunc(job.Rows, func(row Row) bool { return !ours[row.ID] })
	o.queue = nil
	for outs, err := range o.Remote(ctx, job) {
		for _, out := range outs {
			o.fail(o.take(out, nil))
		}
		o.fail(err)
		o.tock(ctx)
	}
}
