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
	"grimperium/internal/store"
)

// all visits the molecules in order, as many at once as there are jobs; last those of perhaps whose files turn out to be touched, which is found out meanwhile.
// The first error about the batch as a whole ends it.
func (b *Batch) all(ctx context.Context, todo []string, perhaps []unsure) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	feeding, enough := context.WithCancel(ctx) // ends when no more molecules are to be started
	defer enough()
	late := make(chan []string, 1)
	go func() { late <- b.stale(perhaps) }()
	b.rows.open(b, cancel)
	queue := make(chan string)
	var group sync.WaitGroup
	for range b.jobs() {
		group.Go(func() {
			for id := range queue {
				if feeding.Err() != nil {
					continue
				}
				err := b.molecule(ctx, id)
				if errors.Is(err, errEnough) || errors.Is(err, errFailFast) {
					enough()
				} else if err != nil {
					cancel(err)
				} else if err := b.alarm(); err != nil {
					cancel(err)
				}
			}
		})
	}
	feed := func(ids []string, end int) {
		for n := range ids {
			if n == end {
				b.longestFirst(ids[n:])
			}
			select {
			case queue <- ids[n]:
			case <-feeding.Done():
				return
			}
		}
	}
	feed(todo, b.lastPart(todo))
	more := <-late
	if err := b.add(len(more)); err != nil {
		cancel(err)
	}
	feed(more, -1)
	close(queue)
	group.Wait()
	err := b.rows.close()
	if cause := context.Cause(ctx); cause != nil && cause != ctx.Err() {
		err = cause
	}
	return err
}

// add counts molecules that turn out to have something to do when others are under way.
func (b *Batch) add(n int) error {
	b.logging.Lock()
	defer b.logging.Unlock()
	if b.Limit > 0 {
		n = min(n, b.Limit-b.sum.Scheduled)
	}
	b.sum.Scheduled += n
	if n == 0 || !b.began {
		return nil
	}
	return b.journal.Write(journal.Event{Event: journal.Scheduled, Batch: b.id, Total: b.sum.Scheduled})
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

// rows are finished molecules on their way into the table. One writer flushes them and writes their rows while the workers go on: what
// finishes during one write goes out together in the next, and what took less than a second waits a moment for others: killed meanwhile, it has its artefacts
// and its manifest, and the next batch writes its row.
type rows struct {
	queue chan finished
	done  chan struct{}
	err   error // of the writer, after done
}

// finished is a molecule on its way into the table.
type finished struct {
	v      *visit
	status csvmerge.Status
	cells  map[string]string
}

const (
	mostWaiting = 5000                   // rows in one write
	quick       = time.Second            // what takes longer is written at once
	longestWait = 250 * time.Millisecond // for a row of a molecule that was quick
)

// open starts the writer; fail is called when it can't write.
func (r *rows) open(b *Batch, fail func(error)) {
	r.queue, r.done = make(chan finished, mostWaiting), make(chan struct{})
	go func() {
		defer close(r.done)
		for first := range r.queue {
			group := r.gather(first)
			if r.err == nil {
				r.err = b.writeRows(group)
			}
			if r.err != nil {
				fail(r.err)
			}
		}
	}()
}

// gather takes what else is waiting, and waits a moment for more after a molecule that took little itself: each write flushes, and a flush holds up
// the programs that are at work on the same disk.
func (r *rows) gather(first finished) []finished {
	group := []finished{first}
	patience := time.After(longestWait)
	for len(group) < mostWaiting && time.Since(group[len(group)-1].v.started) < quick {
		select {
		case f, ok := <-r.queue:
			if !ok {
				return group
			}
			group = append(group, f)
			continue
		case <-patience:
		}
		break
	}
	return group
}

// close waits until everything is written.
func (r *rows) close() error {
	close(r.queue)
	<-r.done
	return r.err
}

// writeRows puts the artefacts and manifests of finished molecules onto the disk, then merges their rows by one replacement of the table, and
// accounts for them.
func (b *Batch) writeRows(group []finished) error {
	var unsynced []*store.Manifest
	for _, f := range group {
		if f.v.man.Unsynced() {
			unsynced = append(unsynced, f.v.man)
		}
	}
	if err := b.Store.Sync(unsynced...); err != nil {
		return err
	}
	sound := make([]bool, len(group))
	for n, f := range group {
		if sound[n] = !f.v.ran; f.v.ran {
			b.look(f.v)
			sound[n] = b.sound(f.v)
		}
	}
	changes := make([]csvmerge.Change, len(group))
	for n, f := range group {
		changes[n] = csvmerge.Change{ID: f.v.id, Cells: f.cells}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.Claims.lost(); err != nil {
		return err
	}
	written, err := b.Table.Merge(changes)
	if err := b.lost(err); err != nil {
		return err
	}
	var events []journal.Event
	for _, f := range group {
		b.count(f.v, f.status)
		if !f.v.ran && !written {
			continue
		}
		e := journal.Event{Event: journal.Row, Mol: f.v.id, Outcome: f.status.String(), Seconds: time.Since(f.v.started).Seconds()}
		if f.v.failure != nil {
			e.Error = f.v.failure.message
		}
		events = append(events, e)
	}
	if err := b.log(events...); err != nil {
		return err
	}
	for n, f := range group {
		if !sound[n] {
			continue // the next batch looks at its files
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
