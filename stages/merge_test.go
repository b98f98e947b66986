package stages

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The ensembles of two searches become one: each finds what the other lacks, and what is another
// molecule is left out and named.
func TestMergeConformers(t *testing.T) {
	dir := embedded(t, "C[C@H](O)C(=O)O")
	frames, account, err := searchIn(t, dir, "0", "0", realRun)
	if err != nil {
		t.Fatalf("%v\n%s", err, account)
	}
	// A search from one start keeps the numbers of a methyl's hydrogens; embeddings that have
	// nothing to do with each other do not.
	frames = slices.DeleteFunc(frames, func(f Frame) bool {
		return changed(t, filepath.Join(dir, "molecule.json"), frames[0], f) != ""
	})
	if len(frames) < 3 {
		t.Fatalf("%d conformers with the numbers of the first", len(frames))
	}
	mirrored, broken, silent := frames[0], frames[0], frames[1]
	mirrored.Coords, broken.Coords = append([]float64{}, frames[0].Coords...),
		append([]float64{}, frames[0].Coords...)
	for i := 0; i < len(mirrored.Coords); i += 3 {
		mirrored.Coords[i] *= -1
	}
	broken.Coords[len(broken.Coords)-1] += 9
	silent.Energy, silent.Comment = nil, ""

	merge := func(t *testing.T, one, other []Frame) ([]Frame, string, error) {
		var account bytes.Buffer
		w := work(t, &account, realRun)
		for i, some := range [][]Frame{one, other} {
			path := filepath.Join(w.Dir, []string{"one.xyz", "other.xyz"}[i])
			if err := os.WriteFile(path, FormatXYZ(some), 0o644); err != nil {
				t.Fatal(err)
			}
			w.Args = append(w.Args, path)
		}
		w.Args = slices.Concat(w.Args, shippedWords(filepath.Join(dir, "molecule.json"), "0", "0",
			lastLevels), []string{"--isomer", frames[0].Isomer})
		if err := runMerge(context.Background(), w); err != nil {
			return nil, account.String(), err
		}
		merged, err := ReadXYZ(filepath.Join(w.Dir, "conformers.xyz"))
		return merged, account.String(), err
	}
	for _, test := range []struct {
		name       string
		one, other []Frame
		count      int
		lowest     float64
		account    string
	}{
		{"the same twice", frames, frames, len(frames), *frames[0].Energy, "the same as member"},
		{"the other has the lowest", frames[1:], frames[:1], len(frames), *frames[0].Energy,
			"members 1 to "},
		{"the other is worse", frames[:2], frames[2:3], 3, *frames[0].Energy, ""},
		{"a mirror image of the start", frames[:1], []Frame{mirrored, frames[1]}, 2,
			*frames[0].Energy, "member 2: is another stereoisomer: "},
		{"a broken bond", frames[:1], []Frame{broken, frames[1]}, 2, *frames[0].Energy,
			"member 2: is another molecule: "},
		{"a broken bond after several", slices.Repeat(frames[:1], 5), []Frame{broken, frames[1]}, 2,
			*frames[0].Energy, "member 6: is another molecule: "},
		{"one without an energy", frames[:1], []Frame{silent}, 2, *frames[0].Energy, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			merged, account, err := merge(t, test.one, test.other)
			if err != nil {
				t.Fatalf("%v\n%s", err, account)
			}
			if len(merged) != test.count {
				t.Errorf("%d conformers, want %d\n%s", len(merged), test.count, account)
			}
			if got := *merged[0].Energy; got > test.lowest+2e-5 || got < test.lowest-2e-4 {
				t.Errorf("lowest energy %.6f, want %.6f", got, test.lowest)
			}
			if !strings.Contains(account, test.account) {
				t.Errorf("the account lacks %q:\n%s", test.account, account)
			}
		})
	}
	mergeRefuses(t, frames, silent, merge)
}

// mergeRefuses has merge refuse what is no ensemble of the molecule, and commands that lack words.
func mergeRefuses(t *testing.T, frames []Frame, silent Frame,
	merge func(t *testing.T, one, other []Frame) ([]Frame, string, error)) {
	oxygen := []Frame{{Symbols: []string{"O", "O"}, Coords: make([]float64, 6),
		Energy: frames[0].Energy}}
	if _, _, err := merge(t, frames, oxygen); err == nil || !strings.Contains(err.Error(),
		"other.xyz: geometry 1 does not fit the molecule") {
		t.Errorf("other atoms: %v", err)
	}
	if _, _, err := merge(t, []Frame{silent}, frames); err == nil ||
		!strings.Contains(err.Error(), "no energy") {
		t.Errorf("no energy in the first: %v", err)
	}
	for _, words := range [][]string{nil, {"one.xyz"}, {"one.xyz", "--molecule"}} {
		if err := runMerge(context.Background(), Work{Args: words}); err == nil ||
			!strings.Contains(err.Error(), "want merge_conformers ENSEMBLE OTHER") {
			t.Errorf("%q: %v", words, err)
		}
	}
}
