package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"grimperium/csvmerge"
)

// commands are the targets of the magefile, in small letters.
var commands = []string{"batch", "bench", "check", "export", "fmt", "graph", "info", "prune",
	"reproduce", "settings", "setup", "stop", "test", "torture", "validate", "why"}

// words returns the words behind the command batch and its flags. They are molecules; mage itself
// would take them for its next commands. If the first word is a command, it and the words behind it
// are left to mage.
func words(args []string) ([]string, error) {
	isCommand := func(word string) bool { return slices.Contains(commands, strings.ToLower(word)) }
	isFlag := func(word string) bool { return strings.HasPrefix(word, "-") }
	at := slices.IndexFunc(args, func(a string) bool { return strings.EqualFold(a, "batch") })
	if at < 1 {
		return nil, nil
	}
	rest := args[at+1:]
	for len(rest) > 0 && isFlag(rest[0]) {
		rest = rest[1:]
	}
	if len(rest) == 0 || isCommand(rest[0]) {
		return nil, nil
	}
	for _, word := range rest {
		switch {
		case isFlag(word):
			return nil, fmt.Errorf("%s must stand before the molecules: mage batch %[1]s %s", word, rest[0])
		case isCommand(word):
			return nil, fmt.Errorf("%s is a command and can't follow molecules; run it by itself", word)
		}
	}
	return rest, nil
}

// chosen returns the mol_ids that -only and the words behind the command name; nil is all rows.
func (o Options) chosen(t *csvmerge.Table) ([]string, error) {
	var all, ids []string
	for i := range t.Len() {
		if id := t.ID(i); id != "" {
			all = append(all, id)
		}
	}
	failed := func(id string) bool {
		i, _ := t.Lookup(id)
		status, message := t.Status(i), t.Cell(i, "error_message")
		return (status == csvmerge.Rerun || status == csvmerge.Skip) && message.Kind == csvmerge.Valid
	}
	var texts [][2]string // as the user wrote it, and without the flag
	if o.Only != nil {
		texts = append(texts, [2]string{"-only=" + *o.Only, *o.Only})
	}
	for _, word := range o.words {
		texts = append(texts, [2]string{"mage batch " + word, word})
	}
	for _, text := range texts {
		more, err := selection(text[1], all, failed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text[0], err)
		}
		ids = append(ids, more...)
	}
	return ids, nil
}

// selection returns the mol_ids that a text names, in the order of all. The text is a mol_id, or a
// list with commas, quoted as in CSV, of
//
//   - mol_ids,
//   - patterns of path.Match, such as mol_0*,
//   - @FILE: a file with one mol_id a line,
//   - failed: the molecules of which failed is true.
//
// A name that no molecule has is an error.
func selection(text string, all []string, failed func(id string) bool) ([]string, error) {
	known, chosen := map[string]bool{}, map[string]bool{}
	for _, id := range all {
		known[id] = true
	}
	names, err := []string{text}, error(nil)
	if !known[text] {
		if names, err = listed(text); err != nil {
			return nil, err
		}
	}
	for n := 0; n < len(names); n++ {
		name := names[n]
		for last := n + 1; last < len(names) && !known[name]; last++ { // a mol_id with commas
			if joined := strings.Join(names[n:last+1], ","); known[joined] {
				name, n = joined, last
			}
		}
		if known[name] {
			chosen[name] = true
			continue
		}
		found := false
		for _, id := range all {
			// A pattern without its closing bracket matches nothing.
			if ok, _ := path.Match(name, id); ok || name == "failed" && failed(id) {
				chosen[id], found = true, true
			}
		}
		if !found {
			return nil, unknown(name, all)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return !chosen[id] }), nil
}

// listed returns the names in a list with commas; the lines of a file stand for @FILE.
func listed(text string) (names []string, err error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = -1, true, true
	records, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	for _, name := range slices.Concat(records...) {
		lines := []string{name}
		if file, ok := strings.CutPrefix(strings.TrimSpace(name), "@"); ok {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			lines = strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
			for n, line := range lines {
				lines[n] = unquoted(strings.TrimSpace(line))
			}
		}
		for _, line := range lines {
			if line = strings.TrimSpace(line); line != "" {
				names = append(names, line)
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("names no molecule")
	}
	return names, nil
}

// unquoted takes the quotes off a line that is one cell of CSV.
func unquoted(line string) string {
	r := csv.NewReader(strings.NewReader(line))
	if record, err := r.Read(); err == nil && strings.HasPrefix(line, `"`) && len(record) == 1 {
		return record[0]
	}
	return line
}

// unknown is the error for a name that no molecule has, with the mol_id that is most like it.
func unknown(name string, all []string) error {
	if name == "failed" {
		return errors.New("no molecule of the table has failed")
	}
	nearest, distance := "", len(name)/3+2
	for _, id := range all {
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(id), nil); d < distance {
			nearest, distance = id, d
		}
	}
	if nearest == "" {
		return fmt.Errorf("the table has no molecule %q", name)
	}
	if strings.Contains(nearest, ",") {
		nearest = `'"` + nearest + `"'`
	}
	return fmt.Errorf("the table has no molecule %q; did you mean -only=%s?", name, nearest)
}
