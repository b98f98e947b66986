package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/durable"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Why shows which results of a molecule ("mol_00001") or of one target ("mol_00001/pm7/2") are up
// to date, and what changed for the others.
func Why(ctx context.Context, what string, o Options) (err error) {
	ctx, end := begin(ctx)
	defer end(&err)
	pr, err := open(o, false)
	if err != nil {
		return err
	}
	b, err := batch.New(ctx, pr.Config)
	if err != nil {
		return err
	}
	id, target, _ := strings.Cut(strings.TrimPrefix(what, "-mol="), "/")
	return b.Why(os.Stdout, id, target)
}

// Check checks the whole pipeline against the header of the table, and prints what each stage takes
// and gives.
func Check(o Options) error {
	p, err := load(o)
	if err == nil {
		_, err = columns(p.Table)
	}
	if err == nil {
		fmt.Printf("%s%s is in order.\n", p.Describe(), p.Path)
	}
	return ended(err)
}

// Fmt lays out pipeline.hcl in the usual way; with check it only says whether it would.
func Fmt(path string, check bool) error {
	path = cmp.Or(path, "pipeline.hcl")
	src, err := os.ReadFile(path)
	if err != nil {
		return ended(err)
	}
	out := pipeline.Format(src)
	if bytes.Equal(src, out) {
		return nil
	}
	if check {
		return &exit{exitFailed, fmt.Errorf("%s: mage fmt would change its layout", path)}
	}
	return ended(replaceFile(path, func(w io.Writer) error {
		_, err := w.Write(out)
		return err
	}))
}

// Graph prints the stages as a Mermaid diagram.
func Graph(o Options) error {
	p, err := load(o)
	if err == nil {
		fmt.Print(p.Graph())
	}
	return ended(err)
}

// Stop asks the batch that has the artefacts to start no more targets and to end. Where the folder
// is named, pipeline.hcl is not read: it may be in the middle of an edit.
func Stop(o Options) error { return ended(stopBatch(os.Stdout, o)) }

func stopBatch(w io.Writer, o Options) error {
	root := o.Artefacts
	if root == "" {
		p, err := load(o)
		if err != nil {
			return err
		}
		root = p.Artefacts
	}
	st, err := store.Open(root)
	if err != nil {
		return err
	}
	if _, err = os.Stat(st.Path(store.LockName)); err == nil {
		var l *store.Lock
		if l, err = store.TakeLock(st.Path(store.LockName), batch.ShownPath(st.Root())); err == nil {
			err = l.Release()
		}
	}
	var locked *store.LockedError
	switch {
	case err == nil, errors.Is(err, os.ErrNotExist):
		fmt.Fprintf(w, "No batch runs on %s.\n", batch.ShownPath(st.Root()))
		return nil
	case !errors.As(err, &locked) || locked.Holder.PID == 0:
		return err // a batch that is just starting would not see the request
	}
	err = durable.WriteFile(durable.File{Path: st.Path(store.StopName),
		Write: func(io.Writer) error { return nil }})
	if err == nil {
		h := locked.Holder
		fmt.Fprintf(w, "Process %d on %s (%s) starts no more targets and ends after those under way.\n",
			h.PID, h.Host, h.Command)
	}
	return err
}

// Prune lists what nothing refers to in the artefacts folder, and removes it if told to.
func Prune(remove bool, o Options) error { return ended(prune(o, remove)) }

func prune(o Options, remove bool) error {
	pr, err := open(o, remove)
	if err != nil {
		return err
	}
	defer pr.Claims.Release()
	stage := func(name string) bool { return pr.Pipeline.Stage(name) != nil }
	molecule, err := pr.molecules()
	if err != nil {
		return err
	}
	unused, err := pr.Store.Unused(molecule, stage)
	if err != nil {
		return err
	}
	var total int64
	for _, u := range unused {
		total += u.Bytes
		rel, _ := filepath.Rel(pr.Store.Root(), u.Path)
		fmt.Printf("%8s  %s: %s\n", size(u.Bytes), rel, u.Why)
		if !remove {
			continue
		}
		if err := pr.Store.Remove(u); err != nil {
			return err
		}
		if err := forget(pr, strings.Split(rel, string(filepath.Separator))[0], stage); err != nil {
			return err
		}
	}
	if remove {
		if err := pr.Store.Sweep(); err != nil {
			return err
		}
	}
	switch {
	case len(unused) == 0:
		fmt.Println("Nothing is unused.")
	case remove:
		fmt.Printf("Removed %s.\n", size(total))
	default:
		fmt.Printf("%s in all; mage prune -remove removes it.\n", size(total))
	}
	return nil
}

// molecules tells of a mol_id whether a table has it whose results the artefacts folder holds.
func (pr *project) molecules() (func(id string) bool, error) {
	tables := []*csvmerge.Table{pr.Table}
	others, err := pr.Store.OthersThan(pr.Pipeline.Table)
	if err != nil {
		return nil, err
	}
	for _, path := range others {
		t, err := csvmerge.Read(path)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s has results of that table, too: "+
				"prune can't tell what belongs to it; "+
				"if it is gone for good, delete its line in %s",
				err, batch.ShownPath(pr.Store.Root()), batch.ShownPath(pr.Store.Path(store.TablesName)))
		}
		tables = append(tables, t)
	}
	return func(id string) bool {
		return slices.ContainsFunc(tables, func(t *csvmerge.Table) bool {
			_, ok := t.Lookup(id)
			return ok
		})
	}, nil
}

// forget drops the records of removed stages from the manifest of a molecule.
func forget(pr *project, id string, stage func(string) bool) error {
	m, err := pr.Store.Molecule(id)
	var damaged *store.DamagedError
	if errors.As(err, &damaged) {
		return nil
	}
	if err != nil {
		return err
	}
	return cmp.Or(m.Forget(stage), m.Flush())
}

// size is a number of bytes for a person.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB"}
	u := 0
	for n >= 10_000 && u < len(units)-1 {
		n, u = n/1000, u+1
	}
	return fmt.Sprintf("%d %s", n, units[u])
}
