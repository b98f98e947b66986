package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// beatEvery is how often a task gives a sign of life. After believed without one it is dead.
var beatEvery = 15 * time.Second

const beats = 4

// task is a process that works on a chunk.
type task struct {
	run     *Run
	chunk   *Chunk
	me      string // the process
	node    string
	began   time.Time
	queue   []Piece
	expect  map[string]float64 // seconds, by mol_id
	taken   map[string]time.Time
	stop    atomic.Bool // no molecule is taken up any more
	journal journal.Writer
}

// Loader opens a pipeline with all that it needs on a node.
type Loader func(pipeline.Snapshot) (batch.Config, error)

// Do works on a chunk, a file of a run. It ends when all is done, when ctx ends, before the wall
// time is over, or when another process has the chunk. What is left is given back.
func Do(ctx context.Context, path string, load Loader) error {
	run, err := readRun(filepath.Dir(path))
	if err != nil {
		return err
	}
	c, err := readChunk(path)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	t := &task{run: run, chunk: c, began: time.Now(), expect: map[string]float64{},
		taken: map[string]time.Time{}, node: cmp.Or(os.Getenv("SLURMD_NODENAME"), host)}
	t.me = fmt.Sprintf("%s.%s-%d-%d", chunkName(c.Number), strings.ReplaceAll(host, ".", "_"),
		os.Getpid(), t.began.UnixNano())
	t.journal = journal.Writer{Path: run.path(t.me + journalSuffix), Batch: run.Batch, Host: t.node}
	job := os.Getenv("SLURM_ARRAY_JOB_ID") + "_" + os.Getenv("SLURM_ARRAY_TASK_ID")
	if err := t.write(line{Start: &start{t.node, job, c.Cores, t.began}}); err != nil {
		return err
	}
	ending := end{}
	if err = t.work(ctx, load); err != nil {
		ending.Error = err.Error()
		_, ending.Refused = errors.AsType[*batch.VersionError](err)
		_, given := errors.AsType[givenBack](err)
		ending.Failed = !given
	}
	if errors.Is(err, errWall) {
		ending.Late = t.lateOnes()
	}
	ending.Time = time.Now()
	e := journal.Event{Event: journal.BatchEnd, Outcome: journal.Done, Error: ending.Error}
	err = cmp.Or(err, t.journal.Write(e), t.write(line{End: &ending}))
	if _, given := errors.AsType[givenBack](err); given {
		return nil
	}
	return err
}

// lateOnes are the molecules under way that had most of the wall time, with their targets.
func (t *task) lateOnes() map[string]string {
	out := map[string]string{}
	_ = journal.Open(t.journal.Path).Each(func(e journal.Event) {
		if since, ok := t.taken[e.Mol]; ok && time.Since(since) > t.chunk.Wall/2 && e.Stage != "" {
			out[e.Mol] = e.Target()
		}
	})
	return out
}

func (t *task) write(lines ...line) error {
	var text []byte
	for _, l := range lines {
		one, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text = append(append(text, one...), '\n')
	}
	path := t.run.path(t.me + outcomeSuffix)
	return cmp.Or(durable.Append(path, text), durable.Sync(path))
}

// work does the work. The error says why something is left.
func (t *task) work(ctx context.Context, load Loader) error {
	if err := t.claim(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { // at once: SIGKILL may follow
		_ = t.journal.Write(journal.Event{Event: journal.Interrupted})
	})()
	t.lookForStop()
	go t.beat(ctx, cancel)
	config, err := load(t.run.Pipeline)
	if err != nil {
		return err
	}
	if err := t.useScratch(config.Store); err != nil {
		return err
	}
	config.Index, config.Timeouts = config.Store.NoIndex(), t.chunk.Timeouts
	config.Pipeline.Jobs = t.chunk.Cores
	err = t.journal.Write(journal.Event{Event: journal.BatchStart, PID: os.Getpid(),
		Jobs: t.chunk.Cores, Total: len(t.queue)})
	if err == nil {
		err = batch.DoTask(ctx, config, batch.Task{Node: t.node, Next: t.next, Take: t.take,
			Job: batch.Job{Batch: t.run.Batch, Programs: t.run.Programs, Stopping: t.stopping,
				Log: t.journal.Write}})
	}
	left := len(t.queue)+len(t.taken) > 0
	switch cause := context.Cause(ctx); {
	case cause == errWall || cause == errLost:
		return cause
	case cause != nil:
		return errSignal
	case err != nil:
		return err
	case t.stop.Load() && left:
		return errStop
	case left:
		return errWall
	}
	return nil
}

// useScratch has the programs write to a disk of the node, if the cluster block names one.
func (t *task) useScratch(s *store.Store) error {
	if t.chunk.Scratch == "" {
		return nil
	}
	dir := pipeline.Cluster{Scratch: t.chunk.Scratch}.NodeScratch()
	err := fmt.Errorf("%s is not set", t.chunk.Scratch)
	if filepath.IsAbs(dir) {
		err = os.MkdirAll(dir, 0o777)
	}
	if err != nil {
		return fmt.Errorf("node %s has no scratch folder: %w; correct scratch in the cluster "+
			"block, or leave it out", t.node, err)
	}
	s.UseScratch(dir)
	return nil
}

// givenBack says why a task gives work back although nothing went wrong.
type givenBack string

func (e givenBack) Error() string { return string(e) }

const (
	errWall   = givenBack("its wall time was nearly over")
	errLost   = givenBack("another task has its work")
	errSignal = givenBack("it was told to end")
	errStop   = givenBack("the batch was asked to stop")
)

// claim takes the chunk for this process, and leaves out what others have finished. One that was
// alive lately gets the time to see that it has lost the chunk. A chunk that the batch has given up
// is lost.
func (t *task) claim() error {
	who, before, err := t.run.claim(t.chunk.Number)
	if err == nil && who == closed {
		err = errLost
	}
	if err != nil {
		return err
	}
	if err := t.run.setClaim(t.chunk.Number, t.me); err != nil {
		return err
	}
	others := map[string]*process{}
	if err := t.run.processes(others); err != nil {
		return err
	}
	now, err := t.run.now()
	rows, done, alive := map[string]batch.Row{}, map[string]bool{}, false
	look := func() {
		for path, p := range others {
			if p.chunk == t.chunk.Number && path != t.run.path(t.me) {
				err = cmp.Or(err, p.read(func(out batch.Outcome) {
					row, again := out.Next()
					rows[row.ID], done[row.ID] = row, done[row.ID] || !again
				}))
				alive = alive || p.end == nil
			}
		}
	}
	if look(); alive && now.Sub(before) < beats*beatEvery {
		time.Sleep(2 * beatEvery)
		look()
	}
	for _, piece := range t.chunk.Pieces {
		id := piece.Row.ID
		if row, again := rows[id]; again {
			piece.Row = row
		}
		if !done[id] {
			t.queue = append(t.queue, piece)
		}
		t.expect[id] = piece.Seconds
	}
	return err
}

// beat gives signs of life, and ends the work when another process has the chunk or the wall time
// is nearly over.
func (t *task) beat(ctx context.Context, cancel context.CancelCauseFunc) {
	limit := t.began.Add(t.chunk.Limit())
	path := t.run.path(chunkName(t.chunk.Number) + claimSuffix)
	for ctx.Err() == nil {
		who, _, err := t.run.claim(t.chunk.Number)
		switch {
		case err == nil && who != t.me:
			cancel(errLost)
			return
		case time.Now().After(limit):
			cancel(errWall)
			return
		}
		_ = durable.Renew(path)
		t.lookForStop()
		select {
		case <-ctx.Done():
		case <-time.After(min(beatEvery, time.Until(limit)+time.Millisecond)):
		}
	}
}

func (t *task) lookForStop() {
	if _, err := os.Lstat(filepath.Join(t.run.Pipeline.Artefacts, store.StopName)); err == nil {
		t.stop.Store(true)
	}
}

func (t *task) stopping() bool { return t.stop.Load() }

// next takes the next molecule that can be finished in the wall time.
func (t *task) next() (row batch.Row, ok bool) {
	if t.stop.Load() {
		return row, false
	}
	since := time.Since(t.began)
	for i, piece := range t.queue {
		if t.chunk.Fits(piece, since) {
			t.queue = append(t.queue[:i:i], t.queue[i+1:]...)
			t.taken[piece.Row.ID] = time.Now()
			return piece.Row, true
		}
	}
	return row, false
}

// take writes outcomes, and puts failed molecules with another attempt behind the others.
func (t *task) take(outs []batch.Outcome) error {
	var lines []line
	for _, out := range outs {
		for i := range out.Targets {
			out.Targets[i].Host = t.node
		}
		out.Row.Known = store.Entry{}
		lines = append(lines, line{Outcome: &out})
		delete(t.taken, out.Row.ID)
		if row, again := out.Next(); again {
			t.queue = append(t.queue, Piece{row, t.expect[row.ID]})
		}
	}
	return t.write(lines...)
}
