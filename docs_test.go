package main_test

import (
	"fmt"
	"io/fs"
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

// TestDocsCommands checks that the commands of the tutorial and the recipes are those that the
// scripts run.
func TestDocsCommands(t *testing.T) {
	elsewhere := map[string]struct{ script, command string }{
		"mage batch -on=slurm":         {"cluster_real.txtar", "mage batch -on=slurm"},
		"mage batch -on=slurm -dryRun": {"cluster_commands.txtar", "mage batch -on=slurm"},
		"mage serve":                   {"cmd_serve.txtar", "\"mage\", \"serve\""},
		"mage reproduce":               {"cmd_reproduce.txtar", "mage reproduce"},
		"mage completion bash > ~/.local/share/bash-completion/completions/mage": {"cmd_line.txtar",
			"mage completion bash"},
		"mage history -at=2026-11-28 -out=then.csv": {"docs_howto.txtar",
			"mage history -at=2099-01-01 -out=then.csv"},
	}
	command := regexp.MustCompile(`(?m)^    (mage .+)$`)
	bare := strings.NewReplacer("'", "")
	for page, script := range map[string]string{"docs/tutorial.md": "docs_tutorial.txtar",
		"docs/howto.md": "docs_howto.txtar"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			run, ok := elsewhere[m[1]]
			if !ok {
				run.script, run.command = script, m[1]
			}
			lines, err := os.ReadFile(filepath.Join("testdata/script", run.script))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(bare.Replace(string(lines)), bare.Replace(run.command)) {
				t.Errorf("%s: %q is not run by %s", page, m[1], run.script)
			}
		}
	}
}
