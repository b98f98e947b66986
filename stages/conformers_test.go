package stages

import (
	"bytes"
	"context"
	"errors"
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

// searchIn runs the built-in command on what embed.py left in dir, in another folder, and returns the conformers and the account.
func searchIn(t *testing.T, dir, charge, uhf string, run func(context.Context, string, string, ...string) error) ([]Frame, string, error) {
	t.Helper()
	var account bytes.Buffer
	w := Work{Dir: t.TempDir(), Log: &account, Run: run, Args: []string{filepath.Join(dir, "pool.xyz"),
		"--molecule", filepath.Join(dir, "molecule.json"), "--charge", charge, "--uhf", uhf, "--window", "6"}}
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
		lowest                            float64 // hartree, GFN2-xTB of xtb 6.5.1; nought where only the count is known
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
	} {
		t.Run(test.smiles, func(t *testing.T) {
			dir := embedded(t, test.smiles, "--charge", test.charge, "--multiplicity", test.multiplicity)
			frames, account, err := searchIn(t, dir, test.charge, test.uhf, realRun)
			if err != nil {
				t.Fatalf("%v\n%s", err, account)
			}
			if len(frames) != test.count {
				t.Errorf("%d conformers, want %d\n%s", len(frames), test.count, account)
			}
			if got := *frames[0].Energy; test.lowest != 0 && (got > test.lowest+2e-5 || got < test.lowest-2e-5) {
				t.Errorf("lowest energy %.6f, want %.6f", got, test.lowest)
			}
			if !slices.IsSortedFunc(frames, compareEnergy) {
				t.Error("not sorted by energy")
			}
			for i, f := range frames {
				if changes, err := MoleculeChanges(filepath.Join(dir, "molecule.json"), f, f); err != nil || changes != "" {
					t.Errorf("conformer %d: %s, %v", i+1, changes, err)
				}
			}
		})
	}
}

// The search gives the conformers of each isomer that PM7 may find the lowest: those within 3 kcal/mol by GFN2-xTB.
func TestOpenStereo(t *testing.T) {
	for _, test := range []struct {
		smiles  string
		isomers []string // in the order of their lowest conformers
		account string
	}{
		{"CC=N", []string{"[H]/N=C\\C", "[H]/N=C/C"}, "2 stereoisomers; "},
		{"N=CO", []string{"[H]/N=C/O", "[H]/N=C\\O"}, "2 stereoisomers; "}, // by PM7 the second is lower
		{"O=CC=CO", []string{"O=C/C=C\\O"}, "2 stereoisomers; "},
		{"OC(=O)C=CC(=O)O", []string{"O=C(O)/C=C/C(=O)O", "O=C(O)/C=C\\C(=O)O"}, "2 stereoisomers; "},
		{"[H]/N=C/C", []string{"[H]/N=C/C"}, ""},
		{"OC1CCC1O", []string{"O[C@H]1CC[C@@H]1O", "O[C@@H]1CC[C@@H]1O"}, "2 stereoisomers; "}, // by MMFF94s cis is lower
	} {
		frames, account, err := searchIn(t, embedded(t, test.smiles), "0", "0", realRun)
		if err != nil {
			t.Fatalf("%s: %v\n%s", test.smiles, err, account)
		}
		var got []string
		for _, f := range Isomers(frames) {
			got = append(got, f.Isomer)
			if of := OfIsomer(frames, f.Isomer); len(of) == 0 || of[0].Energy == nil || *of[0].Energy != *f.Energy {
				t.Errorf("%s: %d conformers of %s", test.smiles, len(of), f.Isomer)
			}
		}
		if !slices.Equal(got, test.isomers) || !strings.Contains(account, test.account) {
			t.Errorf("%s: %q, want %q; the account says:\n%s", test.smiles, got, test.isomers, account)
		}
	}
}

// What embed.py builds of molecules that RDKit has trouble with: how many isomers, and the first by its SMILES.
// Mirror images get the same conformers, mirrored: what is computed of them is the same.
func TestSearchIsDeterministic(t *testing.T) {
	var first [][]byte
	for range 2 {
		dir := embedded(t, "OCCN")
		frames, account, err := searchIn(t, dir, "0", "0", realRun)
		if err != nil {
			t.Fatal(err)
		}
		result := [][]byte{FormatXYZ(frames), []byte(account)}
		for _, name := range []string{"properties.json", "molecule.mol", "geometry.xyz", "pool.xyz"} {
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
	if err := os.Rename(filepath.Join(dir, "geometry.xyz"), filepath.Join(dir, "pool.xyz")); err != nil {
		t.Fatal(err)
	}
	_, account, err := searchIn(t, dir, "0", "0", realRun)
	if err == nil || !strings.Contains(err.Error(), "none of") || !strings.Contains(err.Error(), "moved from N1 to O") {
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
	alone, account, err := searchIn(t, dir, "0", "0", func(ctx context.Context, d, log string, argv ...string) error {
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
	_, _, err := searchIn(t, dir, "0", "0", func(context.Context, string, string, ...string) error { return errors.New("xtb is not installed") })
	if err == nil || !strings.Contains(err.Error(), "none of 2 geometries is left after the loose optimisation with GFN2-xTB: the first failed:") {
		t.Errorf("error %v", err)
	}
	// xTB's words count, not its exit status.
	_, _, err = searchIn(t, dir, "0", "0", func(_ context.Context, d, log string, argv ...string) error {
		if err := os.WriteFile(filepath.Join(d, "xtbopt.xyz"), []byte("3\n\nO 0 0 0\nH 0 0 1\nH 0 1 0\n"), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(d, log), []byte("FAILED TO CONVERGE GEOMETRY OPTIMIZATION IN 200 CYCLES\nnormal termination of xtb\n"), 0o644)
	})
	if err == nil || !strings.Contains(err.Error(), "the geometry optimisation did not converge") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := Work{Dir: t.TempDir(), Log: &bytes.Buffer{}, Run: realRun, Args: []string{filepath.Join(dir, "pool.xyz"), "--molecule", filepath.Join(dir, "molecule.json")}}
	if err := Builtins()[0].Run(ctx, w); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestArguments(t *testing.T) {
	dir := embedded(t, "CCO")
	pool, mol := filepath.Join(dir, "pool.xyz"), filepath.Join(dir, "molecule.json")
	other := filepath.Join(embedded(t, "CC"), "molecule.mol")
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "name the pool's xyz file first"},
		{[]string{"--molecule", mol}, "name the pool's xyz file first"},
		{[]string{pool}, "want --molecule"},
		{[]string{pool, "--molecule", mol, "--window", "-1"}, "--window between"},
		{[]string{pool, "--molecule", mol, "--window", "NaN"}, "--window between"},
		{[]string{pool, "--molecule", mol, "--uhf", "-1"}, "--uhf of 0 or more"},
		{[]string{pool, "--molecule", mol, "--charge", "one"}, "can't understand"},
		{[]string{pool, "--molecule", mol, "more"}, "can't understand"},
		{[]string{mol, "--molecule", mol}, "molecule.json: line 1"},
		{[]string{pool, "--molecule", pool}, "pool.xyz: "},
		{[]string{pool, "--molecule", dir + "/none.mol"}, "none.mol: no such file"},
		{[]string{pool, "--molecule", other}, "geometry 1 does not fit"},
	} {
		err := Builtins()[0].Run(context.Background(), Work{Dir: t.TempDir(), Args: test.args, Log: &bytes.Buffer{}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.args, err, test.want)
		}
	}
}

// TestEmbedCheck asks the worker, in one process, what is wrong with molecules.
