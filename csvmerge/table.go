// Package csvmerge reads, checks and rewrites the table of molecules (thermo_pm7.csv). Every byte
// that a merge does not own stays as it was. The file on the disk is a valid table at any instant.
// The package knows the columns of formats v2.0 and v2.1, and no chemistry but where a SMILES ends.
// It takes no lock: one batch at a time may write a table. Its main type is Table. Its files are
// the table and, while it is written, a temporary file beside it. Merge returns a *BusyError while
// another program writes the table, and a *LostError for molecules that the table has no more.
package csvmerge

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Table is a table in memory. Rows are counted from 0; a record of blank cells is none. A Merge
// that finds the file edited may change a row's number. Nobody else may use a Table during Merge.
type Table struct {
	path       string
	top        []byte // a byte order mark and blank records before the header
	header     []byte // as a row's text
	columns    []column
	rows       []row
	rowOf      map[string]int  // the first row of each mol_id
	duplicates map[string]bool // the mol_ids of several rows
	info       fs.FileInfo     // the file as it was read or last written
	edits      int
}

type row struct {
	line   int
	id     string
	status Status
	text   []byte // the record, its line ending, and the blank records below
}

var newline = []byte{'\n'}

// scan reads the record at the start of a text, as encoding/csv would. The cells have their quotes.
// The record ends at end, before its line ending; if it is not ok, a quote is wrong at end.
func scan(text []byte, reuse [][]byte) (cells [][]byte, end int, ok bool) {
	cells = reuse[:0]
	for pos := 0; ; pos++ { // from comma to comma
		start := pos
		for pos < len(text) && text[pos] == '"' { // one behind the closing quote opens it again
			n := bytes.IndexByte(text[pos+1:], '"')
			if n < 0 {
				return cells, start, false
			}
			pos += n + 2
		}
		closed := pos
		for pos < len(text) && text[pos] != ',' && text[pos] != '\n' && text[pos] != '"' {
			pos++
		}
		cell, last := text[start:pos], pos == len(text) || text[pos] == '\n'
		if last {
			cell = bytes.TrimSuffix(cell, []byte{'\r'})
		}
		cells = append(cells, cell)
		switch {
		case closed > start && start+len(cell) != closed:
			return cells, start, false
		case last || text[pos] == '"':
			return cells, start + len(cell), last
		}
	}
}

var unescape = strings.NewReplacer(`""`, `"`, "\r\n", "\n")

// text returns the text of a cell of a record, "" where there is none.
func text(cells [][]byte, k int) string {
	if k < 0 || k >= len(cells) {
		return ""
	}
	cell, quoted := strings.CutPrefix(string(cells[k]), `"`)
	if quoted {
		return unescape.Replace(cell[:len(cell)-1])
	}
	return cell
}

// quote returns a cell that holds the text, in quotes only where RFC 4180 needs them.
func quote(text string) string {
	// With other bytes nobody could read the table.
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "?"), "?")
	if !strings.ContainsAny(text, ",\"\r\n") {
		return text
	}
	return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
}

// isBlank reports whether a record has no text: spreadsheets write deleted rows so.
func isBlank(record []byte) bool {
	blank := func(r rune) bool { return r == ',' || r == '"' || unicode.IsSpace(r) }
	return len(bytes.TrimLeftFunc(record, blank)) == 0
}

// parse makes a Table of the bytes of a file, which it keeps, with at most so many rows.
func parse(path string, buf []byte, most int) (*Table, error) {
	at := len(buf) - len(bytes.TrimPrefix(buf, []byte("\ufeff")))
	n := min(most, bytes.Count(buf, newline))
	t := &Table{path: path, top: buf[:at], rows: make([]row, 0, n),
		rowOf: make(map[string]int, n), duplicates: map[string]bool{}}
	ids, statuses := -1, -1   // the columns
	start, above := 0, &t.top // the text to which blank records belong
	var reuse [][]byte
	for line := 1; at < len(buf) && (t.columns == nil || len(t.rows) < most); {
		cells, size, ok := scan(buf[at:], reuse)
		record := buf[at : at+size]
		reuse = cells
		switch {
		case !ok:
			line += bytes.Count(record, newline)
			column := utf8.RuneCount(record[bytes.LastIndexByte(record, '\n')+1:]) + 1
			return nil, fmt.Errorf("%s:%d:%d: a quote is opened here and never closed before a "+
				`comma or the end of a line; a cell with a quote in it is written "1 ""2"" 3"`,
				path, line, column)
		case isBlank(record):
		case !utf8.Valid(record):
			return nil, fmt.Errorf("%s:%d:1: %.40q is not UTF-8 text; save the table as CSV "+
				"UTF-8, or restore it from a backup", path, line, record)
		case bytes.IndexByte(record, 0) >= 0:
			return nil, fmt.Errorf("%s:%d:1: %.40q has a NUL byte, which no text has; restore the "+
				"table from a backup", path, line, record)
		case t.columns == nil && bytes.IndexByte(bytes.TrimRight(record, "\r\n"), '\r') >= 0:
			return nil, fmt.Errorf("%s:%d:1: lines end with CR alone, as on an old Mac; save the "+
				"table with the line ends LF or CRLF", path, line)
		case t.columns == nil:
			start, above = at, &t.header
			if err := t.readHeader(cells); err != nil {
				return nil, fmt.Errorf("%s:%d:1: %w", path, line, err)
			}
			ids, statuses = t.column("mol_id"), t.column("status")
		default:
			id := strings.TrimSpace(text(cells, ids))
			if _, taken := t.rowOf[id]; taken {
				t.duplicates[id] = true
			} else if id != "" {
				t.rowOf[id] = len(t.rows)
			}
			t.rows = append(t.rows, row{line, id, parseStatus(text(cells, statuses)), nil})
			start, above = at, &t.rows[len(t.rows)-1].text
		}
		_, below, _ := bytes.Cut(buf[at+size:], newline)
		line += bytes.Count(record, newline) + 1
		at = len(buf) - len(below)
		*above = buf[start:at]
	}
	if t.columns == nil {
		return nil, fmt.Errorf("%s: the table is empty; its first line must have %s", path,
			required)
	}
	return t, nil
}

func (t *Table) readHeader(cells [][]byte) error {
	for k := range cells {
		name := strings.TrimSpace(text(cells, k))
		breaks, before := strings.Count(name, "\n"), t.column(name)
		switch {
		case before >= 0 && slices.Contains(Known(), name):
			return fmt.Errorf("column %q is there twice, as number %d and as number %d; rename "+
				"or delete one of them", name, before+1, k+1)
		case breaks >= manyBreaks:
			return fmt.Errorf("the name of column %d has %d line breaks; close its quote", k+1,
				breaks)
		}
		t.columns = append(t.columns, knownColumn(name))
	}
	for name := range strings.SplitSeq(required, ", ") {
		if t.column(name) < 0 {
			return fmt.Errorf("the table has no column %q; its first line must have %s, "+
				"separated by commas, and is %.200q; the command import makes a table of other "+
				"files", name, required, bytes.Join(cells, []byte{','}))
		}
	}
	return nil
}

// column returns the number of the first column of a name, or -1.
func (t *Table) column(name string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
}

// Path returns the path that the table was read from.
func (t *Table) Path() string { return t.path }

// Columns returns the names of the columns in the order of the header, without spaces around them.
func (t *Table) Columns() []string { return names(t.columns) }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// ID returns the mol_id of a row, without spaces around it; "" where there is none.
func (t *Table) ID(i int) string { return t.rows[i].id }

// Line returns the line of the file, from 1, on which a row starts.
func (t *Table) Line(i int) int { return t.rows[i].line }

// Edited returns how often Merge has found the table changed by another program and read it again.
func (t *Table) Edited() int { return t.edits }

// Lookup returns the row of a mol_id: the first one where several have it.
func (t *Table) Lookup(id string) (i int, ok bool) {
	i, ok = t.rowOf[id]
	return i, ok
}

// Row returns the cells of a row, one for each column.
func (t *Table) Row(i int) []Cell {
	row := make([]Cell, len(t.columns))
	cells, _, _ := scan(t.rows[i].text, nil)
	for k, c := range t.columns {
		row[k] = c.typ.Read(text(cells, k))
	}
	return row
}

// Texts returns the Text of the cells of a row in these columns.
func (t *Table) Texts(i int, columns ...string) []string {
	out := make([]string, len(columns))
	cells, _, _ := scan(t.rows[i].text, make([][]byte, 0, 64)) // on the stack
	for k, c := range columns {
		out[k] = text(cells, t.column(c))
	}
	return out
}

// Cell returns a cell of the first column of a name.
func (t *Table) Cell(i int, column string) Cell {
	return knownColumn(column).typ.Read(t.Texts(i, column)[0])
}

// Value returns the Value of a Cell; of a blank charge 0, multiplicity 1, reruns 0, status Pending.
func (t *Table) Value(i int, column string) any {
	if c := t.Cell(i, column); strings.TrimSpace(c.Text) != "" {
		return c.Value
	}
	return knownColumn(column).blank
}

// Status returns the status of a row; a blank is Pending.
func (t *Table) Status(i int) Status { return t.rows[i].status }
