package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/store"
)

// searches are the values of pipeline.hcl's variable "search", and searchStages are the stages that a search is made of, from the SMILES to the ensemble.
var (
	searches     = [...]string{"etkdg", "crest"}
	searchStages = [...]string{"rdkit", "search", "crest", "conformers"}
)

// Compare runs both conformer searches on chosen molecules (o.Only), each in a folder of its own, and prints what they found and took.
func Compare(ctx context.Context, o Options) error {
	ctx, stop := signals(ctx)
	defer stop()
	return ended(compareSearches(ctx, os.Stdout, o))
}

func compareSearches(ctx context.Context, w io.Writer, o Options) error {
	if len(list(o.Only)) == 0 {
		return errors.New("name the molecules, as -only=mol_00014,mol_00007: CREST takes minutes for each")
	}
	p, err := load(o)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(p.Table)
	if err != nil {
		return tableError(p.Table, err)
	}
	dir, err := os.MkdirTemp("", "grimperium-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.unlogged = true
	fmt.Fprintf(w, "%-20s %-8s %11s %14s %10s %10s  %s\n", "molecule", "search", "conformers", "lowest PM7", "CPU s", "wall s", "")
	var failed error
	for _, search := range searches {
		one := o
		one.Table, one.Artefacts = filepath.Join(dir, search+".csv"), filepath.Join(dir, search)
		one.Set = strings.TrimPrefix(o.Set+", search="+search, ", ")
		if err := os.WriteFile(one.Table, data, 0o644); err != nil {
			return err
		}
		err := runBatch(ctx, one)
		var e *exit
		if err != nil && !(errors.As(err, &e) && e.code == exitFailed) {
			return fmt.Errorf("the search %s could not be run: %w", search, err)
		}
		if err != nil {
			failed = err
		}
		if err := printSearch(w, search, one); err != nil {
			return err
		}
	}
	return failed
}

// printSearch prints what one search found and took, a line a molecule. The heat of formation is the lowest by PM7, kcal/mol at 298.15 K; the times are of what
// makes the ensemble, RDKit's starting conformers included, in seconds.
func printSearch(w io.Writer, search string, o Options) error {
	t, err := csvmerge.Read(o.Table)
	if err != nil {
		return err
	}
	st, err := store.Open(o.Artefacts)
	if err != nil {
		return err
	}
	for _, id := range list(o.Only) {
		i, ok := t.Lookup(id)
		if !ok {
			continue // the batch has said so
		}
		man, err := st.Manifest(id)
		if err != nil {
			return err
		}
		cpu, wall, note := 0.0, 0.0, ""
		for _, stage := range searchStages {
			if rec := man.Targets[stage]; rec != nil {
				cpu, wall = cpu+rec.CPU, wall+rec.Seconds
			}
		}
		if t.Status(i) != csvmerge.OK {
			note = fmt.Sprint(t.Value(i, "error_message"))
		}
		fmt.Fprintf(w, "%-20s %-8s %11s %14s %10.2f %10.2f  %s\n", id, search, blank(t.Value(i, "crest_conformers_generated")), blank(t.Value(i, "most_stable_hof")), cpu, wall, note)
	}
	return nil
}

// blank is a cell for a reader.
func blank(v any) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(v)
}
