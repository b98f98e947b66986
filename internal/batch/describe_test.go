package batch

import (
	"fmt"
	"strings"
	"testing"
)

// A command with more or fewer words is told by these words, not by those that stand elsewhere now.
func TestWordsOfDifference(t *testing.T) {
	for _, test := range []struct{ was, is, want string }{
		{"xtb a.xyz --opt", "xtb a.xyz --alpb water --opt",
			"new in the command: --alpb water"},
		{"xtb a.xyz --alpb water --opt", "xtb a.xyz --opt", "gone from the command: --alpb water"},
		{"xtb a.xyz --gfn 2", "xtb a.xyz --gff", "the command: --gfn 2 → --gff"},
		{"xtb a.xyz --gfn 2", "xtb a.xyz --gfn 1", "--gfn 2 → 1"},
		{"xtb a a", "xtb a a a", "new in the command: a"},
	} {
		describe := func(command string) (lines []string) {
			for n, word := range strings.Fields(command)[1:] {
				lines = append(lines, fmt.Sprintf("%s%d = %q", wordLabel, n+1, word))
			}
			return lines
		}
		got := strings.Join(difference(describe(test.was), describe(test.is), nil), "; ")
		if got != test.want {
			t.Errorf("%s, then %s: %q, want %q", test.was, test.is, got, test.want)
		}
	}
}

// Of a long word of a command the part is shown that changed.
func TestLongWordOfDifference(t *testing.T) {
	const levels = "gfn2:loose, window +1kcal/mol; gfn2:normal <5kcal/mol, isomers 2 %s; gfn2:tight"
	for _, test := range []struct{ was, is, want string }{
		{fmt.Sprintf(levels, "<3kcal/mol"), fmt.Sprintf(levels, "<4kcal/mol"),
			"--levels … <3kcal/mol; … → … <4kcal/mol; …"},
		{fmt.Sprintf(levels, "<3kcal/mol"), fmt.Sprintf(levels, "<3kcal/mol") + " <1kcal/mol",
			`--levels … gfn2:tight" → … gfn2:tight <1kcal/mol"`},
		{strings.Repeat("a", 64), strings.Repeat("b", 64),
			"--levels " + strings.Repeat("a", 64) + " → " + strings.Repeat("b", 64)},
	} {
		describe := func(word string) []string {
			return []string{`word 1 = "--levels"`, fmt.Sprintf("word 2 = %q", word)}
		}
		got := strings.Join(difference(describe(test.was), describe(test.is), nil), "; ")
		if got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// The words in which two lines differ. If only one line has words of its own, the word before them
// shows where they stand.
func TestChangedWords(t *testing.T) {
	for _, test := range []struct{ old, new, want string }{
		{"PM7 PRECISE EF", "PM6 PRECISE EF", "PM7 → PM6"},
		{"PM7 PRECISE EF", "PM7 GNORM=0.1 PRECISE EF", "PM7 → PM7 GNORM=0.1"},
		{"PM7 PRECISE EF", "PM7 EF", "PM7 PRECISE → PM7"},
		{"PM7 A EF B", "PM6 A EFX B", "PM7 A EF → PM6 A EFX"},
		{"A A", "A A A", "A → A A"},
		{"C", "C ", "C → C "},
		{"", "C", " → C"},
		{"B", "A B", " → A"},
	} {
		gone, added := changedWords(strings.Split(test.old, " "), strings.Split(test.new, " "), 1)
		if got := strings.Join(gone, " ") + " → " + strings.Join(added, " "); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.old, test.new, got, test.want)
		}
	}
}
