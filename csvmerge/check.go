package csvmerge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Finding is one thing that is wrong with a row.
type Finding struct {
	Line     int      `json:"line"`    // of the file, from 1
	ID       string   `json:"mol_id"`  // of the row
	Column   string   `json:"column"`  // "" where it is about the whole row
	Cell     string   `json:"cell"`    // the cell's text
	Problem  string   `json:"problem"` // what is wrong
	Want     string   `json:"want"`    // what would be right
	Severity Severity `json:"severity"`
	Swallow  bool     `json:"-"` // the cell may be several rows
}

// Severity says what a finding means for a batch.
type Severity int

const (
	Unusable Severity = iota // the row can't be used
	Warning                  // the row can be used
	Fatal                    // no batch may run on the table
)

// MarshalText returns "error", "warning" or "fatal".
func (s Severity) MarshalText() ([]byte, error) {
	return []byte([]string{"error", "warning", "fatal"}[s]), nil
}

// String is the finding for a person: "7: mol_00006: charge "x": not an integer (…)".
func (f Finding) String() string {
	id := f.ID
	if strings.ContainsFunc(id, unicode.IsControl) { // of a terminal, or the end of a line
		id = fmt.Sprintf("%.40q", id)
	}
	text := strings.Replace(fmt.Sprintf("%d: %s: ", f.Line, id), ": : ", ": ", 1)
	if f.Column != "" {
		text += fmt.Sprintf("%s %.40q: ", f.Column, f.Cell)
	}
	return strings.TrimSuffix(text+f.Problem+" ("+f.Want+")", " ()")
}

// OnAllCores does the checks 0 to n-1, each on the next core that is free, and returns their
// findings in this order.
func OnAllCores(n int, check func(k int) []Finding) []Finding {
	found := make([][]Finding, n)
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for k := int(next.Add(1)) - 1; k < n; k = int(next.Add(1)) - 1 {
				found[k] = check(k)
			}
		})
	}
	group.Wait()
	return slices.Concat(found...)
}

// Check returns everything that is wrong with the rows, in the order of the file. A row with a
// finding that is no warning can't be used. A mol_id is fatal if it can't be the name of a folder.
// It is also fatal if another row has the same folder on a disk that ignores letter case and forms
// of accents, as on macOS.
func (t *Table) Check() (found []Finding) {
	blocks := (len(t.rows) + block - 1) / block
	found = OnAllCores(1+blocks, func(k int) []Finding {
		if k == 0 { // takes longest
			return t.checkIDs()
		}
		return t.checkCells(t.rows[(k-1)*block : min(k*block, len(t.rows))])
	})
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return append(found, t.cutOff()...)
}

const block = 4096 // rows that a core checks at a time

// cutOff is a finding if the last row has no end, and lacks cells that all others have.
func (t *Table) cutOff() []Finding {
	last := len(t.rows) - 1
	if last < 1 {
		return nil
	}
	r := t.rows[last]
	cells, end, _ := scan(r.text, nil)
	var above [][]byte
	isShort := func(r row) bool {
		above, _, _ = scan(r.text, above)
		return len(above) < len(t.columns)
	}
	if len(cells) >= len(t.columns) || bytes.Contains(r.text[end:], newline) ||
		slices.ContainsFunc(t.rows[:last], isShort) {
		return nil
	}
	return []Finding{{Line: r.line, ID: r.id,
		Problem: fmt.Sprintf("the last row has only %d of %d cells", len(cells), len(t.columns)),
		Want:    "the whole row; the table was probably cut off when it was written or copied"}}
}

// checkIDs checks the mol_ids on their own and against each other.
func (t *Table) checkIDs() (found []Finding) {
	folders := make(map[string]int, len(t.rows)) // the first row of each
	for i, r := range t.rows {
		// By way of capitals, so that ſ and s, σ and ς are the same.
		folder := norm.NFC.String(strings.ToLower(strings.ToUpper(r.id)))
		above, taken := folders[folder]
		other, err, problem := t.rows[above], SafeID(r.id), ""
		switch {
		case err != nil:
			problem = err.Error()
		case !taken:
			folders[folder] = i
			continue
		case other.id == r.id:
			problem = fmt.Sprintf("the mol_id is on line %d already", other.line)
		default:
			problem = fmt.Sprintf("the mol_id differs only in letter case from %q on line %d",
				other.id, other.line)
		}
		found = append(found, Finding{Line: r.line, ID: r.id, Column: "mol_id", Cell: r.id,
			Severity: Fatal, Problem: problem, Want: "a name of its own, as mol_00001"})
	}
	return found
}

// checkCells checks the other cells of rows.
func (t *Table) checkCells(rows []row) (found []Finding) {
	width := len(t.columns)
	above := make([]Finding, width) // of each column: many rows have the same cell
	var reuse [][]byte
	for i, r := range rows {
		cells, _, _ := scan(r.text, reuse)
		reuse = cells
		add := func(f Finding) {
			if f.Problem != "" {
				f.Line, f.ID = r.line, r.id
				found = append(found, f)
			}
		}
		for k, c := range t.columns {
			if c.typ == Text {
				continue
			}
			cell := text(cells, k)
			if strings.TrimSpace(cell) == "" && c.typ != SMILES {
				continue
			}
			if cell != above[k].Cell || i == 0 {
				above[k] = c.check(cell)
			}
			add(above[k])
		}
		if len(cells) > width && !isBlank(bytes.Join(cells[width:], nil)) {
			add(Finding{
				Problem: fmt.Sprintf("the row has %d cells, the header %d", len(cells), width),
				Want:    "as many cells as the header; a cell with a comma in it stands in quotes"})
		}
		t.checkBreaks(r.line, cells, add)
	}
	return found
}

// checkBreaks adds a finding for each cell that may be several rows.
func (t *Table) checkBreaks(line int, cells [][]byte, add func(Finding)) {
	for k, cell := range cells[:min(len(t.columns), len(cells))] {
		begin, breaks := line, bytes.Count(cell, newline)
		line += breaks
		commas := bytes.Count(cell, []byte{','})
		if breaks >= manyBreaks || breaks > 0 && commas >= breaks*(len(t.columns)-1) {
			add(Finding{Severity: Warning, Swallow: true,
				Column: t.columns[k].name, Cell: text(cells, k),
				Problem: fmt.Sprintf("the cell begins on line %d and ends on line %d", begin, line),
				Want: "a cell on one line; a stray quote swallows the rows up to the next " +
					"quote"})
		}
	}
}

const manyBreaks = 11 // more line breaks than anybody writes into a cell

// wants are what the cells of each Type should be.
var wants = [...]string{
	Integer:    "an integer such as 0, 1 or -1",
	Number:     "a number such as -17.545",
	Timestamp:  "a date and time of ISO 8601 such as 2026-11-23T00:00:00+00:00",
	StatusType: "a status such as Pending, Selected, Running, OK, Rerun or Skip",
	SMILES:     "the SMILES of the molecule",
}

// check says what is wrong with a cell of a column, if anything is.
func (c column) check(text string) (f Finding) {
	cell, text := c.typ.Read(text), strings.TrimSpace(text)
	var smiles, name, problem string
	if c.typ == SMILES {
		smiles, name, problem = splitSMILES(text)
	}
	f = Finding{Column: c.name, Cell: cell.Text, Want: wants[c.typ]}
	if c.added || name != "" {
		f.Severity = Warning
	}
	n, isInteger := cell.Value.(int64)
	switch {
	case text == "":
		f.Problem = "the SMILES is blank"
	case isNA(text):
		f.Problem = "a marker for no value, and no empty cell"
	case cell.Value == nil && c.typ == SMILES:
		f.Problem, f.Want = problem, ""
	case cell.Value == nil:
		form, _, _ := strings.Cut(f.Want, " such as")
		f.Problem = "not " + form
	case isInteger && n < c.least:
		f.Problem, f.Want = "the number is too small", fmt.Sprintf("%d or more", c.least)
	case name != "":
		f.Want = "a name in a column of its own"
		f.Problem = fmt.Sprintf("%.40q is taken as a name; the molecule is %s", name, smiles)
	}
	return f
}

// reserved are the names of files beside the folders, and those that Windows takes for a device.
// The source is "Naming Files, Paths, and Namespaces" by Microsoft.
var reserved = regexp.MustCompile(`^(?i:journal\.jsonl|readme\.md|` +
	`(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?)$`)

// forbidden reports whether a character can't be printed or is one that Windows refuses.
func forbidden(r rune) bool {
	return !unicode.IsPrint(r) || strings.ContainsRune("/\\:*?\"<>|\ufffd", r)
}

// SafeID reports why a mol_id can't be a folder's name on Linux, macOS and Windows; nil if it can.
func SafeID(id string) error {
	switch bad := strings.IndexFunc(id, forbidden); {
	case id == "" || isNA(id):
		return errors.New("the mol_id is blank, or a marker for no value")
	case len(id) > 100: // file systems take 255, and files are named after it with something added
		return errors.New("the mol_id is longer than 100 bytes")
	case bad >= 0:
		_, size := utf8.DecodeRuneInString(id[bad:])
		return fmt.Errorf("the mol_id has %q in it, which a folder name can't have everywhere",
			id[bad:bad+size])
	case !norm.NFC.IsNormalString(id): // HCL has all texts in this form, paths too
		return errors.New("the mol_id has an accent that is a character of its own; type the " +
			"letter with its accent")
	case strings.ContainsAny(id[:1], "-. ") || strings.ContainsAny(id[len(id)-1:], ". "):
		return errors.New(`the mol_id starts with " ", "." or "-", or ends with " " or "."`)
	case strings.EqualFold(filepath.Ext(id), ".zip"):
		return errors.New("the mol_id ends with .zip, as a finished molecule that is one file does")
	case reserved.MatchString(id):
		return errors.New("the mol_id is the name of a file beside the folders, or a device on " +
			"Windows")
	}
	return nil
}
