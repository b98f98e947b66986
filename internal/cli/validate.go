package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/stages"
)

// Validate lists every row that can't be used and everything odd about the others. It fails when a
// row can't be used, under permissive only when the whole table can't.
func Validate(ctx context.Context, format string, o Options) error {
	ctx, stop := signals(ctx)
	defer stop()
	return ended(validate(ctx, os.Stdout, os.Stderr, format, o))
}

func validate(ctx context.Context, w io.Writer, about *os.File, format string, o Options) error {
	if format != "" && format != "text" && format != "json" {
		return fmt.Errorf("-format=%s: text or json", format)
	}
	p, err := load(o)
	if err != nil {
		return err
	}
	t, err := csvmerge.Read(p.Table)
	if err != nil {
		return err
	}
	found, unasked, err := findings(ctx, p, t, newCounter(about))
	if err != nil {
		return err
	}
	for _, why := range unasked {
		fmt.Fprintf(about, "warning: %v\n", why)
	}
	report := newReport(t, found)
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := enc.Encode(report); err != nil {
			return err
		}
	} else {
		out, path := bufio.NewWriter(w), shownPath(t.Path())
		for _, f := range found {
			kind := ""
			if f.Warning {
				kind = "warning: "
			}
			fmt.Fprintf(out, "%s%s:%s\n", kind, path, f)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(about, "%d rows: %d can't be used, %d warnings.\n", report.Rows, report.Unusable, report.Warnings)
	if report.Fatal || (report.Unusable > 0 && !o.Permissive) {
		return &exit{exitMistake, fmt.Errorf("%s: %d of %d rows can't be used", shownPath(t.Path()), report.Unusable, report.Rows)}
	}
	return nil
}

// report is the outcome of a validation as JSON.
type report struct {
	Table    string    `json:"table"`
	Rows     int       `json:"rows"`
	Unusable int       `json:"unusable"` // rows that a batch can't use
	Warnings int       `json:"warnings"`
	Fatal    bool      `json:"fatal"` // no batch can run on the table, permissive or not
	Findings []finding `json:"findings"`
}

type finding struct {
	Line     int    `json:"line"`
	ID       string `json:"mol_id"`
	Column   string `json:"column"`
	Cell     string `json:"cell"`
	Problem  string `json:"problem"`
	Want     string `json:"want"`
	Severity string `json:"severity"` // fatal: of the whole table; error: of the row; warning
}

func newReport(t *csvmerge.Table, found []csvmerge.Finding) report {
	r := report{Table: t.Path(), Rows: t.Len(), Findings: []finding{}}
	unusable := map[int]bool{}
	for _, f := range found {
		severity := "error"
		switch {
		case f.Warning:
			severity = "warning"
			r.Warnings++
		case f.Fatal:
			severity, r.Fatal = "fatal", true
		}
		if !f.Warning {
			unusable[f.Line] = true
		}
		r.Findings = append(r.Findings, finding{f.Line, f.ID, f.Column, f.Cell, f.Problem, f.Want, severity})
	}
	r.Unusable = len(unusable)
	return r
}

// findings is everything about a table's rows, in the order of the rows: what the table's format
// asks, what the pipeline's molecule block asks, what the workers of its stages say, and what a
// chemist would look at twice. unasked says which workers could not be asked.
func findings(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table, c *counter) (
	out []csvmerge.Finding, unasked []error, err error) {
	out = t.Check()
	broken := map[int]bool{}
	for _, f := range out {
		broken[f.Line] = broken[f.Line] || !f.Warning
	}
	var rows []int
	for i := range t.Len() {
		if !broken[t.Line(i)] { // what a broken cell would lead to is no news
			rows = append(rows, i)
		}
	}
	answers, unasked, err := batch.Ask(ctx, p, t, rows, c.add(len(rows)))
	c.clear()
	if err != nil {
		return nil, nil, err
	}
	said := make([]batch.Answer, t.Len())
	for n, i := range rows {
		said[i] = answers[n]
	}
	seed, hashes := maphash.MakeSeed(), make([]uint64, t.Len())
	out = append(out, csvmerge.CheckRows(rows, func(i int) []csvmerge.Finding {
		hashes[i] = maphash.Comparable(seed, moleculeOf(t, i, said[i]))
		return rowFindings(p, t, i, said[i])
	})...)
	seen := make(map[uint64]int32, len(rows)) // a million molecules themselves would take five times the memory
	for _, i := range rows {
		if first, twice := seen[hashes[i]]; !twice {
			seen[hashes[i]] = int32(i)
		} else if moleculeOf(t, int(first), said[first]) == moleculeOf(t, i, said[i]) {
			out = append(out, sameMolecule(t, i, int(first)))
		}
	}
	slices.SortStableFunc(out, func(a, b csvmerge.Finding) int { return a.Line - b.Line })
	return out, unasked, nil
}

// rowFindings is what is wrong with one row. If a worker refuses the row, the molecule block is not
// asked: the worker says why a SMILES can't be read, the block can only count electrons.
func rowFindings(p *pipeline.Pipeline, t *csvmerge.Table, i int, said batch.Answer) (out []csvmerge.Finding) {
	row := csvmerge.Finding{Line: t.Line(i), ID: t.ID(i)}
	if row.Problem = said.Problem; row.Problem != "" {
		out = append(out, row)
	} else {
		out, _ = batch.Precheck(p, t, i)
	}
	unusable := len(out) > 0
	for _, row.Problem = range said.Warnings {
		row.Warning = true
		out = append(out, row)
	}
	for _, f := range oddities(t, i) {
		if !unusable || f.Column != "charge" { // which is the reason, or no news beside it
			out = append(out, f)
		}
	}
	return out
}

// maxDifference is how far PM7 and a reference may lie apart before the reference is doubted,
// kcal/mol: five times the 95th percentile of PM7's error on neutral molecules of C, H, N, O (10.0,
// from the values shipped with MOPAC); radicals and ions are worse than those.
const maxDifference = 50

// oddities are the warnings about one row that its SMILES and its numbers give rise to.
func oddities(t *csvmerge.Table, i int) []csvmerge.Finding {
	var out []csvmerge.Finding
	warn := func(column, problem, want string) {
		out = append(out, csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Column: column, Cell: t.Cell(i, column).Text, Problem: problem, Want: want, Warning: true})
	}
	smiles, _ := t.Value(i, "smiles").(string)
	charge, _ := t.Value(i, "charge").(int64)
	atoms, err := stages.ReadSMILES(smiles)
	if n, ok := t.Value(i, "nheavy").(int64); err == nil && ok && int64(atoms.Heavy()) != n {
		warn("nheavy", fmt.Sprintf("the SMILES %s has %d heavy atoms", smiles, atoms.Heavy()), "the number of atoms that are not hydrogen, or nothing")
	}
	if err == nil && int64(atoms.Charge()) != charge {
		warn("charge", fmt.Sprintf("the SMILES %s has the charge %d", smiles, atoms.Charge()), "the charge of the SMILES")
	}
	reference, ok := t.Value(i, "H298_cbs").(float64)
	if !ok {
		return out
	}
	if low, high, ok := atoms.EnthalpyRange(int(charge)); err == nil && ok && (reference < low || reference > high) {
		warn("H298_cbs", fmt.Sprintf("no %s can have that: its bonds allow %g to %g kcal/mol", smiles, low, high), "the enthalpy of formation in kcal/mol at 298.15 K, not a total energy, not in another unit")
	} else if hof, ok := t.Value(i, "most_stable_hof").(float64); ok && math.Abs(hof-reference) > maxDifference {
		warn("H298_cbs", fmt.Sprintf("PM7 gives %g kcal/mol, %.0f away", hof, math.Abs(hof-reference)), fmt.Sprintf("a difference below %d, unless this molecule is hard for PM7", maxDifference))
	}
	return out
}

// moleculeOf is what makes two rows one molecule. If no worker says which molecule a row is, the
// SMILES as written is compared, and two spellings of one molecule count as two.
func moleculeOf(t *csvmerge.Table, i int, said batch.Answer) [3]any {
	if said.Molecule != "" {
		return [3]any{said.Molecule, t.Value(i, "charge"), t.Value(i, "multiplicity")}
	}
	return [3]any{t.Value(i, "smiles"), t.Value(i, "charge"), t.Value(i, "multiplicity")}
}

// sameMolecule tells of a molecule that is there under another mol_id.
func sameMolecule(t *csvmerge.Table, i, first int) csvmerge.Finding {
	same := "has the same SMILES, charge and multiplicity"
	if t.Value(first, "smiles") != t.Value(i, "smiles") {
		same = fmt.Sprintf("is the same molecule, written as %v, with the same charge and multiplicity",
			t.Value(first, "smiles"))
	}
	return csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Column: "smiles", Cell: t.Cell(i, "smiles").Text, Warning: true,
		Problem: fmt.Sprintf("%s on line %d %s", t.ID(first), t.Line(first), same), Want: "one row for a molecule"}
}

// shownPath is a path as a user reads it: relative to the working folder where it lies below that.
func shownPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, ok := strings.CutPrefix(path, wd+string(os.PathSeparator)); ok {
			return rel
		}
	}
	return path
}
