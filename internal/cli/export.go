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
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"grimperium/csvmerge"
	"grimperium/internal/batch"
	"grimperium/internal/command"
	"grimperium/internal/durable"
	"grimperium/internal/formats"
	"grimperium/internal/store"
	"grimperium/stages"
)

// endings are the formats that files with them have. This program does not write all of them.
var endings = map[string]string{".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".sdf": "sdf",
	".xyz": "xyz", ".parquet": "parquet", ".db": "sqlite", ".sqlite": "sqlite",
	".sqlite3": "sqlite", ".xlsx": "xlsx", ".xls": "xls", ".ods": "ods"}

// formatOf is the format that the name of a file tells, "" for none.
func formatOf(path string) string { return endings[strings.ToLower(filepath.Ext(path))] }

// refuseEnding is an error about a file whose name tells another format than what is written.
func refuseEnding(path string, written ...string) error {
	if f := formatOf(path); f != "" && !store.IsURL(path) && !slices.Contains(written, f) {
		return fmt.Errorf("%s: this command writes %s and not %s; give another name", path,
			strings.Join(written, " or "), f)
	}
	return nil
}

// Export writes the table in another format: format, or what out ends with, or json. json, jsonl,
// csv, parquet and sqlite have one entry a row and, if asked for, its conformers. sdf and xyz have
// one record a PM7 conformer. The output goes to standard output, or as a whole to the file out.
func Export(ctx context.Context, format, out string, conformers bool, o Options) error {
	format = cmp.Or(format, formatOf(out), "json")
	return open(ctx, o, false, func(ctx context.Context, pr *project) error {
		if out == "" && binary(format) && term.IsTerminal(int(os.Stdout.Fd())) {
			return fmt.Errorf("-format=%s is no text for a terminal; name a file with -out=",
				format)
		}
		return pr.writeTo(out, func(w io.Writer) error {
			return pr.export(ctx, w, format, conformers)
		})
	})
}

// binary says whether a format is no text.
func binary(format string) bool { return format == "parquet" || format == "sqlite" }

// writeTo writes to a file, or to standard output for "". It refuses what the project needs.
func (pr *project) writeTo(out string, write func(io.Writer) error) error {
	if out == "" {
		return write(os.Stdout)
	}
	if err := pr.refuse(out); err != nil {
		return err
	}
	return replaceFile(out, write)
}

// refuse is an error if out is a table, pipeline.hcl or a file that it names, or an artefact. Other
// tables that share the artefacts count, too.
func (pr *project) refuse(out string, tables ...string) error {
	if strings.HasPrefix(out, "sqlite:") || store.IsURL(out) {
		return fmt.Errorf("-out=%s: is the place of a table; name a file", out)
	}
	what := map[string]string{pr.Pipeline.Path: "the pipeline"}
	others, err := pr.Store.OthersThan(pr.Pipeline.Table)
	if err != nil {
		return err
	}
	for _, path := range slices.Concat(tables, others, []string{pr.Pipeline.Table}) {
		what[path] = "a table"
	}
	for _, path := range pr.Pipeline.Files() {
		what[path] = "a file that the pipeline reads"
	}
	is := ""
	info, missing := os.Stat(out)
	for path, kind := range what {
		if other, err := os.Stat(path); missing == nil && err == nil && os.SameFile(info, other) {
			is = kind
		}
	}
	place, err := filepath.Abs(out)
	if real, err := filepath.EvalSymlinks(place); err == nil {
		place = real
	} else if real, err := filepath.EvalSymlinks(filepath.Dir(place)); err == nil {
		place = filepath.Join(real, filepath.Base(place))
	}
	rel, _ := filepath.Rel(pr.Store.Root(), place)
	if out != "" && filepath.IsLocal(rel) {
		is = "in the artefacts folder"
	}
	if err == nil && is != "" {
		err = fmt.Errorf("-out=%s: that is %s; give another name", out, is)
	}
	return err
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
		if err := pr.evaluate(ctx); err != nil {
			return err
		}
		e = &ensembles{project: pr}
	}
	tell := pr.leaveOut()
	x := newExport(ctx, pr.Table, e, format)
	w := bufio.NewWriter(to) // keeps its first error for Flush
	var err error
	switch format {
	case "json":
		err = writeJSON(w, x, "[\n", ",", "]\n")
	case "jsonl":
		err = writeJSON(w, x, "", "", "")
	case "csv":
		err = writeCSV(w, x)
		if conformers {
			err = errors.New("-conformers: a row of csv has no place for them; take json, jsonl, " +
				"parquet or sqlite")
		}
	case "parquet":
		err = formats.WriteParquet(w, x)
	case "sqlite":
		err = formats.WriteSQLite(ctx, w, x)
	case "sdf", "xyz":
		err = e.write(ctx, w, x, records[format])
	default:
		err = oneOf("-format", format, "json", "jsonl", "csv", "parquet", "sqlite", "sdf", "xyz")
	}
	if err = cmp.Or(err, w.Flush()); err == nil && e != nil {
		e.report(stderr)
	}
	if err == nil {
		tell()
	}
	return err
}

// leaveOut blanks what was computed for rows that a person has edited since, in memory: the numbers
// are of another molecule. tell says so.
func (pr *project) leaveOut() (tell func()) {
	var ids []string
	for i := range pr.Table.Len() {
		if pr.blank(i) {
			ids = append(ids, pr.Table.ID(i))
		}
	}
	return func() {
		if len(ids) > 0 {
			fmt.Fprintf(stderr, "Left out: the numbers of %s, because the row was edited since "+
				"they were computed (%s); %s batch computes them\n",
				batch.Count(len(ids), "molecule"), ids[0], command.Name)
		}
	}
}

// blank blanks the merged cells of a row in memory if a person has edited it since.
func (pr *project) blank(row int) bool {
	if !pr.OfAnother(row) {
		return false
	}
	texts := map[string]string{}
	for _, name := range pr.Pipeline.Merged {
		if slices.Contains(pr.Table.Columns(), name) {
			texts[name] = ""
		}
	}
	pr.Table.SetRecord(row, pr.Table.EditedRecord(row, texts))
	return true
}

// newExport is a table to be exported, with conformers if e is not nil. A format of text gets
// numbers as a json.Number with the digits of the table, and times as the table has them.
func newExport(ctx context.Context, t *csvmerge.Table, e *ensembles, format string) formats.Export {
	x := formats.Export{Rows: t.Len(), Key: slices.Index(t.Columns(), "mol_id")}
	var taken []string // the names that the conformers have beside those of the row
	if e != nil {
		taken = []string{"conformers"}
		for _, tag := range conformerTags(stages.Conformer{}) {
			if format == "sdf" || format == "xyz" {
				taken = append(taken, tag.Name)
			}
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
	x.Columns = kinds(t, taken...)
	x.Row = func(i int) (values []any, conformers [][]any, err error) {
		for k, c := range t.Row(i) {
			switch kind := x.Columns[k].Kind; {
			case c.Value == nil:
			case kind == formats.Number && binary(format):
				c.Value = csvmerge.Number.Value(c.Text)
			case kind == formats.Number:
				c.Value = json.Number(jsonNumber(c.Text))
			case kind == formats.Time && binary(format):
				c.Value, _ = time.Parse(time.RFC3339, c.Value.(string)) // kinds has parsed it
			}
			values = append(values, c.Value)
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

// barePoint leaves out a decimal point without digits behind it.
var barePoint = strings.NewReplacer(".e", "e", ".E", "E")

// jsonNumber is a number with the same digits as JSON writes it: 0.5 for .5, 9 for 9., 7 for +7.
func jsonNumber(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "+")
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	if strings.HasPrefix(text, ".") {
		text = "0" + text
	}
	return sign + barePoint.Replace(strings.TrimSuffix(text, "."))
}

// kinds are the columns of a table, with unique names that are not taken. A column that the format
// does not know has numbers if all of its cells are such, but for 007, which is a text. No integer
// of them is larger than a float64 can hold with all digits. Time stamps are times if all of them
// have a zone.
func kinds(t *csvmerge.Table, taken ...string) (columns []formats.Column) {
	names := slices.Clone(taken)
	for _, name := range t.Columns() {
		names = append(names, formats.Unique(name, names))
		c := formats.Column{Name: names[len(names)-1], Kind: formats.Number,
			Unit: stages.Unit(name)}
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
				text := jsonNumber(c.Text)
				number, ok := csvmerge.Number.Read(strings.TrimSpace(c.Text)).Value.(float64)
				long := strings.Trim(text, "-0123456789") == "" && math.Abs(number) > 1<<53
				if !ok || long || !json.Valid([]byte(text)) {
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
	written, without int      // conformers, and molecules without one
	outdated         []string // mol_ids whose results are not those of their rows any more
}

// of are the conformers of a row with the status OK whose results are up to date.
func (e *ensembles) of(i int) (conformers []stages.Conformer, err error) {
	current := true
	if e.Table.Status(i) == csvmerge.OK {
		conformers, current, err = e.conformers(i)
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
	fmt.Fprintf(w, "%s written; %s without one.\n", batch.Count(e.written, "conformer"),
		batch.Count(e.without, "molecule"))
	if len(e.outdated) > 0 {
		fmt.Fprintf(w, "Left out, because the results are not up to date: %s; %s why %s shows "+
			"what changed.\n", batch.Count(len(e.outdated), "molecule"), command.Name,
			e.outdated[0])
	}
}

// exportBlock is what the export block of pipeline.hcl says of a row, nothing if there is no such
// block. current is false where the results are not those of the row any more.
func (pr *project) exportBlock(row int) (e stages.Export, current bool, err error) {
	t, id := pr.Table, pr.Table.ID(row)
	if err := csvmerge.SafeID(id); err != nil {
		return e, false, fmt.Errorf("%s: %q: %w", t.Path(), id, err)
	}
	m, current, err := pr.batch.Results(row)
	if err != nil || !current {
		return e, false, err
	}
	_, err = m.Export(&e)
	return e, true, err
}

// conformers are those of the export block, with their files read.
func (pr *project) conformers(row int) (out []stages.Conformer, current bool, err error) {
	e, current, err := pr.exportBlock(row)
	if err != nil || !current {
		return nil, current, err
	}
	t := pr.Table
	out, err = stages.Conformers(e, stages.Conformer{Molecule: t.ID(row),
		Reference: pointer[float64](t.Value(row, "H298_cbs"))})
	return out, true, err
}
