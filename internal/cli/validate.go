package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
	"grimperium/stages"
)

// Validate lists every row that can't be used and warns of the others. It fails when a row can't be
// used, with Permissive only when no batch can run on the table.
func Validate(ctx context.Context, format string, o Options) (err error) {
	ctx, end := begin(ctx)
	defer end(&err)
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
	found, err := findings(ctx, p, t)
	if err != nil {
		return err
	}
	r, path := newReport(t, found), batch.ShownPath(t.Path())
	out := bufio.NewWriter(os.Stdout)
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		err = enc.Encode(r)
	} else {
		for _, f := range found {
			text := map[bool]string{true: "warning: "}[f.Warning]
			fmt.Fprintf(out, "%s%s:%s\n", text, path, f)
		}
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d rows: %d can't be used, %d warnings.\n", r.Rows, r.Unusable, r.Warnings)
	if r.Fatal || (r.Unusable > 0 && !o.Permissive) {
		return fmt.Errorf("%s: %d of %d rows can't be used", path, r.Unusable, r.Rows)
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
	csvmerge.Finding
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
			fallthrough
		default:
			unusable[f.Line] = true
		}
		r.Findings = append(r.Findings, finding{f, severity})
	}
	r.Unusable = len(unusable)
	return r
}

// findings are the errors and warnings of a table in the order of its rows: of the table's format,
// of the molecule block, of the workers, and of numbers that can't be right. Why a worker could not
// be asked goes to standard error.
func findings(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table) (
	out []csvmerge.Finding, err error) {
	out = t.Check()
	broken := map[int]bool{}
	for _, f := range out {
		broken[f.Line] = broken[f.Line] || !f.Warning
	}
	var rows []int // a broken cell would lead to more findings that say nothing new
	for i := range t.Len() {
		if !broken[t.Line(i)] {
			rows = append(rows, i)
		}
	}
	c := &counter{total: len(rows)}
	inOrder, unasked, err := batch.Ask(ctx, p, t, rows, c.add)
	if c.line(""); err != nil {
		return nil, err
	}
	for _, why := range unasked {
		fprintln(os.Stderr, "warning:", why)
	}
	answers := map[int]batch.Answer{}
	for n, i := range rows {
		answers[i] = inOrder[n]
	}
	out = append(out, csvmerge.CheckRows(rows, func(i int) []csvmerge.Finding {
		return rowFindings(p, t, i, answers[i])
	})...)
	out = append(out, repeated(t, rows, answers)...)
	slices.SortStableFunc(out, func(a, b csvmerge.Finding) int { return a.Line - b.Line })
	return out, nil
}

// rowFindings are the findings of one row. If a worker refuses the row, the molecule block is not
// asked: the worker says why a SMILES can't be read, the block can only count electrons.
func rowFindings(p *pipeline.Pipeline, t *csvmerge.Table, i int, answer batch.Answer) (
	out []csvmerge.Finding) {
	f := csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Problem: answer.Problem}
	if f.Problem != "" {
		out = append(out, f)
	} else {
		out, _ = batch.Precheck(p, t, i)
	}
	unusable := len(out) > 0
	for _, f.Problem = range answer.Warnings {
		f.Warning = true
		out = append(out, f)
	}
	row := stages.Row{Heavy: pointer[int64](t.Value(i, "nheavy")),
		Reference: pointer[float64](t.Value(i, "H298_cbs")),
		HOF:       pointer[float64](t.Value(i, "most_stable_hof"))}
	row.SMILES, _ = t.Value(i, "smiles").(string)
	row.Charge, _ = t.Value(i, "charge").(int64)
	for _, d := range row.Doubts() {
		if !unusable || d.Column != "charge" { // the charge is why the row is unusable
			out = append(out, warning(t, i, d.Column, d.Want, d.Problem))
		}
	}
	return out
}

// pointer is nil for a cell without a value.
func pointer[T any](value any) *T {
	if v, ok := value.(T); ok {
		return &v
	}
	return nil
}

func warning(t *csvmerge.Table, i int, column, want, problem string) csvmerge.Finding {
	return csvmerge.Finding{Line: t.Line(i), ID: t.ID(i), Column: column, Cell: t.Cell(i, column).Text,
		Problem: problem, Want: want, Warning: true}
}

// repeated are the warnings about molecules that an earlier row has under another mol_id. If no
// worker says which molecule a row is, two spellings of one molecule count as two.
func repeated(t *csvmerge.Table, rows []int, answers map[int]batch.Answer) []csvmerge.Finding {
	var out []csvmerge.Finding
	seen := map[[3]any]int{}
	for _, i := range rows {
		smiles, _ := t.Value(i, "smiles").(string)
		molecule := [3]any{cmp.Or(answers[i].Molecule, smiles), t.Value(i, "charge"),
			t.Value(i, "multiplicity")}
		first, ok := seen[molecule]
		if !ok {
			seen[molecule] = i
			continue
		}
		same := "has the same SMILES, charge and multiplicity"
		if other := t.Value(first, "smiles"); other != smiles {
			same = fmt.Sprintf("is the same molecule, written as %v, with the same charge and multiplicity",
				other)
		}
		out = append(out, warning(t, i, "smiles", "one row for a molecule",
			fmt.Sprintf("%s on line %d %s", t.ID(first), t.Line(first), same)))
	}
	return out
}

// counter shows on a terminal how many rows the workers have answered.
type counter struct {
	mu           sync.Mutex
	stage        string
	done, total  int       // rows of the stage
	begin, shown time.Time // of the stage, of the line
}

// add counts rows that a stage has answered.
func (c *counter) add(s *pipeline.Stage, rows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if s.Name != c.stage {
		c.stage, c.done, c.begin, c.shown = s.Name, 0, now, now
	}
	if c.done += rows; now.Sub(c.shown) > time.Second/5 {
		c.shown = now
		left := now.Sub(c.begin) * time.Duration(c.total-c.done) / time.Duration(c.done)
		c.line(fmt.Sprintf("%s: %d of %d rows checked, %v left", s.Title, c.done, c.total,
			left.Round(time.Second)))
	}
}

// line replaces the line that is shown.
func (c *counter) line(text string) {
	if width, _ := screen(os.Stderr); width > 0 {
		fmt.Fprint(os.Stderr, "\r\033[K"+text)
	}
}
