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
	c := shipped(t)
	// A line of code, or code within a line. A comment or an explanation stands behind two blanks.
	command := regexp.MustCompile("(?m)^(?:    )?(?:go tool )?mage +(.+?)(?:  +.*)?$|`(?:go tool " +
		")?mage ([^`]+)`")
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	n := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
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
			words, _, _ := strings.Cut(quoted.ReplaceAllString(m[1]+m[2], "text"),
				" >") // into a file
			args := strings.Fields(words)
			answer, err := c.answer(args, "")
			_, known := c.find(args[0])
			if answer == "" && err == nil && (len(args) > 1 || !known) { // else it is named only
				_, _, err = c.arguments(args)
			}
			if err != nil {
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
