package csvmerge

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The methods below are for a table that is kept elsewhere than in a CSV file: in a database. Its
// rows are the records of a CSV file in memory, so that every command reads every table alike.

// Parse makes a Table of the text of a CSV file. Nothing is read from path or written to it.
func Parse(path string, text []byte) (*Table, error) { return parse(path, text, math.MaxInt) }

// Rows returns t.
func (t *Table) Rows() *Table { return t }

// Claim takes the first n rows for a batch, as the file has them now: a file has no other batch.
// What is wrong with the file, Merge says. See batch.Table.
func (t *Table) Claim(n int, ids []string) (claimed []string, asked int, err error) {
	_ = t.refresh()
	n = min(n, len(ids))
	return ids[:n], n, nil
}

// Origin returns "": a file does not say with what its rows were computed. See batch.Table.
func (t *Table) Origin(string) string { return "" }

// Close does nothing.
func (t *Table) Close() error { return nil }

// Header returns what stands above the first row.
func (t *Table) Header() []byte { return append(bytes.Clone(t.top), t.header...) }

// With returns the table with further columns in its header. The rows are t's own, and short.
func (t *Table) With(columns []string) *Table {
	next := *t
	_, end, _ := scan(t.header, nil)
	header := bytes.Clone(t.header[:end])
	for _, name := range columns {
		header = append(append(header, ','), quote(name)...)
		next.columns = append(slices.Clip(next.columns), knownColumn(name))
	}
	next.header = append(header, t.header[end:]...)
	return &next
}

// Record returns a row with its line ending, and with the blank records below.
func (t *Table) Record(i int) []byte { return t.rows[i].text }

// EditedRecord returns the record of a row with new texts in its cells.
func (t *Table) EditedRecord(i int, texts map[string]string) []byte {
	return t.edit(t.rows[i].text, t.columns, texts)
}

// Forget takes the name from a row that the database has no more: Lookup does not find it.
func (t *Table) Forget(id string) { delete(t.rowOf, id) }

// SetRecord changes a row in memory. The record has the same mol_id.
func (t *Table) SetRecord(i int, record []byte) {
	t.rows[i].text = record
	t.rows[i].status = parseStatus(t.Texts(i, "status")[0])
}

// Value returns what a database has of a cell. It is an int64 or a float64 of a Type of numbers,
// else a text without spaces around it. It is nil if the cell is blank or not of the type.
func (typ Type) Value(cell string) any {
	if typ == Integer || typ == Number {
		v := typ.Read(cell).Value
		if f, ok := v.(float64); ok {
			return f + 0 // SQLite has no -0
		}
		return v
	}
	if cell = strings.TrimSpace(cell); cell == "" {
		return nil
	}
	return cell
}

// Values returns the Value of each cell of a record, by the types of its columns.
func Values(record []byte, types []Type) []any {
	cells, _, _ := scan(record, make([][]byte, 0, 64))
	values := make([]any, len(types))
	for k, typ := range types {
		values[k] = typ.Value(text(cells, k))
	}
	return values
}

// AppendRecord appends a record with these values, of which each is nil, an int64, a float64 or a
// string. The form is an earlier record of the row, or only a line ending: a cell of it that means
// the value keeps its bytes. With short a form that is shorter than the header stays so.
func AppendRecord(to, form []byte, short bool, types []Type, values []any) []byte {
	var space [64][]byte
	cells, end, _ := scan(form, space[:0])
	if end == 0 {
		cells = nil
	}
	last := len(values) - 1
	for short && end > 0 && last >= len(cells) && values[last] == nil {
		last--
	}
	for k, value := range values[:last+1] {
		if k > 0 {
			to = append(to, ',')
		}
		if k < len(cells) && types[k].Value(text(cells, k)) == value {
			to = append(to, cells[k]...)
			continue
		}
		switch v := value.(type) {
		case int64:
			to = strconv.AppendInt(to, v, 10)
		case float64:
			to = strconv.AppendFloat(to, v, 'f', -1, 64)
		case string:
			to = append(to, quote(v)...)
		}
	}
	for _, cell := range cells[min(len(values), len(cells)):] { // beyond the header
		to = append(append(to, ','), cell...)
	}
	return append(to, form[end:]...)
}
