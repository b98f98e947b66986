package batch

import (
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
