package csvmerge

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"
)

// Finding is one thing that is wrong with a row.
type Finding struct {
	Line    int    // of the file, from 1
	ID      string // the row's mol_id
	Column  string // "" where it is about the whole row
	Cell    string // the cell's text
	Problem string // what is wrong
	Want    string // what would be right
	Fatal   bool   // no batch may run on this table
	Warning bool   // worth a word, but the row can be used
}

// String is the finding for a person, without the name of the file: "7: mol_00006: charge "x": not an integer (…)".
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
// neither fatal nor a warning means that its row can't be used. Fatal are a mol_id that is there twice,
// can't be the name of a folder, or names the same folder as another one on a disk that ignores letter case or
// the way accents are stored (macOS does both). Warnings are bad cells
// in columns that only we write: the next result replaces them.
func (t *Table) Check() []Finding {
	c := checker{t: t, folded: map[string]int{}, good: make([][]byte, len(t.columns))}
	for i := range t.rows {
		c.row(i)
	}
	return c.found
}

// CheckRows calls check for rows, on all cores at once, and returns what it finds in the order of the rows. It is for checks of one row alone.
func CheckRows(rows []int, check func(i int) []Finding) []Finding {
	parts := make([][]Finding, len(rows)/chunk+1)
	Chunks(len(rows), func(from, to int) {
		for _, i := range rows[from:to] {
			parts[from/chunk] = append(parts[from/chunk], check(i)...)
		}
	})
	return slices.Concat(parts...)
}

const chunk = 100 // of what there is to do, for one core at a time: a thousand up-to-date molecules keep all of them busy

// Chunks calls do for the parts of a range of n, on all cores at once.
func Chunks(n int, do func(from, to int)) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for from := 0; from < n; from += chunk {
		group.Go(func() error {
			do(from, min(from+chunk, n))
			return nil
		})
	}
	_ = group.Wait()
}

type checker struct {
	t      *Table
	folded map[string]int // the mol_ids that fold changes, folded -> row
	good   [][]byte       // a cell of each column in which nothing was wrong: many rows have the same
	found  []Finding
}

func (c *checker) row(i int) {
	t := c.t
	rest := t.buf[t.rows[i].start:t.rows[i].end]
	count, extra := 0, ""
	for more := true; more; count++ {
		var cell []byte
		cell, rest, more = cutCell(rest)
		switch {
		case count >= len(t.columns):
			if text := unquote(cell); extra == "" && strings.TrimSpace(text) != "" {
				extra = text
			}
		case t.known[count] == nil, len(cell) == 0 && !t.known[count].required:
		case t.known[count].name == "mol_id":
			c.id(i, cell)
		case c.good[count] == nil || !bytes.Equal(cell, c.good[count]):
			if c.cell(i, t.known[count], cell) {
				c.good[count] = cell
			}
		}
	}
	if extra != "" {
		c.add(i, Finding{Cell: extra, Problem: fmt.Sprintf("the row has %d cells, the header %d", count, len(t.columns)),
			Want: "as many cells as the header; a cell with a comma in it stands in quotes"})
	}
	for k := count; k < len(t.columns); k++ {
		switch name := t.columns[k]; name {
		case "mol_id":
			c.id(i, nil)
		case "smiles":
			c.cell(i, t.known[k], nil)
		}
	}
}

func (c *checker) add(i int, f Finding) {
	f.Line, f.ID = c.t.Line(i), c.t.ID(i)
	c.found = append(c.found, f)
}

// id checks the mol_id of a row, in this cell, on its own and against the other ones.
func (c *checker) id(i int, cell []byte) {
	f := Finding{Column: "mol_id", Fatal: true, Want: "another mol_id; each molecule has its own folder by that name"}
	id := c.t.ID(i)
	lower := fold(id)
	first, inTable, other, seen := i, false, i, false
	if lower != id {
		first, inTable = c.t.Lookup(lower)
		other, seen = c.folded[lower]
	}
	same := i
	if c.t.repeated[id] {
		same, _ = c.t.Lookup(id)
	}
	switch err := SafeID(id); {
	case id == "":
		f.Problem = "the mol_id is blank"
	case isNA(id):
		f.Problem, f.Want = "the mol_id is a marker for no value", "a name such as mol_00001"
	case err != nil:
		f.Problem, f.Want = err.Error(), "a name such as mol_00001"
	case same != i:
		f.Problem = fmt.Sprintf("the mol_id is on line %d already", c.t.Line(same))
	case lower != id && inTable:
		f.Problem = fmt.Sprintf("the mol_id differs only in %s from %q on line %d", difference(id, lower), lower, c.t.Line(first))
	case lower != id && seen:
		f.Problem = fmt.Sprintf("the mol_id differs only in %s from %q on line %d", difference(id, c.t.ID(other)), c.t.ID(other), c.t.Line(other))
	default:
		if lower != id {
			c.folded[lower] = i
		}
		return
	}
	f.Cell = unquote(cell)
	c.add(i, f)
}

// fold makes names equal that are one on a disk which ignores letter case and how accents are stored.
func fold(id string) string {
	changes := func(r rune) bool { return r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' }
	if !strings.ContainsFunc(id, changes) {
		return id // the usual case, a million times
	}
	return norm.NFC.String(strings.ToLower(strings.ToUpper(norm.NFC.String(id)))) // by way of capitals: ſ and s, σ and ς
}

// difference says in what two mol_ids differ that fold makes equal.
func difference(a, b string) string {
	if norm.NFC.String(a) == norm.NFC.String(b) {
		return "how its accents are stored (composed or not)"
	}
	return "letter case"
}

// cell checks a cell of one of our columns but mol_id.
func (c *checker) cell(i int, col *column, cell []byte) (good bool) {
	problem, want := cellProblem(col, cell)
	if problem == "" && col.typ == SMILES {
		return c.name(i, cell)
	}
	if problem != "" {
		c.add(i, Finding{Column: col.name, Cell: unquote(cell), Problem: problem, Want: want, Warning: col.output})
	}
	return problem == ""
}

// name warns of what follows the SMILES in its cell.
func (c *checker) name(i int, cell []byte) (good bool) {
	text := unquote(cell)
	smiles, name, _ := SplitSMILES(text)
	if name == "" {
		return true
	}
	f := Finding{Column: "smiles", Cell: text, Warning: true, Want: "a name in a column of its own",
		Problem: fmt.Sprintf("%q is taken as a name; the molecule is %s", shortened(name), smiles)}
	if strings.HasPrefix(name, "|") {
		f.Problem = fmt.Sprintf("the CXSMILES %q is left out; the molecule is %s", shortened(name), smiles)
		f.Want = "a plain SMILES"
	}
	c.add(i, f)
	return false
}

// cellProblem says what is wrong with a cell, and what would be right. It allocates nothing for a short cell in which nothing is.
func cellProblem(col *column, cell []byte) (problem, want string) {
	if len(cell) > 0 && cell[0] == '"' {
		cell = []byte(unquote(cell))
	}
	switch kind := classify(col.typ, string(cell)); {
	case kind == Empty && col.name == "smiles":
		return "the SMILES is blank", "the SMILES of the molecule"
	case kind == Invalid:
		return invalid(col.typ, strings.TrimSpace(string(cell)))
	case kind == Valid && (col.name == "multiplicity" || col.name == "reruns" || col.name == "nheavy"):
		least := int64(0)
		if col.name == "multiplicity" {
			least = 1
		}
		if n, _ := parseInteger(string(cell)); n < least {
			return "the number is too small", fmt.Sprintf("%d or more", least)
		}
	}
	return "", ""
}

// invalid says why a text is not of a type, and what would be.
func invalid(typ Type, text string) (problem, want string) {
	switch typ {
	case Integer:
		problem, want = "not an integer", "an integer such as 0, 1 or -1"
	case Number:
		problem, want = "not a number", "a decimal number such as -17.545"
	case Timestamp:
		problem, want = "not a date and time of ISO 8601", "a time such as 2026-11-23T00:00:00+00:00"
	case StatusType:
		problem, want = "not a status", "Pending, Selected, Running, OK, Rerun or Skip"
	case SMILES:
		_, _, problem = SplitSMILES(text)
	}
	if isNA(text) {
		problem = "a marker for no value"
		if want == "" {
			want = "a text"
		}
		if typ != StatusType {
			want += ", or nothing"
		}
	}
	return problem, want
}

// maxID is the longest mol_id in bytes: names of 255 bytes are the limit of the usual file systems,
// and a molecule's files are named after it with something added.
const maxID = 100

// SafeID reports why a mol_id can't be the name of a folder on Linux, macOS and Windows; nil when it can.
func SafeID(id string) error {
	switch {
	case id == "":
		return errors.New("the mol_id is blank")
	case len(id) > maxID:
		return fmt.Errorf("the mol_id is longer than %d bytes", maxID)
	case !utf8.ValidString(id):
		return errors.New("the mol_id is not UTF-8")
	case id[0] == '-' || id[0] == '.' || id[0] == ' ':
		return fmt.Errorf("the mol_id starts with %q", id[0])
	case id[len(id)-1] == '.' || id[len(id)-1] == ' ':
		return fmt.Errorf("the mol_id ends with %q", id[len(id)-1])
	}
	for _, r := range id {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '_' {
			continue // the usual case
		}
		if !unicode.IsPrint(r) || strings.ContainsRune(`/\:*?"<>|`, r) || r == utf8.RuneError {
			return fmt.Errorf("the mol_id has the character %q in it, which a folder name can't have everywhere", r)
		}
	}
	if isDevice(id) {
		return errors.New("the mol_id is the name of a device on Windows")
	}
	if strings.EqualFold(id, journalName) {
		return errors.New("the mol_id is the name of the journal of batches, which lies beside the molecules' folders")
	}
	return nil
}

// journalName is the one file beside the molecules' folders whose name a mol_id could have: the others start with a dot.
const journalName = "journal.jsonl"

// isDevice reports whether Windows takes a file name for a device, which it does with any extension
// (Microsoft, "Naming Files, Paths, and Namespaces").
func isDevice(name string) bool {
	name, _, _ = strings.Cut(name, ".")
	name = strings.TrimRight(name, " ")
	if len(name) > len("CONOUT$") {
		return false
	}
	name = strings.ToUpper(name)
	switch name {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(name, port); ok && utf8.RuneCountInString(n) == 1 && strings.Contains("0123456789¹²³", n) {
			return true
		}
	}
	return false
}
