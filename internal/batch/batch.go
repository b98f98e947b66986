// Package batch is the scheduler. It finds which molecules have something to do, and a Visitor
// brings each of them up to date. Their results are merged into the table, one atomic write per
// molecule.
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
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/durable"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Inputs are the columns that say what a molecule is. A merge block can't write them.
var Inputs = []string{"mol_id", "smiles", "charge", "multiplicity", "H298_cbs", "timestamp_added"}

// Written are the columns that the batch itself writes. No other can, and no stage can read them:
// each result would ask for another.
var Written = []string{"status", "reruns", "error_message", "timestamp_started",
	"timestamp_completed", "batch_id"}

// Config says what a batch works on.
type Config struct {
	Pipeline   *pipeline.Pipeline
	Source     Table
	Table      *csvmerge.Table // the rows of Source
	Store      *store.Store
	Index      *store.Index
	Builtins   map[string]Builtin
	Only       []string                 // mol_ids; empty: all
	Clear      bool                     // the results of Only are removed before
	Permissive bool                     // rows that can't be used are left out, else the batch ends
	Limit      int                      // at most so many molecules; 0: all
	Retry      string                   // skipped molecules to try again: "all", a stage, or a text
	Timeouts   map[string]time.Duration // by stage, instead of the pipeline's
	FailFast   bool                     // no molecule is started after one has failed
	Remote     Remote                   // visits the molecules; nil: this process does
	Resume     bool                     // Remote has molecules of an earlier batch
	Stopped    bool                     // mage stop from before the batch counts
	// Identities are the versions of the programs with which Remote computes; nil: those here. A
	// batch that only merges needs no program.
	Identities map[string]string
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
	died    map[string]string // the target in which the last batch died, by mol_id
	sum     *Summary
	now     []string             // molecules to be visited, in this order
	sizes   map[string][]float64 // of these
	stop    atomic.Bool          // no new target starts
	away    bool                 // the server of the table does not answer
	retryAt time.Time            // when it is asked again
	warn    *log.Logger
}

// New prepares a batch. Nothing is written or run, but the programs are asked for their versions.
func New(ctx context.Context, c Config) (*Batch, error) {
	var names []string
	for _, s := range c.Pipeline.Stages {
		names = append(names, s.Name)
	}
	for name := range c.Timeouts {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("-timeout: there is no stage %q; the stages are %s", name,
				strings.Join(names, ", "))
		}
	}
	if c.Limit < 0 {
		return nil, fmt.Errorf("-limit=%d: at least 0, which is no limit", c.Limit)
	}
	if c.Limit == 0 {
		c.Limit = math.MaxInt
	}
	v, err := newVisitor(ctx, c)
	if err != nil {
		return nil, err
	}
	b := &Batch{Config: c, started: time.Now(), visitor: v, sum: newSummary(c.Table.Len()),
		warn: v.warn}
	b.id = strings.Replace(b.started.UTC().Format("20060102-150405.000000"), ".", "-", 1)
	host, _ := os.Hostname()
	b.journal = &journal.Writer{Path: c.Store.Path(store.JournalName), Batch: b.id, Host: host}
	var admitted atomic.Int64
	v.Batch, v.Log, v.Stopping = b.id, b.journal.Write, b.stop.Load
	v.Admit = func() bool { return admitted.Add(1) <= int64(c.Limit) }
	return b, nil
}

// warnings writes warnings for the user.
func (c *Config) warnings() *log.Logger { return log.New(c.Warn, "Warning: ", 0) }

func (b *Batch) shownTable() string { return ShownPath(b.Table.Path()) }

// Claims are the locks on a table and its artefacts.
type Claims []*store.Lock

// Claim takes the table and the artefacts for this process, or says who has them. Of a table on a
// server several batches may compute rows, each with artefacts of its own.
func Claim(table string, st *store.Store) (claims Claims, err error) {
	target := table
	if real, err := filepath.EvalSymlinks(table); err == nil {
		target = real
	}
	lock := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".lock")
	locks := [][2]string{{lock, table}, {st.Path(store.LockName), st.Root()}}
	if store.IsURL(table) {
		locks = locks[1:]
	}
	for _, c := range locks {
		l, err := store.TakeLock(c[0], ShownPath(c[1]))
		if err != nil {
			claims.Release()
			if store.IsURL(table) {
				err = fmt.Errorf("%w; or give this batch artefacts of its own, -artefacts=FOLDER",
					err)
			}
			return nil, err
		}
		claims = append(claims, l)
	}
	if err = st.OursAlone(); err != nil {
		claims.Release()
	}
	return claims, err
}

// Release gives the claims up.
func (c Claims) Release() { _ = c.each((*store.Lock).Release) }

// lost is an error if one of the lock files was removed: another batch may have begun since.
func (c Claims) lost() error { return c.each((*store.Lock).Lost) }

// each does something with all locks. The error is the first one.
func (c Claims) each(do func(*store.Lock) error) (err error) {
	for _, l := range c {
		err = cmp.Or(err, do(l))
	}
	return err
}

// ShownPath is a path as a user reads it: relative to the working folder where it lies below that.
func ShownPath(path string) string {
	wd, _ := os.Getwd()
	if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
		return rel
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
	if b.sum.Scheduled > 0 || b.Resume {
		err = b.all(ctx)
	}
	if err != nil {
		err = cmp.Or(b.Claims.lost(), err) // the cause of all that went wrong since
	}
	b.visitor.workers.close()
	if b.sum.Interrupted = ctx.Err() != nil; b.sum.Interrupted {
		b.sum.Stopped = "Interrupted"
	}
	b.sum.Elapsed = time.Since(b.started)
	if b.sum.Stopped == "" && len(b.planned()) < len(b.now) {
		b.sum.Later = max(0, len(b.now)-len(b.sum.outcomes)-b.sum.Elsewhere)
	}
	b.sum.finish(b.Table)
	err = cmp.Or(err, b.Index.Close(), b.sweep(), durable.Remove(b.Store.Path(store.StopName)))
	if b.sum.Batch == "" {
		return b.sum, err
	}
	end := journal.Event{Event: journal.BatchEnd, Outcome: journal.Done,
		Seconds: b.sum.Elapsed.Seconds(), Counts: b.sum.Counts}
	switch {
	case ctx.Err() != nil:
		end.Outcome = journal.Interrupted
	case err != nil:
		end.Outcome, end.Error = journal.Failed, err.Error()
	}
	return b.sum, cmp.Or(err, b.journal.Write(end))
}

// prepare finds what there is to do, and makes sure that it can be done and is meant.
func (b *Batch) prepare(ctx context.Context) (err error) {
	if !b.Stopped {
		err = durable.Remove(b.Store.Path(store.StopName))
	}
	if err = cmp.Or(err, b.sweep()); err != nil {
		return err
	}
	hasNote := func(l *store.Lock) bool { return l.Note != "" }
	if n := slices.IndexFunc(b.Claims, hasNote); n >= 0 { // the locks have the same one
		b.warn.Print(b.Claims[n].Note)
	}
	if err := b.countDeaths(ctx); err != nil {
		return err
	}
	if err := b.schedule(ctx); err != nil {
		return err
	}
	if err := b.needMissing(ctx); err != nil {
		return err
	}
	invalid := b.sum.alarm(b.sum.Invalid, b.sum.Total, b.Pipeline.Alarms.Invalid,
		Count(b.sum.Total, "row")+" can't be used; max_invalid")
	if invalid != "" && b.Pipeline.Alarms.Stop {
		return fmt.Errorf("%s: %w", invalid, ErrAlarm)
	}
	if b.sum.Scheduled = len(b.planned()); b.sum.Scheduled == 0 && !b.Resume {
		if _, err := os.Stat(b.journal.Path); err != nil {
			return nil
		}
		return b.Store.AddTable(b.Pipeline.Table) // prune must know who refers to the results
	}
	b.warnCores()
	for _, text := range TakenBack(b.Pipeline, b.journal.Path) {
		b.warn.Print(text)
	}
	if err := b.confirm(ctx); err != nil || !b.Clear {
		return err
	}
	return b.clear()
}

// warnCores warns of stages that take more cores than the batch or a task has.
func (b *Batch) warnCores() {
	for _, s := range b.Pipeline.Stages {
		switch {
		case s.Off() || b.Identities != nil: // it only merges
		case b.Remote != nil && s.Cores > b.Pipeline.Cluster.Cores:
			b.warn.Printf("the stage %s takes %d cores, and a task has %d. Raise cores in the "+
				"cluster block, or lower cores of the stage.", s.Name, s.Cores,
				b.Pipeline.Cluster.Cores)
		case b.Remote == nil && s.Cores > b.Pipeline.Jobs:
			b.warn.Printf("the stage %s takes %d cores, and the batch may use %d. Start it with "+
				"-jobs=%[2]d, or with fewer cores for the stage.", s.Name, s.Cores,
				b.Pipeline.Jobs)
		}
	}
}

// clear removes the results of the molecules that are to be computed again from nothing.
func (b *Batch) clear() error {
	for _, id := range b.planned() {
		m, err := b.Store.Molecule(id)
		if _, damaged := errors.AsType[*store.DamagedError](err); err != nil && !damaged {
			return err
		}
		if err := m.Clear(); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes what a batch left that was killed or stopped.
func (b *Batch) sweep() error {
	err := b.Store.Sweep()
	if err != nil || store.IsURL(b.Pipeline.Table) {
		return err
	}
	return csvmerge.Sweep(b.Pipeline.Table)
}

// begin writes the batch's first line into the journal, unless the batch has nothing to do.
func (b *Batch) begin() error {
	if err := b.Claims.each((*store.Lock).Announce); err != nil {
		return err
	}
	b.sum.Batch = b.id
	err := cmp.Or(b.Store.AddTable(b.Pipeline.Table), journal.Rotate(b.journal.Path),
		b.journal.Write(b.start()))
	if err == nil && b.Begin != nil {
		b.Begin(b.journal.Path)
	}
	return err
}

// start is the batch's first line in the journal.
func (b *Batch) start() journal.Event {
	e := journal.Event{Event: journal.BatchStart, PID: os.Getpid(), Table: b.Pipeline.Table,
		Total: b.sum.Scheduled, Jobs: b.Pipeline.Jobs, Settings: map[string]string{},
		Given: map[string]string{}, Programs: b.visitor.Programs.identities()}
	for _, v := range b.Pipeline.Variables {
		e.Settings[v.Name] = v.Text()
		if v.Source != "default" {
			e.Given[v.Name] = v.Source
		}
	}
	for name := range b.Builtins { // their versions mean nothing to a user
		delete(e.Programs, name)
	}
	if who, err := user.Current(); err == nil {
		e.User = who.Username
	}
	for _, id := range b.planned() {
		e.Work += journal.Weight(b.sizes[id])
	}
	isTitled := func(s *pipeline.Stage) bool { return s.Titled }
	all := !slices.ContainsFunc(b.Pipeline.Stages, isTitled)
	for _, s := range b.Pipeline.Stages {
		// Small steps have neither a title nor a part of the bar.
		if !s.Off() && (s.Titled || all) {
			e.Stages = append(e.Stages, journal.Stage{Name: s.Name, Title: s.Title})
		}
	}
	return e
}

const diedMessage = "the batch itself died while this ran (out of memory, or a power cut?)"

// countDeaths counts a rerun for the molecule in whose target the last batch died, so that it can't
// hold up every batch for ever. The row is written at once: this batch may die there too. A batch
// that was interrupted by hand counts none.
func (b *Batch) countDeaths(ctx context.Context) error {
	last, err := journal.Last(b.journal.Path)
	if err != nil || last.Ended {
		return err
	}
	if !last.Interrupted {
		b.died = last.Open
	}
	var changes []csvmerge.Change
	var events []journal.Event
	for i := range b.Table.Len() {
		id, batch := b.Table.ID(i), b.Table.Texts(i, "batch_id")[0]
		isMissing := batch == last.ID && !last.Rows[id] // in the journal: the batch died before
		// Ids are in the order of time: a batch that died since has counted the death.
		isDead := b.died[id] != "" && batch < last.ID
		if !isMissing && !isDead {
			continue
		}
		m, err := b.Store.Molecule(id) // with an error the visit says what is wrong
		switch {
		case isDead:
			row := b.deadRow(i, last.ID)
			if err == nil {
				if err := cmp.Or(m.PutRow(row), m.Flush()); err != nil {
					return err
				}
			}
			changes = append(changes, csvmerge.Change{ID: id, Cells: row.Cells})
			events = append(events, b.rowEvent(i, row))
		case err == nil && m.Row() != nil && m.Row().Batch == batch:
			events = append(events, b.rowEvent(i, *m.Row()))
		}
	}
	if _, err := b.merge(ctx, changes, busyLimit); err != nil {
		return err
	}
	if len(last.Open) > 0 { // with its end in the journal its deaths are not counted again
		events = append(events, journal.Event{Event: journal.BatchEnd, Batch: last.ID,
			Outcome: journal.Failed, Error: diedMessage})
	}
	if len(events) > 0 {
		err = b.journal.Write(events...)
	}
	return err
}

// deadRow is what a row is to say after a batch died in a target of its molecule.
func (b *Batch) deadRow(i int, batch string) store.Row {
	id := b.Table.ID(i)
	dead := b.row(i).Dead(b.died[id], "", b.Pipeline.MaxReruns)
	row := store.Row{Status: dead.Status.String(), Reruns: dead.Reruns, Batch: batch,
		Molecule: b.says(i), Time: time.Now(),
		Error: fmt.Sprintf("%s/%s: %s", id, b.died[id], diedMessage)}
	row.Cells = map[string]string{"status": row.Status, "reruns": fmt.Sprint(row.Reruns),
		"error_message": row.Error, "batch_id": row.Batch}
	return row
}

// rowEvent is the event of a row that was written into the table.
func (b *Batch) rowEvent(i int, row store.Row) journal.Event {
	id := b.Table.ID(i)
	return journal.Event{Time: row.Time, Event: journal.Row, Batch: row.Batch, Mol: id,
		Outcome: row.Status, Error: row.Error, Values: row.Cells,
		Inputs: b.inputs(id, cells(b.Table, i, b.Pipeline.Columns))}
}
