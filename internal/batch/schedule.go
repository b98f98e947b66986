package batch

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// schedule returns the molecules that have something to do, the failed ones first, then the others, in table order or by size, and those
// that have nothing to do unless somebody has touched their files.
func (b *Batch) schedule() (todo []string, perhaps []unsure, err error) {
	bad, err := b.findings()
	if err != nil {
		return nil, nil, err
	}
	only, err := b.only()
	if err != nil {
		return nil, nil, err
	}
	var rows []int // of those that have something to do
	for i := range b.Table.Len() {
		id := b.Table.ID(i)
		if (only != nil && !only[id]) || bad[id] {
			continue
		}
		status := b.Table.Status(i)
		if (status == csvmerge.OK || status == csvmerge.Skip) && !b.again(i) && b.Index.Known(id, b.key(i, b.row(i))) {
			perhaps = append(perhaps, unsure{id, status == csvmerge.Skip})
		} else {
			rows = append(rows, i)
		}
	}
	if len(perhaps) <= atOnce {
		for _, id := range b.stale(perhaps) {
			i, _ := b.Table.Lookup(id)
			rows = append(rows, i)
		}
		perhaps = nil
		slices.Sort(rows)
	}
	sizes := make([][]float64, b.Table.Len())
	problems := csvmerge.CheckRows(rows, func(i int) []csvmerge.Finding {
		found, m := Precheck(b.Pipeline, b.Table, i)
		sizes[i] = m.Size()
		return found
	})
	if err := b.refuse(problems); err != nil {
		return nil, nil, err
	}
	for _, f := range problems {
		bad[f.ID] = true
	}
	var failed, others []string
	for _, i := range rows {
		id := b.Table.ID(i)
		if bad[id] {
			continue
		}
		b.measure(id, sizes[i])
		if b.Table.Status(i) == csvmerge.Rerun {
			failed = append(failed, id)
		} else {
			others = append(others, id)
		}
	}
	return b.inOrder(failed, others), perhaps, nil
}

// atOnce is of how many molecules the files are looked at before anything starts, which takes a thousandth of a second.
const atOnce = 200

// part is of how many molecules the files are looked at by one core before it may be given to a program.
const part = 20

// unsure is a molecule that is up to date if nobody has touched its files.
type unsure struct {
	id      string
	skipped bool
}

// stale looks at the files of molecules that are up to date otherwise, and returns those that were touched.
func (b *Batch) stale(all []unsure) []string {
	touched := make([]bool, len(all))
	var next atomic.Int64
	var lookers sync.WaitGroup
	for core := range runtime.GOMAXPROCS(0) {
		lookers.Go(func() {
			for {
				from := int(next.Add(part)) - part
				if from >= len(all) {
					return
				}
				release := func() {}
				if core < b.jobs() { // one of the cores that programs have, unless none runs
					release, _ = b.cores.take(context.Background(), 1)
				}
				for n := from; n < min(from+part, len(all)); n++ {
					touched[n] = !b.Index.Untouched(all[n].id)
				}
				release()
			}
		})
	}
	lookers.Wait()
	var out []string
	b.mu.Lock()
	defer b.mu.Unlock()
	for n, u := range all {
		switch {
		case touched[n]:
			out = append(out, u.id)
		case u.skipped:
			b.sum.Skipped++
			fallthrough
		default:
			b.sum.Fresh++
		}
	}
	return out
}

// findings reports the rows that can't be used; under permissive they are returned to be left out.
func (b *Batch) findings() (map[string]bool, error) {
	bad := map[string]bool{}
	var severe []csvmerge.Finding
	fatal := false
	for _, f := range b.Table.Check() {
		if f.Warning {
			continue
		}
		fatal = fatal || f.Fatal
		bad[f.ID] = true
		severe = append(severe, f)
	}
	if err := b.refuse(severe); err != nil {
		return nil, err
	}
	if fatal {
		return nil, fmt.Errorf("%s: nothing was run, because every molecule needs a mol_id of its own that can be the name of a folder", shown(b.Table.Path()))
	}
	return bad, nil
}

func (b *Batch) refuse(found []csvmerge.Finding) error {
	if len(found) == 0 {
		return nil
	}
	const most = 20
	for n, f := range found {
		if n == most {
			fmt.Fprintf(b.Warn, "... and %d more\n", len(found)-most)
			break
		}
		fmt.Fprintf(b.Warn, "%s:%d: %s\n", shown(b.Table.Path()), f.Line, findingText(f))
	}
	b.sum.invalid(found)
	if !b.Permissive {
		return ErrRows
	}
	return nil
}

func findingText(f csvmerge.Finding) string {
	var parts []string
	if f.ID != "" {
		parts = append(parts, f.ID)
	}
	if f.Column != "" {
		parts = append(parts, f.Column)
	}
	text := strings.Join(append(parts, f.Problem), ": ")
	if f.Want != "" {
		text += " (" + f.Want + ")"
	}
	return text
}

// Precheck evaluates the molecule block for a row before anything runs: what is wrong with it, and the molecule as Pipeline.Check gives it.
func Precheck(p *pipeline.Pipeline, t *csvmerge.Table, i int) ([]csvmerge.Finding, *pipeline.Molecule) {
	problems, m := p.Check(cells(t, i, p.Checked))
	var out []csvmerge.Finding
	for _, problem := range problems {
		out = append(out, csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Problem: problem})
	}
	return out, m
}

func (b *Batch) only() (map[string]bool, error) {
	if len(b.Only) == 0 {
		return nil, nil
	}
	set := map[string]bool{}
	for _, id := range b.Only {
		if _, ok := b.Table.Lookup(id); !ok {
			return nil, fmt.Errorf("-only: the table %s has no molecule %q", shown(b.Table.Path()), id)
		}
		set[id] = true
	}
	return set, nil
}

func (b *Batch) cells(i int) map[string]any { return cells(b.Table, i, b.Pipeline.Columns) }

// cells returns the cells of a row in these columns.
func cells(t *csvmerge.Table, i int, columns []string) map[string]any {
	out := make(map[string]any, len(columns))
	for _, c := range columns {
		out[c] = t.Value(i, c)
	}
	return out
}

// row is what the table says of a molecule's results: its status, its message, its reruns where they matter, and its merged cells.
func (b *Batch) row(i int) string {
	parts := make([]string, 3, len(b.Pipeline.Merged)+3)
	parts[0], parts[1] = b.Table.Status(i).String(), b.Table.Cell(i, "error_message").Text
	if b.gaveUp(i) { // looked at again with another max_reruns
		parts[2] = fmt.Sprint(b.Pipeline.MaxReruns)
	}
	if b.Table.Status(i) == csvmerge.Skip { // and with other reruns in the row, which a person edited
		parts[2] += " " + b.Table.Cell(i, "reruns").Text
	}
	for _, c := range b.Pipeline.Merged {
		parts = append(parts, b.Table.Cell(i, c).Text)
	}
	return strings.Join(parts, "\x00") // which no cell has in it
}

// key stands for everything that a molecule's freshness is compared with, if its row says this.
func (b *Batch) key(i int, row string) [16]byte {
	parts := make([]string, 0, len(b.Pipeline.Columns)+3)
	parts = append(parts, b.Pipeline.Key, b.programs.key, row)
	for _, c := range b.Pipeline.Columns {
		parts = append(parts, fmt.Sprint(b.Table.Value(i, c)))
	}
	return store.Key(parts...)
}

// recall returns the cells that the molecule of a row had when it was last found fresh, if nothing but its results' cells and status has changed
// since: the table is an old copy, say. Nothing needs to be evaluated then; nil otherwise.
func (b *Batch) recall(i int) map[string]string {
	id := b.Table.ID(i)
	row := b.Index.Row(id)
	parts := strings.Split(row, "\x00")
	if parts[0] != csvmerge.OK.String() || len(parts) != len(b.Pipeline.Merged)+3 || b.died[id] != "" || b.retried(i) || !b.Index.Fresh(id, b.key(i, row)) {
		return nil
	}
	if parts[1] != "" && (len(b.Timeouts) > 0 || parts[2] != fmt.Sprint(b.Pipeline.MaxReruns)) {
		return nil // what was left out may have an attempt now
	}
	cells := map[string]string{"error_message": parts[1]}
	for n, c := range b.Pipeline.Merged {
		cells[c] = parts[n+3]
	}
	return cells
}
