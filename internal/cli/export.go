package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magefile/mage/mg"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/durable"
	"grimperium/stages"
)

// Export writes the table in another format: json, jsonl or csv with one entry a row, sdf or xyz
// with one record a PM7 conformer. It goes to standard output, or as a whole to the file out.
func Export(ctx context.Context, format, out string, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		return with(o, false, func(pr *project) error {
			write := func(w io.Writer) error { return pr.export(ctx, w, cmp.Or(format, "json")) }
			if out == "" {
				return write(os.Stdout)
			}
			a, _ := os.Stat(out) // nil, if there is no file, is not the same as any
			b, _ := os.Stat(pr.Pipeline.Table)
			if os.SameFile(a, b) {
				return fmt.Errorf("-out=%s: that is the table itself; give another name", out)
			}
			return replaceFile(out, write)
		})
	})
}

// replaceFile writes a file that is new or whole at any instant. Of a symbolic link it writes the
// file that the link leads to. A device or a pipe is written to.
func replaceFile(path string, write func(io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		to, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(to), to.Close())
	}
	for range 40 { // also a link to what is not there yet
		to, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return durable.WriteFile(durable.File{Path: path, Write: write})
}

func (pr *project) export(ctx context.Context, to io.Writer, format string) (err error) {
	w := bufio.NewWriter(to) // keeps its first error for Flush
	switch format {
	case "json":
		writeJSON(w, pr.Table, "[\n", ",", "]\n")
	case "jsonl":
		writeJSON(w, pr.Table, "", "", "")
	case "csv":
		err = writeCSV(w, pr.Table)
	case "sdf":
		err = pr.writeConformers(ctx, w, stages.Conformer.SDF)
	case "xyz":
		err = pr.writeConformers(ctx, w, stages.Conformer.ExtXYZ)
	default:
		err = fmt.Errorf("-format=%s: json, jsonl, csv, sdf or xyz", format)
	}
	return cmp.Or(err, w.Flush())
}

// typed returns the names of a table's columns and what the cells of a row mean: nil, a string, an
// int64, a float64, or a json.Number with the digits of the table. A name that is there twice gets
// _2, _3. A column that the format does not know has numbers if all of its cells are such of JSON.
func typed(t *csvmerge.Table) (names []string, row func(i int) []any) {
	texts := map[int]bool{} // columns without a json.Number
	for k, column := range t.Columns() {
		names = append(names, column)
		for n := 2; slices.Contains(names[:k], names[k]); n++ {
			names[k] = fmt.Sprintf("%s_%d", column, n)
		}
		texts[k] = slices.Contains(csvmerge.Known(), column) && csvmerge.Types(column) != csvmerge.Number
	}
	for i := range t.Len() {
		for k, c := range t.Row(i) {
			number := csvmerge.Number.Read(c.Text).Value != nil && json.Valid([]byte(c.Text))
			texts[k] = texts[k] || c.Value != nil && !number
		}
	}
	return names, func(i int) (values []any) {
		for k, c := range t.Row(i) {
			if values = append(values, c.Value); !texts[k] && c.Value != nil {
				values[k] = json.Number(strings.TrimSpace(c.Text))
			}
		}
		return values
	}
}

// writeJSON writes an object a row, on a line of its own, with its keys in the order of the table.
func writeJSON(w io.Writer, t *csvmerge.Table, start, comma, end string) {
	names, row := typed(t)
	fmt.Fprint(w, start)
	for i := range t.Len() {
		pairs := make([]string, len(names))
		for k, v := range row(i) {
			pairs[k] = encode(names[k]) + ":" + encode(v)
		}
		if i == t.Len()-1 {
			comma = ""
		}
		fmt.Fprintf(w, "{%s}%s\n", strings.Join(pairs, ","), comma)
	}
	fmt.Fprint(w, end)
}

// writeCSV writes the table tidied: LF, quotes only where they are needed, no markers such as nan,
// statuses by their present names.
func writeCSV(w io.Writer, t *csvmerge.Table) error {
	names, row := typed(t)
	out := csv.NewWriter(w) // keeps its first error
	_ = out.Write(names)
	for i := range t.Len() {
		cells := make([]string, len(names))
		for k, v := range row(i) {
			if v != nil {
				cells[k] = fmt.Sprint(v)
			}
		}
		_ = out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

// encode returns a value as JSON.
func encode(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a name may have < in it
	_ = enc.Encode(v)        // a text or a number has no error
	return strings.TrimSuffix(b.String(), "\n")
}

// writeConformers writes a record for each PM7 conformer of the molecules with the status OK. A
// molecule whose results are not those of its row is left out.
func (pr *project) writeConformers(ctx context.Context, w io.Writer,
	record func(stages.Conformer) (string, error)) error {
	b, err := batch.New(ctx, pr.Config)
	if err != nil {
		return err
	}
	written, without := 0, 0
	var outdated []string
	for i := range pr.Table.Len() {
		if pr.Table.Status(i) != csvmerge.OK {
			without++
			continue
		}
		id := pr.Table.ID(i)
		conformers, current, err := pr.conformers(b, i)
		switch {
		case err != nil:
			return err
		case !current:
			outdated = append(outdated, id)
			continue
		case len(conformers) == 0:
			without++
		}
		for _, c := range conformers {
			text, err := record(c)
			if err != nil {
				return fmt.Errorf("%s, conformer %d: %w", id, c.Rank, err)
			}
			written++
			fmt.Fprint(w, text)
		}
	}
	fmt.Fprintf(os.Stderr, "%d conformers written; %d molecules have none.\n", written, without)
	if len(outdated) > 0 {
		fmt.Fprintf(os.Stderr, "%d molecules were left out: their results are not those of the rows "+
			"any more; mage why %s tells.\n", len(outdated), outdated[0])
	}
	return nil
}

// exported is what the export block of pipeline.hcl says of a row, nothing if there is no such
// block. current is false where the results are not those of the row any more.
func (pr *project) exported(b *batch.Batch, row int) (e stages.Export, current bool, err error) {
	t, id := pr.Table, pr.Table.ID(row)
	if err := csvmerge.SafeID(id); err != nil {
		return e, false, fmt.Errorf("%s: %q: %w", t.Path(), id, err)
	}
	m, current, err := b.Results(row)
	if err != nil || !current {
		return e, false, err
	}
	_, err = m.Export(&e)
	return e, true, err
}

// conformers are those that exported gives, with their files read.
func (pr *project) conformers(
	b *batch.Batch, row int) (out []stages.Conformer, current bool, err error) {
	e, current, err := pr.exported(b, row)
	if err != nil || !current {
		return nil, current, err
	}
	t := pr.Table
	c := stages.Conformer{Molecule: t.ID(row), Status: t.Status(row).String(),
		Reference: pointer[float64](t.Value(row, "H298_cbs"))}
	c.SMILES, _ = t.Value(row, "smiles").(string)
	c.Charge, _ = t.Value(row, "charge").(int64)
	c.Multiplicity, _ = t.Value(row, "multiplicity").(int64)
	out, err = stages.Conformers(e, c)
	return out, true, err
}

// expectedPath has the committed numbers of the table molecules.csv beside it.
const expectedPath = "testdata/reproduce/expected.json"

// expected is what a reproduction must give: of each mol_id the numbers and words, by column of the
// table or stage/conformer.value, and the versions of the programs.
type expected struct {
	Programs  map[string]string         `json:"programs"`
	Molecules map[string]map[string]any `json:"molecules"`
}

// Reproduce computes testdata/reproduce from nothing, in a temporary folder, and compares every
// number with the committed one. With update it writes the new numbers instead.
func Reproduce(ctx context.Context, update bool, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		was, is := &expected{}, &expected{map[string]string{}, map[string]map[string]any{}}
		data, err := os.ReadFile(expectedPath)
		if err == nil {
			err = json.Unmarshal(data, was)
		}
		if err != nil && !update {
			return fmt.Errorf("%s: %w; mage reproduce -update writes it", expectedPath, err)
		}
		dir, err := os.MkdirTemp("", "grimperium-reproduce-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.Table, o.Artefacts = filepath.Join(dir, "molecules.csv"), filepath.Join(dir, "artefacts")
		o.unlogged = true
		if err := os.CopyFS(dir, os.DirFS(filepath.Dir(expectedPath))); err != nil {
			return err
		}
		failed := runBatch(ctx, o)
		if failed != nil && (update || mg.ExitStatus(ended(failed)) != exitFailed) {
			return failed
		}
		if err := with(o, false, func(pr *project) error { return is.collect(ctx, pr) }); err != nil {
			return err
		}
		if !update {
			return cmp.Or(was.compare(os.Stdout, is), failed)
		}
		if data, err = json.MarshalIndent(is, "", " "); err != nil {
			return err
		}
		return os.WriteFile(expectedPath, append(data, '\n'), 0o666)
	})
}

// collect reads what a batch gave: the merged cells without times, and the energies of each
// conformer.
func (is *expected) collect(ctx context.Context, pr *project) error {
	b, err := batch.New(ctx, pr.Config)
	if err != nil {
		return err
	}
	for i := range pr.Table.Len() {
		id := pr.Table.ID(i)
		values := map[string]any{"status": pr.Table.Status(i).String()}
		for _, column := range pr.Pipeline.Merged {
			if v := pr.Table.Value(i, column); v != nil && !strings.HasSuffix(column, "_time") {
				values[column] = v
			}
		}
		log, err := pr.Store.Molecule(id)
		if err != nil {
			return err
		}
		for _, target := range log.Targets() {
			maps.Copy(is.Programs, log.Record(target).Programs)
		}
		conformers, _, err := pr.conformers(b, i)
		if err != nil {
			return err
		}
		for _, c := range conformers {
			values[fmt.Sprintf("conformer %d: hof", c.Rank)] = stages.Round9(c.HOF)
			if c.GFN2 != nil {
				values[fmt.Sprintf("conformer %d: energy", c.Rank)] = stages.Round9(*c.GFN2)
			}
		}
		is.Molecules[id] = values
	}
	return nil
}

// compare prints every difference, and the programs that made the numbers, then and now.
func (was *expected) compare(w io.Writer, is *expected) (err error) {
	all, different := 0, 0
	for _, id := range union(was.Molecules, is.Molecules) {
		old, now := was.Molecules[id], is.Molecules[id]
		all += len(now)
		for _, name := range union(old, now) {
			x, xOK := old[name].(float64)
			y, yOK := now[name].(float64)
			apart, tolerance, more := math.Abs(x-y), stages.Tolerance(name), ""
			if xOK && yOK && tolerance > 0 {
				more = fmt.Sprintf(" (%.3g apart, %g allowed)", apart, tolerance)
			}
			a, b := encode(old[name]), encode(now[name])
			if a != b && (more == "" || apart > tolerance) {
				different++
				fmt.Fprintf(w, "%s %s: was %s, is %s%s\n", id, name, a, b, more)
			}
		}
	}
	if different == 0 {
		fmt.Fprintf(w, "Reproduced: %d numbers and words of %d molecules.\n", all, len(is.Molecules))
	} else {
		err = mg.Fatalf(exitFailed, "%d numbers are not reproduced; "+
			"if they are to be so, mage reproduce -update writes the new ones", different)
	}
	for _, name := range union(was.Programs, is.Programs) {
		if a, b := was.Programs[name], is.Programs[name]; a == b {
			fmt.Fprintf(w, "  %s: %s, as then\n", name, b)
		} else {
			fmt.Fprintf(w, "  %s: then %q, now %q\n", name, a, b)
		}
	}
	return err
}

// union returns the keys of two maps, sorted.
func union[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
