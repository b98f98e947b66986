// Package batch is the scheduler: it finds which molecules have something to do, runs their stale, failed and
// never-built targets one after the other, and folds what came out into the table, one atomic write per molecule.
//
// It knows nothing of chemistry: what a target does and what its files mean comes from the pipeline.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/fault"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Columns of the table that the scheduler itself writes; a merge block can't.
var Columns = []string{"mol_id", "smiles", "status", "reruns", "error_message", "timestamp_started", "timestamp_completed", "batch_id"}

// Config says what a batch works on.
type Config struct {
	Pipeline   *pipeline.Pipeline
	Table      *csvmerge.Table
	Store      *store.Store
	Index      *store.Index
	Builtins   map[string]Builtin
	Only       []string                 // mol_ids; empty: all
	Permissive bool                     // rows that can't be used are left out instead of ending the batch
	Limit      int                      // at most so many molecules; 0: all
	Retry      string                   // skipped molecules to try again: RetryAll, a stage, or a text in the error message; "": none
	Timeouts   map[string]time.Duration // by stage, instead of the pipeline's
	FailFast   bool                     // no molecule is started after one has failed
	Claims     Claims
	Warn       io.Writer
	// Begin is called once, when the journal has its first line of this batch.
	Begin func(journalPath string)
}

// Builtin is a command that runs inside the batch.
type Builtin struct {
	Version string // part of the fingerprint
	Run     func(ctx context.Context, w Work) error
}

// Work is what a builtin gets.
type Work struct {
	Dir  string
	Args []string
	Run  func(ctx context.Context, dir, log string, argv ...string) error
	Log  io.Writer
}

// Batch is one run over the table.
type Batch struct {
	Config
	id      string
	started time.Time
	cores   cores
	rows    rows
	workers workers
	journal *journal.Writer
	sizes   map[string][]float64 // of the scheduled molecules, where they are known
	counted [][]float64          // how many have which
	failed  int                  // how many of the schedule failed before: they come first
	logging sync.Mutex           // of began
	began   bool

	mu       sync.Mutex // of the table and of everything below
	programs *programs
	died     map[string]string // molecule to target, where the process itself died in the last batch
	sum      Summary
	admitted int    // molecules in which something ran
	window   []bool // of the last molecules, in their order: failed
	alarmed  bool
}

// ErrRows says that rows of the table can't be used; the findings were written out.
var ErrRows = errors.New("nothing was run, because rows of the table can't be used: mend them, or leave them out with -permissive")

// New prepares a batch; nothing is written or run yet, but for the programs that are asked for their versions.
func New(ctx context.Context, c Config) (*Batch, error) {
	b := &Batch{Config: c, started: time.Now(), sum: Summary{Targets: map[string]int{}, Counts: map[string]int{}, Seconds: map[string]float64{}}}
	b.cores = newCores(b.jobs())
	if err := b.checkFlags(); err != nil {
		return nil, err
	}
	b.id = b.started.UTC().Format("20060102-150405") + fmt.Sprintf("-%d", os.Getpid())
	var err error
	if b.programs, err = findPrograms(ctx, c); err != nil {
		return nil, err
	}
	b.sum.Total = c.Table.Len()
	return b, nil
}

// Claims are the locks on a table and its artefacts.
type Claims []*store.Lock

// Claim takes the table and the artefacts for this process, or says who has them.
func Claim(table string, st *store.Store) (Claims, error) {
	target := table
	if real, err := filepath.EvalSymlinks(table); err == nil {
		target = real
	}
	var claims Claims
	for _, c := range [][2]string{{filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".lock"), table}, {st.Path(store.LockName), st.Root()}} {
		l, err := store.TakeLock(c[0], shown(c[1]))
		if err != nil {
			claims.Release()
			return nil, err
		}
		claims = append(claims, l)
	}
	if err := st.OursAlone(); err != nil {
		claims.Release()
		return nil, err
	}
	return claims, nil
}

// Release gives the claims up.
func (c Claims) Release() {
	for _, l := range c {
		_ = l.Release()
	}
}

// lost is an error if one of the lock files was removed, with its folder or alone: another batch may have begun since.
func (c Claims) lost() error {
	for _, l := range c {
		if err := l.Lost(); err != nil {
			return err
		}
	}
	return nil
}

// shown is a path as a user reads it: relative to the working folder where it lies below that.
func shown(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// Run does what there is to do. The error is about the batch as a whole; failed molecules are in the summary.
func (b *Batch) Run(ctx context.Context) (*Summary, error) {
	if err := b.Store.Sweep(); err != nil {
		return nil, err
	}
	if err := csvmerge.Sweep(b.Pipeline.Table); err != nil {
		return nil, err
	}
	b.journal = journal.Create(b.Store.Path(store.JournalName))
	defer b.journal.Close()
	if err := b.countDeaths(); err != nil {
		return nil, err
	}
	todo, perhaps, err := b.schedule()
	if err != nil {
		return nil, err
	}
	if len(b.programs.missing) > 0 { // all must be known before anything runs
		todo, perhaps = append(todo, b.stale(perhaps)...), nil
	}
	if err := b.needed(todo); err != nil {
		return nil, err
	}
	if len(todo) > 0 {
		b.warnCores()
	}
	b.sum.Scheduled = len(todo)
	if b.Limit > 0 {
		b.sum.Scheduled = min(b.Limit, len(todo))
	}
	b.counted = b.histogram(todo[:b.sum.Scheduled])
	if err := b.alarmInvalid(); err != nil {
		return nil, err
	}
	err = b.all(ctx, todo, perhaps)
	if err != nil {
		err = cmp.Or(b.Claims.lost(), err) // the cause of all that went wrong since
	}
	b.closeWorkers()
	b.sum.Interrupted = ctx.Err() != nil
	b.sum.Elapsed = time.Since(b.started)
	b.alarmAtEnd()
	if e := b.Index.Close(); err == nil {
		err = e
	}
	if e := b.Store.Sweep(); err == nil {
		err = e
	}
	if b.began {
		end := journal.Event{Event: journal.BatchEnd, Batch: b.id, Outcome: journal.Done, Seconds: b.sum.Elapsed.Seconds(), Counts: b.sum.Counts}
		switch {
		case ctx.Err() != nil:
			end.Outcome = journal.Interrupted
		case err != nil:
			end.Outcome, end.Error = journal.Failed, err.Error()
		}
		if e := b.journal.Write(end); err == nil {
			err = e
		}
	}
	return &b.sum, err
}

// begin opens the journal's account of this batch, with the first thing that happens in it.
func (b *Batch) begin() error {
	b.logging.Lock()
	defer b.logging.Unlock()
	if b.began {
		return nil
	}
	b.began = true
	b.sum.Batch = b.id
	for _, l := range b.Claims {
		if err := l.Announce(); err != nil {
			return err
		}
	}
	if err := b.Store.Make(); err != nil {
		return err
	}
	host, _ := os.Hostname()
	start := journal.Event{Event: journal.BatchStart, Batch: b.id, PID: os.Getpid(), Host: host, Table: b.Pipeline.Table, Total: b.sum.Scheduled, Jobs: b.jobs(), Sizes: b.counted}
	titled := slices.ContainsFunc(b.Pipeline.Stages, func(s *pipeline.Stage) bool { return s.Titled })
	for _, s := range b.Pipeline.Stages {
		if !s.Off() && (s.Titled || !titled) { // small steps go without a title, and without a part of the bar
			start.Stages = append(start.Stages, journal.Stage{Name: s.Name, Title: s.Title})
		}
	}
	if err := b.journal.Write(start); err != nil {
		return err
	}
	if b.Begin != nil {
		b.Begin(b.Store.Path(store.JournalName))
	}
	return nil
}

func (b *Batch) log(events ...journal.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := b.begin(); err != nil {
		return err
	}
	return b.journal.Write(events...)
}

// needed is an error when a program is missing that one of the molecules needs; else a missing one is worth one warning.
func (b *Batch) needed(todo []string) error {
	if len(b.programs.missing) == 0 {
		return nil
	}
	for _, id := range todo {
		i, _ := b.Table.Lookup(id)
		plan, err := b.plan(i)
		if err != nil {
			continue // it will fail by itself
		}
		for _, t := range plan {
			for _, name := range b.Pipeline.Stage(t.stage).Programs {
				if err := b.programs.missing[name]; err != nil && t.runs {
					return fmt.Errorf("%w\n%s/%s needs it", err, id, t.name)
				}
			}
		}
	}
	for _, err := range b.programs.missing {
		fmt.Fprintf(b.Warn, "Warning: %v. Nothing needs it now.\n", err)
	}
	return nil
}

// warnCores tells of programs that take more cores than the batch may use: their threads get in each other's way.
func (b *Batch) warnCores() {
	for _, s := range b.Pipeline.Stages {
		if s.Cores > b.jobs() && !s.Off() {
			fmt.Fprintf(b.Warn, "Warning: the stage %s takes %d cores, and the batch may use %d. Start it with -jobs=%d, or with fewer cores for the stage.\n", s.Name, s.Cores, b.jobs(), s.Cores)
		}
	}
}

const diedMessage = "the batch itself died while this ran (out of memory, or a power cut?)"

// countDeaths counts a rerun for the molecule in whose target the last batch died, so that it can't hold up every
// batch for ever. It is written at once: this batch may die there too.
func (b *Batch) countDeaths() error {
	var dead string
	dead, b.died = diedIn(b.Store.Path(store.JournalName))
	var changes []csvmerge.Change
	for id, target := range b.died {
		i, ok := b.Table.Lookup(id)
		if !ok {
			continue
		}
		wrote := b.Table.Cell(i, "batch_id").Text
		if wrote == dead || (b.Table.Status(i) == csvmerge.OK && started(wrote) > started(dead)) {
			continue // counted or finished, by a batch that died before it could say so in the journal, or of which a power cut took the journal's end
		}
		reruns, _ := b.Table.Value(i, "reruns").(int64)
		status := csvmerge.Rerun
		if int(reruns)+1 >= b.Pipeline.MaxReruns {
			status = csvmerge.Skip
		}
		changes = append(changes, csvmerge.Change{ID: id, Cells: map[string]string{"status": status.String(), "reruns": strconv.Itoa(int(reruns) + 1),
			"error_message": fmt.Sprintf("%s/%s: %s", id, target, diedMessage), "batch_id": dead}})
	}
	if len(b.died) == 0 {
		return nil
	}
	err := fault.Around("batch.deaths", func() error {
		_, err := b.Table.Merge(changes)
		return err
	})
	if err != nil {
		return err
	}
	// This closes the account of the batch that died: its deaths are not counted again.
	return b.journal.Write(journal.Event{Event: journal.BatchEnd, Outcome: journal.Failed, Error: diedMessage})
}

// started is the second in which a batch began, by its id.
func started(id string) string { return id[:min(len(id), len("20060102-150405"))] }

// diedIn finds the targets in which the last batch died, by molecule, and that batch's id, if it did not end.
func diedIn(path string) (batch string, open map[string]string) {
	open = map[string]string{}
	if journal.Ended(path) {
		return "", open
	}
	r, err := journal.OpenAtLastBatch(path)
	if err != nil {
		return "", open
	}
	for {
		events, err := r.Next()
		if err != nil || len(events) == 0 {
			return batch, open
		}
		for _, e := range events {
			switch e.Event {
			case journal.TargetStart:
				open[e.Mol] = targetName(e.Stage, e.Instance)
			case journal.TargetEnd, journal.Row:
				delete(open, e.Mol)
			case journal.BatchEnd, journal.BatchStart:
				batch = e.Batch
				clear(open)
			}
		}
	}
}

func targetName(stage string, instance int) string {
	if instance == 0 {
		return stage
	}
	return fmt.Sprintf("%s/%d", stage, instance)
}
