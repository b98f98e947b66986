package csvmerge

import (
	"strings"
	"testing"
)

const plain = "; write plain (ASCII) letters, digits and signs"

func TestSplitSMILES(t *testing.T) {
	const part = "may be part of the molecule; remove the blank, or move what is a name to " +
		"another column"
	for _, c := range []struct{ text, smiles, name, problem string }{
		{"CCO", "CCO", "", ""},
		{"  CCO\t ", "CCO", "", ""},
		{`C/C=C\C[C@@H](N)C(=O)[O-]%12CC%12.[Na+]`, `C/C=C\C[C@@H](N)C(=O)[O-]%12CC%12.[Na+]`, "",
			""},

		// A name, which can be no part of the molecule.
		{"CCO ethanol", "CCO", "ethanol", ""},
		{"CCO\tethanol  absolute", "CCO", "ethanol  absolute", ""},
		{"CCO éthanol", "CCO", "éthanol", ""},
		{"CCO 64-17-5", "CCO", "64-17-5", ""},
		{"CCO 12", "CCO", "12", ""},
		{"O=C=O CO2", "O=C=O", "CO2", ""},
		{"CC(C)C1CCC(C)CC1O (-)-menthol", "CC(C)C1CCC(C)CC1O", "(-)-menthol", ""},
		{"C12(CC1)C2 [1.1.1]propellane", "C12(CC1)C2", "[1.1.1]propellane", ""},
		{"CCO |$;;R1$|", "CCO", "|$;;R1$|", ""},
		{"CCO |^1:0| radical", "CCO", "|^1:0| radical", ""},

		// A blank within the molecule, or within what may be one.
		{"C C O", "", "", `the SMILES has a blank as character 2, and "C O" ` + part},
		{"CC (C)C", "", "", `the SMILES has a blank as character 3, and "(C)C" ` + part},
		{"CC =O", "", "", `the SMILES has a blank as character 3, and "=O" ` + part},
		{"C1CC 1", "", "", `the SMILES has a blank as character 5, and "1" ` + part},
		{"CC( =O)C", "", "", `the SMILES has a blank as character 4, and "=O)C" ` + part},
		{"CC( acetone", "", "", `the SMILES has a blank as character 4, and "acetone" ` + part},
		{"[Na+] . [Cl-]", "", "", `the SMILES has a blank as character 6, and ". [Cl-]" ` + part},
		{"CC O ethanol", "", "", `the SMILES has a blank as character 3, and "O ethanol" ` + part},
		{"CC" + strings.Repeat(" x", 20), "", "", // no name has so many words
			`the SMILES has a blank as character 3, and "` + strings.Repeat("x ", 19) + `x" ` +
				part},
		{"C\tO", "", "", `the SMILES has a blank as character 2, and "O" ` + part},

		// No SMILES at all: RDKit says so, whatever follows.
		{"'; touch pwned #", "'; touch pwned #", "", ""},

		// Characters that only look like one of a SMILES.
		{"CC–O", "", "", `the SMILES has "–" (EN DASH, U+2013) as character 3` + plain},
		{"CC—O", "", "", `the SMILES has "—" (EM DASH, U+2014) as character 3` + plain},
		{"[O−]C", "", "", `the SMILES has "−" (MINUS SIGN, U+2212) as character 3` + plain},
		{"C≡C", "", "", `the SMILES has "≡" (IDENTICAL TO, U+2261) as character 2` + plain},
		{"C＝C", "", "", `the SMILES has "＝" (FULLWIDTH EQUALS SIGN, U+FF1D) as character 2` +
			plain},
		{"CＣ", "", "",
			`the SMILES has "Ｃ" (FULLWIDTH LATIN CAPITAL LETTER C, U+FF23) as character 2` + plain},
		{"CCΟ", "", "", `the SMILES has "Ο" (GREEK CAPITAL LETTER OMICRON, U+039F) as character 3` +
			plain},
		{"Сc", "", "", `the SMILES has "С" (CYRILLIC CAPITAL LETTER ES, U+0421) as character 1` +
			plain},
		{"Cα", "", "", `the SMILES has "α" (GREEK SMALL LETTER ALPHA, U+03B1) as character 2` +
			plain},
		{"[NH4⁺]", "", "", `the SMILES has "⁺" (SUPERSCRIPT PLUS SIGN, U+207A) as character 5` +
			plain},
		{"C\u00a0O", "", "", `the SMILES has "\u00a0" (NO-BREAK SPACE, U+00A0) as character 2` +
			plain},
		{"C\u200bO", "", "", `the SMILES has "\u200b" (ZERO WIDTH SPACE, U+200B) as character 2` +
			plain},
		{"C\ufeffO", "", "",
			`the SMILES has "\ufeff" (ZERO WIDTH NO-BREAK SPACE, U+FEFF) as character 2` + plain},
		{"C\nO", "", "", `the SMILES has "\n" (<control>, U+000A) as character 2` + plain},
		{"C\x07O", "", "", `the SMILES has "\a" (<control>, U+0007) as character 2` + plain},
		{"C\x00O", "", "", `the SMILES has "\x00" (<control>, U+0000) as character 2` + plain},
		{"CCCCCCCCCCC–O", "", "", `the SMILES has "–" (EN DASH, U+2013) as character 12` + plain},
	} {
		if smiles, name, problem := splitSMILES(c.text); smiles != c.smiles || name != c.name ||
			problem != c.problem {
			t.Errorf("%q:\n got %q, %q, %s\nwant %q, %q, %s", c.text, smiles, name, problem,
				c.smiles, c.name, c.problem)
		}
	}
}

func TestSMILESCells(t *testing.T) {
	table := mustParse(t, head+"a, CCO ethanol ,OK\nb,C C O,OK\nc,CC–O,Pending\nd,C,OK\n")
	want := []string{
		`2: a: smiles " CCO ethanol ": "ethanol" is taken as a name; the molecule is CCO (a name in a column of its own)`,
		`3: b: smiles "C C O": the SMILES has a blank as character 2, and "C O" ` +
			"may be part of the molecule; remove the blank, or move what is a name to another " +
			"column",
		`4: c: smiles "CC–O": the SMILES has "–" (EN DASH, U+2013) as character 3` + plain,
	}
	for i, f := range table.Check() {
		severity := map[bool]Severity{true: Warning, false: Unusable}[i == 0]
		if i >= len(want) || f.String() != want[i] || f.Severity != severity {
			t.Errorf("finding %d: %v, severity %d", i, f, f.Severity)
		}
	}
	for i, want := range []any{"CCO", nil, nil, "C"} {
		if got := table.Value(i, "smiles"); got != want {
			t.Errorf("row %d: %v, want %v", i, got, want)
		}
	}
}
