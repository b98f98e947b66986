package stages

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The recordings in testdata/mopac are of MOPAC 22.0.6; each names its keywords.

func recorded(name string) (out, aux string) {
	return "testdata/mopac/" + name + ".out", "testdata/mopac/" + name + ".aux"
}

func readRecorded(name string) (MOPAC, error) {
	out, aux := recorded(name)
	return ReadMOPAC(out, aux, 0.5)
}

func TestReadMOPAC(t *testing.T) {
	p := func(x float64) *float64 { return &x }
	for _, test := range []struct {
		name string
		want MOPAC
	}{
		{"water", MOPAC{-57.79986, p(0.02841), p(12.1153), p(-12.115), p(4.049), p(2.12929), "C2v",
			"PM7", "22.0.6", 8, nil, ""}},
		{"water_precise_aux", MOPAC{-57.799859353, p(0.02841), p(12.115285213), p(-12.115),
			p(4.049), p(2.12929203), "C2v", "PM7", "22.0.6", 8, nil, ""}},
		{"water_2016", MOPAC{-57.79986, p(0.02841), p(12.1153), p(-12.115), p(4.049), p(2.12929),
			"C2v", "PM7", "22.0.6", 8, nil, ""}},
		{"water_1scf", MOPAC{-57.68944, nil, p(12.031), p(-12.031), p(3.968), p(2.15965), "C2v",
			"PM7", "22.0.6", 8, nil, ""}},
		{"water_force", MOPAC{-57.799859, p(0.0305), p(12.1153), nil, nil, p(2.1293), "C2v", "PM7",
			"22.0.6", 8, nil, ""}},
		{"methyl", MOPAC{27.96966, p(0.04271), p(9.96722), p(-9.967), p(0.54), p(0.000238795),
			"D3h", "PM7", "22.0.6", 7, p(0.752845), ""}},
		{"triplet_oxygen", MOPAC{-9.17155, p(0.00985), p(10.6673), p(-10.667), p(0.614), p(0),
			"D*h", "PM7", "22.0.6", 12, p(2.00341), ""}},
		{"acetate", MOPAC{-126.739010497, p(0.02009), p(4.199697138), p(-4.2), p(7.991),
			p(4.040605808), "Cs", "PM7", "22.0.6", 24, nil, ""}},
		{"helium", MOPAC{0, nil, p(22.3257), p(-22.326), p(16.247), p(0), "R3", "PM7", "22.0.6", 2,
			nil, ""}},
		{"hydrogen_atom", MOPAC{52.102, nil, p(11.0701), p(-11.07), nil, nil, "R3", "PM7", "22.0.6",
			1, p(0.75), ""}},
		{"proton", MOPAC{307.38485, nil, nil, nil, nil, nil, "R3", "PM7", "22.0.6", 0, nil, ""}},
		// the first has 23.31416
		{"butyne_two_jobs", MOPAC{35.314161007, p(0.04238), p(10.050287902), p(-10.05), p(1.92),
			p(0.002266159), "D3h", "PM7", "22.0.6", 22, nil, ""}},
		{"hydrogen_atom_two_jobs", MOPAC{52.102, nil, p(11.070112), p(-11.07), nil, nil, "R3",
			"PM7", "22.0.6", 1, p(0.75), ""}},
		// The first optimisation stopped softly, the third job is in another state: 29.245.
		{"magnesium_chloride_four_jobs", MOPAC{-4.908101122, p(0.05985), p(7.824234471), p(-7.824),
			p(0.287), p(5.357787277), "C*v", "PM7", "22.0.6", 9, p(0.756147932), ""}},
		{"alanine_4", MOPAC{-98.162027337, p(0.33867), p(9.988037208), p(-9.988), p(0.799),
			p(2.731802751), "C1", "PM7", "22.0.6", 36, nil,
			"TRUST RADIUS NOW LESS THAN  0.00010 OPTIMIZATION TERMINATING"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readRecorded(test.name)
			if err != nil {
				t.Fatal(err)
			}
			a, b := reflect.ValueOf(got), reflect.ValueOf(test.want)
			for i := range a.NumField() {
				x, y := a.Field(i).Interface(), b.Field(i).Interface()
				if p, ok := x.(*float64); ok {
					x, y = value(p), value(y.(*float64))
				}
				if x != y {
					t.Errorf("%s is %v, want %v", a.Type().Field(i).Name, x, y)
				}
			}
		})
	}
}

// What no result depends on may be unreadable, and advice must not name what was done.
func TestReadMOPACOut(t *testing.T) {
	out := string(read(t, "testdata/mopac/water.out"))
	run, _, err := parseMOPACOut(strings.Replace(out, "-12.115", "*******", 1), 0.5)
	if err != nil || run.HOMO != nil || run.HOF != -57.79986 {
		t.Errorf("stars for an orbital's energy: %+v, %v", run, err)
	}
	twice := string(read(t, "testdata/mopac/butyne_two_jobs.out"))
	_, _, err = parseMOPACOut(strings.ReplaceAll(twice, "23.31416", "23.51416"), 0.5)
	wantError(t, err, "the optimisation ended at 23.514 kcal/mol, and one more energy at its "+
		"geometry is 35.314: they are not of the same electronic state")
	four := string(read(t, "testdata/mopac/magnesium_chloride_four_jobs.out"))
	_, _, err = parseMOPACOut(strings.Replace(four, " 29.24488", "-29.24488", 1), 0.5)
	wantError(t, err, "the result is -4.908 kcal/mol, and another job of the file found a lower "+
		"electronic state, -29.245")
	soft := string(read(t, "testdata/mopac/serine_14.out"))
	_, _, err = parseMOPACOut("          Geometry optimization using L-BFGS\n"+soft, 0.5)
	wantError(t, err, "the keyword EF may get further")
}

func TestReadMOPACRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		words []string
	}{
		{"cycles", []string{"did not converge within its number of cycles",
			"EXCESS NUMBER OF OPTIMIZATION CYCLES"}},
		{"time", []string{"time limit", "NOT ENOUGH TIME FOR ANOTHER CYCLE"}},
		{"keyword", []string{"keyword that MOPAC does not know", "(FOOBAR)"}},
		{"singlet_radical", []string{"charge and multiplicity don't fit",
			"SINGLET SPECIFIED WITH ODD NUMBER OF ELECTRONS"}},
		{"doublet_closed_shell", []string{"charge and multiplicity don't fit",
			"DOUBLET SPECIFIED WITH EVEN NUMBER OF ELECTRONS"}},
		{"itry", []string{"itry.aux: ", "the SCF did not converge", "ITRY"}},
		// Published is 50.100 (openmopac data/normal, "Bismuth, atom").
		{"absurd", []string{"absurd.aux: the heat of formation, 485.8 kcal/mol, is absurd"}},
		{"itry_water", []string{"the SCF did not converge"}},
		{"overlap", []string{"two atoms lie on top of each other",
			"ATOMS     2 AND     1 ARE SEPARATED BY 0.0500 ANGSTROMS."}},
		{"element", []string{"unknown element"}},
		{"force_not_optimised", []string{"FORCE needs an optimised geometry"}},
		{"peters", []string{"gradient 2.79 kcal/mol/Å", "at most 0.5", "PRECISE"}},
		{"serine_14", []string{"may not be completely optimised", "gradient 0.93 kcal/mol/Å",
			"TRUST RADIUS NOW LESS THAN", "the keyword LBFGS may get further"}},
		{"cycles_two_jobs", []string{"did not converge within its number of cycles"}},
		{"soft_two_jobs", []string{"gradient 149.52 kcal/mol/Å, at most 0.5 is accepted (MOPAC " +
			"says: TRUST RADIUS NOW LESS THAN"}},
		{"no_such_run", []string{"MOPAC wrote no output"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, aux := recorded(test.name)
			_, err := ReadMOPAC(out, aux, 0.5)
			wantError(t, err, append(test.words, "testdata/mopac/"+test.name)...)
		})
	}
}

// Changes to recorded output: what a crash, a stale file or another run's file makes of it.
func TestReadMOPACRefusesBrokenFiles(t *testing.T) {
	out, aux := string(read(t, "testdata/mopac/water.out")),
		string(read(t, "testdata/mopac/water.aux"))
	force, stationary := string(read(t, "testdata/mopac/water_1scf.aux")),
		"HEAT OF FORMATION IS ESSENTIALLY STATIONARY"
	twoAux := string(read(t, "testdata/mopac/butyne_two_jobs.aux"))
	replace := strings.ReplaceAll
	for _, test := range []struct{ name, out, aux, words string }{
		{"empty out", " \n", aux, "x.out: MOPAC wrote no output"},
		{"killed", out[:len(out)/2], aux, "x.out: MOPAC was stopped before its end"},
		{"no final heat", replace(out, "FINAL HEAT OF FORMATION", ""), aux,
			"x.out: MOPAC gave no heat of formation"},
		{"stars", replace(out, "      -57.79986 KCAL", "******* KCAL"), aux,
			"x.out: the heat of formation is no number"},
		{"NaN", replace(out, "-57.79986 KCAL", "NaN KCAL"), aux,
			"x.out: the heat of formation is no number"},
		{"no word of an optimisation", replace(replace(out, "OPTIMISED", ""), "LESS THAN CUTOFF",
			""), aux, "does not say that it optimised"},
		{"stationary far from the minimum", replace(replace(out, "0.02841 ", "0.62841 "),
			"GRADIENT =", stationary+"\n GRADIENT ="), aux, "gradient 0.63"},
		{"SCF failed", replace(out, "SCF FIELD WAS ACHIEVED",
			"++++----**** FAILED TO ACHIEVE SCF. ****----++++"), aux, "the SCF did not converge"},
		{"unknown message", out + "* Error and normal termination messages reported in this " +
			"calculation *\n *   *\n * THE MOON IS FULL   *\n * JOB ENDED NORMALLY *\n " +
			"****", aux, "MOPAC failed: THE MOON IS FULL"},
		{"empty aux", out, "\n", "x.aux: the file is empty"},
		{"torn aux", out, aux[:len(aux)-100], "x.aux: the file was not written to its end"},
		{"two jobs", out + string(read(t, "testdata/mopac/methyl.out")), aux,
			"x.out: the file has 2 jobs"},
		{"torn aux of two jobs", string(read(t, "testdata/mopac/butyne_two_jobs.out")),
			twoAux[:strings.LastIndex(twoAux, "DIPOLE")+20],
			"x.aux: the file was not written to its end"},
		{"aux of another run", out, force,
			"x.aux: the heat of formation is -0.576894D+02, in the .out file -57.79986"},
		{"aux without a result", out, replace(aux, "HEAT_OF_FORMATION", "OTHER"),
			"x.aux: there is no heat of formation"},
		{"no SCF", out, replace(aux, "NUMBER_SCF_CYCLES=", "NUMBER_SCF_CYCLES=0\nOTHER="),
			"x.aux: the SCF did not converge"},
		{"absurd", replace(out, "-57.79986 KCAL", "-5779.986 KCAL"),
			replace(aux, "FORMATION:KCAL/MOL=-0.577999D+02", "FORMATION:KCAL/MOL=-0.577999D+04"),
			"absurd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.out == out && test.aux == aux {
				t.Fatal("the recording is unchanged")
			}
			dir := t.TempDir()
			for name, text := range map[string]string{"x.out": test.out, "x.aux": test.aux} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := ReadMOPAC(filepath.Join(dir, "x.out"), filepath.Join(dir, "x.aux"), 0.5)
			wantError(t, err, dir, test.words)
		})
	}
	_, err := ReadMOPAC("testdata/mopac/water.out", filepath.Join(t.TempDir(), "x.aux"), 0.5)
	wantError(t, err, "x.aux: MOPAC wrote no .aux file: its input file needs the keyword AUX")
}

func TestSoftStopNearTheMinimum(t *testing.T) {
	run, _, err := parseMOPACOut(string(read(t, "testdata/mopac/isovaleric_acid_8.out")), 0.5)
	if err != nil || run.SoftStop != "HEAT OF FORMATION IS ESSENTIALLY STATIONARY" ||
		*run.GradientNorm != 0.07179 {
		t.Errorf("%+v, %v", run, err)
	}
}

func TestMOPACGeometry(t *testing.T) {
	for _, test := range []struct {
		name, symbols string
		first, last   float64
	}{
		{"water", "O H H", 0.0067, -0.0000},
		{"water_precise_aux", "O H H", 0.0067400056372, 0},
		{"water_1scf", "O H H", 0.0068, 0},
		{"helium", "He", 0, 0},
		// "1000.0000000000000-1000.0000000000000-1234.5000000000000"
		{"run_together", "Na Cl", 1000, -1234.5},
	} {
		frame, err := MOPACGeometry("testdata/mopac/" + test.name + ".aux")
		if err != nil || strings.Join(frame.Symbols, " ") != test.symbols ||
			len(frame.Coords) != 3*len(frame.Symbols) {
			t.Errorf("%s: %+v, %v", test.name, frame, err)
			continue
		}
		if first, last := frame.Coords[0], frame.Coords[len(frame.Coords)-1]; first != test.first ||
			math.Abs(last-test.last) > 1e-9 {
			t.Errorf("%s: %v … %v, want %v … %v", test.name, first, last, test.first, test.last)
		}
	}
	_, err := MOPACGeometry("testdata/mopac/stars.aux") // coordinates beyond -10000 Å
	wantError(t, err, "stars.aux: the geometry is broken", "***")
	_, err = MOPACGeometry("testdata/mopac/no.aux")
	wantError(t, err, "testdata/mopac/no.aux: no such file")
	_, err = parseAuxGeometry(" ATOM_EL[01]=\n H\n ATOM_X:ANGSTROMS[03]=\n 0 0 0\n END OF MOPAC " +
		"PROGRAM\n")
	wantError(t, err, "MOPAC came to no result")
}

func TestMOPACState(t *testing.T) {
	for _, test := range []struct {
		charge, multiplicity int
		want                 string
	}{
		{0, 1, "CHARGE=0 SINGLET"}, {-1, 2, "CHARGE=-1 DOUBLET UHF"},
		{2, 3, "CHARGE=2 TRIPLET UHF"}, {0, 9, "CHARGE=0 NONET UHF"},
	} {
		if got, err := MOPACState(test.charge, test.multiplicity); err != nil || got != test.want {
			t.Errorf("%q, %v, want %q", got, err, test.want)
		}
	}
	for _, multiplicity := range []int{0, -1, 10} {
		_, err := MOPACState(0, multiplicity)
		wantError(t, err, "1 to 9")
	}
}

func TestMOPACCartesian(t *testing.T) {
	got, err := MOPACCartesian(Frame{Symbols: []string{"Cl", "H"},
		Coords: []float64{0, -1.25, 12.123456789, 1, 2, 3}})
	want := " Cl     0.000000000 1    -1.250000000 1    12.123456789 1\n H      1.000000000 1    " +
		" 2.000000000 1     3.000000000 1"
	if err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, frame := range []Frame{
		{}, {Symbols: []string{"H"}, Coords: []float64{1, 2}},
		{Symbols: []string{"Xx"}, Coords: []float64{1, 2, 3}},
		{Symbols: []string{"H"}, Coords: []float64{1, 2, math.NaN()}},
	} {
		if got, err := MOPACCartesian(frame); err == nil {
			t.Errorf("%+v gave %q", frame, got)
		}
	}
}

func FuzzMOPAC(f *testing.F) {
	for _, name := range []string{"water", "methyl", "proton"} {
		out, aux := recorded(name)
		f.Add(string(read(f, out)), string(read(f, aux)))
	}
	f.Add(string(read(f, "testdata/mopac/overlap.out")), "")
	f.Fuzz(func(t *testing.T, out, aux string) {
		if frame, err := parseAuxGeometry(aux); err == nil {
			if err := frame.check(); err != nil {
				t.Fatal(err)
			}
		}
		run, hof, err := parseMOPACOut(out, 0.5)
		if err != nil || run.addAux(aux, hof) != nil {
			return
		}
		if math.IsNaN(run.HOF) || math.IsInf(run.HOF, 0) {
			t.Fatalf("%+v", run)
		}
	})
}
