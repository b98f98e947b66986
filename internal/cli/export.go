package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Export writes the table, or the conformers behind it, in another format: json, jsonl or csv with one entry a row; sdf or xyz with one record a PM7
// conformer. It goes to standard output, or whole or not at all to the file out.
func Export(format, out string, o Options) error { return ended(export(format, out, o)) }

func export(format, out string, o Options) error {
	p, err := load(o)
	if err != nil {
		return err
	}
	if o.Artefacts != "" {
		p.Artefacts = o.Artefacts
	}
	if out == "" {
		return exportTo(os.Stdout, os.Stderr, format, p)
	}
	if sameFile(out, p.Table) {
		return fmt.Errorf("-out=%s: that is the table itself; give another name", out)
	}
	f, err := renameio.NewPendingFile(out, renameio.WithTempDir(filepath.Dir(out)), renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("-out=%s: %w", out, err)
	}
	defer func() { _ = f.Cleanup() }()
	if err := exportTo(f, os.Stderr, format, p); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// exportTo streams: it keeps one row, or one molecule, in memory. What a reader should know of molecules left out goes to about.
func exportTo(w, about io.Writer, format string, p *pipeline.Pipeline) error {
	out := bufio.NewWriterSize(w, 1<<16)
	var err error
	switch format {
	case "", "json":
		err = exportRows(p.Table, &jsonRows{out: out, array: true})
	case "jsonl":
		err = exportRows(p.Table, &jsonRows{out: out})
	case "csv":
		err = exportRows(p.Table, &csvRows{out: csv.NewWriter(out)})
	case "sdf", "xyz":
		var st *store.Store
		if st, err = store.Open(p.Artefacts); err == nil {
			err = exportConformers(out, about, p.Table, st, format, p.Stage(mergedStage) != nil && !p.Stage(mergedStage).Off())
		}
	default:
		return fmt.Errorf("-format=%s: json, jsonl, csv, sdf or xyz", format)
	}
	if e := out.Flush(); err == nil {
		err = e
	}
	return err
}

// field is a column of an export.
type field struct {
	name   string // as in the table, with _2, _3 behind it where it is there again
	typ    csvmerge.Type
	column int
}

// rowWriter is one of the formats with an entry a row.
type rowWriter interface {
	begin([]field) error
	row([]json.RawMessage) error // by field: a number, a string, or null
	end() error
}

func exportRows(table string, w rowWriter) error {
	s, err := csvmerge.OpenStream(table)
	if err != nil {
		return err
	}
	defer s.Close()
	fields, err := fieldsOf(s)
	if err == nil {
		err = w.begin(fields)
	}
	values := make([]json.RawMessage, len(fields))
	for err == nil {
		var ok bool
		if ok, err = s.Next(); !ok {
			break
		}
		for i, f := range fields {
			values[i] = jsonValue(s.At(f.column), f.typ)
		}
		err = w.row(values)
	}
	if err != nil {
		return err
	}
	return w.end()
}

// fieldsOf names the columns apart and gives each a type. A column that is not of our formats is one of numbers when all of its cells are: it is
// read through once for that. A text as 007 is no number.
func fieldsOf(s *csvmerge.Stream) ([]field, error) {
	var fields []field
	used := map[string]bool{}
	var open []int // columns that may be of numbers
	filled := map[int]bool{}
	for k, name := range s.Columns() {
		unique := name
		for n := 2; used[unique]; n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		used[unique] = true
		f := field{unique, csvmerge.Types(name), k}
		if !s.Ours(k) {
			open = append(open, k)
		}
		fields = append(fields, f)
	}
	for len(open) > 0 {
		ok, err := s.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		kept := open[:0]
		for _, k := range open {
			c := s.At(k)
			if c.Kind == csvmerge.Valid && !(csvmerge.IsNumber(c.Text) && !leadingZero(c.Text)) {
				continue
			}
			filled[k] = filled[k] || c.Kind == csvmerge.Valid
			kept = append(kept, k)
		}
		open = kept
	}
	for _, k := range open {
		if filled[k] {
			fields[k].typ = csvmerge.Number
		}
	}
	return fields, s.Rewind()
}

func leadingZero(text string) bool {
	text = strings.TrimLeft(strings.TrimSpace(text), "+-")
	return len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9'
}

// jsonValue keeps a number's own digits where JSON allows them: 1.50 stays 1.50.
func jsonValue(c csvmerge.Cell, typ csvmerge.Type) json.RawMessage {
	switch v := c.Value(typ).(type) {
	case nil:
		return json.RawMessage("null")
	case int64:
		return strconv.AppendInt(nil, v, 10)
	case float64:
		if text := strings.TrimSpace(c.Text); json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
		return strconv.AppendFloat(nil, v, 'g', -1, 64)
	case string:
		return quoteJSON(v)
	}
	return json.RawMessage("null")
}

func quoteJSON(text string) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // SMILES are full of = and may have < in a name
	_ = enc.Encode(text)     // a string has no error
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

// jsonRows writes an object a row, with the keys in the table's order: one line each (jsonl), or an array of them.
type jsonRows struct {
	out   *bufio.Writer
	array bool
	keys  []json.RawMessage
	rows  int
}

func (j *jsonRows) begin(fields []field) error {
	for _, f := range fields {
		j.keys = append(j.keys, quoteJSON(f.name))
	}
	return nil
}

func (j *jsonRows) row(values []json.RawMessage) error {
	switch {
	case j.array && j.rows == 0:
		j.out.WriteString("[\n")
	case j.array:
		j.out.WriteString(",\n")
	case j.rows > 0:
		j.out.WriteByte('\n')
	}
	j.rows++
	j.out.WriteByte('{')
	for i, v := range values {
		if i > 0 {
			j.out.WriteByte(',')
		}
		j.out.Write(j.keys[i])
		j.out.WriteByte(':')
		j.out.Write(v)
	}
	return j.out.WriteByte('}') // a bufio.Writer keeps its first error
}

func (j *jsonRows) end() error {
	switch {
	case j.array && j.rows == 0:
		j.out.WriteString("[]")
	case j.array:
		j.out.WriteString("\n]")
	case j.rows == 0:
		return nil
	}
	return j.out.WriteByte('\n')
}

// csvRows writes the table tidied: LF, quotes only where needed, a blank for every cell that holds no value, statuses by their present names.
type csvRows struct{ out *csv.Writer }

func (c *csvRows) begin(fields []field) error {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	return c.out.Write(names)
}

func (c *csvRows) row(values []json.RawMessage) error {
	cells := make([]string, len(values))
	for i, v := range values {
		switch {
		case string(v) == "null":
		case v[0] == '"':
			if err := json.Unmarshal(v, &cells[i]); err != nil {
				return err
			}
		default:
			cells[i] = string(v)
		}
	}
	return c.out.Write(cells)
}

func (c *csvRows) end() error {
	c.out.Flush()
	return errors.Join(c.out.Error())
}
