package csvmerge

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type says how the cells of a column are read.
type Type uint8

// The types of columns. A column that the formats don't have is Text.
const (
	Text       Type = iota
	Integer         // 3, +3, 3.0; not 3.7
	Number          // decimal, with or without an exponent; no infinities
	Timestamp       // ISO 8601
	StatusType      // a Status in any letter case, by its present or its earlier name
	SMILES          // a SMILES, and perhaps a name behind a blank, which is no part of its value
)

type column struct {
	name  string
	typ   Type
	added bool  // of format v2.1: only written by us, and added to older tables
	least int64 // the smallest value of an Integer
	blank any   // the value of an empty cell
}

// known lists the columns of formats v2.0 and v2.1 in the order of the specification ("CSV Format
// Evolution"). Enthalpies and their differences are in kcal/mol, times in seconds.
var known = []column{
	{name: "mol_id"},
	{name: "status", typ: StatusType, blank: "Pending"},
	{name: "reruns", typ: Integer, blank: int64(0)},
	{name: "smiles", typ: SMILES},
	{name: "multiplicity", typ: Integer, least: 1, blank: int64(1)},
	{name: "charge", typ: Integer, least: math.MinInt64, blank: int64(0)},
	{name: "nheavy", typ: Integer},
	{name: "timestamp_added", typ: Timestamp},
	{name: "H298_cbs", typ: Number},
	{name: "batch_id"},
	{name: "timestamp_started", typ: Timestamp, added: true},
	{name: "timestamp_completed", typ: Timestamp, added: true},
	{name: "crest_status", added: true},
	{name: "crest_conformers_generated", typ: Integer, added: true},
	{name: "crest_time", typ: Number, added: true},
	{name: "mopac_status", added: true},
	{name: "mopac_time", typ: Number, added: true},
	{name: "delta_1", typ: Number, added: true},
	{name: "delta_2", typ: Number, added: true},
	{name: "delta_3", typ: Number, added: true},
	{name: "most_stable_hof", typ: Number, added: true},
	{name: "error_message", added: true},
}

const required = "mol_id, status, smiles" // the columns that every table must have

// knownColumn returns the column of this name in the formats. Another column has a name alone.
func knownColumn(name string) column {
	if i := slices.IndexFunc(known, func(c column) bool { return c.name == name }); i >= 0 {
		return known[i]
	}
	return column{name: name}
}

func names(columns []column) (names []string) {
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// TimeLayout is the form of a Timestamp that Grimperium writes.
const TimeLayout = "2006-01-02T15:04:05-07:00"

// Known returns the names of the columns of both formats, in the specification's order.
func Known() []string { return names(known) }

// Types returns the type of a column by its name.
func Types(column string) Type { return knownColumn(column).typ }

// Cell is one cell. The zero Cell is one that is not there.
type Cell struct {
	Text  string // as in the file, but without the quotes around it
	Value any    // an int64, a float64 or a string; nil where the text is blank or not of the type
}

// Read returns a cell of this text in a column of a type.
func (typ Type) Read(text string) Cell {
	c := Cell{Text: text}
	text = strings.TrimSpace(text)
	switch {
	case text == "" || isNA(text):
	case typ == Integer:
		c.Value = parseInteger(text)
	case typ == Number:
		c.Value = parseNumber(text)
	case typ == SMILES:
		if smiles, _, problem := splitSMILES(text); problem == "" {
			c.Value = smiles
		}
	case typ == StatusType && parseStatus(text) != Unknown:
		c.Value = parseStatus(text).String()
	case typ == Text || typ == Timestamp && isTimestamp(text):
		c.Value = text
	}
	return c
}

// isNA reports whether a text is a marker for no value, which is not empty. Na is sodium.
func isNA(text string) bool {
	return len(text) < 5 && text != "Na" &&
		strings.Contains("|nan|none|n/a|na|-|?|null|", "|"+strings.ToLower(text)+"|")
}

// parseNumber returns a finite decimal number as a float64, or nil.
func parseNumber(text string) any {
	x, err := strconv.ParseFloat(text, 64)
	// ParseFloat takes 0x10, 1_000, Inf
	if err != nil || strings.Trim(text, "0123456789+-.eE") != "" {
		return nil
	}
	return x
}

const exact = 1 << 53 // up to here a float64 tells neighbouring integers apart

// parseInteger returns an int64, also of 3.0 and 1e2, or nil.
func parseInteger(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	x, ok := parseNumber(text).(float64)
	if !ok || x != math.Trunc(x) || math.Abs(x) > exact {
		return nil
	}
	return int64(x)
}

func isTimestamp(text string) bool {
	day, _, _ := strings.Cut(strings.ReplaceAll(text, "-", "")+"        ", " ")
	_, err := time.Parse("20060102", day[:min(8, len(day))])
	return timestamp.MatchString(text) && err == nil
}

// timestamp is ISO 8601 as programs write it; a blank for the T is pandas' habit.
var timestamp = regexp.MustCompile(`^\d{4}-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])` +
	`([T ]([01]\d|2[0-3]):?[0-5]\d(:?[0-5]\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$`)

// Status is where a molecule stands, as it is written into the table.
type Status string

// The statuses. Unknown is a cell that names none of them; Check reports it.
const (
	Unknown  Status = "Unknown"
	Pending  Status = "Pending"
	Selected Status = "Selected"
	Running  Status = "Running"
	OK       Status = "OK"
	Rerun    Status = "Rerun"
	Skip     Status = "Skip"
)

// String returns the status as a text.
func (s Status) String() string { return string(s) }

var statuses = map[string]Status{
	"": Pending, "pending": Pending, "selected": Selected, "running": Running, "ok": OK,
	"complete": OK, "rerun": Rerun, "failed": Rerun, "skip": Skip, "skipped": Skip,
}

func parseStatus(text string) Status {
	return cmp.Or(statuses[strings.ToLower(strings.TrimSpace(text))], Unknown)
}
