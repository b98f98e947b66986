package csvmerge

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Finding is one thing that is wrong with a row.
type Finding struct {
	Line    int    `json:"line"`    // of the file, from 1
	ID      string `json:"mol_id"`  // of the row
	Column  string `json:"column"`  // "" where it is about the whole row
	Cell    string `json:"cell"`    // the cell's text
	Problem string `json:"problem"` // what is wrong
	Want    string `json:"want"`    // what would be right
	Fatal   bool   `json:"-"`       // no batch may run on this table
	Warning bool   `json:"-"`       // worth a word, but the row can be used
	Swallow bool   `json:"-"`       // a warning: the cell may be several rows
}

// String is the finding for a person, without the name of the file: "7: mol_00006: charge "x": not
// an integer (…)".
func (f Finding) String() string {
	text := fmt.Sprintf("%d: ", f.Line)
	if f.ID != "" {
		text += f.ID + ": "
	}
	if f.Column != "" {
		text += fmt.Sprintf("%s %q: ", f.Column, f.Cell)
	}
	if text += f.Problem; f.Want != "" {
		text += " (" + f.Want + ")"
	}
	return text
}

// Check returns everything that is wrong with the rows, in the order of the file. A finding that is
// neither fatal nor a warning means that its row can't be used. Fatal are a mol_id that is there
// twice, can't be the name of a folder, or names the same folder as another one on a disk that
// ignores letter case or how accents are stored (macOS does both). Warnings are bad cells in
// columns that only we write, which the next result replaces; a name behind a SMILES; and a cell
// with so many line breaks that a stray quote may have swallowed rows.
func (t *Table) Check() []Finding {
	c := checker{t: t, good: make([][]byte, len(t.columns))}
	for i := range t.rows {
		c.row(i)
	}
	return c.found
}

// CheckRows calls check for rows, on all cores at once, and returns what it finds in the order of
// the rows. It is for checks of one row alone.
func CheckRows(rows []int, check func(i int) []Finding) []Finding {
	found := make([][]Finding, len(rows))
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for n := next.Add(1); n <= int64(len(rows)); n = next.Add(1) {
				found[n-1] = check(rows[n-1])
			}
		})
	}
	group.Wait()
	return slices.Concat(found...)
}

type checker struct {
	t     *Table
	good  [][]byte // a cell of each column in which nothing was wrong: many rows have the same
	short bool     // a row above has fewer cells than the header
	found []Finding
}

func (c *checker) add(i int, f Finding) {
	f.Line, f.ID = c.t.Line(i), c.t.ID(i)
	c.found = append(c.found, f)
}

func (c *checker) row(i int) {
	row, width := c.t.rows[i], len(c.t.columns)
	count, extra := 0, ""
	for k, cell := range cells(c.t.record(row)) {
		if count++; k < width {
			c.cell(i, k, cell)
		} else {
			extra = cmp.Or(extra, strings.TrimSpace(unquote(cell)))
		}
	}
	if extra != "" {
		c.add(i, Finding{Cell: extra,
			Problem: fmt.Sprintf("the row has %d cells, the header %d", count, width),
			Want:    "as many cells as the header; a cell with a comma in it stands in quotes"})
	}
	for k := count; k < width; k++ {
		c.cell(i, k, nil)
	}
	cut := i > 0 && i == len(c.t.rows)-1 && !bytes.Contains(c.t.buf[row.end:], newline)
	if cut && count < width && !c.short {
		c.add(i, Finding{
			Problem: fmt.Sprintf("the last row ends in the middle: %d of %d cells", count, width),
			Want:    "the whole row; the table was probably cut off when it was written or copied"})
	}
	c.short = c.short || count < width
	c.lineBreaks(i)
}

// cell checks a cell, or the lack of one.
func (c *checker) cell(i, column int, cell []byte) {
	col := c.t.known[column]
	switch {
	case col.name == "mol_id":
		c.id(i, cell)
		return
	case col.name == "" || len(cell) == 0 && col.name != "smiles",
		c.good[column] != nil && bytes.Equal(cell, c.good[column]):
		return
	}
	f := Finding{Column: col.name, Cell: unquote(cell), Warning: col.output}
	if f.judge(col); f.Problem == "" {
		c.good[column] = cell
	} else {
		c.add(i, f)
	}
}

// id checks the mol_id of a row on its own and against those of the rows above.
func (c *checker) id(i int, cell []byte) {
	id := c.t.ID(i)
	f := Finding{Column: "mol_id", Fatal: true, Want: "a name such as mol_00001"}
	if err := SafeID(id); isNA(id) {
		f.Problem = "the mol_id is a marker for no value"
	} else if err != nil {
		f.Problem = err.Error()
	} else if f.Problem = c.t.twinProblem(i, id); f.Problem != "" {
		f.Want = "another mol_id; each molecule has its own folder by that name"
	}
	if f.Problem == "" {
		return
	}
	f.Cell = unquote(cell)
	c.add(i, f)
}

// manyBreaks is more line breaks than anybody writes into a cell: a stray quote makes one cell of
// all rows up to the next quote.
const manyBreaks = 11

// lineBreaks warns of cells that have many line breaks, or a row in them.
func (c *checker) lineBreaks(i int) {
	record, line := c.t.record(c.t.rows[i]), c.t.Line(i)
	if bytes.IndexByte(record, '\n') < 0 {
		return
	}
	for k, cell := range cells(record) {
		end := line + bytes.Count(cell, newline)
		if (end-line >= manyBreaks || end > line && c.hasRow(cell, k)) && k < len(c.t.columns) {
			c.add(i, Finding{Column: c.t.columns[k], Cell: shortened(unquote(cell)),
				Warning: true, Swallow: true,
				Problem: fmt.Sprintf("the cell begins on line %d and ends on line %d", line, end),
				Want:    "a cell on one line; a stray quote swallows the rows up to the next quote"})
		}
		line = end
	}
}

// hasRow reports whether a line of a cell in this column looks like a row: a status stands in the
// column of statuses. The first line of the cell begins with this column, the others with the
// first.
func (c *checker) hasRow(cell []byte, column int) bool {
	status := c.t.index["status"]
	for text := range strings.Lines(string(cell[1 : len(cell)-1])) {
		fields := strings.Split(text, ",")
		if n := status - column; (n > 0 || column == 0) && n < len(fields) {
			if s, ok := ParseStatus(fields[n]); ok && s != Unknown {
				return true
			}
		}
		column = 0
	}
	return false
}

// forms are what a cell of a type that is invalid is not, and what it should be.
var forms = map[Type][2]string{
	Text:       {"", "a text"},
	Integer:    {"not an integer", "an integer such as 0, 1 or -1"},
	Number:     {"not a number", "a decimal number such as -17.545"},
	Timestamp:  {"not a date and time of ISO 8601", "a time such as 2026-11-23T00:00:00+00:00"},
	StatusType: {"not a status", "Pending, Selected, Running, OK, Rerun or Skip"},
}

// judge says what is wrong with the cell, and what would be right.
func (f *Finding) judge(col column) {
	text, want := strings.TrimSpace(f.Cell), forms[col.typ][1]
	c := col.typ.Read(text)
	smiles, name, problem := "", "", forms[col.typ][0]
	if col.typ == SMILES {
		smiles, name, problem = SplitSMILES(text)
	}
	switch n, _ := c.Value.(int64); {
	case c.Kind == Empty && col.name == "smiles":
		f.Problem, f.Want = "the SMILES is blank", "the SMILES of the molecule"
	case c.Kind == Invalid && isNA(text):
		f.Problem, f.Want = "a marker for no value", cmp.Or(want, "the SMILES of the molecule")
		if col.name != "smiles" && col.name != "status" {
			f.Want += ", or nothing"
		}
	case c.Kind == Invalid:
		f.Problem, f.Want = problem, want
	case c.Kind == Valid && col.typ == Integer && n < col.least:
		f.Problem, f.Want = "the number is too small", fmt.Sprintf("%d or more", col.least)
	case strings.HasPrefix(name, "|"):
		f.Want, f.Warning = "a plain SMILES", true
		f.Problem = fmt.Sprintf("the CXSMILES %q is left out; the molecule is %s", shortened(name), smiles)
	case name != "":
		f.Want, f.Warning = "a name in a column of its own", true
		f.Problem = fmt.Sprintf("%q is taken as a name; the molecule is %s", shortened(name), smiles)
	}
}
