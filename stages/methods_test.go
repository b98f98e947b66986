package stages

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

func TestMethods(t *testing.T) {
	ran := Ran{Programs: map[string]string{"python3": "RDKit version 2022.09.3",
		"xtb":   "xtb version 6.5.1",
		"mopac": "MOPAC version 22.0.6 commit unknown"},
		Variables: map[string]string{"window": "6", "conformers": "3", "solvent": "water"},
		Keywords:  "PM7 EF", ForceField: UsesForceField([]string{"conformers", "gfnff:normal"})}
	sentences, works := ran.Methods()
	text := strings.Join(sentences, " ")
	for _, want := range []string{"by RDKit 2022.09.3 [1, 2, 3, 4].",
		"GFN-FF optimised them first [5].", "with xtb 6.5.1, within 6 kcal/mol of the most stable",
		"ALPB model of water [6, 7, 8].", "MOPAC 22.0.6, from at most 3 conformers a molecule, " +
			"the most stable by GFN2-xTB; the lowest counts",
		"PM7 EF [9, 10]."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if strings.Contains(text, "CREST") || len(works) != 10 || works[8] != citePM7 {
		t.Errorf("%q, %v", text, works)
	}
	ran.SinglePoints = true
	sentences, _ = ran.Methods()
	if text := strings.Join(sentences, " "); !strings.Contains(text,
		"GFN2-xTB, and from further geometries that PM7 ranks lower; the lowest counts; keywords") {
		t.Errorf("with single points: %q", text)
	}
	if sentences, works := (Ran{}).Methods(); sentences != nil || works != nil {
		t.Error("of nothing:", sentences, works)
	}
}

func TestElementsOf(t *testing.T) {
	for smiles, want := range map[string]string{"CCO": "C O", "[Na+].[Cl-]": "Na Cl", "[H][H]": "",
		"c1ccsc1Br": "C S Br", "C1CC": "", "": ""} {
		var got []string
		for _, e := range ElementsOf(smiles) {
			got = append(got, e.Symbol)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", smiles, got, want)
		}
	}
}

func TestDraw(t *testing.T) {
	cmd := exec.Command("/usr/bin/python3", "-c", DrawScript)
	cmd.Stdin = strings.NewReader(`["CCO", "C1CC", "[C-]#N", "", "x</svg>"]`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var drawings []*string
	if err := json.Unmarshal(out, &drawings); err != nil || len(drawings) != 5 {
		t.Fatalf("%s, %v", out, err)
	}
	for i, drawn := range []bool{true, false, true} {
		if (drawings[i] != nil) != drawn || drawn && !strings.Contains(*drawings[i], "</svg>") {
			t.Errorf("drawing %d: %v", i, drawings[i])
		}
	}
}
