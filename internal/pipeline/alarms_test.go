package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAlarms(t *testing.T) {
	load := func(block string) (*Pipeline, error) {
		path := filepath.Join(t.TempDir(), "pipeline.hcl")
		if err := os.WriteFile(path, []byte("pipeline {\n"+block+
			"\n}\nstage \"a\" {\n  values = { x = 1 }\n}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return Load(path, Options{})
	}
	p, err := load("max_failures = \"5%\"\nmax_invalid = \"0.5%\"\nwhen_exceeded = \"stop\"")
	if err != nil || p.Alarms != (Alarms{0.05, 0.005, true}) || p.Given["max_invalid"] != 3 {
		t.Errorf("%+v, %v, %v", p.Alarms, p.Given, err)
	}
	if p, err = load(""); err != nil || p.Alarms != (Alarms{}) || len(p.Given) != 0 {
		t.Errorf("%v: %+v", err, p)
	}
	for block, want := range map[string]string{
		`max_failures = "5"`:       `max_failures must be a percentage such as "5%"`,
		`max_failures = "0%"`:      "above 0% and at most 100%",
		`max_invalid = "101%"`:     "max_invalid must be a percentage",
		`max_invalid = "NaN%"`:     "max_invalid must be a percentage",
		`max_invalid = null`:       "max_invalid must be a percentage",
		`when_exceeded = "panic"`:  `when_exceeded must be "warn" or "stop"`,
		`max_failures = mol.smile`: "max_failures",
	} {
		_, err := load(block)
		var mistakes *Errors
		var text strings.Builder
		if errors.As(err, &mistakes) {
			if err := mistakes.Print(&text, 0, false); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s: %v: %q, want %s", block, err, text.String(), want)
		}
	}
}
