package batch

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// plan is what a batch has to do.
type plan struct {
	now   []string // molecules to be visited, in this order
	maybe []string // molecules that are up to date if nobody has touched their files
	sizes map[string][]float64
}

// lookFirst is of how many molecules the files are looked at before anything starts: 1 ms of work.
const lookFirst = 200

// schedule finds the molecules that have something to do. It changes nothing.
func (b *Batch) schedule(ctx context.Context) (*plan, error) {
	bad, err := b.unusable()
	if err != nil {
		return nil, err
	}
	only := map[string]bool{}
	for _, id := range b.Only {
		if _, ok := b.Table.Lookup(id); !ok {
			return nil, fmt.Errorf("-only: the table %s has no molecule %q", b.shownTable(), id)
		}
		only[id] = true
	}
	p := &plan{sizes: map[string][]float64{}}
	var rows []int // of the molecules that have something to do
	for i := range b.Table.Len() {
		switch id := b.Table.ID(i); {
		case bad[id] || len(only) > 0 && !only[id]:
		case b.upToDate(i):
			p.maybe = append(p.maybe, id)
		case b.byHand(i):
			b.sum.ByHand++
		default:
			rows = append(rows, i)
		}
	}
	if len(p.maybe) <= lookFirst || len(b.visitor.Programs.missing) > 0 {
		touched := b.touched(ctx, p.maybe)
		for _, id := range touched {
			i, _ := b.Table.Lookup(id)
			rows = append(rows, i)
		}
		b.countUpToDate(p.maybe, touched)
		p.maybe = nil
		slices.Sort(rows)
	}
	sizes := make([][]float64, b.Table.Len())
	problems := csvmerge.CheckRows(rows, func(i int) []csvmerge.Finding {
		found, m := Precheck(b.Pipeline, b.Table, i)
		sizes[i] = m.Size()
		return found
	})
	if err := b.refuse(problems); err != nil {
		return nil, err
	}
	for _, f := range problems {
		bad[f.ID] = true
	}
	var failed, others []string
	for _, i := range rows {
		id := b.Table.ID(i)
		switch p.sizes[id] = sizes[i]; {
		case bad[id]:
		case b.Table.Status(i) == csvmerge.Rerun:
			failed = append(failed, id)
		default:
			others = append(others, id)
		}
	}
	p.order(failed, others, b.Pipeline.SmallestFirst, b.jobs())
	return p, nil
}

// atEnd is how many molecules for each job are taken by size at the end of a batch.
const atEnd = 8

// order puts the failed molecules first. With several jobs the largest of the last molecules are
// taken first, so that none of them keeps the batch waiting when all others are done.
func (p *plan) order(failed, others []string, smallestFirst bool, jobs int) {
	bySize := func(ids []string, sign int) {
		slices.SortStableFunc(ids, func(x, y string) int {
			s, t := p.sizes[x], p.sizes[y]
			return cmp.Or(cmp.Compare(min(len(t), 1), min(len(s), 1)), sign*slices.Compare(s, t))
		})
	}
	if smallestFirst {
		bySize(failed, 1)
		bySize(others, 1)
	}
	if last := min(atEnd*jobs, len(others)); jobs > 1 && len(failed)+len(others) > jobs {
		bySize(others[len(others)-last:], -1)
	}
	p.now = append(failed, others...)
}

// work is the sum of the weights of the scheduled molecules, for the estimate of the time.
func (p *plan) work(ids []string) (sum float64) {
	for _, id := range ids {
		sum += journal.Weight(p.sizes[id])
	}
	return sum
}

// upToDate reports whether the index has nothing else of the molecule of a row than the row and the
// pipeline have now. Its files may have been touched. A target that failed is looked at if it is to
// be tried again, or may have more time.
func (b *Batch) upToDate(i int) bool {
	if status := b.Table.Status(i); status != csvmerge.OK && status != csvmerge.Skip ||
		b.retried(i) || b.mayHaveTime(i) {
		return false
	}
	e, ok := b.Index.Entry(b.Table.ID(i))
	return ok && e.Key == b.key(i) && e.Row == b.rowHash(i)
}

// mayHaveTime reports whether a target of a row's molecule gave up, and may have more time now.
func (b *Batch) mayHaveTime(i int) bool { return len(b.Timeouts) > 0 && b.gaveUp(i) }

// byHand reports whether a person wrote Skip into a row: the molecule's log knows of no such failure.
func (b *Batch) byHand(i int) bool {
	if b.Table.Status(i) != csvmerge.Skip || b.retried(i) {
		return false
	}
	m, _ := b.Store.Molecule(b.Table.ID(i))
	return m != nil && (m.Row() == nil || m.Row().Status != csvmerge.Skip.String())
}

// gaveUp reports whether a row's molecule has a target that failed and is not tried again by
// itself: it is skipped, or its result is without that target.
func (b *Batch) gaveUp(i int) bool {
	status := b.Table.Status(i)
	return status == csvmerge.Skip ||
		(status == csvmerge.OK && b.Table.Cell(i, "error_message").Text != "")
}

// retried reports whether a row is one that Config.Retry means: of those that gave up a target,
// all, the ones that failed in a stage, or the ones with a text in their message, in any case.
func (b *Batch) retried(i int) bool {
	if b.Retry == "" || !b.gaveUp(i) {
		return false
	}
	message := b.Table.Cell(i, "error_message").Text
	if b.Pipeline.Stage(b.Retry) != nil {
		stage, _ := Reason(message)
		return stage == b.Retry
	}
	return b.Retry == "all" || strings.Contains(strings.ToLower(message), strings.ToLower(b.Retry))
}

// countUpToDate counts molecules that turned out to be up to date, all but the touched ones.
func (b *Batch) countUpToDate(ids, touched []string) {
	b.sum.Fresh += len(ids) - len(touched)
	for _, id := range ids {
		i, ok := b.Table.Lookup(id)
		if ok && b.Table.Status(i) == csvmerge.Skip && !slices.Contains(touched, id) {
			b.sum.Skipped++
		}
	}
}

// touched looks at the files of molecules that are up to date otherwise, on all cores, and returns
// those whose files are others.
func (b *Batch) touched(ctx context.Context, ids []string) (out []string) {
	entries, other := make([]store.Entry, len(ids)), make([]bool, len(ids))
	for n, id := range ids {
		entries[n], _ = b.Index.Entry(id)
	}
	var lookers sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for first := range min(cores, len(ids)) {
		lookers.Go(func() {
			for n := first; n < len(ids) && ctx.Err() == nil; n += cores {
				other[n] = !b.Store.Untouched(ids[n], entries[n])
			}
		})
	}
	lookers.Wait()
	for n, id := range ids {
		if other[n] {
			out = append(out, id)
		}
	}
	return out
}

// unusable reports the rows that can't be used; under permissive they are returned to be left out.
func (b *Batch) unusable() (map[string]bool, error) {
	bad := map[string]bool{}
	var severe []csvmerge.Finding
	fatal := false
	for _, f := range b.Table.Check() {
		if f.Swallow { // rows that nobody else would miss
			b.warn(b.findingText(f))
		}
		if !f.Warning {
			fatal = fatal || f.Fatal
			bad[f.ID] = true
			severe = append(severe, f)
		}
	}
	err := b.refuse(severe)
	if fatal { // -permissive is no way out
		err = fmt.Errorf("%s: nothing was run, because every molecule needs a mol_id of its own "+
			"that can be the name of a folder", b.shownTable())
	}
	return bad, err
}

func (b *Batch) refuse(found []csvmerge.Finding) error {
	const most = 20
	for _, f := range found[:min(len(found), most)] {
		fmt.Fprintln(b.Warn, b.findingText(f))
	}
	if len(found) > most {
		fmt.Fprintf(b.Warn, "... and %d more\n", len(found)-most)
	}
	b.sum.leaveOut(found)
	if len(found) > 0 && !b.Permissive {
		return errors.New("nothing was run, because rows of the table can't be used: " +
			"mend them, or leave them out with -permissive")
	}
	return nil
}

func (b *Batch) shownTable() string { return ShownPath(b.Table.Path()) }

func (b *Batch) findingText(f csvmerge.Finding) string {
	parts := []string{fmt.Sprintf("%s:%d", b.shownTable(), f.Line), f.ID, f.Column, f.Problem}
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	text := strings.Join(parts, ": ")
	if f.Want != "" {
		text += " (" + f.Want + ")"
	}
	return text
}

// Precheck says what is wrong with a row, by the molecule block, and gives its molecule as
// Pipeline.Check does.
func Precheck(p *pipeline.Pipeline, t *csvmerge.Table, i int) (
	out []csvmerge.Finding, m *pipeline.Molecule) {
	problems, m := p.Check(cells(t, i, p.Checked))
	for _, problem := range problems {
		out = append(out, csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Problem: problem})
	}
	return out, m
}

// cells returns the cells of a row in these columns.
func cells(t *csvmerge.Table, i int, columns []string) map[string]any {
	out := make(map[string]any, len(columns))
	for _, c := range columns {
		out[c] = t.Value(i, c)
	}
	return out
}

// row is the molecule of a row of the table, for a visit.
func (b *Batch) row(i int, size []float64) Row {
	id := b.Table.ID(i)
	r := Row{ID: id, Cells: cells(b.Table, i, b.Pipeline.Columns), Status: b.Table.Status(i),
		Retry: b.retried(i), Died: b.died[id], Size: size, Key: b.key(i)}
	r.Reruns = b.reruns(i)
	r.Known, _ = b.Index.Entry(id)
	return r
}

// hasText reports whether a cell has a text, spaces around it aside.
func (b *Batch) hasText(i int, column, text string) bool {
	return strings.TrimSpace(b.Table.Cell(i, column).Text) == text
}

func (b *Batch) reruns(i int) int {
	n, _ := b.Table.Value(i, "reruns").(int64)
	return int(n)
}

// key stands for everything that decides whether a molecule is up to date, its row's results aside.
func (b *Batch) key(i int) [16]byte {
	parts := []string{b.Pipeline.Key, b.visitor.Programs.key}
	for _, c := range b.Pipeline.Columns {
		parts = append(parts, fmt.Sprint(b.Table.Value(i, c)))
	}
	return store.Key(parts...)
}

// rowHash stands for what the table says of a molecule's results.
func (b *Batch) rowHash(i int) uint64 {
	parts := []string{b.Table.Status(i).String(), b.Table.Cell(i, "error_message").Text, ""}
	if b.gaveUp(i) { // looked at again with another max_reruns
		parts[2] = fmt.Sprint(b.Pipeline.MaxReruns)
	}
	if b.Table.Status(i) == csvmerge.Skip { // a person may have set its reruns back
		parts[2] += " " + b.Table.Cell(i, "reruns").Text
	}
	for _, c := range b.Pipeline.Merged {
		parts = append(parts, b.Table.Cell(i, c).Text)
	}
	sum := store.Key(parts...)
	return binary.LittleEndian.Uint64(sum[:])
}
