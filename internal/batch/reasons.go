package batch

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Group is a reason for which molecules failed.
type Group struct {
	Stage, Reason string
	Count         int
	First         []string // messages, or mol_ids of a warning, at most three
}

// groups count what is alike, by stage and reason.
type groups map[[2]string]*Group

func (gs groups) add(stage, reason, example string) {
	g := gs[[2]string{stage, reason}]
	if g == nil {
		g = &Group{Stage: stage, Reason: reason}
		gs[[2]string{stage, reason}] = g
	}
	if g.Count++; len(g.First) < 3 {
		g.First = append(g.First, example)
	}
}

// sorted are the groups, the most frequent first.
func (gs groups) sorted() []*Group {
	return slices.SortedFunc(maps.Values(gs), func(a, b *Group) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Reason, b.Reason))
	})
}

// String is the group as "3 pm7: the SCF did not converge".
func (g Group) String() string { return fmt.Sprintf("%d %s: %s", g.Count, g.Stage, g.Reason) }

// Groups sorts error messages by stage and reason, the most frequent first.
func Groups(messages []string) []*Group {
	all := groups{}
	for _, m := range messages {
		stage, reason := Reason(m)
		all.add(stage, reason, m)
	}
	return all.sorted()
}

var (
	messageStart = regexp.MustCompile(`^[^/:]*/([A-Za-z_][A-Za-z0-9_-]*)(?:/\d+)?: `)
	messagePlace = regexp.MustCompile(`^[^ :]+\.hcl:\d+: `)
	messageWords = regexp.MustCompile(`(^|[ (=])(?:'[^']*'|"[^"]*")`)
)

// Reason takes a failure's message, a cell of the table, apart: the stage that failed, and why,
// without what differs from one molecule to the next (where to look, what is quoted, which atoms)
// and without the line of pipeline.hcl. The stage is "?" for a text of another origin.
func Reason(message string) (stage, reason string) {
	stage = "?"
	if m := messageStart.FindStringSubmatch(message); m != nil {
		stage, message = m[1], message[len(m[0]):]
	}
	message = message[len(messagePlace.FindString(message)):]
	message = messageWords.ReplaceAllString(message, "$1…")
	for _, end := range []string{": ", "; ", " ("} {
		message, _, _ = strings.Cut(message, end)
	}
	return stage, message
}

const (
	maxWarnings   = 1000 // different texts that a summary keeps
	shownWarnings = 20   // that it prints
	otherWarnings = "other warnings; mage why tells those of a molecule"
)

// warn counts the warnings of one molecule.
func (s *Summary) warn(id string, texts []string) {
	seen := map[string]bool{}
	for _, text := range texts {
		if s.warned[[2]string{"", text}] == nil && len(s.warned) >= maxWarnings {
			text = otherWarnings
		}
		if !seen[text] {
			s.warned.add("", text, id)
		}
		seen[text] = true
	}
}

// warningLines are the warnings that are printed, as "12 molecules: the text (m1, m2, m3, ...)".
func (s *Summary) warningLines() (out []string) {
	for n, w := range s.warned.sorted() {
		if n == shownWarnings {
			return append(out, fmt.Sprintf("... and %d more texts", len(s.warned)-n))
		}
		molecules, ids := Count(w.Count, "molecule"), some(w.First, w.Count)
		out = append(out, fmt.Sprintf("%s: %s (%s)", molecules, w.Reason, ids))
	}
	return out
}

// some lists the first few of so many names.
func some(names []string, all int) string {
	if first := min(len(names), 3); first < all {
		return strings.Join(names[:first], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// oneLine makes a text fit for a cell and a terminal: one line of printable characters, of 500 at
// most, whatever a program wrote.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return ' '
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 500 {
		text = string(r[:500]) + "..."
	}
	return text
}
