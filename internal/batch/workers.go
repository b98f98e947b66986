package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
)

// all visits the molecules in order, as many at once as there are jobs. The first error about the batch as a whole ends it.
func (b *Batch) all(ctx context.Context, todo []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan string)
	var group sync.WaitGroup
	for range b.jobs() {
		group.Go(func() {
			for id := range queue {
				if err := b.molecule(ctx, id); err != nil {
					cancel(err)
				} else if err := b.alarm(); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for _, id := range todo {
		select {
		case queue <- id:
		case <-ctx.Done():
			break feed
		}
	}
	close(queue)
	group.Wait()
	err := b.rows.flush(b)
	if cause := context.Cause(ctx); cause != nil && cause != ctx.Err() {
		err = cause
	}
	return err
}

// jobs is how many cores the batch may use, and how many molecules are under way at most.
func (b *Batch) jobs() int { return max(1, b.Pipeline.Jobs) }

// cores makes a target wait until as many cores as its stage takes are free. A stage that takes more than there are has them all.
type cores struct {
	free *semaphore.Weighted
	all  int64
}

func newCores(jobs int) cores { return cores{semaphore.NewWeighted(int64(jobs)), int64(jobs)} }

func (c cores) take(ctx context.Context, n int) (release func(), err error) {
	want := min(int64(max(n, 1)), c.all)
	if err := c.free.Acquire(ctx, want); err != nil {
		return nil, err
	}
	return func() { c.free.Release(want) }, nil
}

// rows writes finished molecules into the table. A molecule for which something ran is written at once; those that finish while a write is
// under way go out together in the next one. A molecule for which nothing ran (the merge was edited, the table is an old copy) can wait: its artefacts are on the disk.
type rows struct {
	mu      sync.Mutex
	waiting []finished
	writing bool
	since   time.Time
}

// finished is a molecule on its way into the table.
type finished struct {
	v      *visit
	status csvmerge.Status
	cells  map[string]string
	done   chan error // nil where nobody waits
}

const (
	mostWaiting = 5000            // rows
	longestWait = 2 * time.Second // for a row that nobody waits for
)

func (r *rows) add(b *Batch, f finished) error {
	if f.v.ran {
		f.done = make(chan error, 1)
	}
	r.mu.Lock()
	if len(r.waiting) == 0 {
		r.since = time.Now()
	}
	r.waiting = append(r.waiting, f)
	lead := !r.writing && (f.v.ran || len(r.waiting) >= mostWaiting || time.Since(r.since) > longestWait)
	if lead {
		r.writing = true
	}
	r.mu.Unlock()
	if lead {
		if err := r.write(b); err != nil {
			return err
		}
	}
	if f.done == nil {
		return nil
	}
	return <-f.done
}

// flush writes what waits.
func (r *rows) flush(b *Batch) error {
	r.mu.Lock()
	r.writing = true
	r.mu.Unlock()
	return r.write(b)
}

// write writes until nothing waits that somebody waits for. Whoever calls it has set writing.
func (r *rows) write(b *Batch) error {
	for {
		r.mu.Lock()
		group := r.waiting
		r.waiting = nil
		if len(group) == 0 {
			r.writing = false
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		err := b.writeRows(group)
		for _, f := range group {
			if f.done != nil {
				f.done <- err
			}
		}
		if err != nil {
			r.mu.Lock()
			r.writing = false
			r.mu.Unlock()
			return err
		}
	}
}

// writeRows merges finished molecules by one replacement of the table, and accounts for them.
func (b *Batch) writeRows(group []finished) error {
	changes := make([]csvmerge.Change, len(group))
	for n, f := range group {
		changes[n] = csvmerge.Change{ID: f.v.id, Cells: f.cells}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	written, err := b.Table.Merge(changes)
	if err := b.lost(err); err != nil {
		return err
	}
	for _, f := range group {
		b.count(f.v, f.status)
		if f.v.ran || written {
			e := journal.Event{Event: journal.Row, Mol: f.v.id, Outcome: f.status.String(), Seconds: time.Since(f.v.started).Seconds()}
			if f.v.failure != nil {
				e.Error = f.v.failure.message
			}
			if err := b.log(e); err != nil {
				return err
			}
		}
		if err := b.note(f.v); err != nil {
			return err
		}
	}
	return nil
}

// lost passes over rows that were deleted while their molecules were computed: nobody waits for them, and their artefacts stay.
func (b *Batch) lost(err error) error {
	var lost *csvmerge.LostError
	if !errors.As(err, &lost) {
		return err
	}
	fmt.Fprintf(b.Warn, "Warning: %v\n", lost)
	return nil
}
