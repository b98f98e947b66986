// Lint checks how this project is written. A line has at most 100 columns in Go, in scripts, styles
// and templates of pages, and 120 elsewhere.
// A sentence has at most 25 words, and a remark in parentheses at most 5. Some words are not used.
// A function has at most 60 lines and 5 parameters. Lint knows nothing of grammar or content.
//
// It reads the files below the current folder and writes nothing. It prints a line for each
// finding, with what to write instead, and ends with exit code 1 if there is one.
package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// foreign lists what git, releases and mage write into the folder, and libraries of others.
var foreign = []string{".git", "dist", "mage_output_file.go", "internal/web/3dmol",
	"internal/web/smilesdrawer", "internal/web/uplot"}

// A finding is a line that breaks a rule, and what to write instead.
type finding struct {
	file string
	line int
	what string
}

func main() {
	found, err := check(".")
	for _, f := range found {
		fmt.Printf("%s:%d: %s\n", f.file, f.line, f.what)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(2)
	} else if len(found) > 0 {
		fmt.Fprintln(os.Stderr, "Findings:", len(found))
		os.Exit(1)
	}
}

// check returns the findings of a folder in the order of files and lines, but for foreign files.
func check(root string) ([]finding, error) {
	var found []finding
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		isOut := d.Name() == "testdata" || slices.Contains(foreign, name) ||
			d.IsDir() && path.Dir(name) == "artefacts"
		switch {
		case err != nil:
			return err
		case d.IsDir() && isOut:
			return fs.SkipDir
		case isOut, !d.Type().IsRegular():
			return nil
		}
		checkFile := map[string]func(name, text string) []finding{".md": checkPage,
			".go": checkGo, ".hcl": checkScript, ".py": checkScript, ".js": checkWidth,
			".css": checkWidth, ".html": checkWidth}[filepath.Ext(name)]
		if checkFile == nil {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		found = append(found, checkFile(name, string(text))...)
		return err
	})
	slices.SortStableFunc(found, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.file, b.file), a.line-b.line)
	})
	return found, err
}
