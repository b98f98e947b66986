package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestDisplay(t *testing.T) {
	load := func(display string) (*Pipeline, error) {
		return loadText("pipeline.hcl", []byte("stage \"a\" {\n  values = { x = -57.859 }\n}\n"+
			display), testOptions())
	}
	for display, want := range map[string][]string{
		"": nil,
		"display {\n  z = format(\"%8.2f kcal/mol\", stage.a.x)\n  y = mol.H298_cbs\n}": {"  -57.86 kcal/mol", "-56.12"},
		"display {\n  a = 1\n}\ndisplay {\n  b = \"two\\nlines\"\n  c = \"\"\n}": {"1",
			"two lines"},
		"display {\n  a = format(\"%.2f\", mol.nheavy)\n  b = null\n  c = 1 / (stage.a.x - stage.a.x)\n  d = " +
			"true\n}": {"true"},
	} {
		p, err := load(display)
		if err != nil {
			t.Errorf("%s: %v", display, found(t, err))
			continue
		}
		m, err := p.Molecule(cells)
		if err == nil {
			_, err = walk(m, p)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Display(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", display, got, want)
		}
	}
	for display, want := range map[string]string{
		"display {\n  a = [1]\n}": "Unsuitable cell: The display shows texts and numbers, not a " +
			"list.",
		"display {\n  a = stage.b.x\n}": "Unknown stage",
		"display {\n  a = attempt\n}":   "Name out of place",
	} {
		if _, err := load(display); err == nil {
			t.Errorf("%s: no error", display)
		} else if text := fmt.Sprint(found(t, err)); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", display, text, want)
		}
	}
}
