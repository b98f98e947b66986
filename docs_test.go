package main_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
)

// TestLinks checks that every relative link of the Markdown pages leads to a file, and to a heading
// if it has an anchor.
func TestLinks(t *testing.T) {
	pages := pages(t)
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(page), file)
			if file == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: (%s) leads to no file", page, m[1])
			} else if anchor != "" && !anchors(pages[target])[anchor] {
				t.Errorf("%s: (%s) leads to no heading of %s", page, m[1], target)
			}
		}
	}
}

// pages returns the text of the Markdown files by their paths, without fenced code.
func pages(t *testing.T) map[string]string {
	pages := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == ".git" || filepath.Dir(path) == "artefacts"):
			return fs.SkipDir
		case filepath.Ext(path) == ".md" && !d.IsDir():
			text, err := os.ReadFile(path)
			pages[path] = fence.ReplaceAllString(string(text), "")
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// anchors returns the anchors that GitHub gives to the headings of a page.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		anchor := name
		for n := 1; all[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", name, n)
		}
		all[anchor] = true
	}
	return all
}

// notRun are commands of the pages that no script runs, and why.
var notRun = map[string]string{
	"mage manifest 2":      "the name of a format",
	"mage test":            "runs this test, and .ci/run runs it",
	"mage lint":            ".ci/run runs it",
	"mage bench":           "takes minutes; go vet checks its programs",
	"mage torture":         "takes hours; go test ./internal/crash is its short form",
	"mage serve":           "check.py of cmd_serve.txtar starts it, at a free port",
	`mage serve -addr=\S+`: "the same, for others",
}

var (
	docsCommand = regexp.MustCompile("(?m)^    ((?:go tool )?(?:mage|grimperium) .+)$|`((?:mage|grimperium) [^`]+)`")
	docsComment = regexp.MustCompile(`(  +| [#>] ).*$`) // behind a command, or where its output goes
	docsWord    = regexp.MustCompile(`MOL_ID|SHELL|[0-9]{4}-[0-9]{2}-[0-9]{2}|postgres:\S+|0\.0\.0\.0:8457`)
)

// TestDocsCommands checks that the scripts run every command of README.md and docs. A script may
// give the command more flags. The measurements in docs/evidence are commands for by hand.
func TestDocsCommands(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	run := ""
	for _, path := range scripts {
		for line := range strings.Lines(string(read(t, path))) {
			if strings.HasPrefix(line, "exec ") || strings.HasPrefix(line, "exits ") {
				run += strings.ReplaceAll(line, "'", "")
			}
		}
	}
	found, left := 0, maps.Clone(notRun)
	for page, text := range pages(t) {
		if page != "README.md" && filepath.Dir(page) != "docs" {
			continue
		}
		for _, m := range docsCommand.FindAllStringSubmatch(text, -1) {
			command := m[1] + strings.Join(strings.Fields(m[2]), " ")
			command = docsComment.ReplaceAllString(command, "")
			command = strings.TrimPrefix(strings.ReplaceAll(command, "'", ""), "go tool ")
			command = strings.Replace(command, "grimperium", "mage", 1)
			expr := quoted(command)
			found++
			if delete(left, expr); notRun[expr] != "" {
				continue
			}
			if !regexp.MustCompile(`(?m)[ ;&]` + expr + `( .*)?$`).MatchString(run) {
				t.Errorf("%s: %q is run by no script", page, command)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d commands are found", found)
	}
	for command := range left {
		t.Errorf("no page has %s: take it out of notRun", command)
	}
}

// quoted is a command as an expression. Where it has a word for the reader to fill in, any word
// may stand.
func quoted(command string) string {
	expr, from := "", 0
	for _, at := range docsWord.FindAllStringIndex(command, -1) {
		expr += regexp.QuoteMeta(command[from:at[0]]) + `\S+`
		from = at[1]
	}
	return expr + regexp.QuoteMeta(command[from:])
}
