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
	"time"

	"github.com/magefile/mage/mg"
	"golang.org/x/term"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/durable"
	"grimperium/internal/formats"
	"grimperium/stages"
)

// Export writes the table in another format: json, jsonl, csv, parquet or sqlite with one entry a
// row and, if asked for, its conformers; sdf or xyz with one record a PM7 conformer. It goes to
// standard output, or as a whole to the file out.
func Export(ctx context.Context, format, out string, conformers bool, o Options) error {
	return run(ctx, func(ctx context.Context) error {
		return with(o, false, func(pr *project) error {
			format := cmp.Or(format, "json")
			write := func(w io.Writer) error { return pr.export(ctx, w, format, conformers) }
			binary := format == "parquet" || format == "sqlite"
			if out == "" && binary && term.IsTerminal(int(os.Stdout.Fd())) {
				return fmt.Errorf("-format=%s is no text for a terminal; name a file with -out=", format)
			}
			return pr.writeTo(out, write)
		})
	})
}

// writeTo writes to a file as replaceFile does, or to standard output if it has no name. The table
// itself is refused.
func (pr *project) writeTo(out string, write func(io.Writer) error) error {
	if out == "" {
		return write(os.Stdout)
	}
	a, _ := os.Stat(out) // nil, if there is no file, is not the same as any
	b, _ := os.Stat(pr.Pipeline.Table)
	if os.SameFile(a, b) {
		return fmt.Errorf("-out=%s: that is the table itself; give another name", out)
	}
	return replaceFile(out, write)
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

func (pr *project) export(ctx context.Context, to io.Writer, format string, conformers bool) error {
	records := map[string]func(stages.Conformer) (string, error){
		"sdf": stages.Conformer.SDF, "xyz": stages.Conformer.ExtXYZ}
	var e *ensembles
	if conformers || records[format] != nil {
		b, err := batch.New(ctx, pr.Config)
		if err != nil {
			return err
		}
		e = &ensembles{project: pr, batch: b}
	}
	x := newExport(ctx, pr.Table, e)
	w := bufio.NewWriter(to) // keeps its first error for Flush
	var err error
	switch format {
	case "json":
		err = writeJSON(w, x, "[\n", ",", "]\n")
	case "jsonl":
		err = writeJSON(w, x, "", "", "")
	case "csv":
		if err = writeCSV(w, x); conformers {
			err = errors.New("-conformers: a row of csv has no place for them; take json, jsonl, " +
				"parquet or sqlite")
		}
	case "parquet":
		err = formats.WriteParquet(w, doubles(x))
	case "sqlite":
		err = formats.WriteSQLite(ctx, w, doubles(x))
	case "sdf", "xyz":
		err = e.write(ctx, w, x, records[format])
	default:
		err = fmt.Errorf("-format=%s: json, jsonl, csv, parquet, sqlite, sdf or xyz", format)
	}
	if err = cmp.Or(err, w.Flush()); err == nil && e != nil {
		e.report(os.Stderr)
	}
	return err
}

// newExport is a table to be exported, with conformers if e is not nil. The values of a row are nil,
// a string, an int64, or a json.Number with the digits of the table. A name that is there twice gets
// _2, _3.
func newExport(ctx context.Context, t *csvmerge.Table, e *ensembles) formats.Export {
	x := formats.Export{Rows: t.Len()}
	x.Columns = kinds(t)
	if e != nil {
		for _, tag := range conformerTags(stages.Conformer{}) {
			c := formats.Column{Name: tag.Name, Unit: stages.Unit(tag.Name)}
			switch tag.Value.(type) {
			case int64:
				c.Kind = formats.Integer
			case float64, *float64:
				c.Kind = formats.Number
			}
			x.Conformers = append(x.Conformers, c)
		}
	}
	x.Row = func(i int) (values []any, conformers [][]any, err error) {
		for k, c := range t.Row(i) {
			if values = append(values, c.Value); x.Columns[k].Kind == formats.Number && c.Value != nil {
				values[k] = json.Number(strings.TrimSpace(c.Text))
			}
		}
		if e == nil {
			return values, nil, ctx.Err()
		}
		all, err := e.of(i)
		for _, c := range all {
			var list []any
			for _, tag := range conformerTags(c) {
				if p, ok := tag.Value.(*float64); ok && p != nil {
					tag.Value = *p
				} else if ok || tag.Value == "" {
					tag.Value = nil
				}
				list = append(list, tag.Value)
			}
			conformers = append(conformers, list)
		}
		return values, conformers, cmp.Or(err, ctx.Err())
	}
	return x
}

// conformerTags are what an entry of a row's conformers has: the facts and the geometry.
func conformerTags(c stages.Conformer) []stages.Tag {
	return append(c.Tags(), stages.Tag{Name: "geometry_xyz", Value: c.Frame.XYZ()})
}

// kinds are the columns of a table. A column that the format does not know has numbers if all of
// its cells are such of JSON. Time stamps are times if all of them have a zone.
func kinds(t *csvmerge.Table) (columns []formats.Column) {
	var names []string
	for _, name := range t.Columns() {
		names = append(names, formats.Unique(name, names))
		c := formats.Column{Name: names[len(names)-1], Kind: formats.Number, Unit: stages.Unit(name)}
		switch typ := csvmerge.Types(name); {
		case typ == csvmerge.Integer:
			c.Kind = formats.Integer
		case typ == csvmerge.Timestamp:
			c.Kind = formats.Time
		case typ != csvmerge.Number && slices.Contains(csvmerge.Known(), name):
			c.Kind = formats.Text
		}
		columns = append(columns, c)
	}
	for i := range t.Len() {
		for k, c := range t.Row(i) {
			switch kind := columns[k].Kind; {
			case c.Value == nil:
			case kind == formats.Number:
				number := csvmerge.Number.Read(c.Text).Value != nil
				if !number || !json.Valid([]byte(strings.TrimSpace(c.Text))) {
					columns[k].Kind = formats.Text
				}
			case kind == formats.Time:
				if _, err := time.Parse(time.RFC3339, c.Value.(string)); err != nil {
					columns[k].Kind = formats.Text
				}
			}
		}
	}
	return columns
}

// doubles has the numbers of an export as float64 and the times as time.Time.
func doubles(x formats.Export) formats.Export {
	row := x.Row
	x.Row = func(i int) ([]any, [][]any, error) {
		values, conformers, err := row(i)
		for k, v := range values {
			switch v := v.(type) {
			case json.Number:
				values[k], _ = v.Float64() // Read has parsed it
			case string:
				if x.Columns[k].Kind == formats.Time {
					values[k], _ = time.Parse(time.RFC3339, v) // kinds has parsed it
				}
			}
		}
		return values, conformers, err
	}
	return x
}

// writeJSON writes an object a row, on a line of its own, with its keys in the order of the table.
func writeJSON(w io.Writer, x formats.Export, start, comma, end string) error {
	object := func(columns []formats.Column, values []any) (pairs []string) {
		for k, v := range values {
			pairs = append(pairs, encode(columns[k].Name)+":"+encode(v))
		}
		return pairs
	}
	fmt.Fprint(w, start)
	for i := range x.Rows {
		values, conformers, err := x.Row(i)
		if err != nil {
			return err
		}
		pairs := object(x.Columns, values)
		if x.Conformers != nil {
			var list []string
			for _, c := range conformers {
				list = append(list, "{"+strings.Join(object(x.Conformers, c), ",")+"}")
			}
			pairs = append(pairs, `"conformers":[`+strings.Join(list, ",")+"]")
		}
		if i == x.Rows-1 {
			comma = ""
		}
		fmt.Fprintf(w, "{%s}%s\n", strings.Join(pairs, ","), comma)
	}
	fmt.Fprint(w, end)
	return nil
}

// writeCSV writes the table tidied: LF, quotes only where they are needed, no markers such as nan,
// statuses by their present names.
func writeCSV(w io.Writer, x formats.Export) error {
	out := csv.NewWriter(w) // keeps its first error
	var names []string
	for _, c := range x.Columns {
		names = append(names, c.Name)
	}
	_ = out.Write(names)
	for i := range x.Rows {
		values, _, err := x.Row(i)
		if err != nil {
			return err
		}
		cells := make([]string, len(names))
		for k, v := range values {
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

// ensembles gives the PM7 conformers of rows, and counts what it gave.
type ensembles struct {
	*project
	batch            *batch.Batch
	written, without int      // conformers, and molecules without one
	outdated         []string // mol_ids whose results are not those of their rows any more
}

// of are the conformers of a row with the status OK whose results are up to date.
func (e *ensembles) of(i int) (conformers []stages.Conformer, err error) {
	current := true
	if e.Table.Status(i) == csvmerge.OK {
		conformers, current, err = e.conformers(e.batch, i)
	}
	switch {
	case !current:
		e.outdated = append(e.outdated, e.Table.ID(i))
	case len(conformers) == 0:
		e.without++
	}
	e.written += len(conformers)
	return conformers, err
}

// write writes a record for each conformer, with what the table says of its molecule.
func (e *ensembles) write(ctx context.Context, w io.Writer, x formats.Export,
	record func(stages.Conformer) (string, error)) error {
	for i := range x.Rows {
		conformers, err := e.of(i)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		var row []stages.Tag
		for k, c := range e.Table.Row(i) {
			row = append(row, stages.Tag{Name: x.Columns[k].Name, Value: c.Value})
		}
		for _, c := range conformers {
			c.Row = row
			text, err := record(c)
			if err != nil {
				return fmt.Errorf("%s, conformer %d: %w", c.Molecule, c.Rank, err)
			}
			fmt.Fprint(w, text)
		}
	}
	return nil
}

func (e *ensembles) report(w io.Writer) {
	fmt.Fprintf(w, "%d conformers written; %d molecules have none.\n", e.written, e.without)
	if len(e.outdated) > 0 {
		fmt.Fprintf(w, "%d molecules were left out: their results are not those of the rows "+
			"any more; mage why %s tells.\n", len(e.outdated), e.outdated[0])
	}
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
	out, err = stages.Conformers(e, stages.Conformer{Molecule: t.ID(row),
		Reference: pointer[float64](t.Value(row, "H298_cbs"))})
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
