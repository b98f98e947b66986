package batch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// visit is one molecule under way.
type visit struct {
	id       string
	m        *pipeline.Molecule
	man      *store.Manifest // nil where the molecule's folder can't be worked in
	status   csvmerge.Status
	reruns   int
	files    []string     // of its results, with the manifest
	seen     store.Digest // of these, before they were verified
	trusted  bool         // the files' stats are those that were last verified: no need to hash them
	ran      bool         // a target was built, restored or read again
	recalled bool         // its row is what the index has of it; nothing was read or evaluated
	retried  bool         // Config.Retry means it: earlier failures don't count
	insist   bool         // at_least leaves nothing out: too few of the stage's other targets succeeded
	lost     []string     // what the result is without, for the row
	warnings []string     // for the summary
	started  time.Time
	failure  *failure
}

// failure is why a molecule's batch ended.
type failure struct {
	target, message string
	skipped         bool // nothing was tried: the target failed before and would fail the same way again
	attempts        int  // that failed, of the molecule
	final           bool // the stage's no_retry says that another attempt can only fail the same way
}

// visit begins to look at the molecule of a row.
func (b *Batch) visit(i int) (*visit, error) {
	v := b.newVisit(i)
	return v, b.open(v, b.cells(i))
}

// newVisit takes from the table what a visit needs.
func (b *Batch) newVisit(i int) *visit {
	v := &visit{id: b.Table.ID(i), status: b.Table.Status(i), started: time.Now()}
	if n, ok := b.Table.Value(i, "reruns").(int64); ok {
		v.reruns = int(n)
	}
	v.retried = b.retried(i)
	if (v.status != csvmerge.Rerun && v.status != csvmerge.Skip) || v.retried {
		v.reruns = 0 // a user who sets a row back to Pending wants it tried from the start
	}
	return v
}

// open reads the molecule's manifest and begins the evaluation of the pipeline for it.
func (b *Batch) open(v *visit, cells map[string]any) error {
	v.trusted = b.Index.Untouched(v.id)
	var err error
	var damaged *store.DamagedError
	if v.man, err = b.Store.Manifest(v.id); errors.As(err, &damaged) {
		fmt.Fprintf(b.Warn, "Warning: %v\n", err)
	} else if err != nil {
		return err
	} else if v.trusted {
		v.man.Vouched()
	}
	b.look(v)
	v.m, err = b.Pipeline.Molecule(cells)
	return err
}

// interrupted keeps what was finished of a molecule.
func (b *Batch) interrupted(v *visit) error {
	if !v.ran {
		return nil
	}
	return b.Store.Sync(v.man)
}

// errFailFast says that a molecule failed after which no more are to be started.
var errFailFast = errors.New("stopped at the first failure")

// molecule builds what is stale of one molecule and merges its row. The error is about the batch: a full disk, a lost table.
func (b *Batch) molecule(ctx context.Context, id string) error {
	b.mu.Lock()
	i, ok := b.Table.Lookup(id)
	var cells map[string]any
	var recalled map[string]string
	v := &visit{}
	if ok {
		v = b.newVisit(i)
		if recalled = b.recall(i); recalled == nil {
			cells = b.cells(i)
		}
	}
	b.mu.Unlock()
	if !ok {
		return nil // its row was deleted meanwhile
	}
	if recalled != nil {
		v.recalled = true
		b.finish(v, csvmerge.OK, recalled)
		return nil
	}
	err := b.open(v, cells)
	var folder *store.FolderError
	if errors.As(err, &folder) {
		// Nothing is known of the molecule, and nothing of it is touched, its reruns included: when the folder is mended, its results are found again.
		v.man, v.failure = nil, &failure{message: v.id + ": " + oneLine(strings.ReplaceAll(err.Error(), b.Store.Root(), shown(b.Store.Root())))}
		return b.fold(v)
	}
	if err != nil {
		return err
	}
	for _, s := range b.Pipeline.Stages {
		if err := b.stage(ctx, v, s); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return b.interrupted(v)
		}
		if v.failure != nil {
			break
		}
	}
	if v.ran {
		b.mu.Lock()
		b.finished(v.failure != nil)
		b.mu.Unlock()
	}
	if err := b.fold(v); err != nil || !b.FailFast || v.failure == nil || v.failure.skipped {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Stopped = true
	return errFailFast
}

// stage builds the targets of a stage, in order, up to the first failure.
func (b *Batch) stage(ctx context.Context, v *visit, s *pipeline.Stage) error {
	on, err := v.m.Enabled(s)
	if err != nil {
		return b.fail(v, s, 0, nil, err.Error())
	}
	if !on {
		return nil
	}
	n, err := v.m.Instances(s)
	if err != nil {
		return b.fail(v, s, 0, nil, err.Error())
	}
	results, err := b.targets(ctx, v, s, n)
	if err != nil || ctx.Err() != nil {
		return err
	}
	v.m.Set(s, results)
	if v.failure == nil {
		return b.dropLeftovers(v, s, n)
	}
	return nil
}

// dropLeftovers removes instances that for_each no longer has, or that would be made from a result that was left out.
func (b *Batch) dropLeftovers(v *visit, s *pipeline.Stage, n int) error {
	valid := map[string]bool{}
	for i := range n {
		valid[s.Instance(i)] = !v.m.LeftOut(s, i)
	}
	for _, target := range append(v.man.Instances(s.Name), s.Name) {
		if v.man.Targets[target] != nil && !valid[target] {
			if err := b.Store.Drop(v.man, target); err != nil {
				return err
			}
			v.ran = true
		}
	}
	return nil
}

func (b *Batch) result(v *visit, s *pipeline.Stage, i int, rec *store.Record) pipeline.Result {
	r := pipeline.Result{Status: pipeline.StatusFailed, Outputs: map[string]pipeline.Input{}}
	if rec == nil {
		return r
	}
	r.Seconds = rec.Seconds
	if rec.Outcome != store.OK {
		return r
	}
	r.Status, r.Values = pipeline.StatusOK, rec.Values
	for name, out := range rec.Outputs {
		r.Outputs[name] = pipeline.Input{Path: b.Store.TargetDir(v.id, s.Instance(i)) + "/" + out.File, SHA256: out.SHA256, Size: out.Size}
	}
	return r
}

// fold writes what became of a molecule into its row: its artefacts and manifest first, onto the disk.
func (b *Batch) fold(v *visit) error {
	var err error
	merged := map[string]string{}
	if v.man != nil {
		merged, err = v.m.Merge(v.failure != nil)
	}
	if err != nil {
		v.reruns++
		v.failure = &failure{target: "merge", message: fmt.Sprintf("%s/merge: %s", v.id, oneLine(err.Error()))}
		merged, _ = v.m.Merge(true) // without what can't be computed
	}
	failed := v.failure != nil
	cells := merged
	status := csvmerge.OK
	if failed {
		status = csvmerge.Rerun
		if v.reruns >= b.Pipeline.MaxReruns || v.failure.final {
			status = csvmerge.Skip
		}
		cells["error_message"] = v.failure.message
		cells["reruns"] = strconv.Itoa(v.reruns)
	} else {
		cells["error_message"] = strings.Join(v.lost, "; ")
	}
	b.finish(v, status, cells)
	return nil
}

// finish hands a molecule's row to the writer.
func (b *Batch) finish(v *visit, status csvmerge.Status, cells map[string]string) {
	cells["status"] = status.String()
	if v.ran || status != v.status {
		cells["timestamp_started"] = stamp(v.started)
		cells["timestamp_completed"] = stamp(time.Now())
		cells["batch_id"] = b.id
	}
	if v.failure != nil && v.failure.skipped {
		cells = map[string]string{} // nothing was tried, nothing is new
	}
	b.rows.queue <- finished{v, status, cells}
}

// look takes the stats of a molecule's files, before they are verified. Where one of them can't be seen, nothing will be noted.
func (b *Batch) look(v *visit) {
	v.files = []string{"manifest.json"}
	for _, s := range b.Pipeline.Stages {
		for _, target := range append([]string{s.Name}, v.man.Instances(s.Name)...) {
			if rec := v.man.Targets[target]; rec != nil && rec.Outcome == store.OK {
				for _, name := range sortedNames(rec.Outputs) {
					v.files = append(v.files, target+"/"+b.Store.Stored(v.id, target, rec.Outputs[name]))
				}
			}
		}
	}
	v.seen = b.Index.Digest(v.id, v.files)
}

// note tells the index that the molecule is fresh now.
func (b *Batch) note(v *visit) error {
	i, ok := b.Table.Lookup(v.id)
	if !ok || (v.failure != nil && b.Table.Status(i) != csvmerge.Skip) || (b.gaveUp(i) && len(b.Timeouts) > 0) {
		return nil
	}
	row := b.row(i)
	switch {
	case v.recalled:
		return b.Index.Renote(v.id, b.key(i, row), row)
	case v.man == nil: // its folder can't be looked into
		return nil
	}
	return b.Index.Note(v.id, b.key(i, row), row, v.files, v.seen)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

func (b *Batch) count(v *visit, status csvmerge.Status) {
	b.sum.Counts[status.String()]++
	switch {
	case v.failure == nil && !v.ran:
		b.sum.Fresh++
	case v.failure != nil && v.failure.skipped:
		b.sum.Skipped++
	}
	if v.ran {
		b.sum.warn(v.id, v.warnings)
	}
	if v.failure != nil && !v.failure.skipped {
		b.sum.Failures = append(b.sum.Failures, Failure{v.id, v.failure.target, v.failure.message})
	}
}
