package csvmerge

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// Stream reads a table row by row and keeps one row in memory, for readers of tables that need no whole. It accepts what Read accepts,
// but for what only the whole file can tell: it finds a broken row when it comes to it, and no repeated mol_id.
type Stream struct {
	path   string
	file   *os.File
	csv    *csv.Reader
	header *Table // without rows
	record []string
}

// OpenStream opens a table. The error is that of Read for a file or a header that can't be used. Close it.
func OpenStream(path string) (*Stream, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: can't read the table: %w", path, reason(err))
	}
	s := &Stream{path: path, file: f}
	if err := s.Rewind(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// Rewind goes back to before the first row, of the same file even if another has taken its name.
func (s *Stream) Rewind() error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%s: can't read the table: %w", s.path, reason(err))
	}
	text := bufio.NewReaderSize(s.file, 1<<16)
	if bom, err := text.Peek(3); err == nil && string(bom) == "\ufeff" {
		_, _ = text.Discard(3)
	}
	s.csv = csv.NewReader(text)
	s.csv.FieldsPerRecord, s.csv.ReuseRecord = -1, true
	names, err := s.read()
	if errors.Is(err, io.EOF) {
		names, err = nil, nil
	}
	if err != nil {
		return err
	}
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, quote(name))
	}
	s.header, err = parse(s.path, []byte(strings.Join(quoted, ",")))
	return err
}

func (s *Stream) read() ([]string, error) {
	record, err := s.csv.Read()
	var broken *csv.ParseError
	switch {
	case errors.As(err, &broken):
		return nil, fmt.Errorf("%s:%d:%d: %w; mage validate tells more", s.path, broken.Line, broken.Column, broken.Err)
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: can't read the table: %w", s.path, reason(err))
	}
	for k, cell := range record {
		if !utf8.ValidString(cell) {
			line, column := s.csv.FieldPos(k)
			return nil, fmt.Errorf("%s:%d:%d: the cell is not UTF-8; save the table as CSV UTF-8", s.path, line, column)
		}
	}
	return record, err
}

// Next goes to the next row. It is false, without an error, behind the last.
func (s *Stream) Next() (bool, error) {
	record, err := s.read()
	s.record = record
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

// Columns returns the names of the columns in the order of the header, without spaces around them.
func (s *Stream) Columns() []string { return s.header.Columns() }

// Ours reports whether a column, counted from 0, is one of formats v2.0 and v2.1.
func (s *Stream) Ours(column int) bool { return s.header.known[column] != nil }

// At returns a cell of the present row by the number of its column, from 0.
func (s *Stream) At(column int) Cell {
	if column >= len(s.record) {
		return Cell{}
	}
	text := s.record[column]
	return Cell{text, classify(s.header.typ(column), text)}
}

// Cell returns a cell of the present row by the name of its column; an absent one where there is no such column.
func (s *Stream) Cell(column string) Cell {
	k, ok := s.header.index[column]
	if !ok {
		return Cell{}
	}
	return s.At(k)
}

// Value is what a cell means in a column of a type: an int64, a float64, or a string without spaces around it; nil for what is no value.
func (c Cell) Value(typ Type) any {
	if c.Kind != Valid {
		return nil
	}
	switch typ {
	case Integer:
		n, _ := parseInteger(c.Text)
		return n
	case Number:
		x, _ := parseNumber(c.Text)
		return x
	case StatusType:
		s, _ := ParseStatus(c.Text)
		return s.String()
	case SMILES:
		smiles, _, _ := SplitSMILES(c.Text)
		return smiles
	}
	return strings.TrimSpace(c.Text)
}

// IsNumber reports whether a text is a number as a table's column of numbers may hold it.
func IsNumber(text string) bool {
	_, ok := parseNumber(text)
	return ok
}

// Close closes the file.
func (s *Stream) Close() error { return s.file.Close() }
