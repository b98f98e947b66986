package stages

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// python is the interpreter that has RDKit; the machine's first python3 may be another.
const python = "/usr/bin/python3"

// embedded runs embed.py in a new folder and returns the folder.
// realRun starts programs as Grimperium's runner does, without its timeouts.
func realRun(ctx context.Context, dir, log string, argv ...string) error {
	f, err := os.Create(filepath.Join(dir, log))
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f, f
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1")
	return cmd.Run()
}

// shippedWords are those of pipeline.hcl for the criteria.
func shippedWords(molecule, charge, uhf, levels string) []string {
	return []string{"--molecule", molecule, "--chrg", charge, "--uhf", uhf, "--bonds", bonds,
		"--window", "6kcal/mol", "--first", "3", "--same",
		"0.125Å 0.05kcal/mol 1%", "--levels", levels}
}

// work is one call of a built-in that records nothing.
func work(t *testing.T, log io.Writer, run func(context.Context, string, string, ...string) error,
	args ...string) Work {
	return Work{Dir: t.TempDir(), Log: log, Run: run, Args: args, Each: func(n int, do func(int)) {
		for i := range n {
			do(i)
		}
	},
		Keep: func(string, []byte) error { return nil },
		Kept: func(string) []byte { return nil },
	}
}

var (
	lastLevels  = "gfn2:normal <3kcal/mol; gfn2:tight <3kcal/mol, twins 0.6Å 0.2kcal/mol 5%"
	looseLevels = "gfn2:loose, same 0.20Å 0.5kcal/mol 3%, window +1kcal/mol; gfn2:normal " +
		"<5kcal/mol, isomers 2 <3kcal/mol; " + lastLevels
	gfnffLevels = "gfnff:normal, window +8kcal/mol; gfn2:crude, same 0.20Å 0.5kcal/mol 3%, " +
		"window +2kcal/mol; gfn2:normal <5kcal/mol, batches 10 <1kcal/mol"
)

// searchIn runs the built-in command on what embed.py left in dir, in another folder, and returns
// the conformers and the account.
func searchIn(t *testing.T, dir, charge, uhf string, run func(context.Context, string, string,
	...string) error) ([]Frame, string, error) {
	t.Helper()
	var account bytes.Buffer
	w := work(t, &account, run, filepath.Join(dir, "pool.xyz"))
	w.Args = append(w.Args, shippedWords(filepath.Join(dir, "molecule.json"), charge, uhf,
		looseLevels)...)
	if err := Builtins()[0].Run(context.Background(), w); err != nil {
		return nil, account.String(), err
	}
	frames, err := ReadXYZ(filepath.Join(w.Dir, "conformers.xyz"))
	if err != nil {
		t.Fatal(err)
	}
	return frames, account.String(), nil
}

func TestConformers(t *testing.T) {
	for _, test := range []struct {
		smiles, charge, multiplicity, uhf string
		count                             int
		// hartree, GFN2-xTB of xtb 6.5.1; nought where only the count is known
		lowest float64
	}{
		{"CCO", "0", "1", "0", 2, -11.394339},
		{"CCCC", "0", "1", "0", 2, -13.665128},
		{"CC(C)(C)C", "0", "1", "0", 1, 0},
		{"c1ccccc1", "0", "1", "0", 1, 0},
		{"[CH3]", "0", "2", "1", 1, 0},
		{"[NH4+]", "1", "1", "0", 1, 0},
		{"O=O", "0", "3", "2", 1, 0},
		{"[CH-]=C=C", "-1", "1", "0", 1, 0},
		{"[He]", "0", "1", "0", 1, -1.743126},
		{"[H][H]", "0", "1", "0", 1, -0.982686},
		{"OO", "0", "1", "0", 1, 0}, // P and M are one
		{"C[C@H](O)C(=O)O", "0", "1", "0", 6, 0},
		// MMFF94s takes their carbon for linear, which has no cis and trans.
		{"O=[C]O", "0", "2", "1", 2, 0},
		{"O[C]O", "0", "1", "0", 2, 0},
		{"[CH]O", "0", "1", "0", 2, 0},
		{"O=[C-]O", "-1", "1", "0", 2, 0},
		// Their SCF converges after a hot start only: at the origin, and with --iterations 1000.
		{"[N]", "0", "2", "1", 1, -2.609452},
		{"O=Ic1ccccc1", "0", "1", "0", 1, -23.161100},
	} {
		t.Run(test.smiles, func(t *testing.T) {
			dir := embedded(t, test.smiles, "--charge", test.charge, "--multiplicity",
				test.multiplicity)
			frames, account, err := searchIn(t, dir, test.charge, test.uhf, realRun)
			if err != nil {
				t.Fatalf("%v\n%s", err, account)
			}
			if len(frames) != test.count {
				t.Errorf("%d conformers, want %d\n%s", len(frames), test.count, account)
			}
			if got := *frames[0].Energy; test.lowest != 0 &&
				(got > test.lowest+2e-5 || got < test.lowest-2e-5) {
				t.Errorf("lowest energy %.6f, want %.6f", got, test.lowest)
			}
			if !slices.IsSortedFunc(frames, compareEnergy) {
				t.Error("not sorted by energy")
			}
			for i, f := range frames {
				if words := changed(t, filepath.Join(dir, "molecule.json"), f, f); words != "" {
					t.Errorf("conformer %d: %s", i+1, words)
				}
			}
		})
	}
}

// The search gives the conformers of each isomer that PM7 may find the lowest: those within 3
// kcal/mol by GFN2-xTB.
func TestOpenStereo(t *testing.T) {
	for _, test := range []struct {
		smiles  string
		isomers []string // in the order of their lowest conformers
		account string
	}{
		{"CC=N", []string{"[H]/N=C\\C", "[H]/N=C/C"}, "2 stereoisomers; "},
		// by PM7 the second is lower
		{"N=CO", []string{"[H]/N=C/O", "[H]/N=C\\O"}, "2 stereoisomers; "},
		{"O=CC=CO", []string{"O=C/C=C\\O"}, "2 stereoisomers; "},
		{"OC(=O)C=CC(=O)O", []string{"O=C(O)/C=C/C(=O)O", "O=C(O)/C=C\\C(=O)O"},
			"2 stereoisomers; "},
		{"[H]/N=C/C", []string{"[H]/N=C/C"}, ""},
		// by MMFF94s cis is lower
		{"OC1CCC1O", []string{"O[C@H]1CC[C@@H]1O", "O[C@@H]1CC[C@@H]1O"}, "2 stereoisomers; "},
	} {
		frames, account, err := searchIn(t, embedded(t, test.smiles), "0", "0", realRun)
		if err != nil {
			t.Fatalf("%s: %v\n%s", test.smiles, err, account)
		}
		var got []string
		for _, f := range Isomers(frames) {
			got = append(got, f.Isomer)
			if of := OfIsomer(frames, f.Isomer); len(of) == 0 || of[0].Energy == nil ||
				*of[0].Energy != *f.Energy {
				t.Errorf("%s: %d conformers of %s", test.smiles, len(of), f.Isomer)
			}
		}
		if !slices.Equal(got, test.isomers) || !strings.Contains(account, test.account) {
			t.Errorf("%s: %q, want %q; the account says:\n%s", test.smiles, got, test.isomers,
				account)
		}
	}
}

// What embed.py builds of molecules that RDKit has trouble with: how many isomers, and the first by
// its SMILES. Mirror images get the same conformers, mirrored: what is computed of them is the
// same.
func TestSearchIsDeterministic(t *testing.T) {
	var first [][]byte
	for range 2 {
		dir := embedded(t, "OCCN")
		frames, account, err := searchIn(t, dir, "0", "0", realRun)
		if err != nil {
			t.Fatal(err)
		}
		result := [][]byte{FormatXYZ(frames), []byte(account)}
		for _, name := range []string{"properties.json", "molecule.mol", "geometry.xyz",
			"pool.xyz"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			result = append(result, data)
		}
		if first == nil {
			first = result
			continue
		}
		for i := range result {
			if !bytes.Equal(result[i], first[i]) {
				t.Errorf("file %d differs the second time", i)
			}
		}
	}
}

// A zwitterion in the gas phase gives its proton back; no bond may change in silence.
func TestReactedMoleculesAreRefused(t *testing.T) {
	dir := embedded(t, "[NH3+]CC(=O)[O-]")
	if err := os.Rename(filepath.Join(dir, "geometry.xyz"), filepath.Join(dir,
		"pool.xyz")); err != nil {
		t.Fatal(err)
	}
	_, account, err := searchIn(t, dir, "0", "0", realRun)
	if err == nil || !strings.Contains(err.Error(), "none of") ||
		!strings.Contains(err.Error(), "moved from N1 to O") {
		t.Errorf("error %v\n%s", err, account)
	}
}

// When xTB can't do all members together, each gets its own run, with the same result.
func TestOneByOne(t *testing.T) {
	dir := embedded(t, "CCO")
	together, _, err := searchIn(t, dir, "0", "0", realRun)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	alone, account, err := searchIn(t, dir, "0", "0", func(ctx context.Context, d, log string,
		argv ...string) error {
		runs++
		if slices.Contains(argv, "--mdopt") {
			return errors.New("xtb ended with status 128")
		}
		return realRun(ctx, d, log, argv...)
	})
	if err != nil || runs != 6 || !strings.Contains(account, "one by one") {
		t.Fatalf("%v after %d runs\n%s", err, runs, account)
	}
	for i := range together {
		if d := 627.5 * (*together[i].Energy - *alone[i].Energy); d > 0.01 || d < -0.01 {
			t.Errorf("conformer %d: %g kcal/mol apart", i+1, d)
		}
	}
}

func TestFailures(t *testing.T) {
	dir := embedded(t, "CCO")
	_, _, err := searchIn(t, dir, "0", "0", func(context.Context, string, string, ...string) error {
		return errors.New("xtb is not installed")
	})
	const want = "none of 2 geometries is left after the gfn2:loose optimisation: the first failed:"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
	// xTB's words count, not its exit status.
	_, _, err = searchIn(t, dir, "0", "0", func(_ context.Context, d, log string,
		argv ...string) error {
		err := os.WriteFile(filepath.Join(d, "xtbopt.xyz"),
			[]byte("3\n\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"), 0o644)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(d, log), []byte("FAILED TO CONVERGE GEOMETRY "+
			"OPTIMIZATION IN 200 CYCLES\nnormal termination of xtb\n"), 0o644)
	})
	if err == nil || !strings.Contains(err.Error(), "the geometry optimisation did not converge") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := work(t, io.Discard, realRun, filepath.Join(dir, "pool.xyz"))
	w.Args = append(w.Args, shippedWords(filepath.Join(dir, "molecule.json"), "0", "0",
		looseLevels)...)
	if err := Builtins()[0].Run(ctx, w); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestArguments(t *testing.T) {
	dir := embedded(t, "CCO")
	pool, mol := filepath.Join(dir, "pool.xyz"), filepath.Join(dir, "molecule.json")
	good := shippedWords(mol, "0", "0", looseLevels)
	with := func(word, value string) []string { // another value of one word, or none
		words := slices.Clone(good)
		at := slices.Index(words, word)
		if value == "" {
			return slices.Delete(words, at, at+2)
		}
		words[at+1] = value
		return words
	}
	for _, test := range []struct {
		file, want string
		words      []string
	}{
		{"", "want conformers GEOMETRIES --molecule", nil},
		{"", "want conformers GEOMETRIES --molecule", good},
		{pool, "--molecule is missing", with("--molecule", "")},
		{pool, "--window is missing", with("--window", "")},
		{pool, "--same is missing", with("--same", "")},
		{pool, "--window \"6\": \"6\" is no positive number with the unit kcal/mol",
			with("--window", "6")},
		{pool, "--window \"NaNkcal/mol\": \"NaNkcal/mol\" is no positive number",
			with("--window", "NaNkcal/mol")},
		{pool, "--uhf \"-1\": want a whole number from 0 on", with("--uhf", "-1")},
		{pool, "--first \"0\": want a whole number from 1 on", with("--first", "0")},
		{pool, "--chrg \"one\": want a whole", with("--chrg", "one")},
		{pool, "the reach of bonds is \"1.3\"; want \"bond 1.30,", with("--bonds", "1.3")},
		{pool, "\"0.1Å\" must be an RMSD, an energy and a part", with("--same", "0.1Å")},
		{pool, "\"0.1\" is no positive number with the unit Å",
			with("--same", "0.1 0.05kcal/mol 1%")},
		{pool, "--levels \"gfn9:loose\": \"gfn9:loose\": want METHOD:CRITERIA",
			with("--levels", "gfn9:loose")},
		{pool, "\"gfn2:loose, joined 3\": want METHOD:CRITERIA",
			with("--levels", "gfn2:loose, joined 3")},
		{pool, "want METHOD:CRITERIA", with("--levels", "gfn2:loose, window 1kcal/mol")},
		{pool, "want METHOD:CRITERIA", with("--levels", "gfn2:loose, isomers two <3kcal/mol")},
		{pool, "want METHOD:CRITERIA", with("--levels", "gfn2:loose, isomers 2 <3kcal/mol")},
		{pool, "want METHOD:CRITERIA",
			with("--levels", "gfn2:point <1kcal/mol; gfn2:loose")},
		{pool, "want METHOD:CRITERIA", with("--levels", "gfnff:point; gfn2:loose")},
		{pool, "the last level must optimise", with("--levels", "gfn2:loose; gfn2:point")},
		{pool, "\"3kcal\" is no positive number with the unit kcal/mol",
			with("--levels", "gfn2:loose <3kcal")},
		{pool, "\"0.6Å\" must be an RMSD", with("--levels", "gfn2:loose, twins 0.6Å")},
		{pool, "the first level of gfn2 can't have a limit",
			with("--levels", "gfn2:loose <3kcal/mol")},
		{pool, "\"more\" is not known here", append(slices.Clone(good), "more")},
		{pool, "\"--levles\" is not known here", append(slices.Clone(good), "--levles", "more")},
		{mol, "molecule.json: line 1", good},
		{pool, "pool.xyz: ", with("--molecule", pool)},
		{pool, "none.json: no such file", with("--molecule", dir+"/none.json")},
		{pool, "geometry 1 does not fit", with("--molecule", "MOL")},
		{"pool.xyz", "pool.xyz: no such file", good},
	} {
		w := Work{Dir: t.TempDir(), Log: &bytes.Buffer{}}
		other, err := os.ReadFile("testdata/mol/helium.json")
		if err == nil {
			err = os.WriteFile(filepath.Join(w.Dir, "MOL"), other, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if test.file != "" {
			w.Args = []string{test.file}
		}
		w.Args = append(w.Args, test.words...)
		err = Builtins()[0].Run(context.Background(), w)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", w.Args, err, test.want)
		}
	}
}

// TestEmbedCheck asks the worker, in one process, what is wrong with molecules.
