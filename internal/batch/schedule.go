package batch

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// schedule finds the molecules that have something to do. It changes no file.
func (b *Batch) schedule(ctx context.Context) error {
	only, bad := map[string]bool{}, map[string]bool{}
	for _, id := range b.Only {
		only[id] = true
	}
	var found []csvmerge.Finding
	for _, f := range b.Table.Check() {
		if f.Swallow { // the cell may be several rows
			b.warn.Printf("%s:%s", b.shownTable(), f)
		}
		if f.Severity != csvmerge.Warning {
			found = append(found, f)
			bad[f.ID] = true
		}
	}
	rows := b.Table.Len()
	todo, sizes := make([]bool, rows), make([][]float64, rows)
	var skipped, byHand, unasked atomic.Int64
	found = append(found, csvmerge.OnAllCores(rows, func(i int) (problems []csvmerge.Finding) {
		switch id := b.Table.ID(i); {
		case bad[id] || ctx.Err() != nil:
		case len(only) > 0 && !only[id]:
			unasked.Add(1)
		case b.byHand(i):
			byHand.Add(1)
		case !b.Clear && b.upToDate(i):
			if b.Table.Status(i) == csvmerge.Skip {
				skipped.Add(1)
			}
		default:
			var m *pipeline.Molecule
			problems, m = Precheck(b.Pipeline, b.Table, i)
			todo[i], sizes[i] = len(problems) == 0, m.Size()
		}
		return problems
	})...)
	b.sum.Skipped, b.sum.ByHand = int(skipped.Load()), int(byHand.Load())
	b.sum.Unasked = int(unasked.Load())
	if err := b.refuse(found); err != nil {
		return err
	}
	b.warnRetry()
	b.sizes = map[string][]float64{}
	var failed, others []string
	for i := range rows {
		switch id := b.Table.ID(i); {
		case !todo[i]:
		case b.Table.Status(i) == csvmerge.Rerun:
			failed, b.sizes[id] = append(failed, id), sizes[i]
		default:
			others, b.sizes[id] = append(others, id), sizes[i]
		}
	}
	b.now = append(failed, others...)
	b.order(len(failed))
	return nil
}

// refuse prints what is wrong with rows that can't be used, and leaves them out. They end a batch
// that is not permissive; a bad mol_id ends every batch.
func (b *Batch) refuse(found []csvmerge.Finding) error {
	const most = 20
	slices.SortStableFunc(found, func(x, y csvmerge.Finding) int { return x.Line - y.Line })
	lines, fatal := map[int]bool{}, false
	for n, f := range found {
		lines[f.Line], fatal = true, fatal || f.Severity == csvmerge.Fatal
		if n < most {
			fmt.Fprintf(b.Warn, "%s:%s\n", b.shownTable(), f)
		}
	}
	if n := len(found) - most; n > 0 {
		fmt.Fprintf(b.Warn, "... and %d more\n", n)
	}
	b.sum.Findings, b.sum.Invalid = found, len(lines)
	switch {
	case fatal:
		return fmt.Errorf("%s: nothing was run, because every molecule needs a mol_id of its own "+
			"that can be the name of a folder", b.shownTable())
	case len(found) > 0 && !b.Permissive:
		return errors.New("nothing was run, because rows of the table can't be used: correct " +
			"them, or leave them out with -permissive")
	}
	return nil
}

// atEnd is how many molecules for each job are taken by size at the end of a batch.
const atEnd = 8

// order sorts the molecules by size if that is asked for, those that failed among themselves. With
// several jobs the largest of the last are taken first, so that none keeps the batch waiting.
func (b *Batch) order(failed int) {
	others, jobs := b.now[failed:], b.Pipeline.Jobs
	bySize := func(ids []string, sign int) { // those of unknown size last
		slices.SortStableFunc(ids, func(x, y string) int {
			s, t := b.sizes[x], b.sizes[y]
			return cmp.Or(cmp.Compare(min(len(t), 1), min(len(s), 1)), sign*slices.Compare(s, t))
		})
	}
	if b.Pipeline.SmallestFirst {
		bySize(b.now[:failed], 1)
		bySize(others, 1)
	}
	if last := min(atEnd*jobs, len(others)); jobs > 1 && len(b.now) > jobs {
		bySize(others[len(others)-last:], -1)
	}
}

// upToDate reports whether a row, its pipeline and its molecule's files are as the index has them.
func (b *Batch) upToDate(i int) bool {
	if b.Table.Status(i) != csvmerge.OK && !b.gaveUp(i) || b.retried(i) ||
		len(b.Timeouts) > 0 && b.gaveUp(i) { // a target may have more time now
		return false
	}
	id := b.Table.ID(i)
	e, ok := b.Index.Entry(id)
	if !ok && b.Table.Status(i) == csvmerge.OK && b.computedElsewhere(i) {
		return true
	}
	return ok && e.Key == b.key(i) && e.Row == b.rowHash(i) && b.Store.Untouched(id, e)
}

// origin is what a shared table keeps with an up-to-date row: the key, and who has the artefacts.
func (b *Batch) origin(key [16]byte) string {
	return fmt.Sprintf("%x %s:%s", key, b.journal.Host, b.Store.Root())
}

// computedElsewhere reports whether another artefacts folder has the results of this pipeline.
func (b *Batch) computedElsewhere(i int) bool {
	origin := b.Source.Origin(b.Table.ID(i))
	if origin == "" {
		return false
	}
	ours := b.origin(b.key(i))
	key, _, _ := strings.Cut(ours, " ")
	return strings.HasPrefix(origin, key+" ") && origin != ours
}

// byHand reports whether a person wrote Skip into a row: the molecule's log has no such failure.
func (b *Batch) byHand(i int) bool {
	if b.Table.Status(i) != csvmerge.Skip || b.retried(i) {
		return false
	}
	m, _ := b.Store.Molecule(b.Table.ID(i))
	return m != nil && (m.Row() == nil || m.Row().Status != csvmerge.Skip.String())
}

// gaveUp reports whether a row's molecule has a target that failed and that no batch tries again by
// itself. The molecule is skipped, or its result is without that target.
func (b *Batch) gaveUp(i int) bool {
	status := b.Table.Status(i)
	return status == csvmerge.Skip ||
		status == csvmerge.OK && b.Table.Cell(i, "error_message").Text != ""
}

// retried reports whether a row gave up a target, and is one that Config.Retry means.
func (b *Batch) retried(i int) bool {
	if b.Retry == "" || !b.gaveUp(i) {
		return false
	}
	message := b.Table.Cell(i, "error_message").Text
	stage, _ := Reason(message)
	if b.Pipeline.Stage(b.Retry) != nil {
		return stage == b.Retry
	}
	return b.Retry == "all" || strings.Contains(strings.ToLower(message), strings.ToLower(b.Retry))
}

// warnRetry warns if Config.Retry means none of the rows.
func (b *Batch) warnRetry() {
	if b.Retry == "" || b.Retry == "all" {
		return
	}
	for i := range b.Table.Len() {
		if b.retried(i) {
			return
		}
	}
	b.warn.Printf("-retry=%s: no skipped molecule failed in a stage of this name, or with this "+
		"text in its message", b.Retry)
}

// Precheck returns what is wrong with a row, by the molecule block, and what Pipeline.Check does.
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
func (b *Batch) row(i int) Row {
	id := b.Table.ID(i)
	reruns, _ := b.Table.Value(i, "reruns").(int64)
	known, _ := b.Index.Entry(id)
	return Row{ID: id, Cells: cells(b.Table, i, b.Pipeline.Columns), Size: b.sizes[id],
		Status: b.Table.Status(i), Reruns: int(reruns), Retry: b.retried(i), Key: b.key(i),
		Says: b.says(i), Died: b.died[id], Known: known}
}

// key stands for everything that decides whether a molecule is up to date, its row's results aside.
func (b *Batch) key(i int) [16]byte {
	parts := []string{b.Pipeline.Key, b.visitor.Programs.key}
	for _, c := range b.Pipeline.Columns {
		parts = append(parts, fmt.Sprint(b.Table.Value(i, c)))
	}
	return store.Key(parts...)
}

// says stands for what a row says of its molecule, and of the reference.
func (c *Config) says(i int) uint64 {
	columns := [...]string{"smiles", "charge", "multiplicity", "H298_cbs"}
	parts := c.Table.Texts(i, columns[:]...)
	for k, column := range columns {
		parts[k] = fmt.Sprint(csvmerge.Types(column).Read(parts[k]).Value)
	}
	sum := store.Key(parts...)
	return binary.LittleEndian.Uint64(sum[:])
}

// OfAnother reports whether a person has edited a row since it was computed. Its numbers are of
// another molecule then, or are compared with another reference. The index knows it, or else the
// molecule's log.
func (c *Config) OfAnother(i int) bool {
	e, _ := c.Index.Entry(c.Table.ID(i))
	was := e.Molecule
	if was == 0 && slices.ContainsFunc(c.Table.Texts(i, c.Pipeline.Merged...),
		func(text string) bool { return text != "" }) {
		if log, err := c.Store.Molecule(c.Table.ID(i)); err == nil && log.Row() != nil {
			was = log.Row().Molecule
		}
	}
	return was != 0 && was != c.says(i)
}

// rowHash stands for what the table says of a molecule's results.
func (b *Batch) rowHash(i int) uint64 {
	parts := append(b.Table.Texts(i, "error_message"), b.Table.Status(i).String())
	if b.gaveUp(i) { // another max_reruns, or reruns that a person set back, has it looked at again
		parts = append(parts, fmt.Sprint(b.Pipeline.MaxReruns), b.Table.Texts(i, "reruns")[0])
	}
	parts = append(parts, b.Table.Texts(i, b.Pipeline.Merged...)...)
	sum := store.Key(parts...)
	return binary.LittleEndian.Uint64(sum[:])
}
