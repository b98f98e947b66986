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
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"grimperium/csvmerge"
	"grimperium/internal/durable"
	"grimperium/stages"
)

// Export writes the table in another format: json, jsonl or csv with one entry a row, sdf or xyz
// with one record a PM7 conformer. It goes to standard output, or as a whole to the file out.
func Export(ctx context.Context, format, out string, o Options) (err error) {
	ctx, end := begin(ctx)
	defer end(&err)
	pr, err := open(o, false)
	if err != nil {
		return err
	}
	write, err := pr.exporter(ctx, cmp.Or(format, "json"))
	if err != nil {
		return err
	}
	if out == "" {
		w := bufio.NewWriter(os.Stdout)
		return errors.Join(write(w), w.Flush())
	}
	if a, err := os.Stat(out); err == nil {
		if b, err := os.Stat(pr.Pipeline.Table); err == nil && os.SameFile(a, b) {
			return fmt.Errorf("-out=%s: that is the table itself; give another name", out)
		}
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
	err := durable.WriteFile(durable.File{Path: path, Write: write})
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("%s: is a mount point and can't be replaced; mount its folder instead: %w",
			path, err)
	}
	return err
}

// exporter returns the function that writes a format.
func (pr *project) exporter(ctx context.Context, format string) (func(io.Writer) error, error) {
	rows := func(write rowFormat) func(io.Writer) error {
		return func(w io.Writer) error {
			names, types := fields(pr.Table)
			return write(w, names, typedRows(pr.Table, types))
		}
	}
	conformers := func(record conformerFormat) func(io.Writer) error {
		return func(w io.Writer) error { return pr.exportConformers(ctx, w, record) }
	}
	formats := map[string]func(io.Writer) error{
		"json": rows(objects("[\n", ",\n", "\n]\n", "[]\n")), "jsonl": rows(objects("", "\n", "\n", "")),
		"csv": rows(writeCSV),
		"sdf": conformers(stages.Conformer.SDF), "xyz": conformers(stages.Conformer.ExtXYZ),
	}
	if write := formats[format]; write != nil {
		return write, nil
	}
	return nil, fmt.Errorf("-format=%s: json, jsonl, csv, sdf or xyz", format)
}

// rowFormat writes rows. A value is nil, a string, an int64, a float64, or a json.Number: a number
// with the digits of the table.
type rowFormat func(w io.Writer, names []string, rows iter.Seq[[]any]) error

// typedRows returns the values of each row. A number keeps its digits where JSON allows them: 1.50
// stays 1.50.
func typedRows(t *csvmerge.Table, types []csvmerge.Type) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for i := range t.Len() {
			values := make([]any, len(types))
			for k, c := range t.Row(i) {
				values[k] = types[k].Read(c.Text).Value
				text := strings.TrimSpace(c.Text)
				if _, ok := values[k].(float64); ok && json.Valid([]byte(text)) {
					values[k] = json.Number(text)
				}
			}
			if !yield(values) {
				return
			}
		}
	}
}

// leadingZero is of a text such as 007, which is no number.
var leadingZero = regexp.MustCompile(`^\s*[+-]?0[0-9]`)

// fields returns the names and the types of the columns. A name that is there twice gets _2, _3. A
// column that the format does not know is one of numbers if all of its cells are.
func fields(t *csvmerge.Table) (names []string, types []csvmerge.Type) {
	known, numbers := csvmerge.Known(), map[int]bool{}
	for i := range t.Len() {
		for k, c := range t.Row(i) {
			if number, before := numbers[k]; c.Kind == csvmerge.Valid && (number || !before) {
				number = csvmerge.Number.Read(c.Text).Kind == csvmerge.Valid
				numbers[k] = number && !leadingZero.MatchString(c.Text)
			}
		}
	}
	for k, column := range t.Columns() {
		name, typ := column, csvmerge.Types(column)
		for n := 2; slices.Contains(names, name); n++ {
			name = fmt.Sprintf("%s_%d", column, n)
		}
		if !slices.Contains(known, column) && numbers[k] {
			typ = csvmerge.Number
		}
		names, types = append(names, name), append(types, typ)
	}
	return names, types
}

// objects returns the format with an object a row, whose keys are in the order of the table. The
// texts stand before the first object, between two, after the last, and for no row.
func objects(first, between, last, none string) rowFormat {
	return func(w io.Writer, names []string, rows iter.Seq[[]any]) error {
		before, after := first, none
		keys, pairs := make([]string, len(names)), make([]string, len(names))
		for i, name := range names {
			keys[i] = encode(name) + ":"
		}
		for values := range rows {
			for i, v := range values {
				pairs[i] = keys[i] + encode(v)
			}
			if _, err := io.WriteString(w, before+"{"+strings.Join(pairs, ",")+"}"); err != nil {
				return err
			}
			before, after = between, last
		}
		_, err := io.WriteString(w, after)
		return err
	}
}

// writeCSV writes the table tidied: LF, quotes only where they are needed, no markers such as nan,
// statuses by their present names.
func writeCSV(w io.Writer, names []string, rows iter.Seq[[]any]) error {
	out := csv.NewWriter(w)
	cells := slices.Clone(names)
	_ = out.Write(cells) // Error has the error
	for values := range rows {
		for i, v := range values {
			text, isText := v.(string)
			if !isText && v != nil {
				text = encode(v)
			}
			cells[i] = text
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
