package csvmerge

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Change is what a molecule's row is to say: the new text of some of its cells, by column.
type Change struct {
	ID    string
	Cells map[string]string
}

// LostError lists the mol_ids whose changes Merge could not write. The other changes are written.
type LostError struct {
	Path     string
	Missing  []string // no row has them any more
	Repeated []string // several rows have them
}

func (e *LostError) Error() string {
	var parts []string
	if len(e.Missing) > 0 {
		parts = append(parts, fmt.Sprintf("no row has the mol_id %s any more; their results are not in the table", some(e.Missing)))
	}
	if len(e.Repeated) > 0 {
		parts = append(parts, fmt.Sprintf("several rows have the mol_id %s; their results are not in the table, keep one row of each and run again", some(e.Repeated)))
	}
	return e.Path + ": " + strings.Join(parts, "; ")
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
// against a crash, and into t. All bytes but those of changed cells stay. A cell that means the same
// already (the same text, or the same number) is left alone, and where no cell differs nothing is
// written. Where the changes have a text for a column that the header lacks, all columns that they name are
// added behind the others, whether or not they have a text for them too, so that their order does not depend on
// whose row comes first; with the first of format v2.1 comes the whole format. All rows are then filled up with empty cells.
//
// A file that someone else changed since it was read or written is read again first, and their changes
// survive. The new file keeps the mode of the old one, and a symbolic link stays one; owner, ACL and hard links
// are not kept. Changes of rows that are gone, or there more than once, are dropped and told by a *LostError
// while the others are written. Any other error with written false means that the file is as it was; with
// written true, that it is replaced but the disk did not confirm it.
func (t *Table) Merge(changes []Change) (written bool, err error) {
	if err := t.checkChanges(changes); err != nil {
		return false, err
	}
	const attempts = 10
	for range attempts {
		if err := t.refresh(); err != nil {
			return false, err
		}
		added, edits, lost, err := t.plan(changes)
		if lost != nil {
			err = lost
		}
		if len(edits) == 0 {
			return false, err
		}
		done, failed := t.replaceFile(edits)
		if done {
			t.apply(added, edits)
		}
		if failed != nil || done {
			return done, cmp.Or(failed, err)
		}
	}
	return false, fmt.Errorf("%s: another program keeps on changing the table, so nothing was written; close it there and run again", t.path)
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
			case !isText(text):
				return fmt.Errorf("%s: %s: the text for %s is not UTF-8 or has a NUL byte in it: %.60q", t.path, c.ID, name, text)
			}
		}
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// edit puts text in place of buf[at:end].
type edit struct {
	at, end int
	text    string
}

// plan works out which columns are to be added and the edits, in order of their place, that make the
// changes. It changes nothing.
func (t *Table) plan(changes []Change) (added []string, edits []edit, lost *LostError, err error) {
	added, err = t.missingColumns(changes)
	if err != nil {
		return nil, nil, nil, err
	}
	rows := map[int]map[int]string{} // row -> column -> text
	for _, c := range changes {
		i, ok := t.Lookup(c.ID)
		if !ok || t.repeated[c.ID] {
			if lost == nil {
				lost = &LostError{Path: t.path}
			}
			if ok {
				lost.Repeated = append(lost.Repeated, c.ID)
			} else {
				lost.Missing = append(lost.Missing, c.ID)
			}
			continue
		}
		if rows[i] == nil {
			rows[i] = map[int]string{}
		}
		for name, text := range c.Cells {
			if k, ok := t.index[name]; ok {
				rows[i][k] = text
			} else if k := slices.Index(added, name); k >= 0 {
				rows[i][len(t.columns)+k] = text
			}
		}
	}
	if len(added) == 0 {
		for _, i := range slices.Sorted(maps.Keys(rows)) {
			edits = t.editRow(edits, i, rows[i], 0)
		}
		return nil, edits, lost, nil
	}
	edits = make([]edit, 1, len(t.rows)+len(t.columns))
	edits[0] = edit{at: t.header.end, end: t.header.end}
	for _, name := range added {
		edits[0].text += "," + quote(name)
	}
	for i := range t.rows {
		edits = t.editRow(edits, i, rows[i], len(added))
	}
	return added, edits, lost, nil
}

// missingColumns returns the names in the changes that the header lacks, if there is a text for one of them: those of
// the formats in their order, then others by name.
func (t *Table) missingColumns(changes []Change) ([]string, error) {
	need := map[string]bool{}
	format, text := false, false
	for _, c := range changes {
		_, inTable := t.Lookup(c.ID)
		for name, cell := range c.Cells {
			k, ok := t.index[name]
			if ok && slices.Contains(t.columns[k+1:], name) {
				return nil, fmt.Errorf("%s: two columns are called %q, so a result can't be written there; rename one of them", t.path, name)
			}
			if !ok && inTable && !t.repeated[c.ID] {
				need[name], text = true, text || strings.TrimSpace(cell) != ""
				known := own(name)
				format = format || known != nil && known.added
			}
		}
	}
	if !text {
		return nil, nil
	}
	var names []string
	for _, c := range ours {
		if _, ok := t.index[c.name]; !ok && (need[c.name] || c.added && format) {
			names = append(names, c.name)
		}
		delete(need, c.name)
	}
	return append(names, slices.Sorted(maps.Keys(need))...), nil
}

// editRow appends the edits that give cells of a row new texts, and the row as many empty cells as there
// are columns added. These go behind the last cell that has a header, so that what stands beyond it in a
// row that is too long gets no header by accident.
func (t *Table) editRow(edits []edit, i int, cells map[int]string, added int) []edit {
	row, width := t.rows[i], len(t.columns)
	count, at := 0, row.start // cells passed, and the end of the last one
	for more := true; more && count < width; count++ {
		var cell []byte
		if count > 0 {
			at++ // the comma
		}
		cell, _, more = cutCell(t.buf[at:row.end])
		if text, ok := cells[count]; ok && !t.same(count, unquote(cell), text) {
			edits = append(edits, edit{at, at + len(cell), quote(text)})
		}
		at += len(cell)
	}
	last := count - 1 // the last column that the row must reach
	if added > 0 {
		last = width + added - 1
	}
	for k, text := range cells {
		if k >= count && strings.TrimSpace(text) != "" {
			last = width + added - 1 // to its full length: readers that want every row as long as the header are many
		}
	}
	if last < count {
		return edits
	}
	const empty = ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
	if n := last + 1 - count; len(cells) == 0 && n <= len(empty) {
		return append(edits, edit{at, at, empty[:n]}) // no string for each of a million rows
	}
	var tail strings.Builder
	for k := count; k <= last; k++ {
		tail.WriteByte(',')
		tail.WriteString(quote(cells[k]))
	}
	return append(edits, edit{at, at, tail.String()})
}

// same reports whether two texts mean the same in a column.
func (t *Table) same(column int, a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(strings.ReplaceAll(b, "\r\n", "\n"))
	if a == b {
		return true
	}
	if c := t.known[column]; c != nil && c.typ != Integer && c.typ != Number {
		return false // 007 and 7 may be two batches
	}
	if m, ok := parseInteger(a); ok {
		n, ok := parseInteger(b)
		return ok && m == n
	}
	x, ok := parseNumber(a)
	if !ok {
		return false
	}
	y, ok := parseNumber(b)
	return ok && x == y
}

// apply makes in memory what the edits have made on the disk.
func (t *Table) apply(added []string, edits []edit) {
	shift, lines, next := 0, 0, 0
	move := func(s *span) {
		s.start, s.line = s.start+shift, s.line+lines
		for ; next < len(edits) && edits[next].at <= s.end; next++ {
			e := edits[next]
			shift += e.growth()
			lines += strings.Count(e.text, "\n") - bytes.Count(t.buf[e.at:e.end], []byte{'\n'})
		}
		s.end += shift
	}
	move(&t.header)
	first := sort.Search(len(t.rows), func(i int) bool { return len(edits) > 0 && t.rows[i].end >= edits[0].at })
	for i := first; i < len(t.rows) && (next < len(edits) || shift != 0 || lines != 0); i++ {
		move(&t.rows[i])
	}
	t.splice(edits, shift)
	for _, name := range added {
		t.index[name] = len(t.columns)
		t.columns, t.known = append(t.columns, name), append(t.known, own(name))
	}
}

// growth is by how many bytes an edit makes the file longer.
func (e edit) growth() int { return len(e.text) - (e.end - e.at) }

// splice makes the edits in the buffer, which they make longer by growth bytes. The parts between them
// are moved within it: those that move up from the last to the first, then those that move down from the
// first to the last, so that nothing is overwritten before it has moved.
func (t *Table) splice(edits []edit, growth int) {
	size := len(t.buf)
	if size+growth > cap(t.buf) {
		t.buf = slices.Grow(t.buf, growth+size/32)
	}
	t.buf = t.buf[:max(size, size+growth)]
	to := make([]int, len(edits)) // where the part behind each edit goes
	shift := 0
	for i, e := range edits {
		shift += e.growth()
		to[i] = e.end + shift
	}
	move := func(i int) {
		end := size
		if i+1 < len(edits) {
			end = edits[i+1].at
		}
		copy(t.buf[to[i]:], t.buf[edits[i].end:end])
	}
	for i, e := range slices.Backward(edits) {
		if to[i] > e.end {
			move(i)
		}
	}
	for i, e := range edits {
		if to[i] < e.end {
			move(i)
		}
	}
	for i, e := range edits {
		copy(t.buf[to[i]-len(e.text):], e.text)
	}
	t.buf = t.buf[:size+growth]
}
