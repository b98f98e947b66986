package formats

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// MostBytes is how long a file may be that is read, and what a Parquet file may unpack to.
const MostBytes = 1 << 30

// Limits of a table that is read: it fits into memory.
const mostColumns, mostCells = 2000, 100_000_000

// Table is what was read: every cell is a text.
type Table struct {
	Names   []string // of the columns; nil: the first record has them, or there are none
	Records []Record
	Notes   []string // what was found out about the form of the file, for a person
	// a decimal comma would be odd: commas separate cells, or numbers have a type of their own
	Commas bool

	cells int
}

// add adds a record of so many cells. A table that becomes too large is an error.
func (t *Table) add(r Record, cells int) error {
	t.cells += cells
	if cells > mostColumns || t.cells > mostCells {
		return fmt.Errorf(":%d: the table has more than %d columns, or than %d cells; split it",
			r.Line, mostColumns, mostCells)
	}
	t.Records = append(t.Records, r)
	return nil
}

// Record is a row.
type Record struct {
	Line      int // on which it begins, from 1; the number of the row in a Parquet file
	Cells     []string
	Structure string // of an SD file: the molfile
}

// Read reads a table or a structure file: CSV, a file of SMILES (.smi), an SD file, or Parquet. CSV
// has commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252. The content decides which it
// is. If it can't, the end of the name does.
func Read(ctx context.Context, path string) (*Table, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such file; name the file to read", path)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a file; name the file to read", path)
	case info.Size() > MostBytes:
		return nil, fmt.Errorf("%s: has %d MB; at most %d are read at once, so split it", path,
			info.Size()>>20, MostBytes>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := parse(ctx, data, strings.ToLower(filepath.Ext(path)))
	if err != nil {
		return nil, fmt.Errorf("%s%w", path, err)
	}
	return t, nil
}

// others are files that are no text, by how they begin.
var others = map[string]string{
	"PK\x03\x04":          "an Excel workbook or a zip file; save it as CSV UTF-8",
	"\xd0\xcf\x11\xe0":    "an Excel workbook; save it as CSV UTF-8",
	"\x1f\x8b":            "compressed; unpack it with gunzip",
	"\xfd7zXZ":            "compressed; unpack it with unxz",
	"BZh":                 "compressed; unpack it with bunzip2",
	"\x28\xb5\x2f\xfd":    "compressed; unpack it with unzstd",
	"SQLite format 3\x00": "a SQLite database; write its table as CSV",
}

// parse reads a file of a name with this end. An error begins with ":LINE: " or ": ".
func parse(ctx context.Context, data []byte, ext string) (*Table, error) {
	if bytes.HasPrefix(data, []byte("PAR1")) {
		t, err := readParquet(ctx, data)
		if err != nil {
			err = fmt.Errorf(": the Parquet file can't be read: %w", err)
		}
		return t, err
	}
	for magic, what := range others {
		if bytes.HasPrefix(data, []byte(magic)) {
			return nil, errors.New(": is " + what)
		}
	}
	text, note := decode(data)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	if strings.TrimSpace(text) == "" {
		return nil, errors.New(": is empty")
	}
	if before, _, found := strings.Cut(text, "\x00"); found {
		return nil, fmt.Errorf(":%d: has a NUL byte, as no text has; save it as CSV UTF-8",
			strings.Count(before, "\n")+1)
	}
	t := &Table{}
	var err error
	switch {
	case strings.Contains(text, "\nM  END") && ext != ".csv":
		t, err = readSDF(text)
	case slices.Contains([]string{".smi", ".smiles", ".ism", ".can", ".cxsmiles"}, ext) &&
		!separated.MatchString(text):
		t = readSMI(text)
	default:
		t, err = readDelimited(text)
	}
	if err == nil && note != "" {
		t.Notes = slices.Insert(t.Notes, 0, note)
	}
	return t, err
}

// decode returns the text of a file, and its encoding if that is not UTF-8.
func decode(data []byte) (text, note string) {
	var form encoding.Encoding = charmap.Windows1252
	note = "Windows-1252"
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		form, note = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM), "UTF-16"
	case utf8.Valid(data):
		return strings.TrimPrefix(string(data), "\ufeff"), ""
	}
	out, _ := form.NewDecoder().Bytes(data) // what can't be decoded becomes U+FFFD
	return string(out), note
}

// separated is a file of SMILES with the separators of CSV: no SMILES has one.
var separated = regexp.MustCompile(`\A(?:\s*#.*\n)*\S*?(?:[ \t]+\|[^|]*\|)?[,;]`)

// separatorLine is the first line that Excel writes and reads to name the separator.
var separatorLine = regexp.MustCompile(`\A"?(?i:sep)=([,;|:\t ])"?\n`)

// separatorOf is the separator of a CSV, and the text of the table. If no line names it, it is the
// one that the first line with a separator has most of.
func separatorOf(text string) (separator, table string) {
	if m := separatorLine.FindStringSubmatch(text); m != nil {
		return m[1], text[len(m[0]):]
	}
	separator = ","
	for line := range strings.Lines(text) {
		line = extension.ReplaceAllString(quoted.ReplaceAllString(line, ""), "")
		for _, c := range []string{";", "\t", "|"} {
			if strings.Count(line, c) > strings.Count(line, separator) {
				separator = c
			}
		}
		if strings.Contains(line, separator) {
			break
		}
	}
	return separator, text
}

// readDelimited reads CSV.
func readDelimited(text string) (*Table, error) {
	separator, table := separatorOf(text)
	before := strings.Count(text[:len(text)-len(table)], "\n")
	t := &Table{Commas: separator == ","}
	if separator != "," {
		shown := "tab"
		if separator != "\t" {
			shown = strconv.Quote(separator)
		}
		t.Notes = append(t.Notes, "separator "+shown)
	}
	r := csv.NewReader(strings.NewReader(table))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = rune(separator[0]), -1, true
	blank := 0
	for {
		cells, err := r.Read()
		if err == io.EOF {
			break
		}
		if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
			return nil, fmt.Errorf(":%d: a quote stands where none can; a cell with a quote in "+
				`it is written "1 ""2"" 3"`, before+wrong.StartLine)
		} else if err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
		line, _ := r.FieldPos(0)
		if strings.TrimSpace(strings.Join(cells, "")) == "" {
			blank++
			continue
		}
		if k := swallowing(cells, separator); k >= 0 {
			begin, _ := r.FieldPos(k)
			return nil, fmt.Errorf(":%d: a cell in quotes goes on to line %d, and seems to have "+
				"rows of the table in it; remove the stray quote, or write the cell on one line",
				before+begin, before+begin+strings.Count(cells[k], "\n"))
		}
		err = t.add(Record{Line: before + line, Cells: slices.Clone(cells)}, len(cells))
		if err != nil {
			return nil, err
		}
	}
	if blank > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("blank rows left out: %d", blank))
	}
	return t, t.cutOff(table)
}

// cutOff is an error if the text ends without a line break, and the last record lacks cells that
// all others have. Records of one cell, as titles, do not count.
func (t *Table) cutOff(text string) error {
	last := len(t.Records) - 1
	if last < 1 || strings.HasSuffix(text, "\n") {
		return nil
	}
	r, least := t.Records[last], mostColumns+1
	for _, above := range t.Records[:last] {
		if len(above.Cells) > 1 {
			least = min(least, len(above.Cells))
		}
	}
	if least > mostColumns || len(r.Cells) >= least {
		return nil
	}
	return fmt.Errorf(":%d: the last row has only %d of %d cells and no line break; the file was "+
		"probably cut off. Get the whole file, or end the row with a line break", r.Line,
		len(r.Cells), least)
}

// swallowing is the cell that may be several rows, which a stray quote makes one, or -1. It has as
// many separators as such rows have. The rule for a table is checkBreaks in csvmerge.
func swallowing(cells []string, separator string) int {
	return slices.IndexFunc(cells, func(cell string) bool {
		breaks := strings.Count(cell, "\n")
		return breaks > 0 && strings.Count(cell, separator) >= max(1, breaks*(len(cells)-1))
	})
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	extension = regexp.MustCompile(`[ \t]+\|[^|]*\|`) // of a SMILES: CXSMILES
)

// smilesLine is a SMILES, in quotes or not, perhaps its extension, and a name.
var smilesLine = regexp.MustCompile(`^("[^"\s]*"|\S*)(` + extension.String() + `)?\s*(.*)$`)

// readSMI reads lines of a SMILES and, behind a blank, a name. The first line may be a header.
// Lines that begin with # are comments.
func readSMI(text string) *Table {
	t, number, comments := &Table{Names: []string{"smiles", "name"}}, 0, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		m := smilesLine.FindStringSubmatch(line)
		isHeader := len(t.Records) == 0 && strings.Contains(strings.ToLower(m[1]), "smiles")
		if strings.HasPrefix(line, "#") {
			comments++
		} else if line != "" && !isHeader {
			cells := []string{unquoted(m[1]) + m[2], unquoted(m[3])}
			t.Records = append(t.Records, Record{Line: number, Cells: cells})
		}
	}
	if comments > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("comment lines left out: %d", comments))
	}
	return t
}

// unquoted is a text without the quotes around it.
func unquoted(text string) string {
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}

// dataItem is a data item of an SD file: its name, and the lines up to a blank one.
var dataItem = regexp.MustCompile(`(?m)^>.*<([^<>\n]+)>.*\n((?:.*\S.*(?:\n|$))*)`)

// readSDF reads an SD file (CTfile formats, BIOVIA): the title of each record, its molfile, and its
// data items, of which each is a column. A second item of one name in a record is a column of the
// same name.
func readSDF(text string) (*Table, error) {
	t, line := &Table{Names: []string{"title"}}, 1
	type item struct {
		name string
		nth  int // of this name in the record, from 1
	}
	column := map[item]int{}
	for record := range strings.SplitSeq(text, "\n$$$$") {
		at := line
		line += strings.Count(record, "\n") + 1
		if at > 1 { // the rest of the line with the dollars
			_, record, _ = strings.Cut(record, "\n")
			at++
		}
		if strings.TrimSpace(record) == "" {
			continue
		}
		molfile, items, _ := strings.Cut(record, "\nM  END")
		title, _, _ := strings.Cut(molfile, "\n")
		r := Record{Line: at, Cells: []string{title}, Structure: molfile + "\nM  END\n"}
		seen := map[string]int{}
		for _, m := range dataItem.FindAllStringSubmatch(items, -1) {
			seen[m[1]]++
			it := item{m[1], seen[m[1]]}
			k, known := column[it]
			if !known {
				k, t.Names = len(t.Names), append(t.Names, m[1])
				column[it] = k
			}
			for len(r.Cells) <= k {
				r.Cells = append(r.Cells, "")
			}
			r.Cells[k] = strings.Join(strings.Split(strings.TrimSpace(m[2]), "\n"), " ")
		}
		if err := t.add(r, len(t.Names)); err != nil {
			return nil, err
		}
	}
	return t, nil
}
