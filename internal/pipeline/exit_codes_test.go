package pipeline

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name, attribute string
		want            map[int]string
		err             string
	}{
		{"none", ``, nil, ""},
		{"two", `exit_codes = { "155" = "the calculation failed", 156 = "the bonds changed" }`,
			map[int]string{155: "the calculation failed", 156: "the bonds changed"}, ""},
		{"signals", `exit_codes = { SEGV = "it crashed", "1" = "it failed" }`,
			map[int]string{1: "it failed"}, ""},
		{"no signal", `exit_codes = { SIGSEGV = "it crashed" }`, nil, "Invalid exit_codes"},
		{"zero is no failure", `exit_codes = { "0" = "all well" }`, nil, "Invalid exit_codes"},
		{"a word", `exit_codes = { failed = "it failed" }`, nil, "Invalid exit_codes"},
		{"too large", `exit_codes = { "256" = "it failed" }`, nil, "Invalid exit_codes"},
		{"no words", `exit_codes = { "1" = "" }`, nil, "Invalid exit_codes"},
		{"no text", `exit_codes = { "1" = null }`, nil, "Invalid exit_codes"},
		{"no object", `exit_codes = "1"`, nil, "Invalid exit_codes"},
		{"not constant", `exit_codes = { "1" = mol.smiles }`, nil, "Not a constant"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pipeline.hcl")
			text := "stage \"a\" {\n  command = [\"true\"]\n  " + test.attribute + "\n}\n"
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			p, err := Load(path, Options{})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Stage("a").ExitCodes; !maps.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
