package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// allowed says which packages of this module each package may import, as docs/architecture.md draws
// them. A package that is missing here fails the test, and so does an import that is not in its
// list.
var allowed = map[string][]string{
	"csvmerge":          {"internal/durable"},
	"stages":            {"internal/packed"},
	"internal/command":  {},
	"internal/durable":  {},
	"internal/packed":   {"internal/durable"},
	"internal/runner":   {},
	"internal/journal":  {"internal/durable", "internal/packed"},
	"internal/pipeline": {"internal/packed"},
	"internal/store":    {"internal/durable", "internal/packed"},
	"internal/progress": {"internal/command", "internal/journal"},
	"internal/web":      {"internal/command", "internal/journal", "internal/packed"},
	"internal/formats":  {},
	"internal/batch": {"csvmerge", "internal/command", "internal/durable", "internal/journal",
		"internal/packed", "internal/pipeline", "internal/runner", "internal/store"},
	"internal/tables": {"csvmerge", "internal/batch", "internal/command", "internal/durable",
		"internal/store"},
	"internal/tables/pgtest": {}, // tests and benchmarks only
	"internal/cluster": {"csvmerge", "internal/batch", "internal/command", "internal/durable",
		"internal/journal", "internal/pipeline", "internal/store"},
	"internal/cluster/slurmtest": {}, // tests and benchmarks only
	"internal/cli": {"csvmerge", "stages", "internal/batch", "internal/cluster", "internal/command",
		"internal/durable", "internal/formats", "internal/journal", "internal/packed",
		"internal/pipeline",
		"internal/progress", "internal/runner", "internal/store", "internal/tables",
		"internal/web"},
	"internal/crash": {}, // tests only
	"internal/lint":  {},
	"bench": {"bench/internal/measure", "csvmerge", "internal/batch", "internal/cluster",
		"internal/cluster/slurmtest", "internal/journal", "internal/pipeline", "internal/store",
		"internal/tables",
		"internal/tables/pgtest", "stages"},
}

// only says which packages may import a module of others: hcl and cty end in internal/pipeline.
var only = map[string][]string{
	"github.com/hashicorp/hcl/": {"internal/pipeline"},
	"github.com/zclconf/go-cty": {"internal/pipeline"},
	"github.com/klauspost/":     {"internal/packed"},
	"github.com/cheggaaa/pb":    {"internal/progress"},
	"github.com/prometheus/":    {"internal/web"},
	"gonum.org/":                {"stages"},
	"github.com/parquet-go/":    {"internal/formats"},
	"modernc.org/":              {"internal/formats", "internal/tables"},
	"github.com/jackc/":         {"internal/tables"},
	"os/exec": {"internal/runner", "internal/cli", "internal/cluster", "internal/cluster/slurmtest",
		"internal/formats", "internal/tables/pgtest",
		"bench"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`,
		"./...").Output()
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
			t.Errorf("package %s is in no list: docs/architecture.md and this test have them", name)
		}
		for _, imported := range words[1:] {
			if own, ok := strings.CutPrefix(imported, "grimperium/"); ok &&
				!slices.Contains(list, own) {
				t.Errorf("%s must not import %s", name, own)
			}
			for prefix, users := range only {
				if strings.HasPrefix(imported, prefix) && !slices.Contains(users, name) {
					t.Errorf("%s must not import %s: that is for %s", name, imported,
						strings.Join(users, " and "))
				}
			}
		}
	}
}

// scratchOnly are the functions outside internal/durable that may change files. Each works in a
// scratch folder, on a lock file, or on files that are neither artefacts nor the table.
var scratchOnly = map[string][]string{
	"csvmerge":         {},
	"internal/journal": {},
	"internal/tables":  {},
	// the program for the tasks, before its name is there
	"internal/cluster": {"begin"},
	// lock files, the index, scratch folders
	"internal/store": {"TakeLock", "Close", "Share"},
	// scratch folders
	"internal/batch": {"keepFailed", "Ask", "writeFile", "builtin", "identify", "prepare",
		"tempDir"},
}

// TestDurable looks for calls that change files in the packages that have artefacts and the table.
// Only internal/durable makes such calls: there a test can make them fail.
func TestDurable(t *testing.T) {
	changing := []string{"Rename", "Remove", "RemoveAll", "WriteFile", "Create", "OpenFile",
		"Chtimes", "Chmod", "Link", "Symlink", "Sync"}
	for dir, allowed := range scratchOnly {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || slices.Contains(allowed, fn.Name.Name) {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					sel, ok := n.(*ast.SelectorExpr)
					if !ok || !slices.Contains(changing, sel.Sel.Name) {
						return true
					}
					if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "durable" {
						t.Errorf("%s: %s uses %s, which is for internal/durable", path,
							fn.Name.Name, sel.Sel.Name)
					}
					return true
				})
			}
		}
	}
}
