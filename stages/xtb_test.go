package stages

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// The recordings in testdata/xtb are standard outputs of xTB 6.5.1; each names its command line.

func TestReadXTB(t *testing.T) {
	for _, test := range []struct {
		name string
		// energy, gradient norm, gap, converged, version, zero point energy, imaginary frequencies
		want string
	}{
		{"opt", "-11.394338678881 0.000485786793 12.893059551865 true 6.5.1 nil nil"},
		{"sp", "-11.393351633262 0.019570310859 12.525936324779 false 6.5.1 nil nil"},
		{"radical", "-3.562970359478 7.754074e-05 12.525675393786 true 6.5.1 nil nil"},
		{"hess", "-5.070544344127 0.000196265681 14.386422434447 true 6.5.1 0.02012829973 0"},
		{"hatomopt", "-0.393482763936 0 10.707211 true 6.5.1 nil nil"},
		{"ff", "-1.220342414424 0.000842922584 nil true 6.5.1 nil nil"},
	} {
		run, err := ReadXTB("testdata/xtb/" + test.name + ".stdout")
		imaginary := "nil"
		if run.ImaginaryFrequencies != nil {
			imaginary = fmt.Sprint(*run.ImaginaryFrequencies)
		}
		got := fmt.Sprint(run.Energy, " ", value(run.GradientNorm), " ", value(run.Gap), " ",
			run.Converged, " ", run.Version, " ", value(run.ZeroPointEnergy), " ", imaginary)
		if err != nil || got != test.want {
			t.Errorf("%s: %s, %v, want %s", test.name, got, err, test.want)
		}
	}
}

func TestReadXTBRefuses(t *testing.T) {
	for _, test := range []struct{ name, words string }{
		{"cycles1", "the geometry optimisation did not converge (xTB says: FAILED TO CONVERGE " +
			"GEOMETRY OPTIMIZATION IN 1 ITERATIONS)"},
		{"scffail", "the SCF did not converge"},
		{"badel", "xTB failed (xTB says: Error: Cannot map symbol to atomic number)"},
	} {
		path := "testdata/xtb/" + test.name + ".stdout"
		_, err := ReadXTB(path)
		wantError(t, err, path+": ", test.words)
	}
	missing := filepath.Join(t.TempDir(), "stdout")
	_, err := ReadXTB(missing)
	wantError(t, err, missing+": no such file")

	out := string(read(t, "testdata/xtb/opt.stdout"))
	if run, err := parseXTB(strings.ReplaceAll(out, "12.893059551865", "NaN")); err != nil ||
		run.Gap != nil {
		t.Errorf("a gap that is NaN, as of H⁻: %+v, %v", run, err)
	}
	for _, test := range []struct{ name, out, words string }{
		{"empty", "\n", "xTB wrote no output"},
		{"killed", out[:20000], "stopped before its end"},
		{"crashed", out[:20000] + "\nProgram received signal SIGSEGV: Segmentation fault - " +
			"invalid memory reference.\n\nBacktrace for this error:\n#0  0x7f in ???\n",
			"xTB crashed (xTB says: Program received signal SIGSEGV: Segmentation fault - " +
				"invalid memory reference.)"},
		{"no energy", strings.ReplaceAll(out, "| TOTAL ENERGY", "| OTHER"), "no energy"},
		{"NaN", strings.ReplaceAll(out, "-11.394338678881", "NaN"), "the energy is no number"},
		{"stars", strings.ReplaceAll(out, "0.000485786793", "**************"),
			"the gradient norm is no number"},
		{"silent", strings.ReplaceAll(strings.ReplaceAll(out, "OPTIMIZATION CONVERGED", ""),
			"optimized geometry written", ""), "does not say"},
	} {
		_, err := parseXTB(test.out)
		if err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %v, want %q", test.name, err, test.words)
		}
	}
}

func FuzzXTB(f *testing.F) {
	for _, name := range []string{"hess", "scffail", "badel", "cycles1"} {
		f.Add(string(read(f, "testdata/xtb/"+name+".stdout")))
	}
	f.Fuzz(func(t *testing.T, out string) {
		if run, err := parseXTB(out); err == nil && (math.IsNaN(run.Energy) ||
			math.IsInf(run.Energy, 0)) {
			t.Fatalf("%+v", run)
		}
	})
}
