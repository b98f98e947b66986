package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/packed"
	"grimperium/internal/store"
)

// Prune lists what nothing refers to in the artefacts folder, and removes it if told to.
func Prune(ctx context.Context, remove bool, o Options) error {
	if _, err := os.Stat(o.Artefacts); o.Artefacts != "" && err != nil {
		return ended(fmt.Errorf("-artefacts=%s: there is no such folder", o.Artefacts))
	}
	return open(ctx, o, remove, func(ctx context.Context, pr *project) error {
		tables, err := pr.tables()
		if err != nil {
			return err
		}
		molecule := func(id string) bool {
			return slices.ContainsFunc(tables, func(t *csvmerge.Table) bool { return has(t, id) })
		}
		stage := func(name string) bool { return pr.Pipeline.Stage(name) != nil }
		returns, err := pr.returns(ctx, tables)
		if err != nil {
			return err
		}
		unused, err := pr.Store.Unused(molecule, stage, returns)
		if err == nil && remove && !o.Yes {
			err = pr.confirmRemoval(ctx, unused, molecule)
		}
		if err == nil && remove {
			err = pr.Store.Sweep()
		}
		if err != nil {
			return err
		}
		total, ours := int64(0), unused[:0]
		for _, u := range unused {
			rel, _ := filepath.Rel(pr.Store.Root(), u.Path)
			fmt.Fprintf(stdout, "%8s  %s: %s\n", size(u.Bytes), rel, u.Why)
			if !u.Foreign {
				total, ours = total+u.Bytes, append(ours, u)
			}
		}
		keep := func(id, name string) bool { return stage(name) || returns(id) }
		switch {
		case len(ours) == 0:
			fmt.Fprintln(stdout, "Nothing is unused.")
		case remove:
			if err := pr.Store.Remove(ours, keep); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "Removed %s.\n", size(total))
		default:
			fmt.Fprintf(stdout, "%s in all; %s prune -remove removes it.\n", size(total),
				command.Name)
		}
		return nil
	})
}

// tables are those whose results the folder has. One that may lack rows is an error.
func (pr *project) tables() ([]*csvmerge.Table, error) {
	tables := []*csvmerge.Table{pr.Table}
	others, err := pr.Store.OthersThan(pr.Pipeline.Table)
	if err != nil {
		return nil, err
	}
	for _, path := range others {
		t, err := readTable(path)
		if err != nil {
			return nil, fmt.Errorf("%w; the artefacts folder has results of that table, too: if "+
				"the table is gone for good, delete its line in %s", err,
				batch.ShownPath(pr.Store.Path(store.TablesName)))
		}
		tables = append(tables, t)
	}
	for _, t := range tables {
		for _, f := range t.Check() {
			ofRow := f.Column == "" && f.Severity == csvmerge.Unusable
			if f.Severity == csvmerge.Fatal || f.Swallow || ofRow { // of the form of the table
				return nil, fmt.Errorf("%s:%s; repair the table first: prune can't tell which "+
					"molecules it should have", batch.ShownPath(t.Path()), f)
			}
		}
	}
	return tables, nil
}

// returns gives a function that says of a molecule whether a batch on one of the tables may bring
// an earlier result back. Its answers are those from before anything is removed.
func (pr *project) returns(ctx context.Context, tables []*csvmerge.Table) (
	func(id string) bool, error) {
	var batches []*batch.Batch
	for _, t := range tables {
		c := pr.Config
		c.Table, c.Source = t, t
		b, err := batch.New(ctx, c)
		if err != nil {
			return nil, err
		}
		batches = append(batches, b)
	}
	known := map[string]bool{}
	return func(id string) bool {
		answer, ok := known[id]
		if !ok {
			restores := func(b *batch.Batch) bool { return b.Returns(id) }
			answer = slices.ContainsFunc(batches, restores)
			known[id] = answer
		}
		return answer
	}, nil
}

// confirmRemoval asks before more than half of the molecules in the artefacts folder go.
func (pr *project) confirmRemoval(ctx context.Context, unused []store.Unused,
	molecule func(id string) bool) error {
	entries, err := os.ReadDir(pr.Store.Root())
	gone, stay := map[string]bool{}, map[string]bool{}
	for _, u := range unused {
		rel, _ := filepath.Rel(pr.Store.Root(), u.Path)
		id, _, _ := strings.Cut(rel, string(filepath.Separator))
		if id = strings.TrimSuffix(id, packed.ZipSuffix); !u.Foreign && !molecule(id) {
			gone[id] = true
		}
	}
	for _, e := range entries {
		id, isZip := strings.CutSuffix(e.Name(), packed.ZipSuffix)
		if (e.IsDir() || isZip) && molecule(id) {
			stay[id] = true
		}
	}
	if err != nil || len(gone) <= len(stay) {
		return err
	}
	what := fmt.Sprintf("The results of %d of %s would be removed, because %s has no such rows.",
		len(gone), batch.Count(len(gone)+len(stay), "molecule"), batch.ShownPath(pr.Table.Path()))
	return confirm(ctx, what, "Nothing was removed. "+command.Name+
		" prune lists the results; remove them with -yes")
}
