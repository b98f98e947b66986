package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// GOLDEN=write writes the golden files again. It refuses if a result changed and the version did
// not: a batch would keep the old result.
var writeGolden = os.Getenv("GOLDEN") == "write"

// golden is what a function or a command gave, by the text of its input.
type golden struct {
	Version string
	Results map[string]json.RawMessage
}

// compare checks results against the golden file of a name.
func (is golden) compare(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".json")
	var was golden
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &was)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	same := len(is.Results) == len(was.Results) && is.Version == was.Version
	for input, result := range is.Results {
		before, known := was.Results[input]
		var a, b bytes.Buffer
		if known && (json.Compact(&a, before) != nil || json.Compact(&b, result) != nil ||
			a.String() != b.String()) {
			same = false
			if is.Version == was.Version {
				t.Fatalf("%s gives another result than its golden file: bump Version, which is "+
					"%s.\ninput %.200s\nis    %.400s\nwas   %.400s",
					name, is.Version, input, b.String(), a.String())
			}
		}
		same = same && known
	}
	if same {
		return
	}
	if !writeGolden {
		t.Fatalf("%s: inputs or Version are not those of %s; GOLDEN=write go test ./stages -run "+
			"Golden writes it", name, path)
	}
	if data, err = json.MarshalIndent(is, "", " "); err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// outcome is a result or an error as JSON.
func outcome(t *testing.T, result any, err error) json.RawMessage {
	t.Helper()
	if err != nil {
		result = map[string]string{"error": err.Error()}
	}
	data, err := json.Marshal(seen(reflect.ValueOf(result)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// seen is a value as an expression sees it, without the last bits of numbers, which differ between
// processors.
func seen(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return seen(v.Elem())
	case reflect.Float64:
		return Round9(v.Float())
	case reflect.Slice:
		out := []any{}
		for i := range v.Len() {
			out = append(out, seen(v.Index(i)))
		}
		return out
	case reflect.Struct:
		out := map[string]any{}
		for i := range v.NumField() {
			out[v.Type().Field(i).Tag.Get("cty")] = seen(v.Field(i))
		}
		return out
	}
	return v.Interface()
}

func goldenFrame(t *testing.T, path string, n int) Frame {
	t.Helper()
	frames, err := ReadXYZ(path)
	if err != nil {
		t.Fatal(err)
	}
	return frames[n]
}

// goldenInputs are the arguments of the calls whose results are kept.
func goldenInputs(t *testing.T) map[string][][]any {
	const (
		mol, mopac, xtb = "testdata/mol/", "testdata/mopac/", "testdata/xtb/"
		ethanol         = mol + "ethanol.json"
		conformers      = mol + "ethanol_conformers.xyz"
	)
	opt := goldenFrame(t, mol+"ethanol_opt.xyz", 0)
	broken := opt
	broken.Coords = slices.Clone(opt.Coords)
	broken.Coords[26] += 5
	h := hofs(-1, -3, -2, -2.99)
	h[2] = nil
	a, b := "a.aux", "b.aux"
	starts := slices.Repeat([]Frame{goldenFrame(t, mol+"diphosphane.xyz", 0)}, 3)
	pair := []Frame{{Isomer: "C/C=C/C"}, {Isomer: "C/C=C\\C"}, {Isomer: "C/C=C/C"}}
	var runs [][]any
	for _, name := range []string{"water", "water_precise_aux", "water_1scf", "water_force",
		"methyl", "acetate", "proton", "alanine_4",
		"serine_14", "peters", "itry", "butyne_two_jobs", "hydrogen_atom_two_jobs",
		"triplet_oxygen_two_jobs", "cycles_two_jobs", "soft_two_jobs",
		"magnesium_chloride_four_jobs"} {
		runs = append(runs, []any{mopac + name + ".out", mopac + name + ".aux", 0.5})
	}
	var outputs [][]any
	files, err := filepath.Glob(xtb + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		outputs = append(outputs, []any{file})
	}
	return map[string][][]any{
		"xyz":           {{mol + "ethanol_opt.xyz"}, {mol + "helium.xyz"}},
		"xyz_text":      {{opt}},
		"ensemble":      {{conformers}, {"testdata/crest/methyl_radical.xyz"}},
		"isomers":       {{pair}},
		"lowest_isomer": {{pair, []*float64{}}, {pair, hofs(2, 1)}, {pair, hofs(1)}},
		"of_isomer":     {{pair, "C/C=C/C"}, {pair, "C"}},
		"perturbed": {{ethanol, opt, "0.15Å 20° 80° 100%", 7},
			{mol + "rotors.json", opt, "0.15Å 20° 80° 100%", 1},
			{ethanol, opt, "0.15Å 20° 80° 102%", 7}, {ethanol, opt, "0.15 20", 1}},
		"mopac": runs,
		"mopac_geometry": {{mopac + "water_precise_aux.aux"}, {mopac + "butyne_two_jobs.aux"},
			{mopac + "itry.aux"}},
		"single_points": {{mopac + "single_points.out"}, {mopac + "itry.aux"}},
		"geometries":    {{conformers}, {mol + "diphosphane.xyz"}},
		"reached": {{mopac + "starts.out", mol + "diphosphane.json", starts, bonds},
			{mopac + "starts.out", mol + "diphosphane.json", starts[:0], bonds},
			{mopac + "starts.out", ethanol, starts, bonds}},
		"promising":       {{4, h, 3}, {2, []*float64(nil), 3}},
		"placed":          {{h[:2], []int{3, 1}}, {h[:1], []int{-1}}, {h[:1], []int{}}},
		"mopac_state":     {{-1, 2}, {0, 1}, {0, 10}},
		"mopac_cartesian": {{opt}},
		"xtb":             outputs,
		"lowest":          {{h}, {[]*float64{nil}}},
		"refined": {{[]Result{{HOF: h[0], Aux: &a}, {}}, Result{HOF: h[1], Aux: &b, LUMO: h[0]}},
			{[]Result{{HOF: h[0], Aux: &a}, {HOF: h[1], Aux: &a}}, Result{HOF: h[0], Aux: &b}}},
		"summarise": {{h, 0.02}, {h, 0.001}},
		"same_molecule": {{ethanol, opt, opt, bonds}, {ethanol, opt, broken, bonds},
			{mol + "zwitterion.json", opt, opt, bonds}},
		"any_same_molecule": {{ethanol, opt, []Frame{broken, opt}, bonds},
			{ethanol, opt, []Frame{broken, broken}, bonds}},
		"possible_state": {{"CCO", 0, 1}, {"C[N+](C)(C)C", 0, 1}, {"[NH4+]", 1, 1},
			{"c1cccn1", 0, 1}, {"[CH2]", 0, 3}},
		"heavy_atoms":     {{"CC(=O)O[Na]"}, {"c1cc[nH]c1"}, {"C("}},
		"rotatable_bonds": {{"CCCCO"}, {"C1CCCCC1CC(=O)O"}, {"CC#CC"}},
	}
}

func TestGoldenFunctions(t *testing.T) {
	inputs := goldenInputs(t)
	for _, f := range Functions() {
		is := golden{fmt.Sprint(f.Version), map[string]json.RawMessage{}}
		for _, args := range inputs[f.Name] {
			in := make([]reflect.Value, len(args))
			for i, a := range args {
				in[i] = reflect.ValueOf(a)
			}
			out := reflect.ValueOf(f.Fn).Call(in)
			var err error
			if len(out) > 1 {
				err, _ = out[1].Interface().(error)
			}
			text := outcome(t, args, nil)
			is.Results[string(text)] = outcome(t, out[0].Interface(), err)
		}
		if len(is.Results) == 0 {
			t.Errorf("%s has no call in goldenInputs", f.Name)
		}
		is.compare(t, f.Name)
	}
}

// TestGoldenCommands runs the commands with an xTB that leaves every geometry as it is, and counts
// contacts for an energy.
func TestGoldenCommands(t *testing.T) {
	frames := recordedFrames(t, "alanine")
	for i := range frames {
		frames[i].Comment += " ! CC(N)C(=O)O"
	}
	molecule, err := json.Marshal(Molecule{Symbols: frames[0].Symbols, Bonds: bondsOf(frames[0])})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range Builtins() {
		args := append([]string{"pool.xyz"}, shippedWords("molecule.json", "0", "0",
			looseLevels)...)
		if b.Name == "merge_conformers" {
			args = append([]string{"pool.xyz", "other.xyz"},
				shippedWords("molecule.json", "0", "0", lastLevels)...)
		}
		var account bytes.Buffer
		w := work(t, &account, contacts, args...)
		err := writeFiles(w.Dir, map[string]string{"molecule.json": string(molecule),
			"pool.xyz":  string(FormatXYZ(frames[:8])),
			"other.xyz": string(FormatXYZ(frames[5:]))})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Run(context.Background(), w); err != nil {
			t.Fatal(err)
		}
		result := map[string]string{"account": account.String(),
			"conformers.xyz": string(read(t, filepath.Join(w.Dir, "conformers.xyz")))}
		golden{b.Version, map[string]json.RawMessage{strings.Join(args, " "): outcome(t, result,
			nil)}}.compare(t, b.Name)
	}
}

func contacts(_ context.Context, dir, log string, argv ...string) error {
	in, out, text := "xtb.trj", "xtb_ensemble.xyz", ""
	if !slices.Contains(argv, "--mdopt") {
		in, out = "in.xyz", "xtbopt.xyz"
	}
	frames, err := ReadXYZ(filepath.Join(dir, in))
	if err != nil {
		return err
	}
	for i, f := range frames {
		energy := -float64(len(f.Symbols))
		for a := range f.Symbols {
			for b := range a {
				energy -= 0.01 / math.Pow(1+f.distance(a, b), 4)
			}
		}
		frames[i].Comment = fmt.Sprintf("energy: %.8f", energy)
		text = fmt.Sprintf("* xtb version 6.5.1\n| TOTAL ENERGY %.8f Eh |\nGEOMETRY OPTIMIZATION "+
			"CONVERGED\n* finished run on\n", energy)
	}
	return writeFiles(dir, map[string]string{out: string(FormatXYZ(frames)), log: text})
}
