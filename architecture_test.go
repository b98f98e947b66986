package main_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which packages of this module each package may import: the house of docs/architecture.md. A package that
// is missing here, or an import that is not in its list, fails the test.
var allowed = map[string][]string{
	"csvmerge":          {"internal/fault"},
	"stages":            {"internal/packed"},
	"internal/fault":    {},
	"internal/inplace":  {},
	"internal/packed":   {"internal/inplace"},
	"internal/runner":   {"internal/inplace"},
	"internal/journal":  {"internal/fault"},
	"internal/pipeline": {"internal/packed"},
	"internal/store":    {"internal/fault", "internal/inplace", "internal/packed"},
	"internal/progress": {"internal/journal"},
	"internal/batch":    {"csvmerge", "internal/fault", "internal/journal", "internal/packed", "internal/pipeline", "internal/runner", "internal/store"},
	"internal/cli":      {"csvmerge", "stages", "internal/batch", "internal/fault", "internal/journal", "internal/packed", "internal/pipeline", "internal/progress", "internal/runner", "internal/store"},
	"bench":             {"csvmerge", "internal/cli", "internal/fault", "internal/journal", "internal/store", "stages"},
}

// only says which packages may import a module of others: hcl and cty end in internal/pipeline.
var only = map[string][]string{
	"github.com/hashicorp/hcl/": {"internal/pipeline"},
	"github.com/zclconf/go-cty": {"internal/pipeline"},
	"github.com/klauspost/":     {"internal/packed"},
	"github.com/cheggaaa/pb":    {"internal/progress"},
	"gonum.org/":                {"stages", "internal/journal"},
	"os/exec":                   {"internal/runner", "internal/cli", "bench"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], "grimperium/")
		if words[0] == "grimperium" {
			continue // the tests of the command line
		}
		if strings.HasPrefix(name, "bench/") {
			name = "bench"
		}
		list, ok := allowed[name]
		if !ok {
			t.Errorf("package %s has no place in the house: docs/architecture.md and this test say which there are", name)
		}
		for _, imported := range words[1:] {
			if own, ok := strings.CutPrefix(imported, "grimperium/"); ok && !slices.Contains(list, own) {
				t.Errorf("%s must not import %s", name, own)
			}
			for prefix, users := range only {
				if strings.HasPrefix(imported, prefix) && !slices.Contains(users, name) {
					t.Errorf("%s must not import %s: that is for %s", name, imported, strings.Join(users, " and "))
				}
			}
		}
	}
}
