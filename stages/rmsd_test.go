package stages

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// frameFrom reads the only frame of an xyz text.
func frameFrom(t *testing.T, text string) Frame {
	t.Helper()
	frames, err := ParseXYZ([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return frames[0]
}

// recordedFrames reads a recorded ensemble of CREST, as CREST ordered it.
func recordedFrames(t *testing.T, name string) []Frame {
	t.Helper()
	frames, err := ParseXYZ(recordedBytes(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// moved turns, shifts and perhaps reflects a geometry.
func moved(f Frame, random *rand.Rand, reflect bool) Frame {
	a, b := random.Float64()*2*math.Pi, random.Float64()*2*math.Pi
	out := f
	out.Coords = slices.Clone(f.Coords)
	for i := 0; i < len(out.Coords); i += 3 {
		x, y, z := out.Coords[i], out.Coords[i+1], out.Coords[i+2]
		if reflect {
			x = -x
		}
		x, y = x*math.Cos(a)-y*math.Sin(a), x*math.Sin(a)+y*math.Cos(a)
		y, z = y*math.Cos(b)-z*math.Sin(b), y*math.Sin(b)+z*math.Cos(b)
		out.Coords[i], out.Coords[i+1], out.Coords[i+2] = x+1, y-2, z+3
	}
	return out
}

// exchanged gives atom i the place of atom order[i].
func exchanged(f Frame, order []int) Frame {
	out := f
	out.Coords = make([]float64, len(f.Coords))
	for i, from := range order {
		copy(out.Coords[3*i:3*i+3], f.Coords[3*from:3*from+3])
	}
	return out
}

const neopentane = `17

C   0.0000000000   0.0000000000   0.0000000000
C   0.8887000000   0.8887000000   0.8887000000
C  -0.8887000000  -0.8887000000   0.8887000000
C  -0.8887000000   0.8887000000  -0.8887000000
C   0.8887000000  -0.8887000000  -0.8887000000
H   1.5230000000   0.2700000000   1.5230000000
H   1.5230000000   1.5230000000   0.2700000000
H   0.2700000000   1.5230000000   1.5230000000
H  -1.5230000000  -0.2700000000   1.5230000000
H  -1.5230000000  -1.5230000000   0.2700000000
H  -0.2700000000  -1.5230000000   1.5230000000
H  -1.5230000000   0.2700000000  -1.5230000000
H  -1.5230000000   1.5230000000  -0.2700000000
H  -0.2700000000   1.5230000000  -1.5230000000
H   1.5230000000  -0.2700000000  -1.5230000000
H   1.5230000000  -1.5230000000  -0.2700000000
H   0.2700000000  -1.5230000000  -1.5230000000
`

const benzene = `12

C   1.3950000000   0.0000000000   0.0000000000
C   0.6975000000   1.2081050000   0.0000000000
C  -0.6975000000   1.2081050000   0.0000000000
C  -1.3950000000   0.0000000000   0.0000000000
C  -0.6975000000  -1.2081050000   0.0000000000
C   0.6975000000  -1.2081050000   0.0000000000
H   2.4820000000   0.0000000000   0.0000000000
H   1.2410000000   2.1494750000   0.0000000000
H  -1.2410000000   2.1494750000   0.0000000000
H  -2.4820000000   0.0000000000   0.0000000000
H  -1.2410000000  -2.1494750000   0.0000000000
H   1.2410000000  -2.1494750000   0.0000000000
`

const methane = `5

C   0.0000000000   0.0000000000   0.0000000000
H   0.6290000000   0.6290000000   0.6290000000
H  -0.6290000000  -0.6290000000   0.6290000000
H  -0.6290000000   0.6290000000  -0.6290000000
H   0.6290000000  -0.6290000000  -0.6290000000
`

func TestRMSDSeesThroughSymmetry(t *testing.T) {
	for _, test := range []struct {
		name, xyz string
		order     []int // an exchange of equivalent atoms, not always one that a rotation can do
	}{
		{"methane, two hydrogens exchanged", methane, []int{0, 2, 1, 3, 4}},
		{"benzene, turned by 60 degrees", benzene, []int{1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 6}},
		{"neopentane, one methyl turned", neopentane, []int{0, 1, 2, 3, 4, 6, 7, 5, 8, 9, 10, 11,
			12, 13, 14, 15, 16}},
		{"neopentane, two methyls exchanged", neopentane, []int{0, 2, 1, 3, 4, 8, 9, 10, 5, 6, 7,
			11, 12, 13, 14, 15, 16}},
		{"neopentane, hydrogens of a methyl exchanged", neopentane,
			[]int{0, 1, 2, 3, 4, 6, 5, 7, 8, 9, 10, 11, 12, 13, 14, 16, 15}},
		{"hydrogen", "2\n\nH 0 0 0\nH 0 0 0.74\n", []int{1, 0}},
		{"carbon dioxide", "3\n\nC 0 0 0\nO 0 0 1.16\nO 0 0 -1.16\n", []int{0, 2, 1}},
		{"one atom", "1\n\nHe 0 0 0\n", []int{0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := frameFrom(t, test.xyz)
			m, random := NewMatcher(f.Symbols, bondsOf(f)), rand.New(rand.NewPCG(1, 2))
			for range 10 {
				for _, reflect := range []bool{false, true} {
					got := m.RMSD(f, moved(exchanged(f, test.order), random, reflect), 0.125)
					if got > 1e-5 {
						t.Errorf("RMSD %g Å of a geometry and itself (reflected: %t)", got, reflect)
					}
				}
			}
		})
	}
}

func TestRMSDTellsConformersApart(t *testing.T) {
	for _, name := range []string{"n-butane", "ethanol", "glycine", "cyclohexanol"} {
		frames := recordedFrames(t, name)
		m := NewMatcher(frames[0].Symbols, bondsOf(frames[0]))
		if got := m.RMSD(frames[0], frames[1], 0.125); got < 0.125 {
			t.Errorf("%s: the first two conformers have an RMSD of %.3f Å", name, got)
		}
	}
}

// Of one stretched bond the RMSD can be worked out by hand: the two atoms of H2 move 0.05 Å each.
func TestRMSDOfAStretchedBond(t *testing.T) {
	a, b := frameFrom(t, "2\n\nH 0 0 0\nH 0 0 0.7\n"), frameFrom(t, "2\n\nH 0 0 0\nH 0 0 0.8\n")
	if got := NewMatcher(a.Symbols, bondsOf(a)).RMSD(a, b, 0.01); !(math.IsInf(got, 1)) {
		t.Errorf("beyond four times the limit: %g, want infinity", got)
	}
	if got := NewMatcher(a.Symbols, bondsOf(a)).RMSD(a, b, 0.03); math.Abs(got-0.05) > 1e-9 {
		t.Errorf("RMSD %g, want 0.05", got)
	}
}

func TestMirrorImagesAreOne(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for i, f := range recordedFrames(t, "n-hexane") {
		m := NewMatcher(f.Symbols, bondsOf(f))
		if got := m.RMSD(f, moved(f, random, true), 0.125); got > 1e-4 {
			t.Errorf("conformer %d and its mirror image: RMSD %g Å", i+1, got)
		}
	}
}

func TestMoments(t *testing.T) {
	for _, test := range []struct {
		xyz  string
		want [3]float64
	}{
		{"2\n\nH 0 0 0\nH 1 0 0\n", [3]float64{0, 0.504, 0.504}},
		{"3\n\nO 0 0 5\nH 0 1 5\nH 0 -1 5\n", [3]float64{0, 2.016, 2.016}},
		{"1\n\nHe 7 0 0\n", [3]float64{}},
		{"4\n\nH 1 0 0\nH -1 0 0\nH 0 1 0\nH 0 -1 0\n", [3]float64{2.016, 2.016, 4.032}},
	} {
		f := frameFrom(t, test.xyz)
		got := f.moments(NewMatcher(f.Symbols, nil).masses)
		for k := range 3 {
			if math.Abs(got[k]-test.want[k]) > 1e-9 {
				t.Errorf("moments of %q: %v, want %v", test.xyz, got, test.want)
			}
		}
	}
}

func TestClassesOfAtoms(t *testing.T) {
	for _, test := range []struct {
		name string
		xyz  string
		want int
	}{{"benzene", benzene, 2}, {"neopentane", neopentane, 3}, {"methane", methane, 2}} {
		f := frameFrom(t, test.xyz)
		classes := slices.Clone(NewMatcher(f.Symbols, bondsOf(f)).class)
		slices.Sort(classes)
		if got := len(slices.Compact(classes)); got != test.want {
			t.Errorf("%s: %d classes of atoms, want %d", test.name, got, test.want)
		}
	}
}

// However little two geometries have to do with each other, the search ends.
func FuzzRMSD(f *testing.F) {
	f.Add(uint64(1), 5)
	f.Add(uint64(7), 12)
	f.Fuzz(func(t *testing.T, seed uint64, atoms int) {
		random, n := rand.New(rand.NewPCG(seed, 0)), 1+(atoms%12+12)%12
		var a, b Frame
		for range n {
			a.Symbols = append(a.Symbols, []string{"C", "H", "O"}[random.IntN(3)])
			for range 3 {
				a.Coords = append(a.Coords, 4*random.Float64())
				b.Coords = append(b.Coords, 4*random.Float64())
			}
		}
		b.Symbols = a.Symbols
		m := NewMatcher(a.Symbols, bondsOf(a))
		if got := m.RMSD(a, a, 0.125); got > 1e-5 {
			t.Errorf("RMSD of a geometry and itself is %g", got)
		}
		if got := m.RMSD(a, b, 0.125); math.IsNaN(got) || got < 0 {
			t.Errorf("RMSD %g", got)
		}
	})
}
