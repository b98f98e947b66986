package batch

import (
	"strings"
	"testing"
)

func TestLike(t *testing.T) {
	names := []string{"xtb", "rdkit", "search", "pm7"}
	for word, want := range map[string]string{"xbt": "xtb", "serach": "search", "RDKIT": "rdkit",
		"pm6": "pm7", "zzz": "", "": ""} {
		if got := Like(word, names, ""); want != "" && !strings.Contains(got, " "+want+"?") ||
			want == "" && got != "" {
			t.Errorf("%s: %q", word, got)
		}
	}
}
