package csvmerge

import "testing"

func TestSplitSMILES(t *testing.T) {
	const part = "may be part of the molecule; remove the blank, or move what is a name to another column"
	for _, c := range []struct{ text, smiles, name, problem string }{
		{"CCO", "CCO", "", ""},
		{"  CCO\t ", "CCO", "", ""},
		{`C/C=C\C[C@@H](N)C(=O)[O-]%12CC%12.[Na+]`, `C/C=C\C[C@@H](N)C(=O)[O-]%12CC%12.[Na+]`, "", ""},

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
		{"C C O", "", "", `the SMILES has a blank as its 2nd character, and "C O" ` + part},
		{"CC (C)C", "", "", `the SMILES has a blank as its 3rd character, and "(C)C" ` + part},
		{"CC =O", "", "", `the SMILES has a blank as its 3rd character, and "=O" ` + part},
		{"C1CC 1", "", "", `the SMILES has a blank as its 5th character, and "1" ` + part},
		{"CC( =O)C", "", "", `the SMILES has a blank as its 4th character, and "=O)C" ` + part},
		{"CC( acetone", "", "", `the SMILES has a blank as its 4th character, and "acetone" ` + part},
		{"[Na+] . [Cl-]", "", "", `the SMILES has a blank as its 6th character, and ". [Cl-]" ` + part},
		{"CC O ethanol", "", "", `the SMILES has a blank as its 3rd character, and "O ethanol" ` + part},
		{"C\tO", "", "", `the SMILES has a tab as its 2nd character, and "O" may be part of the molecule; remove the tab, or move what is a name to another column`},

		// No SMILES at all: RDKit says so, whatever follows.
		{"'; touch pwned #", "'; touch pwned #", "", ""},

		// Characters that only look like one of a SMILES.
		{"CC–O", "", "", `the SMILES has "–" (EN DASH, U+2013) as its 3rd character; write - or =`},
		{"CC—O", "", "", `the SMILES has "—" (EM DASH, U+2014) as its 3rd character; write - or =`},
		{"[O−]C", "", "", `the SMILES has "−" (MINUS SIGN, U+2212) as its 3rd character; write -`},
		{"C≡C", "", "", `the SMILES has "≡" (IDENTICAL TO, U+2261) as its 2nd character; write #`},
		{"C＝C", "", "", `the SMILES has "＝" (FULLWIDTH EQUALS SIGN, U+FF1D) as its 2nd character; write =`},
		{"CＣ", "", "", `the SMILES has "Ｃ" (FULLWIDTH LATIN CAPITAL LETTER C, U+FF23) as its 2nd character; write the Latin C`},
		{"CCΟ", "", "", `the SMILES has "Ο" (GREEK CAPITAL LETTER OMICRON, U+039F) as its 3rd character; write the Latin O`},
		{"Сc", "", "", `the SMILES has "С" (CYRILLIC CAPITAL LETTER ES, U+0421) as its 1st character; write the Latin C`},
		{"Cα", "", "", `the SMILES has "α" (GREEK SMALL LETTER ALPHA, U+03B1) as its 2nd character; a SMILES has only plain (ASCII) letters, digits and signs`},
		{"[NH4⁺]", "", "", `the SMILES has "⁺" (SUPERSCRIPT PLUS SIGN, U+207A) as its 5th character; write +`},
		{"C\u00a0O", "", "", `the SMILES has "\u00a0" (NO-BREAK SPACE, U+00A0) as its 2nd character; remove it`},
		{"C\u200bO", "", "", `the SMILES has "\u200b" (ZERO WIDTH SPACE, U+200B) as its 2nd character; remove it`},
		{"C\ufeffO", "", "", `the SMILES has "\ufeff" (ZERO WIDTH NO-BREAK SPACE, U+FEFF) as its 2nd character; remove it`},
		{"C\nO", "", "", `the SMILES has "\n" (<control>, U+000A) as its 2nd character; remove it`},
		{"C\x07O", "", "", `the SMILES has "\a" (<control>, U+0007) as its 2nd character; remove it`},
		{"C\x00O", "", "", `the SMILES has "\x00" (<control>, U+0000) as its 2nd character; remove it`},
		{"CCCCCCCCCCC–O", "", "", `the SMILES has "–" (EN DASH, U+2013) as its 12th character; write - or =`},
	} {
		if smiles, name, problem := SplitSMILES(c.text); smiles != c.smiles || name != c.name || problem != c.problem {
			t.Errorf("%q:\n got %q, %q, %s\nwant %q, %q, %s", c.text, smiles, name, problem, c.smiles, c.name, c.problem)
		}
	}
}

func TestSMILESCells(t *testing.T) {
	table := mustParse(t, head+"a, CCO ethanol ,OK\nb,C C O,OK\nc,CC–O,Pending\nd,C,OK\n")
	want := []string{
		`2: a: smiles " CCO ethanol ": "ethanol" is taken as a name; the molecule is CCO (a name in a column of its own)`,
		`3: b: smiles "C C O": the SMILES has a blank as its 2nd character, and "C O" may be part of the molecule; remove the blank, or move what is a name to another column`,
		`4: c: smiles "CC–O": the SMILES has "–" (EN DASH, U+2013) as its 3rd character; write - or =`,
	}
	for i, f := range table.Check() {
		if i >= len(want) || f.String() != want[i] || f.Warning != (i == 0) || f.Fatal {
			t.Errorf("finding %d: %v, warning %t", i, f, f.Warning)
		}
	}
	for i, want := range []any{"CCO", nil, nil, "C"} {
		if got := table.Value(i, "smiles"); got != want {
			t.Errorf("row %d: %v, want %v", i, got, want)
		}
	}
}
