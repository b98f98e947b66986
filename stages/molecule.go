package stages

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Molecule is a molecule as RDKit understood its SMILES. Its geometries have this order of atoms.
type Molecule struct {
	Symbols []string `json:"symbols"`
	Bonds   []Bond   `json:"bonds"`
	Rotors  []Bond   `json:"rotors"` // bonds about which a part of the molecule can turn
	Stereo  []Stereo `json:"stereo"`
}

// Bond is a pair of bonded atoms, counted from 0; in Molecule.Bonds the smaller first.
type Bond [2]int

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

// ReadMolecule reads the molecule.json of embed.py. Its errors name the file.
func ReadMolecule(path string) (Molecule, error) {
	data, err := readFile(path)
	if err != nil {
		return Molecule{}, err
	}
	m, err := parseMolecule(data)
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
			return m, fmt.Errorf("the stereo %q of atoms %v can't be of %d atoms", s.Kind, s.Atoms,
				len(m.Symbols))
		}
	}
	return m, nil
}

// Reach says how far a bond reaches, in units of the sum of two covalent radii.
type Reach struct {
	// bond is the longest bond. 1.3 gave no false alarm in 3556 PM7 runs on small molecules.
	bond float64
	// across is the longest bond of two atoms that are bonded to a common third one, acrossC if one
	// of them is carbon. For two hydrogen atoms it is bond. The distance across a ring of four, or
	// of two iodine atoms on one carbon, is 1.14 to 1.30. Two carbon atoms of
	// bicyclo[1.1.1]pentanes are the nearest. The bonds of a ring of three are 0.99 to 1.04, O–O
	// and N–O 1.10 to 1.14.
	across, acrossC float64
	// sharedH is the longest bond of an H between two atoms of one element, as in hydrogen maleate.
	sharedH float64
}

// ParseReach reads all of "bond 1.30, across 1.15, across-C 1.10, shared-H 1.50".
func ParseReach(text string) (r Reach, err error) {
	places := map[string]*float64{
		"bond": &r.bond, "across": &r.across, "across-C": &r.acrossC, "shared-H": &r.sharedH}
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) != 2 || places[words[0]] == nil {
			return r, fmt.Errorf("the reach of bonds is %q; want %s", text, reachForm)
		}
		x, err := parseFloat(words[1])
		if err != nil || !(x >= 1 && x < 2) {
			return r, fmt.Errorf("the reach %s is %q, want a factor from 1 to 2", words[0],
				words[1])
		}
		*places[words[0]] = x
		delete(places, words[0])
	}
	if len(places) > 0 {
		return r, fmt.Errorf("the reach of bonds is %q; want %s", text, reachForm)
	}
	return r, nil
}

const reachForm = `"bond 1.30, across 1.15, across-C 1.10, shared-H 1.50"`

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

// BondChanges says how the bonds of a geometry differ from the molecule's, given the geometry
// before. It is "" if they don't, else as "the bond C1–O3 broke (2.31 Å); H7 moved from O2 to N5".
// Atoms are counted from 1. Two atoms that were as near before form no new bond. Nor does a metal
// form one if no other bond broke: the metal of a carboxylate is held by both oxygen atoms.
func (m Molecule) BondChanges(from, to Frame, reach Reach) (string, error) {
	if err := m.fits(from); err != nil {
		return "", fmt.Errorf("the geometry before: %w", err)
	}
	if err := m.fits(to); err != nil {
		return "", err
	}
	neighbours := m.neighbours()
	shared := m.shared(to, neighbours, reach)
	var broken, formed []Bond
	for _, b := range m.Bonds {
		if to.relative(b[0], b[1]) >= reach.bond && !shared[b] && !m.isIonic(to, b, reach) {
			broken = append(broken, b)
		}
	}
	for i := range m.Symbols {
		for j := i + 1; j < len(m.Symbols); j++ {
			held := len(broken) == 0 && (isMetal(m.Symbols[i]) || isMetal(m.Symbols[j]))
			if slices.Contains(neighbours[i], j) || shared[Bond{i, j}] || held {
				continue
			}
			limit := m.longest(i, j, neighbours, reach)
			if to.relative(i, j) < limit && from.relative(i, j) >= limit {
				formed = append(formed, Bond{i, j})
			}
		}
	}
	return to.tell(broken, formed), nil
}

// tell says in words which bonds broke and which formed.
func (f Frame) tell(broken, formed []Bond) string {
	var words []string
	for _, b := range broken {
		isSameAtom := func(n Bond) bool { return f.moved(b, n) >= 0 }
		if at := slices.IndexFunc(formed, isSameAtom); at >= 0 {
			atom := f.moved(b, formed[at])
			before, after := b[0]+b[1]-atom, formed[at][0]+formed[at][1]-atom
			words = append(words, fmt.Sprintf("%s moved from %s to %s",
				f.atom(atom), f.atom(before), f.atom(after)))
			formed = slices.Delete(formed, at, at+1)
			continue
		}
		words = append(words, fmt.Sprintf("the bond %s broke (%.2f Å)", f.bond(b),
			f.distance(b[0], b[1])))
	}
	for _, b := range formed {
		words = append(words, fmt.Sprintf("the bond %s formed (%.2f Å)", f.bond(b),
			f.distance(b[0], b[1])))
	}
	return strings.Join(words, "; ")
}

// moved is the hydrogen that a broken and a new bond share, -1 when there is none.
func (f Frame) moved(broken, formed Bond) int {
	for _, atom := range broken {
		if f.Symbols[atom] == "H" && (formed[0] == atom || formed[1] == atom) {
			return atom
		}
	}
	return -1
}

func (f Frame) atom(i int) string { return f.Symbols[i] + strconv.Itoa(i+1) }

func (f Frame) bond(b Bond) string { return f.atom(b[0]) + "–" + f.atom(b[1]) }

// longest is the length of the longest new bond of two atoms, in units of the sum of their radii.
func (m Molecule) longest(i, j int, neighbours [][]int, reach Reach) float64 {
	common := func(k int) bool { return slices.Contains(neighbours[j], k) }
	switch {
	case !slices.ContainsFunc(neighbours[i], common),
		m.Symbols[i] == "H" && m.Symbols[j] == "H": // H2 that AlH2⁻ still holds
		return reach.bond
	case m.Symbols[i] == "C" || m.Symbols[j] == "C":
		return reach.acrossC
	}
	return reach.across
}

func (m Molecule) neighbours() [][]int {
	out := make([][]int, len(m.Symbols))
	for _, b := range m.Bonds {
		out[b[0]] = append(out[b[0]], b[1])
		out[b[1]] = append(out[b[1]], b[0])
	}
	return out
}

// isMetal is true for all elements but the nonmetals and the half metals B, Si, Ge, As, Sb and Te.
func isMetal(symbol string) bool {
	return !slices.Contains([]string{"H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S",
		"Cl", "Ar", "Ge", "As", "Se", "Br", "Kr", "Sb", "Te", "I", "Xe", "At", "Rn"}, symbol)
}

func isAlkali(symbol string) bool {
	return slices.Contains([]string{"Li", "Na", "K", "Rb", "Cs"}, symbol)
}

// isIonic reports whether a bond is that of an alkali metal which still touches some atom. The
// metal of a salt goes where the charge is.
func (m Molecule) isIonic(f Frame, b Bond, reach Reach) bool {
	return slices.ContainsFunc(b[:], func(metal int) bool {
		if !isAlkali(m.Symbols[metal]) {
			return false
		}
		for i := range m.Symbols {
			if i != metal && f.relative(metal, i) < reach.bond {
				return true
			}
		}
		return false
	})
}

// shared are the bonds of hydrogens that lie between their own neighbour and another atom, both N,
// O or F. Such a hydrogen makes no other molecule if it still has its own bond. Nor does it if the
// two atoms are of one element and it is near to both.
func (m Molecule) shared(f Frame, neighbours [][]int, reach Reach) map[Bond]bool {
	bonds := map[Bond]bool{}
	share := func(i int) bool { return slices.Contains([]string{"N", "O", "F"}, m.Symbols[i]) }
	for h, near := range neighbours {
		for _, own := range near {
			if m.Symbols[h] != "H" || !share(own) {
				continue
			}
			for other := range m.Symbols {
				d := f.relative(h, own)
				if other != own && other != h && share(other) &&
					f.relative(h, other) < reach.bond &&
					(d < reach.bond || d < reach.sharedH && m.Symbols[own] == m.Symbols[other]) {
					bonds[Bond{min(h, own), max(h, own)}] = true
					bonds[Bond{min(h, other), max(h, other)}] = true
				}
			}
		}
	}
	return bonds
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
				return to.atom(a[0]) + " turned inside out"
			}
		case DoubleBond:
			before := from.cosTorsion(a[0], a[1], a[2], a[3])
			after := to.cosTorsion(a[0], a[1], a[2], a[3])
			if math.Abs(before) > 0.5 && math.Abs(after) > 0.5 && before*after < 0 {
				return "the double bond " + to.bond(Bond{a[1], a[2]}) + " turned over"
			}
		}
	}
	return ""
}

// SameMolecule is true if a geometry is still the molecule that a file describes (ReadMolecule).
// Otherwise its error says which bonds differ, or which stereo changed. Stereo counts if the SMILES
// states it and the geometry before had it. ParseReach says how far bonds reach.
func SameMolecule(path string, before, after Frame, bonds string) (bool, error) {
	return AnySameMolecule(path, before, []Frame{after}, bonds)
}

// AnySameMolecule is true if one of several geometries at least is the molecule, as SameMolecule
// has it. The error is of the first.
func AnySameMolecule(path string, before Frame, after []Frame, bonds string) (bool, error) {
	m, reach, err := readReach(path, bonds)
	if err != nil {
		return false, err
	}
	first := ""
	for _, f := range after {
		changes, err := m.BondChanges(before, f, reach)
		if err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		if changes == "" {
			changes = m.turnedOver(before, f, true)
		}
		if changes == "" {
			return true, nil
		}
		first = cmp.Or(first, changes)
	}
	if len(after) > 1 {
		return false, fmt.Errorf("each of %d geometries is another molecule: in the first %s",
			len(after), first)
	}
	return false, fmt.Errorf("the molecule became another: %s", first)
}

// readReach reads what a molecule is, and how far its bonds reach.
func readReach(path, bonds string) (m Molecule, reach Reach, err error) {
	if reach, err = ParseReach(bonds); err == nil {
		m, err = ReadMolecule(path)
	}
	return m, reach, err
}
