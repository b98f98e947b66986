package stages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Molecule is what a molecule is, as RDKit understood its SMILES. A geometry of it has its atoms in
// this order.
type Molecule struct {
	Symbols []string `json:"symbols"`
	Bonds   []Bond   `json:"bonds"`
	Rotors  []Bond   `json:"rotors"` // bonds about which a part of the molecule can turn
	Stereo  []Stereo `json:"stereo"`
}

// Stereo is a place of a molecule that has two sides. Of a centre Atoms are itself and its three or
// four neighbours, of a double bond the four atoms of a torsion about it.
type Stereo struct {
	Kind   string `json:"kind"`   // Centre or DoubleBond
	Atoms  []int  `json:"atoms"`  // a centre and its neighbours, or the atoms of a torsion
	Stated bool   `json:"stated"` // the SMILES says which side; else either side is the molecule
}

// The kinds of stereo.
const (
	Centre     = "centre"
	DoubleBond = "double bond"
)

// ReadMolecule reads a molecule.json of embed.py, or a molfile, which tells bonds alone. Its errors
// name the file.
func ReadMolecule(path string) (Molecule, error) {
	data, err := readFile(path)
	if err != nil {
		return Molecule{}, readError(err)
	}
	var m Molecule
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		m, err = parseMolecule(data)
	} else {
		m.Symbols, m.Bonds, err = ParseMolfile(data)
	}
	if err != nil {
		return Molecule{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMolecule(data []byte) (Molecule, error) {
	var m Molecule
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("it is no description of a molecule: %w", err)
	}
	if len(m.Symbols) == 0 {
		return m, errors.New("there is no atom")
	}
	for i, symbol := range m.Symbols {
		e, ok := ElementBySymbol(symbol)
		if !ok {
			return m, fmt.Errorf("there is no element %.20q", symbol)
		}
		m.Symbols[i] = e.Symbol
	}
	among := func(atoms ...int) bool {
		for i, a := range atoms {
			if a < 0 || a >= len(m.Symbols) || slices.Contains(atoms[:i], a) {
				return false
			}
		}
		return true
	}
	for _, b := range slices.Concat(m.Bonds, m.Rotors) {
		if !among(b[:]...) {
			return m, fmt.Errorf("the bond %v does not join two of the %d atoms", b, len(m.Symbols))
		}
	}
	for i, b := range m.Bonds {
		m.Bonds[i] = Bond{min(b[0], b[1]), max(b[0], b[1])}
	}
	for _, s := range m.Stereo {
		known := s.Kind == DoubleBond || s.Kind == Centre
		fits := len(s.Atoms) == 4 || s.Kind == Centre && len(s.Atoms) == 5
		if !known || !fits || !among(s.Atoms...) {
			return m, fmt.Errorf("the stereo %q of atoms %v can't be of %d atoms",
				s.Kind, s.Atoms, len(m.Symbols))
		}
	}
	return m, nil
}

// Factors of the sum of two covalent radii.
const (
	// bondFactor makes the longest bond. With 1.3, no false alarm in 3556 PM7 optimisations of
	// small molecules.
	bondFactor = 1.3
	// acrossFactor makes the longest bond of two atoms that are bonded to a common third one, with
	// carbonFactor where one of them is carbon. The distance across a ring of four or of two iodine
	// atoms on one carbon is 1.14 to 1.30, two carbon atoms of bicyclo[1.1.1]pentanes being the
	// nearest; the bonds of a ring of three are 0.99 to 1.04, O–O and N–O 1.10 to 1.14.
	acrossFactor = 1.15
	carbonFactor = 1.10
	// sharedFactor makes the longest bond of a hydrogen that lies between two atoms of one element,
	// as in hydrogen maleate.
	sharedFactor = 1.5
)

// relative is the distance of two atoms, in units of the sum of their covalent radii.
func (f Frame) relative(i, j int) float64 {
	a, _ := ElementBySymbol(f.Symbols[i])
	b, _ := ElementBySymbol(f.Symbols[j])
	return f.distance(i, j) / (a.Radius + b.Radius)
}

// fits says whether a geometry has the molecule's atoms in its order.
func (m Molecule) fits(f Frame) error {
	if err := f.check(); err != nil {
		return err
	}
	return sameAtoms(m.Symbols, f)
}

// BondChanges says how the bonds of a geometry differ from the molecule's, given the geometry that
// it came from: "" when they don't, else as "C1–O3 is broken (2.31 Å); H7 moved from O2 to N5".
// Atoms are counted from 1. Two atoms that were as near before are no new bond.
func (m Molecule) BondChanges(from, to Frame) (string, error) {
	if err := m.fits(from); err != nil {
		return "", fmt.Errorf("the geometry before: %w", err)
	}
	if err := m.fits(to); err != nil {
		return "", err
	}
	var broken, formed []Bond
	for _, b := range m.Bonds {
		if to.relative(b[0], b[1]) >= bondFactor && !m.isIonic(to, b) {
			broken = append(broken, b)
		}
	}
	neighbours := m.neighbours()
	for i := range m.Symbols {
		for j := i + 1; j < len(m.Symbols); j++ {
			if slices.Contains(neighbours[i], j) || isAlkali(m.Symbols[i]) || isAlkali(m.Symbols[j]) {
				continue
			}
			limit := m.longest(i, j, neighbours)
			if to.relative(i, j) < limit && from.relative(i, j) >= limit {
				formed = append(formed, Bond{i, j})
			}
		}
	}
	broken, formed = m.withoutShared(to, broken, formed, neighbours)
	var words []string
	for _, b := range broken {
		if at := slices.IndexFunc(formed, func(n Bond) bool { return to.moved(b, n) >= 0 }); at >= 0 {
			atom := to.moved(b, formed[at])
			before, after := b[0]+b[1]-atom, formed[at][0]+formed[at][1]-atom
			words = append(words, fmt.Sprintf("%s moved from %s to %s",
				to.atom(atom), to.atom(before), to.atom(after)))
			formed = slices.Delete(formed, at, at+1)
			continue
		}
		words = append(words, to.bond(b)+fmt.Sprintf(" is broken (%.2f Å)", to.distance(b[0], b[1])))
	}
	for _, b := range formed {
		words = append(words, to.bond(b)+fmt.Sprintf(" is new (%.2f Å)", to.distance(b[0], b[1])))
	}
	return strings.Join(words, "; "), nil
}

func (f Frame) bond(b Bond) string { return f.atom(b[0]) + "–" + f.atom(b[1]) }

// longest is the length of the longest new bond of two atoms, in units of the sum of their radii.
func (m Molecule) longest(i, j int, neighbours [][]int) float64 {
	common := func(k int) bool { return slices.Contains(neighbours[j], k) }
	switch {
	case !slices.ContainsFunc(neighbours[i], common):
		return bondFactor
	case m.Symbols[i] == "C" || m.Symbols[j] == "C":
		return carbonFactor
	}
	return acrossFactor
}

func (m Molecule) neighbours() [][]int {
	out := make([][]int, len(m.Symbols))
	for _, b := range m.Bonds {
		out[b[0]] = append(out[b[0]], b[1])
		out[b[1]] = append(out[b[1]], b[0])
	}
	return out
}

func isAlkali(symbol string) bool {
	return slices.Contains([]string{"Li", "Na", "K", "Rb", "Cs"}, symbol)
}

// isIonic reports whether a bond is that of an alkali metal which still touches some atom: the
// metal of a salt goes where the charge is.
func (m Molecule) isIonic(f Frame, b Bond) bool {
	return slices.ContainsFunc(b[:], func(metal int) bool {
		if !isAlkali(m.Symbols[metal]) {
			return false
		}
		for i := range m.Symbols {
			if i != metal && f.relative(metal, i) < bondFactor {
				return true
			}
		}
		return false
	})
}

// isShared reports whether a hydrogen lies between its own neighbour and another atom, both N, O or
// F, and is no other molecule's: it still has its own bond, or the two are of one element and it is
// near to both.
func (m Molecule) isShared(f Frame, hydrogen, own, other int) bool {
	shares := func(i int) bool { return slices.Contains([]string{"N", "O", "F"}, m.Symbols[i]) }
	if m.Symbols[hydrogen] != "H" || !shares(own) || !shares(other) ||
		f.relative(hydrogen, other) >= bondFactor {
		return false
	}
	d := f.relative(hydrogen, own)
	return d < bondFactor || d < sharedFactor && m.Symbols[own] == m.Symbols[other]
}

// withoutShared leaves out of broken and formed bonds those of a hydrogen that two atoms share.
func (m Molecule) withoutShared(f Frame, broken, formed []Bond, neighbours [][]int) (lost, made []Bond) {
	ends := func(b Bond, is func(hydrogen, other int) bool) bool {
		return is(b[0], b[1]) || is(b[1], b[0])
	}
	lost = slices.DeleteFunc(broken, func(b Bond) bool {
		return ends(b, func(hydrogen, own int) bool {
			for other := range m.Symbols {
				if other != own && other != hydrogen && m.isShared(f, hydrogen, own, other) {
					return true
				}
			}
			return false
		})
	})
	made = slices.DeleteFunc(formed, func(b Bond) bool {
		return ends(b, func(hydrogen, other int) bool {
			return slices.ContainsFunc(neighbours[hydrogen], func(own int) bool {
				return m.isShared(f, hydrogen, own, other)
			})
		})
	})
	return lost, made
}

// flat is the signed volume below which a centre's neighbours lie in a plane, Å³; around a
// tetrahedral carbon it is about 4.
const flat = 0.5

// turnedOver names an atom or a double bond whose side differs between two geometries, or is "".
func (m Molecule) turnedOver(from, to Frame, statedOnly bool) string {
	for _, s := range m.Stereo {
		if statedOnly && !s.Stated {
			continue
		}
		a := s.Atoms
		switch s.Kind {
		case Centre:
			corners := a[len(a)-4:]
			before, after := from.volume(corners), to.volume(corners)
			if before*after < 0 && math.Abs(after) > flat {
				return to.atom(a[0]) + " is turned inside out"
			}
		case DoubleBond:
			before := from.cosTorsion(a[0], a[1], a[2], a[3])
			after := to.cosTorsion(a[0], a[1], a[2], a[3])
			if math.Abs(before) > 0.5 && math.Abs(after) > 0.5 && before*after < 0 {
				return "the double bond " + to.bond(Bond{a[1], a[2]}) + " is turned over"
			}
		}
	}
	return ""
}

// MoleculeChanges says how a geometry has become another molecule than the one that a file
// describes (ReadMolecule), given the geometry that it came from: other bonds (as BondChanges
// says), or stereo that the SMILES states and that the geometry before had. "" when it is the same.
func MoleculeChanges(path string, from, to Frame) (string, error) {
	m, err := ReadMolecule(path)
	if err != nil {
		return "", err
	}
	changes, err := m.BondChanges(from, to)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if changes == "" {
		changes = m.turnedOver(from, to, true)
	}
	return changes, nil
}
