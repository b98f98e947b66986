package csvmerge

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Change is what the row of a molecule is to say. Origin and Hold are for tables of several hosts.
type Change struct {
	ID     string
	Cells  map[string]string  // by column, which is not mol_id
	Valid  func(row int) bool // nil, or whether the row as the file has it may be changed
	Origin string             // with what it was computed, and where; "" if it is not up to date
	Hold   bool               // the batch goes on with the molecule
}

// LostError names the mol_ids that no row has any more, or several rows have.
type LostError struct{ error }

// Merge writes the changes into the table on the disk, by one replacement of the file that is safe
// against a crash, and into t. changed has the mol_ids whose rows were written. All bytes but those
// of changed cells stay. A cell that is the same text or the same number already is left alone. The
// new file keeps the mode and the group of the old one, and as root its owner. ACL and hard links
// are not kept. A link stays one.
//
// If a text is for a missing column, all columns that the changes name are added. If one of these
// is new in format v2.1, the whole format is added. A file that someone else changed is read again
// first. While they may still be writing it, the error is a *BusyError. With a *LostError, the
// other changes are written. After any other error the file is the old one or the new one, whole.
func (t *Table) Merge(changes []Change) (changed map[string]bool, err error) {
	if err := t.refresh(); err != nil {
		return nil, err
	}
	texts, lost := t.Valid(changes)
	next, changed := t.merged(texts)
	if len(changed) > 0 {
		if err := t.replace(next); err != nil {
			return nil, err
		}
	}
	return changed, lost
}

// Valid returns the texts of the changes that may be made, by row and column. The error is a
// *LostError, which concerns the other changes, or nil.
func (t *Table) Valid(changes []Change) (texts map[int]map[string]string, lost error) {
	texts = map[int]map[string]string{}
	var ids []string
	for _, c := range changes {
		row, ok := t.rowOf[c.ID]
		switch {
		case !ok || t.duplicates[c.ID]:
			if !slices.Contains(ids, c.ID) { // it may have failed and come again
				ids = append(ids, c.ID)
			}
		case c.Valid == nil || c.Valid(row):
			if texts[row] == nil {
				texts[row] = map[string]string{}
			}
			maps.Copy(texts[row], c.Cells)
		}
	}
	if len(ids) > 0 {
		lost = &LostError{fmt.Errorf("%s: no row has the mol_id %.200s any more, or several have "+
			"it; results that are not in the table: %d", t.path, strings.Join(ids, ", "), len(ids))}
	}
	return texts, lost
}

// Widened returns the table with the columns that it lacks for these texts. The rows are t's own.
func (t *Table) Widened(texts map[int]map[string]string) *Table { return t.With(t.missing(texts)) }

// merged returns the table with these texts in its cells, and the mol_ids whose rows differ.
func (t *Table) merged(texts map[int]map[string]string) (next *Table, changed map[string]bool) {
	next, changed = t.Widened(texts), map[string]bool{}
	next.rows = slices.Clone(t.rows)
	lines := 0 // by how many next is longer
	for i, r := range t.rows {
		next.rows[i].line += lines
		if texts[i] == nil && len(next.columns) == len(t.columns) {
			continue
		}
		text := t.edit(r.text, next.columns, texts[i])
		if texts[i] != nil && !bytes.Equal(text, r.text) {
			changed[r.id] = true
		}
		next.SetRecord(i, text)
		lines += bytes.Count(text, newline) - bytes.Count(r.text, newline)
	}
	return next, changed
}

// edit returns a row with new texts, and with the cells of new columns before those without any.
func (t *Table) edit(record []byte, columns []column, texts map[string]string) []byte {
	cells, end, _ := scan(record, nil)
	width := min(len(cells), len(t.columns))
	row, beyond := cells[:width:width], cells[width:]
	for k, c := range columns[:width] {
		if change, ok := texts[c.name]; ok && !same(text(row, k), change) {
			row[k] = []byte(quote(change))
		}
	}
	long := len(columns) > len(t.columns)
	for _, c := range columns[width:] {
		row = append(row, []byte(quote(texts[c.name])))
		long = long || strings.TrimSpace(texts[c.name]) != ""
	}
	if !long { // else to the full length: many readers want every row as long as the header
		row = row[:width]
	}
	return append(bytes.Join(append(row, beyond...), []byte{','}), record[end:]...)
}

// missing returns the columns to add: those of the formats in their order, then others by name.
func (t *Table) missing(texts map[int]map[string]string) (names []string) {
	need := map[string]bool{}
	format, found := false, false
	for _, cells := range texts {
		for name, text := range cells {
			if t.column(name) < 0 {
				need[name], format = true, format || knownColumn(name).added
				found = found || strings.TrimSpace(text) != ""
			}
		}
	}
	if !found {
		return nil
	}
	for _, c := range known {
		if t.column(c.name) < 0 && (need[c.name] || c.added && format) {
			names = append(names, c.name)
		}
		delete(need, c.name)
	}
	return append(names, slices.Sorted(maps.Keys(need))...)
}

// Says reports whether a cell means the same as a text: Merge would leave it alone.
func (t *Table) Says(row int, column, text string) bool {
	return same(t.Texts(row, column)[0], text)
}

// same reports whether two texts are the same or the same number. Digits behind a zero are a name.
func same(a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(strings.ReplaceAll(b, "\r\n", "\n"))
	if isPadded(a) || isPadded(b) {
		return a == b
	}
	if x, y := parseInteger(a), parseInteger(b); x != nil || y != nil {
		return a == b || x == y
	}
	x, ok := parseNumber(a).(float64)
	return a == b || ok && parseNumber(b) == x && math.Abs(x) <= exact
}

func isPadded(text string) bool {
	return len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9'
}
