package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocs checks that the commands in the Markdown pages exist, with their flags.
func TestDocs(t *testing.T) {
	source, err := os.ReadFile("../../magefile.go")
	if err != nil {
		t.Fatal(err)
	}
	// A line of code, or code within a line. A comment or an explanation stands behind two blanks.
	command := regexp.MustCompile("(?m)^(?:    )?(?:go tool )?mage +(.+?)(?:  +.*)?$|" +
		"`(?:go tool )?mage ([^`]+)`")
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	n := 0
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "artefacts"):
			return fs.SkipDir
		case filepath.Ext(path) != ".md" || d.Name() == "CHANGELOG.md": // which names what is gone
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			words := quoted.ReplaceAllString(m[1]+m[2], "text")
			if _, _, err := arguments(strings.Fields(words), string(source)); err != nil {
				t.Errorf("%s: %s: %v", path, m[0], err)
			}
			n++
		}
		return err
	})
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
}
