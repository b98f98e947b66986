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
