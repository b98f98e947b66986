package batch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Warning is what a batch says of molecules that did not fail for it.
type Warning struct {
	Text  string
	Count int      // molecules
	First []string // their ids, at most three
}

// String is the warning as "12 molecules: the text (mol_1, mol_2, mol_3, ...)".
func (w Warning) String() string {
	ids := strings.Join(w.First, ", ")
	if w.Count > len(w.First) {
		ids += ", ..."
	}
	return fmt.Sprintf("%s: %s (%s)", count(w.Count, "molecule"), w.Text, ids)
}

// readOutputs evaluates a target's values and warnings from its outputs (name to path).
func readOutputs(v *visit, s *pipeline.Stage, i int, outputs map[string]string) (values map[string]any, warnings []string, err error) {
	if values, err = v.m.Read(s, i, outputs); err == nil {
		warnings, err = v.m.Warnings(s, i, outputs)
	}
	for n, text := range warnings {
		warnings[n] = oneLine(text)
	}
	return values, warnings, err
}

// warningsOf are a record's warnings for a person, each on a line of its own.
func warningsOf(rec *store.Record) string {
	var text strings.Builder
	if rec != nil && rec.Outcome == store.OK {
		for _, w := range rec.Warnings {
			text.WriteString("\n             warning: " + w)
		}
	}
	return text.String()
}

const (
	mostWarnings  = 1000 // different texts that a summary keeps
	shownWarnings = 20   // that it prints
	otherWarnings = "other warnings; mage why tells those of a molecule"
)

// warn counts the warnings of one molecule.
func (s *Summary) warn(id string, texts []string) {
	if s.warned == nil {
		s.warned = map[string]*Warning{}
	}
	seen := map[string]bool{}
	for _, text := range texts {
		if s.warned[text] == nil && len(s.warned) >= mostWarnings {
			text = otherWarnings
		}
		if seen[text] {
			continue
		}
		seen[text] = true
		w := s.warned[text]
		if w == nil {
			w = &Warning{Text: text}
			s.warned[text] = w
		}
		if w.Count++; len(w.First) < 3 {
			w.First = append(w.First, id)
		}
	}
}

// Warnings are the warnings about the molecules of this batch in which something ran, the most
// frequent first.
func (s *Summary) Warnings() []Warning {
	var out []Warning
	for _, text := range sortedNames(s.warned) {
		out = append(out, *s.warned[text])
	}
	slices.SortStableFunc(out, func(a, b Warning) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

// warningLines are the warnings that are printed.
func (s *Summary) warningLines() []string {
	var out []string
	for n, w := range s.Warnings() {
		if n == shownWarnings {
			out = append(out, fmt.Sprintf("... and %d more texts", len(s.warned)-n))
			break
		}
		out = append(out, w.String())
	}
	return out
}
