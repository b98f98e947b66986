package csvmerge

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type says how the cells of a column are read.
type Type uint8

// The types of columns. A column that is not ours is Text.
const (
	Text       Type = iota
	Integer         // 3, +3, 3.0; not 3.7
	Number          // decimal, with or without an exponent; no infinities
	Timestamp       // ISO 8601
	StatusType      // one of the names that ParseStatus understands
	SMILES          // a SMILES, and perhaps a name behind a blank, which is no part of its value
)

// column is what we know of one of our columns.
type column struct {
	name   string
	typ    Type
	added  bool  // of format v2.1: added to older tables by the first merge that needs one
	output bool  // only ever written by us, so a bad cell in it is no reason to pass over the row
	least  int64 // the smallest value of an Integer
	blank  any   // the value of an empty cell
}

// ours lists the columns of formats v2.0 and v2.1 in the order of the specification ("CSV Format
// Evolution"). Enthalpies and their differences are in kcal/mol, times in seconds.
var ours = []column{
	{name: "mol_id"},
	{name: "status", typ: StatusType, blank: "Pending"},
	{name: "reruns", typ: Integer, blank: int64(0)},
	{name: "smiles", typ: SMILES},
	{name: "multiplicity", typ: Integer, least: 1, blank: int64(1)},
	{name: "charge", typ: Integer, least: math.MinInt64, blank: int64(0)},
	{name: "nheavy", typ: Integer},
	{name: "timestamp_added", typ: Timestamp},
	{name: "H298_cbs", typ: Number},
	{name: "batch_id", output: true},
	{name: "timestamp_started", typ: Timestamp, added: true, output: true},
	{name: "timestamp_completed", typ: Timestamp, added: true, output: true},
	{name: "crest_status", added: true, output: true},
	{name: "crest_conformers_generated", typ: Integer, added: true, output: true},
	{name: "crest_time", typ: Number, added: true, output: true},
	{name: "mopac_status", added: true, output: true},
	{name: "mopac_time", typ: Number, added: true, output: true},
	{name: "delta_1", typ: Number, added: true, output: true},
	{name: "delta_2", typ: Number, added: true, output: true},
	{name: "delta_3", typ: Number, added: true, output: true},
	{name: "most_stable_hof", typ: Number, added: true, output: true},
	{name: "error_message", added: true, output: true},
}

// required are the columns that every table must have.
const required = "mol_id, status, smiles"

// own returns what we know of a column; its name is "" if the column is not ours.
func own(name string) column {
	if i := slices.IndexFunc(ours, func(c column) bool { return c.name == name }); i >= 0 {
		return ours[i]
	}
	return column{}
}

// Known returns the names of the columns of both formats, in the specification's order.
func Known() []string {
	names := make([]string, len(ours))
	for i, c := range ours {
		names[i] = c.name
	}
	return names
}

// Types returns the type of a column by its name; Text for a column that is not ours.
func Types(column string) Type { return own(column).typ }

// Kind tells apart the ways in which a cell can hold no value.
type Kind uint8

// The kinds of cells.
const (
	Absent  Kind = iota // no such column, or the row ends before it
	Empty               // nothing, or only spaces
	Invalid             // an NA marker, or not of the column's type
	Valid
)

// Cell is one cell.
type Cell struct {
	Text  string // as in the file, but without the quotes around it
	Kind  Kind
	Value any // what it means: an int64, a float64 or a string; nil unless Kind is Valid
}

// markers stand for "no value" in tables written by others. Such a cell is invalid, not empty:
// somebody tried to say something.
var markers = []string{"nan", "none", "n/a", "na", "-", "?", "null"}

func isNA(text string) bool {
	return len(text) <= len("none") && slices.Contains(markers, strings.ToLower(text))
}

// Read says what a text is and means in a column of a type: a text or a timestamp without spaces
// around it, a status by its present name, a SMILES without what follows it.
func (typ Type) Read(text string) Cell {
	c := Cell{text, Valid, nil}
	text = strings.TrimSpace(text)
	ok := !isNA(text)
	switch {
	case text == "":
		return Cell{c.Text, Empty, nil}
	case !ok:
	case typ == Integer:
		c.Value, ok = parseInteger(text)
	case typ == Number:
		c.Value, ok = parseNumber(text)
	case typ == StatusType:
		var s Status
		s, ok = ParseStatus(text)
		c.Value = s.String()
	case typ == SMILES:
		smiles, _, problem := SplitSMILES(text)
		c.Value, ok = smiles, problem == ""
	default:
		c.Value, ok = text, typ != Timestamp || isTimestamp(text)
	}
	if !ok {
		return Cell{c.Text, Invalid, nil}
	}
	return c
}

// parseNumber reads a finite decimal number: 5, +5, 0.0, 1e-3. Not 1,5, 0x10, 1_000, inf.
func parseNumber(text string) (float64, bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" { // ParseFloat takes 0x10, 1_000, Inf
		return 0, false
	}
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil
}

// exact is the largest number up to which a float64 tells neighbouring integers apart.
const exact = 1 << 53

// parseInteger reads an integer, also one written as 3.0 or 1e2.
func parseInteger(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	x, ok := parseNumber(text)
	if !ok || x != math.Trunc(x) || math.Abs(x) > exact {
		return 0, false
	}
	return int64(x), true
}

// timestampForms are the forms of ISO 8601 that programs write; a blank for the T is pandas' habit.
// Fractions of a second are understood after any seconds.
var timestampForms = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01-02T15:04Z07:00",
	"2006-01-02T15:04", "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05Z07", "20060102T150405Z0700",
	"20060102T150405", "20060102",
}

func isTimestamp(text string) bool {
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	short := len(text) > 12 && text[12] == ':' // time.Parse would take an hour of one digit
	return !short && slices.ContainsFunc(timestampForms, func(form string) bool {
		_, err := time.Parse(form, text)
		return err == nil
	})
}

// Status is where a molecule stands.
type Status uint8

// The statuses. Unknown is a cell that names none of them; Check reports it.
const (
	Unknown Status = iota
	Pending
	Selected
	Running
	OK
	Rerun
	Skip
)

// String returns the name as it is written into the table.
func (s Status) String() string {
	names := [...]string{"Unknown", "Pending", "Selected", "Running", "OK", "Rerun", "Skip"}
	return names[min(s, Skip)]
}

var statuses = map[string]Status{
	"": Pending, "pending": Pending, "selected": Selected, "running": Running, "ok": OK,
	"complete": OK, "rerun": Rerun, "failed": Rerun, "skip": Skip, "skipped": Skip,
}

// ParseStatus reads a status in any letter case, by its present or its earlier name (PENDING,
// COMPLETE, FAILED, SKIPPED). A blank is Pending; anything else is Unknown, with ok false.
func ParseStatus(text string) (s Status, ok bool) {
	s, ok = statuses[strings.ToLower(strings.TrimSpace(text))]
	return s, ok
}
