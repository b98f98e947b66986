// Package csvmerge reads, checks and rewrites the table of molecules (thermo_pm7.csv) so that every
// byte that a merge does not own stays as it was, and so that the file on the disk is a valid table at
// any instant.
//
// It knows the columns of formats v2.0 and v2.1 and what a cell may hold; of a SMILES it knows where
// the molecule ends and a name begins. It knows no chemistry
// (electron parity, what a SMILES means), schedules nothing and keeps no artefacts. It takes no lock:
// that one batch at a time writes a table is the caller's business.
package csvmerge

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"strings"
	"unicode/utf8"
)

// Table is a table in memory: the bytes of the file, and where its rows are. Rows are counted from 0
// without the header; a row's number may change in a Merge that finds the file edited by someone else,
// so what must outlast a Merge is to be kept by mol_id. A Table is not safe for concurrent use while
// one of the users merges.
type Table struct {
	path     string
	buf      []byte
	header   span
	columns  []string
	known    []*column      // what we know of each column, nil for a foreign one
	index    map[string]int // a name's first column
	rows     []span
	ids      string // the mol_ids of all rows, one after the other: a string for each would cost more
	idEnd    []int  // row i's mol_id is ids[idEnd[i]:idEnd[i+1]]
	seed     maphash.Seed
	slots    []slot          // by the mol_id's hash, more than half of them free
	repeated map[string]bool // mol_ids that more than one row has
	info     fs.FileInfo     // the file as we read or last wrote it
}

// span is where a record is: buf[start:end] without its line ending, on this 1-based line.
type span struct{ start, end, line int }

// slot is where a mol_id's first row is found: a map of strings would take three times the memory and the time of all the rest.
type slot struct {
	tag uint32 // of the hash
	row int32  // from 1; 0 is a free slot
}

// Read loads a table and checks its form. An error means that the table can't be used at all: there is
// no such file, it is not UTF-8, a required column (mol_id, smiles, status) is missing, one of our
// columns is there twice, or the quotes of a row are wrong. It names the file, and the line and the
// character in it. What is wrong within rows is told by Check.
func Read(path string) (*Table, error) {
	const attempts = 5
	for range attempts {
		buf, info, err := readWhole(path)
		if err != nil {
			return nil, err
		}
		if buf == nil {
			continue
		}
		t, err := parse(path, buf)
		if err != nil {
			return nil, err
		}
		t.info = info
		return t, nil
	}
	return nil, fmt.Errorf("%s: another program is writing the table; run again when it is done", path)
}

// readWhole reads a file into a buffer with a little room behind it, so that most merges can grow the
// rows in place. The buffer is nil when someone wrote the file meanwhile.
func readWhole(path string) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(path) // before opening: opening a named pipe would wait for ever
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: there is no such table; give the path of a CSV file: %w", path, fs.ErrNotExist)
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a file; give the path of a CSV file", path)
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	size := int(info.Size())
	buf := make([]byte, size+size/32+4096)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	after, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	if n != size || !sameFile(info, after) {
		return nil, nil, nil
	}
	return buf[:n], info, nil
}

// reason takes the path off an error of the operating system: our messages have it in front.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// parse makes a Table of the bytes of a file, which it keeps.
func parse(path string, buf []byte) (*Table, error) {
	t := &Table{path: path, buf: buf}
	if err := t.checkText(); err != nil {
		return nil, err
	}
	start := 0
	if bytes.HasPrefix(buf, []byte("\ufeff")) {
		start = len("\ufeff")
	}
	t.rows = make([]span, 0, bytes.Count(buf, []byte{'\n'})+1)
	for line := 1; start < len(buf); {
		end, next, bad := nextRecord(buf, start)
		if bad != nil {
			return nil, t.errorAt(bad.offset, bad.problem)
		}
		if end > start { // an empty line is no row
			t.rows = append(t.rows, span{start, end, line})
		}
		line += 1 + bytes.Count(buf[start:end], []byte{'\n'})
		start = next
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%s: the table is empty; its first line must name the columns, among them %s", path, requiredNames())
	}
	t.header, t.rows = t.rows[0], t.rows[1:]
	if err := t.readHeader(); err != nil {
		return nil, err
	}
	t.indexRows()
	return t, nil
}

// checkText finds bytes that no text file has.
func (t *Table) checkText() error {
	if bytes.HasPrefix(t.buf, []byte{0xff, 0xfe}) || bytes.HasPrefix(t.buf, []byte{0xfe, 0xff}) {
		return fmt.Errorf("%s: the table is UTF-16; save it as CSV UTF-8", t.path)
	}
	if i := bytes.IndexByte(t.buf, 0); i >= 0 {
		return t.errorAt(i, "a NUL byte: the file is damaged or no text; restore it from a backup or from git")
	}
	if utf8.Valid(t.buf) {
		return nil
	}
	for i := 0; ; {
		r, n := utf8.DecodeRune(t.buf[i:])
		if r == utf8.RuneError && n < 2 {
			return t.errorAt(i, fmt.Sprintf("the byte 0x%02x is not UTF-8; save the table as CSV UTF-8", t.buf[i]))
		}
		i += n
	}
}

// errorAt is an error that names the line and the character of an offset.
func (t *Table) errorAt(offset int, problem string) error {
	before := t.buf[:offset]
	line := 1 + bytes.Count(before, []byte{'\n'})
	before = bytes.TrimPrefix(before[bytes.LastIndexByte(before, '\n')+1:], []byte("\ufeff"))
	return fmt.Errorf("%s:%d:%d: %s", t.path, line, utf8.RuneCount(before)+1, problem)
}

// readHeader reads the names of the columns. Spaces around a name do not count.
func (t *Table) readHeader() error {
	t.index = map[string]int{}
	rest := t.buf[t.header.start:t.header.end]
	for more := true; more; {
		var cell []byte
		offset := t.header.end - len(rest)
		cell, rest, more = cutCell(rest)
		name := strings.TrimSpace(unquote(cell))
		c := own(name)
		if first, twice := t.index[name]; !twice {
			t.index[name] = len(t.columns)
		} else if c != nil {
			return t.errorAt(offset, fmt.Sprintf("column %q is there twice, as number %d and as number %d; rename or delete one of them",
				name, first+1, len(t.columns)+1))
		}
		t.columns, t.known = append(t.columns, name), append(t.known, c)
	}
	for _, c := range ours {
		if _, ok := t.index[c.name]; c.required && !ok {
			return t.errorAt(t.header.start, fmt.Sprintf("the table has no column %q (needed are %s)%s", c.name, requiredNames(), t.headerHint()))
		}
	}
	return nil
}

func requiredNames() string {
	var names []string
	for _, c := range ours {
		if c.required {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, ", ")
}

// headerHint guesses why a header does not have what it must have.
func (t *Table) headerHint() string {
	header := t.buf[t.header.start:t.header.end]
	switch {
	case bytes.IndexByte(header, '\r') >= 0:
		return "; its lines end in CR alone: save it with LF or CRLF line endings"
	case bytes.IndexByte(header, ',') < 0 && bytes.IndexByte(header, ';') >= 0:
		return "; it is separated by semicolons: save it with commas"
	case bytes.IndexByte(header, ',') < 0 && bytes.IndexByte(header, '\t') >= 0:
		return "; it is separated by tabs: save it with commas"
	}
	names := strings.Join(t.columns, ", ")
	if len(names) > 300 {
		names = strings.ToValidUTF8(names[:300], "") + " …"
	}
	return "; it has: " + names
}

// indexRows collects the mol_ids.
func (t *Table) indexRows() {
	column := t.index["mol_id"]
	var ids strings.Builder
	t.idEnd = make([]int, 1, len(t.rows)+1)
	for i := range t.rows {
		if cell, ok := t.raw(i, column); ok {
			if len(cell) > 0 && cell[0] == '"' {
				cell = []byte(unquote(cell))
			}
			ids.Write(bytes.TrimSpace(cell))
		}
		if i == 0 {
			ids.Grow(min(len(t.rows)*(ids.Len()+1), len(t.buf))) // most are as long as the first
		}
		t.idEnd = append(t.idEnd, ids.Len())
	}
	t.ids, t.repeated = ids.String(), map[string]bool{}
	t.seed, t.slots = maphash.MakeSeed(), make([]slot, 2<<bits.Len(uint(len(t.rows))))
	for i := range t.rows {
		id := t.ID(i)
		if s, h := t.find(id); s.row > 0 {
			t.repeated[id] = true
		} else if id != "" {
			*s = slot{h, int32(i) + 1}
		}
	}
}

// find returns the slot of a mol_id, or the free one that would be its, with its tag.
func (t *Table) find(id string) (s *slot, tag uint32) {
	h := maphash.String(t.seed, id)
	tag = uint32(h >> 32)
	for ; ; h++ {
		s = &t.slots[h&uint64(len(t.slots)-1)]
		if s.row == 0 || s.tag == tag && t.ID(int(s.row-1)) == id {
			return s, tag
		}
	}
}

// raw returns the bytes of a cell; false when the row ends before it.
func (t *Table) raw(i, column int) (cell []byte, ok bool) {
	rest := t.buf[t.rows[i].start:t.rows[i].end]
	for more := true; more; column-- {
		if cell, rest, more = cutCell(rest); column == 0 {
			return cell, true
		}
	}
	return nil, false
}

// Path returns the path that the table was read from.
func (t *Table) Path() string { return t.path }

// Columns returns the names of the columns in the order of the header, without spaces around them.
func (t *Table) Columns() []string { return append([]string(nil), t.columns...) }

// Len returns the number of rows, the header not counted.
func (t *Table) Len() int { return len(t.rows) }

// ID returns the mol_id of a row, without spaces around it; "" where there is none.
func (t *Table) ID(i int) string { return t.ids[t.idEnd[i]:t.idEnd[i+1]] }

// Line returns the line of the file, from 1, on which a row starts.
func (t *Table) Line(i int) int { return t.rows[i].line }

// Lookup returns the row of a mol_id: the first one where several have it.
func (t *Table) Lookup(id string) (int, bool) {
	s, _ := t.find(id)
	return int(s.row) - 1, s.row > 0
}

// Cell returns a cell. Where several columns that are not ours have the name, it is the first one's.
func (t *Table) Cell(i int, column string) Cell {
	k, ok := t.index[column]
	if !ok {
		return Cell{}
	}
	raw, ok := t.raw(i, k)
	if !ok {
		return Cell{}
	}
	text := unquote(raw)
	return Cell{text, classify(t.typ(k), text)}
}

func (t *Table) typ(column int) Type {
	if c := t.known[column]; c != nil {
		return c.typ
	}
	return Text
}

// Value returns what a cell means: an int64, a float64, or a string (of a text or a timestamp without
// spaces around it; of a status its present name). It is nil where the cell is invalid, and where it is
// empty or absent unless the column has a default: charge 0, multiplicity 1, reruns 0, status Pending.
func (t *Table) Value(i int, column string) any {
	c := t.Cell(i, column)
	if c.Kind == Valid || c.Kind == Invalid {
		return c.Value(Types(column))
	}
	switch column {
	case "status":
		return Pending.String()
	case "charge", "reruns":
		return int64(0)
	case "multiplicity":
		return int64(1)
	}
	return nil
}

// Status returns the status of a row, as ParseStatus reads it.
func (t *Table) Status(i int) Status {
	s, _ := ParseStatus(t.Cell(i, "status").Text)
	return s
}
