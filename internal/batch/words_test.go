package batch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const gfortranTrace = "\n\nBacktrace for this error:\n#0  0x7f1d5c85af8f in ???\n#1  0x55f0c7 in " +
	"__optimize_maths_MOD_detrotra8\n\tat /build/src/optimize/optimize_maths.f90:88\n#2  " +
	"0x55f0c8 in crest\n\tat crest_main.f90:26\n"

// The texts are those of CREST 3.0.2 (gfortran), MOPAC, xTB, Intel's Fortran, C++, Python and
// shells.
func TestOwnWords(t *testing.T) {
	for _, test := range []struct {
		name, stderr, stdout string
		all                  bool
		words                string
		crashed              bool
	}{
		{"nothing", "", "a lot\nof output", true, "", false},
		{"segmentation fault",
			"\nProgram received signal SIGSEGV: Segmentation fault - invalid memory reference." +
				gfortranTrace, "", true,
			"Program received signal SIGSEGV: Segmentation fault - invalid memory reference.",
			true},
		{"error stop",
			"ERROR STOP safety termination of CREST\n\nError termination. Backtrace:\n#0  0x55 " +
				"in trialopt_warning_\n\tat crest_main.f90:26\n",
			" Geometry successfully optimized.\n\n *WARNING* Change in topology detected!\n " +
				"Topology change compared to the input affects atoms:\n 1(N) 5(O) 6(H)\n\n " +
				"=================================\n * READ THE FOLLOWING CAREFULLY *\n A " +
				"topology change was seen in the initial geometry optimization.\n", true,
			"ERROR STOP safety termination of CREST; its output says: *WARNING* Change in " +
				"topology detected! Topology change compared to the input affects atoms: 1(N) " +
				"5(O) 6(H)", false},
		{"error stop without words",
			"ERROR STOP \n\nError termination. Backtrace:\n#0  0x55 in x\n",
			"\n  Initial geometry optimization failed!\n  Please check your input.\n", true,
			"ERROR STOP; its output says: Initial geometry optimization failed! Please check " +
				"your input.", false},
		{"no input",
			"ERROR STOP No (valid) input file! exit.\n\nError termination. Backtrace:\n#0  0x55 " +
				"in x\n", "", true, "ERROR STOP No (valid) input file! exit.", false},
		{"unknown solvent, no failure by its exit code",
			"STOP solv_model_loadInternalParam\nsolvent: 'vodka' is not parametrized\n", "", false,
			"STOP solv_model_loadInternalParam; solvent: 'vodka' is not parametrized", false},
		{"the same the other way round",
			"solvent: 'vodka' is not parametrized\nSTOP solv_model_loadInternalParam\n", "", false,
			"solvent: 'vodka' is not parametrized; STOP solv_model_loadInternalParam", false},
		{"silent on what went wrong",
			"Note: The following floating-point exceptions are signalling: " +
				"IEEE_INVALID_FLAG\nnormal termination of xtb\n", "", false, "", false},
		{"progress is no reason", "step 1\nstep 2\n", "", false, "", false},
		{"but better than nothing", "step 1\n", "", true, "step 1", false},
		{"runtime error of gfortran",
			"At line 26 of file reader.f90 (unit = 10, file = 'in.xyz')\nFortran runtime error: " +
				"End of file\n\nError termination. Backtrace:\n#0  0x7f\n", "", true,
			"Fortran runtime error: End of file", true},
		{"Intel's Fortran",
			"forrtl: severe (174): SIGSEGV, segmentation fault occurred\nImage              PC   " +
				"             Routine            Line        Source\ncrest  00005560 Unknown " +
				"Unknown Unknown\n", "", true,
			"forrtl: severe (174): SIGSEGV, segmentation fault occurred", true},
		{"C++",
			"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  " +
				"std::bad_alloc\n", "", true,
			"terminate called after throwing an instance of 'std::bad_alloc'; what(): " +
				"std::bad_alloc", true},
		{"Python",
			"warning: slow\nTraceback (most recent call last):\n  File \"x.py\", line 1, in " +
				"<module>\n    raise ValueError('no atoms')\nValueError: no atoms\n", "", true,
			"ValueError: no atoms", false},
		{"usage",
			"usage: x.py [-h] --smiles SMILES\nx.py: error: the following arguments are " +
				"required: --smiles\n", "", true,
			"x.py: error: the following arguments are required: --smiles", false},
		{"a warning first", "Warning: the cache could not be opened\nreading\nSCF failed\n", "",
			true, "SCF failed", false},
		{"a shell", "sh: 1: nosuch: not found\n", "", true, "sh: 1: nosuch: not found", false},
		{"xTB",
			"[ERROR] Program stopped due to fatal error\n-2- setup: could not read\n-1- no such " +
				"file\nabnormal termination of xtb\n", "", true,
			"[ERROR] Program stopped due to fatal error; -2- setup: could not read; -1- no such " +
				"file", false},
		{"a backtrace alone", "#0  0x7f1d5c85af8f in ???\n\tat crest_main.f90:26\n", "", true, "",
			false},
		{"a long line", "ERROR " + strings.Repeat("x", 5000), "", true, "ERROR " +
			strings.Repeat("x", 194) + "...", false},
		{"far from the end of a long output", "", "ERROR: the cause\n" +
			strings.Repeat("and more\n\n", 2_000), true, "ERROR: the cause; and more", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{stderrName: test.stderr,
				stdoutName: test.stdout} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			words, crashed := ownWords(dir, test.all)
			if words != test.words || crashed != test.crashed {
				t.Errorf("%q, %t\nwant %q, %t", words, crashed, test.words, test.crashed)
			}
		})
	}
}
