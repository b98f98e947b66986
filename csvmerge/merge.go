package csvmerge

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Change is what a molecule's row is to say: the new text of some of its cells, by column.
type Change struct {
	ID    string
	Cells map[string]string
	// Valid is asked about the row as the file has it; false drops the change. nil is always true.
	Valid func(row int) bool
}

// LostError lists the mol_ids whose changes Merge could not write, because no row has them any more
// or several rows have them. The other changes are written.
type LostError struct {
	Path string
	IDs  []string
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s: no row has the mol_id %s any more, or several have it; "+
		"the results are not in the table", e.Path, some(e.IDs))
}

// some lists the first few names.
func some(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s (and %d more)", strings.Join(names[:shown], ", "), len(names)-shown)
}

// Merge writes the changes into the table on the disk, by one replacement of the file that is safe
// against a crash, and into t. All bytes but those of changed cells stay. A cell that means the
// same already (the same text, or the same number) is left alone. Where no cell differs, nothing is
// written. If there is a text for a column that the header lacks, all columns that the changes name
// are added behind the others, so that their order does not depend on whose row comes first. With
// the first of format v2.1 comes the whole format. All rows are then filled up with empty cells.
//
// A file that someone else changed is read again first, and their changes survive. While they may
// still be writing it, the error is a *BusyError: call Merge again later. A *LostError tells of rows
// that are gone or there more than once. The new file keeps the mode of the old one, and a symbolic
// link stays one; owner, ACL and hard links are not kept. changed has the mol_ids whose rows were
// written. Any other error with changed nil means that the file is as it was; else, that the disk did
// not confirm the new one.
func (t *Table) Merge(changes []Change) (changed map[string]bool, err error) {
	if err := t.refresh(); err != nil {
		return nil, err
	}
	if err := t.checkChanges(changes); err != nil {
		return nil, err
	}
	texts, lost := t.assign(changes)
	if next, rows := t.merged(texts); next != nil {
		var written bool
		if written, err = t.replace(next); written {
			*t = *next
			changed = make(map[string]bool, len(rows))
			for _, i := range rows {
				changed[t.ID(i)] = true
			}
		}
	}
	if err == nil && lost != nil {
		err = &LostError{t.path, lost}
	}
	return changed, err
}

// checkChanges refuses what would make the table unreadable.
func (t *Table) checkChanges(changes []Change) error {
	for _, c := range changes {
		for name, text := range c.Cells {
			switch {
			case name == "mol_id":
				return fmt.Errorf("%s: %s: the mol_id of a row can't be changed", t.path, c.ID)
			case strings.TrimSpace(name) != name || name == "" || !isText(name):
				return fmt.Errorf("%s: %s: %q can't be the name of a column", t.path, c.ID, name)
			case slices.Contains(t.columns[t.index[name]+1:], name):
				return fmt.Errorf("%s: two columns are called %q; rename one of them", t.path, name)
			case !isText(text):
				return fmt.Errorf("%s: %s: the text for %s is not UTF-8 or has a NUL byte: %.60q",
					t.path, c.ID, name, text)
			}
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// assign returns the texts of the changes by row and name of the column, and the mol_ids that have
// not one row.
func (t *Table) assign(changes []Change) (cells map[int]map[string]string, lost []string) {
	cells = map[int]map[string]string{}
	for _, c := range changes {
		rows := slices.Collect(t.alike(c.ID))
		rows = slices.DeleteFunc(rows, func(i int) bool { return t.ID(i) != c.ID })
		if len(rows) != 1 {
			lost = append(lost, c.ID)
			continue
		}
		if c.Valid != nil && !c.Valid(rows[0]) {
			continue
		}
		if cells[rows[0]] == nil {
			cells[rows[0]] = map[string]string{}
		}
		maps.Copy(cells[rows[0]], c.Cells)
	}
	return cells, lost
}

// merged returns the table with these texts in its cells, nil where no cell differs, and the rows
// that differ by these texts.
func (t *Table) merged(cells map[int]map[string]string) (_ *Table, rows []int) {
	next := *t
	next.index, next.rows = maps.Clone(t.index), make([]span, len(t.rows))
	next.columns, next.known = slices.Clip(t.columns), slices.Clip(t.known)
	next.buf = make([]byte, 0, len(t.buf)+len(t.buf)/32+4096)
	changed, pos, lines := false, 0, 0 // pos is in t.buf, lines by how many next is longer
	place := func(old span, record []byte) span {
		next.buf = append(next.buf, t.buf[pos:old.start]...)
		placed := span{len(next.buf), len(next.buf) + len(record), old.line + lines}
		next.buf, pos = append(next.buf, record...), old.end
		if was := t.record(old); !bytes.Equal(was, record) {
			changed = true
			lines += bytes.Count(record, newline) - bytes.Count(was, newline)
		}
		return placed
	}
	header := string(t.record(t.header))
	for _, name := range t.missingColumns(cells) {
		header += "," + quote(name)
		next.addColumn(name)
	}
	next.header = place(t.header, []byte(header))
	for i, row := range t.rows {
		record := t.record(row)
		if cells[i] != nil || len(next.columns) > len(t.columns) {
			edited := t.edit(record, next.columns, cells[i])
			if cells[i] != nil && !bytes.Equal(edited, record) {
				rows = append(rows, i)
			}
			record = edited
		}
		next.rows[i] = place(row, record)
	}
	next.buf = append(next.buf, t.buf[pos:]...)
	if !changed {
		return nil, nil
	}
	return &next, rows
}

// edit returns a record with new texts in cells, and with as many empty cells as columns are added.
// These go behind the last cell that has a header, so that what stands beyond it in a row that is
// too long gets no header by accident.
func (t *Table) edit(record []byte, columns []string, texts map[string]string) []byte {
	row := make([][]byte, 0, len(columns))
	for k, cell := range cells(record) {
		if k < len(t.columns) {
			if text, ok := texts[columns[k]]; ok && !t.same(k, unquote(cell), text) {
				cell = []byte(quote(text))
			}
		}
		row = append(row, cell)
	}
	count := min(len(row), len(t.columns))
	long := len(columns) > len(t.columns)
	var tail [][]byte
	for _, name := range columns[count:] {
		tail = append(tail, []byte(quote(texts[name])))
		long = long || strings.TrimSpace(texts[name]) != ""
	}
	if long { // to the full length: many readers want every row as long as the header
		row = slices.Insert(row, count, tail...)
	}
	return bytes.Join(row, []byte{','})
}

// missingColumns returns the names in the changes that the header lacks, if there is a text for one
// of them: those of the formats in their order, then others by name.
func (t *Table) missingColumns(cells map[int]map[string]string) (names []string) {
	need := map[string]bool{}
	format, text := false, false
	for _, texts := range cells {
		for name, cell := range texts {
			if _, ok := t.index[name]; !ok {
				need[name], text = true, text || strings.TrimSpace(cell) != ""
				format = format || own(name).added
			}
		}
	}
	if !text {
		return nil
	}
	for _, c := range ours {
		if _, ok := t.index[c.name]; !ok && (need[c.name] || c.added && format) {
			names = append(names, c.name)
		}
		delete(need, c.name)
	}
	return append(names, slices.Sorted(maps.Keys(need))...)
}

// Says reports whether a cell means the same as a text: Merge would leave it alone. A column that is
// not there says "".
func (t *Table) Says(row int, column, text string) bool {
	k, ok := t.index[column]
	return !ok && strings.TrimSpace(text) == "" || ok && t.same(k, t.Cell(row, column).Text, text)
}

// same reports whether two texts mean the same in a column.
func (t *Table) same(column int, a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(strings.ReplaceAll(b, "\r\n", "\n"))
	if a == b {
		return true
	}
	if c := t.known[column]; c.name != "" && c.typ != Integer && c.typ != Number {
		return false // 007 and 7 may be two batches
	}
	if x, y := Integer.Read(a).Value, Integer.Read(b).Value; x != nil || y != nil {
		return x == y
	}
	x, ok := Number.Read(a).Value.(float64)
	return ok && Number.Read(b).Value == x && math.Abs(x) <= exact
}
