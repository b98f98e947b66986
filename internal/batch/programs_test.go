package batch

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"grimperium/internal/pipeline"
)

func TestVersionOf(t *testing.T) {
	const text = "A tool.\ntool version 1.0 of 2022"
	tests := []struct {
		pattern, id string
		matched     bool
	}{
		{`version [0-9.]+`, "version 1.0", true},
		{`version ([0-9.]+)`, "1.0", true},
		{`version( beta)?`, "version", true},
		{`VERSION`, "tool version 1.0 of 2022", false},
		// What matches nothing would be the same for every version.
		{`[0-9]*`, "tool version 1.0 of 2022", false},
		{`([0-9]*)`, "tool version 1.0 of 2022", false},
		{``, "tool version 1.0 of 2022", false},
	}
	for _, tt := range tests {
		prog := &pipeline.Program{Pattern: regexp.MustCompile(tt.pattern)}
		if id, matched := versionOf(prog, text); id != tt.id || matched != tt.matched {
			t.Errorf("%q: %q, %v; want %q, %v", tt.pattern, id, matched, tt.id, tt.matched)
		}
	}
	id, matched := versionOf(&pipeline.Program{}, text)
	if id != "tool version 1.0 of 2022" || !matched {
		t.Errorf("without a pattern: %q, %v", id, matched)
	}
}

func TestIsShim(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"mise", "tool", "tool-1.2"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for to, want := range map[string]bool{"mise": true, "tool": false, "tool-1.2": false} {
		bin := filepath.Join(dir, "bin-"+to)
		link := filepath.Join(bin, "tool")
		if err := os.Mkdir(bin, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(dir, to), link); err != nil {
			t.Fatal(err)
		}
		if got := isShim(link); got != want || isShim(filepath.Join(dir, to)) {
			t.Errorf("a link to %s is a shim: %v", to, got)
		}
	}
}
