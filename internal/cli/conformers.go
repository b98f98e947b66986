package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/store"
	"grimperium/stages"
)

// exportConformers writes a record for each PM7 conformer of the molecules with the status OK, the
// conformers of a molecule in the order of GFN2-xTB. A molecule whose results are not those of its
// row is left out. What a reader should know of molecules without a record goes to standard error.
func (pr *project) exportConformers(
	ctx context.Context, w io.Writer, record conformerFormat) error {
	b, err := batch.New(ctx, pr.Config)
	if err != nil {
		return err
	}
	n, without := 0, 0
	var outdated []string
	for i := range pr.Table.Len() {
		if pr.Table.Status(i) != csvmerge.OK {
			without++
			continue
		}
		id := pr.Table.ID(i)
		records, err := pr.records(i, record)
		current := true
		if err == nil && len(records) > 0 {
			current, err = b.Current(id)
		}
		if err == nil && current {
			_, err = io.WriteString(w, strings.Join(records, ""))
		}
		switch {
		case err != nil:
			return err
		case len(records) == 0:
			without++
			fmt.Fprintf(os.Stderr, "Warning: %s has the status OK, but no result in %s; "+
				"mage batch computes it again.\n", id, pr.Store.Root())
		case current:
			n += len(records)
		default:
			outdated = append(outdated, id)
		}
	}
	fmt.Fprintf(os.Stderr, "%d conformers written; %d molecules have none.\n", n, without)
	if len(outdated) > 0 {
		fmt.Fprintf(os.Stderr, "%d molecules were left out: their results are not those of the rows "+
			"any more; mage why %s tells.\n", len(outdated), outdated[0])
	}
	return nil
}

// conformerFormat writes one conformer.
type conformerFormat func(stages.Conformer) (string, error)

// records are the conformers of a row in a format, none if there are no results.
func (pr *project) records(row int, record conformerFormat) (out []string, err error) {
	t, id := pr.Table, pr.Table.ID(row)
	if err := csvmerge.SafeID(id); err != nil {
		return nil, fmt.Errorf("%s: %q: %w", t.Path(), id, err)
	}
	log, err := pr.Store.Molecule(id)
	if err != nil {
		return nil, err
	}
	shared := stages.Conformer{Molecule: id, Status: t.Status(row).String(),
		Reference: pointer[float64](t.Value(row, "H298_cbs"))}
	shared.SMILES, _ = t.Value(row, "smiles").(string)
	shared.Charge, _ = t.Value(row, "charge").(int64)
	shared.Multiplicity, _ = t.Value(row, "multiplicity").(int64)
	conformers, err := pr.results(log).Conformers(shared)
	for _, c := range conformers {
		text, err := record(c)
		if err != nil {
			return nil, fmt.Errorf("%s, conformer %d: %w", id, c.Rank, err)
		}
		out = append(out, text)
	}
	return out, err
}

// results are the successful results of a molecule, but for those of stages that are off.
func (pr *project) results(log *store.Molecule) stages.Results {
	record := func(target string) *store.Record {
		name, _, _ := strings.Cut(target, "/")
		rec, s := log.Record(target), pr.Pipeline.Stage(name)
		if s == nil || s.Off() || rec == nil || rec.Outcome != store.OK {
			return &store.Record{}
		}
		return rec
	}
	failed := func(target string) bool { return record(target).Outcome != store.OK }
	return stages.Results{
		Targets: slices.DeleteFunc(log.Targets(), failed),
		Value:   func(target, name string) any { return record(target).Values[name] },
		File: func(target, output string) string {
			name := record(target).Outputs[output].File
			if name == "" {
				return ""
			}
			return filepath.Join(pr.Store.TargetDir(log.ID(), target), name)
		},
	}
}
