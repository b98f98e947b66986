package stages

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// recordedBytes reads a recorded crest_conformers.xyz.
func recordedBytes(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join("testdata", "crest", name+".xyz")
	data, err := os.ReadFile(path)
	if err != nil {
		data, err = os.ReadFile(path + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

// cregen holds CREST's own criteria (CREGEN: Pracht et al., PCCP 2020, 22, 7169).
var cregen = criteria{rmsd: 0.125, energy: 0.05, rotation: 0.01}

// bondsOf finds the bonds of a geometry from its distances, in the order of the atoms.
func bondsOf(f Frame) (bonds []Bond) {
	for i := range f.Symbols {
		for j := i + 1; j < len(f.Symbols); j++ {
			if f.relative(i, j) < 1.3 {
				bonds = append(bonds, Bond{i, j})
			}
		}
	}
	return bonds
}

func membersOf(frames []Frame) []*member {
	var members []*member
	for i, f := range frames {
		members = append(members, &member{Frame: f, start: f, number: i + 1})
	}
	return members
}

// CREST's own unique conformers must stay, nearly all, since the criteria are CREST's. What is
// dropped has the energy and the rotational constants of another. It has its geometry, too, once it
// is reflected or atoms are exchanged.
func TestDistinctKeepsCRESTsConformers(t *testing.T) {
	for _, r := range recordings {
		frames := recordedFrames(t, r.name)
		m := NewMatcher(frames[0].Symbols, bondsOf(frames[0]))
		if kept := m.distinct(membersOf(frames), cregen, 100); len(frames) != r.frames ||
			len(kept) != r.kept {
			t.Errorf("%s: %d of %d kept, want %d of %d", r.name, len(kept), len(frames), r.kept,
				r.frames)
		}
	}
}

// An ensemble together with its mirror images, turned and shifted, has the same number of distinct
// conformers.
func TestDistinctMirrorImages(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, r := range recordings {
		frames := recordedFrames(t, r.name)
		if r.frames > 60 {
			frames = frames[:60]
		}
		m := NewMatcher(frames[0].Symbols, bondsOf(frames[0]))
		alone := len(m.distinct(membersOf(frames), cregen, 100))
		for _, f := range frames[:len(frames):len(frames)] {
			frames = append(frames, moved(f, random, true))
		}
		if both := len(m.distinct(membersOf(frames), cregen, 100)); both != alone {
			t.Errorf("%s: %d conformers, %d with the mirror images", r.name, alone, both)
		}
	}
}

func TestDistinct(t *testing.T) {
	butane := recordedFrames(t, "n-butane")
	at := func(f Frame, kcal float64) Frame {
		energy := *butane[0].Energy + kcal/kcalPerHartree
		f.Energy = &energy
		return f
	}
	trans, gauche := butane[0], butane[1]
	for _, test := range []struct {
		name    string
		frames  []Frame
		window  float64
		kept    []int
		dropped map[int]string
	}{
		{"sorted", []Frame{at(gauche, 0.6), at(trans, 0)}, 6, []int{2, 1}, nil},
		{"one energy, two geometries", []Frame{at(gauche, 0), at(trans, 0)}, 6, []int{1, 2}, nil},
		{"the same", []Frame{at(trans, 0), at(trans, 0.04)}, 6, []int{1},
			map[int]string{2: "the same as member 1"}},
		{"one geometry, two energies", []Frame{at(trans, 0), at(trans, 0.06)}, 6, []int{1, 2}, nil},
		{"window", []Frame{at(trans, 0), at(gauche, 5.9), at(gauche, 6.1)}, 6, []int{1, 2},
			map[int]string{3: "above the window"}},
	} {
		members := membersOf(test.frames)
		kept := NewMatcher(trans.Symbols, bondsOf(trans)).distinct(members, cregen, test.window)
		var numbers []int
		for _, x := range kept {
			numbers = append(numbers, x.number)
		}
		if !slices.Equal(numbers, test.kept) {
			t.Errorf("%s: kept %v, want %v", test.name, numbers, test.kept)
		}
		for _, x := range members {
			if number := x.number; test.dropped[number] != "" && x.dropped != test.dropped[number] {
				t.Errorf("%s: member %d %q, want %q", test.name, number, x.dropped,
					test.dropped[number])
			}
		}
	}
}
