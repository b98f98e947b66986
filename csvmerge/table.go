// Package csvmerge reads, checks and rewrites the table of molecules (thermo_pm7.csv). Every byte
// that a merge does not own stays as it was. The file on the disk is a valid table at any instant.
//
// The package knows the columns of formats v2.0 and v2.1 and what a cell may hold. Of a SMILES it
// knows where the molecule ends and a name begins. It knows no chemistry (electron parity, what a
// SMILES means), schedules nothing and keeps no artefacts. It takes no lock: the caller sees to it
// that one batch at a time writes a table.
//
// Its main type is Table. Its files are the table and, while one is written, a temporary file
// beside the table. Merge returns a *BusyError while another program writes the table, and a
// *LostError for molecules that the table has no more.
package csvmerge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Table is a table in memory: the bytes of the file, and where its rows are. Rows are counted from
// 0 without the header. A record whose cells are all blank is no row, as an empty line is none.
//
// A Merge that finds the file edited by someone else may change a row's number, so what must
// outlast a Merge is kept by mol_id. A Table is not safe for concurrent use while one of the users
// merges.
type Table struct {
	path     string
	buf      []byte
	header   span
	columns  []string
	known    []column       // what we know of each column
	index    map[string]int // a name's first column
	idColumn int            // index["mol_id"]
	rows     []span
	first    map[string]int // a folded mol_id's first row
	twin     map[int]int    // a row's next with the same folded mol_id
	info     fs.FileInfo    // the file as we read or last wrote it
	edited   int
}

// span is where a record is: buf[start:end] without its line ending, on this 1-based line.
type span struct{ start, end, line int }

var byteOrderMark = []byte("\ufeff")

// parse makes a Table of the bytes of a file, which it keeps, with at most so many rows.
func parse(path string, buf []byte, most int) (*Table, error) {
	t := &Table{path: path, buf: buf, rows: make([]span, 0, bytes.Count(buf, newline)+1)}
	start := len(buf) - len(bytes.TrimPrefix(buf, byteOrderMark))
	for line := 1; start < len(buf) && len(t.rows) <= most; {
		end, next, bad := nextRecord(buf, start)
		if bad != nil {
			return nil, t.errorAt(bad.offset, "%s", bad.problem)
		}
		if !isBlank(buf[start:end]) {
			t.rows = append(t.rows, span{start, end, line})
		}
		line += 1 + bytes.Count(buf[start:end], newline)
		start = next
	}
	if err := t.checkText(buf[:start]); err != nil {
		return nil, err
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%s: the table is empty; its first line must name the columns, "+
			"among them %s", path, required)
	}
	t.header, t.rows = t.rows[0], t.rows[1:]
	if err := t.readHeader(); err != nil {
		return nil, err
	}
	t.indexRows()
	return t, nil
}

// ReadHeader returns the names of a table's columns, as Columns does. It reads no rows. The errors
// are those of Read.
func ReadHeader(path string) ([]string, error) {
	if _, err := stat(path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	var buf []byte
	if err == nil {
		defer f.Close()
		buf, err = io.ReadAll(io.LimitReader(f, 1<<20))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	t, err := parse(path, buf, 0)
	if err != nil {
		return nil, err
	}
	return t.columns, nil
}

// checkText finds the first byte that no table has.
func (t *Table) checkText(buf []byte) error {
	if utf8.Valid(buf) && bytes.IndexByte(buf, 0) < 0 {
		return nil
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(buf[i:])
		if r == 0 || r == utf8.RuneError && n < 2 {
			return t.errorAt(i, "the byte 0x%02x is not UTF-8 text; save the table as CSV UTF-8, "+
				"or restore it from a backup", buf[i])
		}
		i += n
	}
}

// errorAt is an error that names the line and the character of an offset.
func (t *Table) errorAt(offset int, problem string, args ...any) error {
	before := t.buf[:offset]
	line := 1 + bytes.Count(before, newline)
	before = bytes.TrimPrefix(before[bytes.LastIndexByte(before, '\n')+1:], byteOrderMark)
	place := fmt.Sprintf("%s:%d:%d: ", t.path, line, utf8.RuneCount(before)+1)
	return errors.New(place + fmt.Sprintf(problem, args...))
}

// readHeader reads the names of the columns. Spaces around a name do not count.
func (t *Table) readHeader() error {
	t.index = map[string]int{}
	offset := t.header.start
	for _, cell := range cells(t.record(t.header)) {
		name := strings.TrimSpace(unquote(cell))
		if first, twice := t.index[name]; twice && own(name).name != "" {
			return t.errorAt(offset, "column %q is there twice, as number %d and as number %d; "+
				"rename or delete one of them", name, first+1, len(t.columns)+1)
		}
		if breaks := bytes.Count(cell, newline); breaks >= manyBreaks {
			return t.errorAt(offset, "the name of column %d has %d line breaks; close its quote",
				len(t.columns)+1, breaks)
		}
		t.addColumn(name)
		offset += len(cell) + 1
	}
	for name := range strings.SplitSeq(required, ", ") {
		if _, ok := t.index[name]; !ok {
			return t.errorAt(t.header.start, "the table has no column %q (needed are %s)%s",
				name, required, t.headerHint())
		}
	}
	return nil
}

func (t *Table) addColumn(name string) {
	if _, twice := t.index[name]; !twice {
		t.index[name] = len(t.columns)
	}
	t.columns, t.known = append(t.columns, name), append(t.known, own(name))
}

// headerHint guesses why a header does not have what it must have.
func (t *Table) headerHint() string {
	header := string(t.record(t.header))
	switch {
	case strings.Contains(header, "\r"):
		return "; its lines end in CR alone: save it with LF or CRLF line endings"
	case !strings.Contains(header, ",") && strings.ContainsAny(header, ";\t"):
		return "; it is separated by semicolons or tabs: save it with commas"
	}
	return "; it has: " + some(t.columns)
}

// indexRows notes which rows have which mol_id.
func (t *Table) indexRows() {
	t.idColumn = t.index["mol_id"]
	t.first, t.twin = make(map[string]int, len(t.rows)), map[int]int{}
	for i := len(t.rows) - 1; i >= 0; i-- {
		id := fold(t.ID(i))
		if below, ok := t.first[id]; ok {
			t.twin[i] = below
		}
		t.first[id] = i
	}
	delete(t.first, "")
}

// alike are the rows whose mol_id fold makes the same as this one, in their order.
func (t *Table) alike(id string) iter.Seq[int] {
	return func(yield func(int) bool) {
		i, ok := t.first[fold(id)]
		for ok && yield(i) {
			i, ok = t.twin[i]
		}
	}
}

func (t *Table) record(s span) []byte { return t.buf[s.start:s.end] }

// raw returns the bytes of a cell; false when the row ends before it.
func (t *Table) raw(i, column int) (cell []byte, ok bool) {
	for k, cell := range cells(t.record(t.rows[i])) {
		if k == column {
			return cell, true
		}
	}
	return nil, false
}

// Path returns the path that the table was read from.
func (t *Table) Path() string { return t.path }

// Columns returns the names of the columns in the order of the header, without spaces around them.
func (t *Table) Columns() []string { return slices.Clone(t.columns) }

// Len returns the number of rows, the header not counted.
func (t *Table) Len() int { return len(t.rows) }

// ID returns the mol_id of a row, without spaces around it; "" where there is none.
func (t *Table) ID(i int) string {
	cell, _ := t.raw(i, t.idColumn)
	return strings.TrimSpace(unquote(cell))
}

// Line returns the line of the file, from 1, on which a row starts.
func (t *Table) Line(i int) int { return t.rows[i].line }

// Edited returns how often Merge has found the table changed by another program and read it again.
func (t *Table) Edited() int { return t.edited }

// Lookup returns the row of a mol_id: the first one where several have it.
func (t *Table) Lookup(id string) (int, bool) {
	for i := range t.alike(id) {
		if t.ID(i) == id {
			return i, true
		}
	}
	return -1, false
}

// Row returns the cells of a row, one for each column of the header.
func (t *Table) Row(i int) []Cell {
	row := make([]Cell, len(t.columns))
	for k, raw := range cells(t.record(t.rows[i])) {
		if k < len(row) {
			row[k] = t.known[k].typ.Read(unquote(raw))
		}
	}
	return row
}

// Cell returns a cell. Where several columns that are not ours have the name, it is the first
// one's.
func (t *Table) Cell(i int, column string) Cell {
	if k, ok := t.index[column]; ok {
		if raw, ok := t.raw(i, k); ok {
			return t.known[k].typ.Read(unquote(raw))
		}
	}
	return Cell{}
}

// Value returns what a cell means: an int64, a float64, or a string (of a text or a timestamp
// without spaces around it; of a status its present name). It is nil where the cell is invalid. An
// empty or absent cell is nil too, unless the column has a default: charge 0, multiplicity 1,
// reruns 0, status Pending.
func (t *Table) Value(i int, column string) any {
	c := t.Cell(i, column)
	if c.Kind == Empty || c.Kind == Absent {
		return own(column).blank
	}
	return c.Value
}

// Status returns the status of a row, as ParseStatus reads it.
func (t *Table) Status(i int) Status {
	s, _ := ParseStatus(t.Cell(i, "status").Text)
	return s
}
