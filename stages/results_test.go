package stages

import (
	"path/filepath"
	"testing"
)

func TestConformersOfExport(t *testing.T) {
	text := func(s string) *string { return &s }
	h := hofs(-57.8, -57.7)
	missing := filepath.Join(t.TempDir(), "no.aux")
	e := Export{Molfile: text("testdata/mol/ethanol.mol"), Isomer: text("CCO"),
		Conformers: []ExportConformer{
			{}, // PM7 failed
			{Geometry: text("testdata/mopac/water_precise_aux.aux"), HOF: h[0], Method: text("PM7"),
				Energy: h[1]},
			{Geometry: text("testdata/mopac/water.aux"), HOF: h[1]},
		}}
	got, err := Conformers(e, Conformer{Molecule: "m"})
	if err != nil || len(got) != 2 || got[0].Rank != 2 || got[0].HOF != -57.8 ||
		got[0].Method != "PM7" || *got[0].GFN2 != -57.7 ||
		got[1].Rank != 3 || got[1].GFN2 != nil || got[1].Isomer != "CCO" || got[1].InChIKey != "" ||
		len(got[1].Frame.Symbols) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	e.Conformers[1].Geometry = &missing
	_, err = Conformers(e, Conformer{Molecule: "m"})
	wantError(t, err, "m, conformer 2: ", "no.aux: no such file")
	if got, err := Conformers(Export{}, Conformer{}); got != nil || err != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	e.Molfile = &missing
	_, err = Conformers(e, Conformer{})
	wantError(t, err, "no.aux: no such file")
	for name, want := range map[string]float64{"conformer 2: hof": 0.05,
		"conformer 1: energy": 1e-4, "delta_1": 0.05, "nheavy": 0} {
		if got := Tolerance(name); got != want {
			t.Errorf("the tolerance of %s is %g, want %g", name, got, want)
		}
	}
}
