// Package batch is the scheduler: it finds which molecules have something to do, has each brought
// up to date by a Visitor, and merges what came out into the table, one atomic write per molecule.
//
// A Visitor computes one molecule from a Row to an Outcome, both plain data, and touches only
// artefacts/MOL. One owner, the goroutine of Batch.Run, has the table, the index and the summary. A
// *TargetError is a failure of the molecule and counts a rerun; every other error ends the batch.
//
// The package knows no chemistry: the pipeline says what a target does and what its files mean.
package batch

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Columns of the table that the scheduler itself writes; a merge block can't.
var Columns = []string{"mol_id", "smiles", "status", "reruns", "error_message",
	"timestamp_started", "timestamp_completed", "batch_id"}

// Config says what a batch works on.
type Config struct {
	Pipeline   *pipeline.Pipeline
	Table      *csvmerge.Table
	Store      *store.Store
	Index      *store.Index
	Builtins   map[string]Builtin
	Only       []string                 // mol_ids; empty: all
	Permissive bool                     // rows that can't be used are left out, else the batch ends
	Limit      int                      // at most so many molecules; 0: all
	Retry      string                   // skipped molecules to try again: "all", a stage, or a text
	Timeouts   map[string]time.Duration // by stage, instead of the pipeline's
	FailFast   bool                     // no molecule is started after one has failed
	Claims     Claims
	Warn       io.Writer
	// Confirm is asked before most of the finished results are computed again.
	Confirm func(what string) error
	// Begin is called once, when the journal has its first line of this batch.
	Begin func(journalPath string)
}

// Batch is one run over the table.
type Batch struct {
	Config
	id      string
	started time.Time
	journal *journal.Writer
	visitor *Visitor
	first   journal.Event
	begun   func() error // writes the first event into the journal, once
	died    map[string]string
	sum     *Summary
	plan    *plan
	open    atomic.Bool // the journal has the first event
	stop    atomic.Bool // no new target starts
	warning sync.Mutex  // of Warn
}

// New prepares a batch. Nothing is written or run, but the programs are asked for their versions.
func New(ctx context.Context, c Config) (*Batch, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b := &Batch{Config: c, started: time.Now(), sum: newSummary(c.Table.Len())}
	b.id = b.started.UTC().Format("20060102-150405") + fmt.Sprintf("-%d", os.Getpid())
	found, err := findPrograms(ctx, c)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	b.journal = &journal.Writer{Path: c.Store.Path(store.JournalName), Batch: b.id, Host: host}
	b.begun = sync.OnceValue(b.begin)
	var admitted atomic.Int64
	b.visitor = &Visitor{Pipeline: c.Pipeline, Store: c.Store, Builtins: c.Builtins, Programs: found,
		Timeouts: c.Timeouts, Batch: b.id, Log: b.log, Warn: b.warn, Stopping: b.stop.Load,
		Admit: func() bool { return c.Limit == 0 || admitted.Add(1) <= int64(c.Limit) },
		cores: newCores(b.jobs())}
	return b, nil
}

// check refuses a negative limit, and timeouts of stages that are not there.
func (c Config) check() error {
	var names []string
	for _, s := range c.Pipeline.Stages {
		names = append(names, s.Name)
	}
	for name := range c.Timeouts {
		if !slices.Contains(names, name) {
			return fmt.Errorf("-timeout: there is no stage %q; the stages are %s", name,
				strings.Join(names, ", "))
		}
	}
	if c.Limit < 0 {
		return fmt.Errorf("-limit=%d: at least 0, which is no limit", c.Limit)
	}
	return nil
}

// jobs is how many cores the batch may use, and how many molecules are under way at most.
func (b *Batch) jobs() int { return max(1, b.Pipeline.Jobs) }

func (b *Batch) warn(text string) {
	b.warning.Lock()
	defer b.warning.Unlock()
	fmt.Fprintf(b.Warn, "Warning: %s\n", text)
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
	lock := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".lock")
	for _, c := range [][2]string{{lock, table}, {st.Path(store.LockName), st.Root()}} {
		l, err := store.TakeLock(c[0], ShownPath(c[1]))
		if err != nil {
			claims.Release()
			return nil, err
		}
		claims = append(claims, l)
	}
	err := st.OursAlone()
	if err != nil {
		claims.Release()
	}
	return claims, err
}

// Release gives the claims up.
func (c Claims) Release() {
	for _, l := range c {
		_ = l.Release()
	}
}

// each deals with the locks up to the first error.
func (c Claims) each(deal func(*store.Lock) error) error {
	for _, l := range c {
		if err := deal(l); err != nil {
			return err
		}
	}
	return nil
}

// lost is an error if one of the lock files was removed: another batch may have begun since.
func (c Claims) lost() error { return c.each((*store.Lock).Lost) }

// ShownPath is a path as a user reads it: relative to the working folder where it lies below that.
func ShownPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// Run does what there is to do. The error is about the batch as a whole; failed molecules are in
// the summary, which is nil where nothing was begun.
func (b *Batch) Run(ctx context.Context) (*Summary, error) {
	err := b.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if err = b.all(ctx); err != nil {
		err = cmp.Or(b.Claims.lost(), err) // the cause of all that went wrong since
	}
	b.visitor.workers.close()
	b.sum.Interrupted = ctx.Err() != nil
	b.sum.Elapsed = time.Since(b.started)
	b.sum.tooManyInAll(b.Pipeline.Alarms.Failures)
	err = cmp.Or(err, b.Index.Close(), b.Store.Sweep(), b.clearStop())
	if b.sum.Batch != "" {
		end := journal.Event{Event: journal.BatchEnd, Outcome: journal.Done,
			Seconds: b.sum.Elapsed.Seconds(), Counts: b.sum.Counts}
		switch {
		case ctx.Err() != nil:
			end.Outcome = journal.Interrupted
		case err != nil:
			end.Outcome, end.Error = journal.Failed, err.Error()
		}
		err = cmp.Or(err, b.journal.Write(end))
	}
	return b.sum, err
}

// prepare finds what there is to do, and makes sure that it can be done and is meant.
func (b *Batch) prepare(ctx context.Context) (err error) {
	err = cmp.Or(b.Table.Writable(), b.Store.Sweep(), b.clearStop(), csvmerge.Sweep(b.Pipeline.Table))
	if err != nil {
		return err
	}
	for _, l := range b.Claims {
		if l.Note != "" {
			b.warn(l.Note)
			break // once is enough
		}
	}
	if err := b.countDeaths(); err != nil {
		return err
	}
	if b.plan, err = b.schedule(ctx); err != nil {
		return err
	}
	err = cmp.Or(b.needed(ctx, b.plan.now), b.sum.tooManyInvalid(b.Pipeline.Alarms))
	if err != nil {
		return err
	}
	b.sum.Scheduled = b.limited(len(b.plan.now), 0)
	b.first = b.batchStart()
	if len(b.plan.now) == 0 {
		if _, err := os.Stat(b.journal.Path); err != nil {
			return nil
		}
		return b.Store.AddTable(b.Pipeline.Table) // prune must know who refers to the results
	}
	b.warnCores()
	return b.confirm(ctx)
}

// limited is how many of n further molecules may be taken up beside those that are scheduled.
func (b *Batch) limited(n, scheduled int) int {
	if b.Limit > 0 {
		return min(n, max(b.Limit-scheduled, 0))
	}
	return n
}

// batchStart is the batch's first line in the journal.
func (b *Batch) batchStart() journal.Event {
	e := journal.Event{Event: journal.BatchStart, PID: os.Getpid(), Table: b.Pipeline.Table,
		Total: b.sum.Scheduled, Work: b.plan.work(b.plan.now[:b.sum.Scheduled]), Jobs: b.jobs(),
		Settings: b.settings()}
	titled := slices.ContainsFunc(b.Pipeline.Stages, func(s *pipeline.Stage) bool { return s.Titled })
	for _, s := range b.Pipeline.Stages {
		if !s.Off() && (s.Titled || !titled) { // small steps have neither a title nor a part of the bar
			e.Stages = append(e.Stages, journal.Stage{Name: s.Name, Title: s.Title})
		}
	}
	return e
}

func (b *Batch) clearStop() error {
	if _, err := os.Lstat(b.Store.Path(store.StopName)); err != nil {
		return nil
	}
	return durable.Remove(b.Store.Path(store.StopName))
}

// begin opens the journal's account of this batch, with the first thing that happens in it.
func (b *Batch) begin() error {
	b.sum.Batch = b.id
	if err := b.Claims.each((*store.Lock).Announce); err != nil {
		return err
	}
	if err := b.Store.Make(); err != nil {
		return err
	}
	if err := b.Store.AddTable(b.Pipeline.Table); err != nil {
		return err
	}
	if err := b.journal.Write(b.first); err != nil {
		return err
	}
	b.open.Store(true)
	if b.Begin != nil {
		b.Begin(b.journal.Path)
	}
	return nil
}

// settings are the values of the pipeline's variables.
func (b *Batch) settings() map[string]string {
	out := map[string]string{}
	for _, v := range b.Pipeline.Variables {
		out[v.Name] = v.Text()
	}
	return out
}

func (b *Batch) log(events ...journal.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := b.begun(); err != nil {
		return err
	}
	return b.journal.Write(events...)
}

// warnCores tells of programs with more threads than the batch may use cores.
func (b *Batch) warnCores() {
	for _, s := range b.Pipeline.Stages {
		if s.Cores > b.jobs() && !s.Off() {
			b.warn(fmt.Sprintf("the stage %s takes %d cores, and the batch may use %d. Start it with "+
				"-jobs=%d, or with fewer cores for the stage.", s.Name, s.Cores, b.jobs(), s.Cores))
		}
	}
}

const diedMessage = "the batch itself died while this ran (out of memory, or a power cut?)"

// countDeaths counts a rerun for the molecule in whose target the last batch died, so that it can't
// hold up every batch for ever. The row is written at once: this batch may die there too. A batch
// that was interrupted by hand counts none.
func (b *Batch) countDeaths() error {
	last, err := journal.Last(b.journal.Path)
	if err != nil || last.Ended || len(last.Open) == 0 {
		return err
	}
	if !last.Interrupted {
		b.died = last.Open
	}
	var changes []csvmerge.Change
	for id, target := range b.died {
		i, ok := b.Table.Lookup(id)
		if !ok {
			continue
		}
		wrote := b.Table.Cell(i, "batch_id").Text
		if wrote == last.ID || b.Table.Status(i) == csvmerge.OK && second(wrote) > second(last.ID) {
			continue // counted or finished, by a batch that died before the journal said so
		}
		row := store.Row{Status: csvmerge.Rerun.String(), Reruns: b.reruns(i) + 1, Batch: last.ID,
			Error: fmt.Sprintf("%s/%s: %s", id, target, diedMessage), Time: time.Now()}
		if row.Reruns >= b.Pipeline.MaxReruns {
			row.Status = csvmerge.Skip.String()
		}
		row.Cells = map[string]string{"status": row.Status, "reruns": strconv.Itoa(row.Reruns),
			"error_message": row.Error, "batch_id": row.Batch}
		if err := b.logDeath(id, row); err != nil {
			return err
		}
		changes = append(changes, csvmerge.Change{ID: id, Cells: row.Cells})
	}
	if _, err := b.merge(changes); err != nil {
		return err
	}
	// This closes the account of the batch that died: its deaths are not counted again.
	return b.journal.Write(journal.Event{Event: journal.BatchEnd, Batch: last.ID,
		Outcome: journal.Failed, Error: diedMessage})
}

// logDeath notes in a molecule's log what its row is about to say.
func (b *Batch) logDeath(id string, row store.Row) error {
	m, err := b.Store.Molecule(id)
	if err != nil || m.Row() != nil && m.Row().Batch == row.Batch {
		return nil // the visit says what is wrong with the folder
	}
	return cmp.Or(m.PutRow(row), m.Flush())
}

// second is the second in which a batch began, by its id.
func second(batch string) string { return batch[:min(len(batch), len("20060102-150405"))] }
