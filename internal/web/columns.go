package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of the page. A column that would make the table longer than mostBytes is left out, and the
// page says so. A longer cell is cut.
const (
	mostBytes = 6_500_000 // in base64
	mostRunes = 300
	mostWords = 5000 // different texts of a column that is stored as numbers of words
)

// packedColumn is a column as the page gets it. Data is gzip in base64 of JSON: a list of numbers,
// of texts or, with Words, of numbers of words.
type packedColumn struct {
	Name   string   `json:"name"`
	Unit   string   `json:"unit,omitempty"`
	Number bool     `json:"number"`
	Words  []string `json:"words,omitempty"`
	Data   []byte   `json:"data"`
}

// table is what the script of the page reads.
type table struct {
	Rows     int                `json:"rows"`
	Keys     map[string]string  `json:"keys"` // columns by role: id, smiles, reference
	Method   string             `json:"method"`
	Columns  []packedColumn     `json:"columns"`
	Folders  string             `json:"folders"` // the artefacts, as a relative URL
	Zips     [][2]int           `json:"zips"`    // rows whose files are in a zip: first and last
	Geometry map[int][]Geometry `json:"geometry"`
}

// keys are the columns that the script needs, by role.
func (d *Data) keys() map[string]string {
	return map[string]string{"id": "mol_id", "smiles": "smiles", "status": "status",
		"error": "error_message", "reference": d.Reference, "result": d.Result}
}

// pack compresses the columns. Those that the script needs have room first. left are the names of
// the columns that have no room.
func pack(d *Data) (columns []packedColumn, left []string, err error) {
	needed := slices.Collect(maps.Values(d.keys()))
	var first, rest []int // places in the table
	for i, c := range d.Columns {
		if slices.Contains(needed, c.Name) {
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	size, kept := 0, map[int]packedColumn{}
	for _, i := range append(first, rest...) {
		c := d.Columns[i]
		if empty(c.Cells) {
			continue
		}
		p, err := packColumn(c)
		if err != nil {
			return nil, nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
		bytes := len(p.Data)*4/3 + len(strings.Join(p.Words, ""))
		if size+bytes > mostBytes {
			left = append(left, c.Name)
			continue
		}
		size += bytes
		kept[i] = p
	}
	columns = []packedColumn{} // [] in JSON, also of a table without rows
	for _, i := range slices.Sorted(maps.Keys(kept)) {
		columns = append(columns, kept[i])
	}
	return columns, left, nil
}

// zips are the rows whose files are in a zip.
func zips(molecules []Molecule) (rows [][2]int) {
	for i, m := range molecules {
		switch last := len(rows) - 1; {
		case m.Zip && last >= 0 && rows[last][1] == i-1:
			rows[last][1] = i
		case m.Zip:
			rows = append(rows, [2]int{i, i})
		}
	}
	return rows
}

func empty(cells []string) bool {
	for _, c := range cells {
		if c != "" {
			return false
		}
	}
	return true
}

func packColumn(c Column) (p packedColumn, err error) {
	p.Name, p.Unit, p.Number = c.Name, c.Unit, c.Number
	var list any
	if c.Number {
		list = numbersOf(c.Cells)
	} else {
		texts := make([]string, len(c.Cells))
		for i, cell := range c.Cells {
			texts[i] = cut(cell)
		}
		list = texts
		if words, at := wordsOf(texts); words != nil {
			p.Words, list = words, at
		}
	}
	return compress(p, list)
}

// compress fills in the data of a column.
func compress(p packedColumn, list any) (packedColumn, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.DefaultCompression)
	if err != nil {
		return p, err
	}
	if err := json.NewEncoder(z).Encode(list); err != nil {
		return p, err
	}
	err = z.Close()
	p.Data = out.Bytes()
	return p, err
}

// numbersOf returns numbers with the digits of their cells where JSON allows them, else null.
func numbersOf(cells []string) []json.RawMessage {
	out := make([]json.RawMessage, len(cells))
	for i, c := range cells {
		c = strings.TrimSpace(c)
		v, err := strconv.ParseFloat(c, 64)
		switch {
		case err != nil || math.IsNaN(v) || math.IsInf(v, 0):
			out[i] = json.RawMessage("null")
		case json.Valid([]byte(c)):
			out[i] = json.RawMessage(c)
		default:
			out[i] = strconv.AppendFloat(nil, v, 'g', -1, 64)
		}
	}
	return out
}

// wordsOf returns the different texts and the number of each text; nil where most texts differ.
func wordsOf(texts []string) (words []string, at []int) {
	place := map[string]int{}
	for _, t := range texts {
		k, ok := place[t]
		if !ok {
			if k = len(words); k == mostWords || k > 100 && k > len(texts)/4 {
				return nil, nil
			}
			place[t], words = k, append(words, t)
		}
		at = append(at, k)
	}
	return words, at
}

// cut makes a text short and valid.
func cut(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if utf8.RuneCountInString(text) <= mostRunes {
		return text
	}
	return string([]rune(text)[:mostRunes]) + "…"
}
