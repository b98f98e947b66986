package pipeline

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOff(t *testing.T) {
	for enabled, want := range map[string]bool{
		`true`:                                          false,
		`false`:                                         true,
		`var.search == "crest"`:                         true,
		`var.search == "crest" && stage.a.n > 1`:        true,
		`stage.a.n > 1 && var.search == "crest"`:        true,
		`var.search == "etkdg" && stage.a.n > 1`:        false,
		`var.search == "crest" ? stage.a.n > 1 : false`: true,
		`var.search == "crest" && (stage.a.n > 1 || mol.size > 2)`:     true,
		`var.search == "crest" && jsondecode(file(stage.a.out)).n > 1`: true,
		`mol.size > 2`: false,
	} {
		path := filepath.Join(t.TempDir(), "pipeline.hcl")
		text := "variable \"search\" { default = \"etkdg\" }\nstage \"a\" {\n  command = " +
			"[\"true\"]\n  outputs = { out = \"o\" }\n  values = { n = 1 }\n}\nstage \"b\" {\n  " +
			"enabled = " + enabled + "\n  command = [\"true\"]\n}\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p,
			err := Load(path, Options{Columns: func(string) ([]Column,
			error) {
			return []Column{{"size", true}}, nil
		}})
		if err != nil {
			t.Fatalf("%s: %v", enabled, err)
		}
		if got := p.Stage("b").Off(); got != want {
			t.Errorf("%s: off is %t, want %t", enabled, got, want)
		}
	}
}
