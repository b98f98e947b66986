package stages

import (
	"math"
	"strings"
)

// bindings bound the part that an atom can have in a heat of formation, kcal/mol at 298.15 K. free
// is that of the free atom (CODATA Key Values for Thermodynamics, 1989). bound is that less half of
// the strongest bonds that its valences can make, rounded down. These bonds are from heats of
// formation in the NIST-JANAF tables: HF, CF4, CO, N2, BF3, SiF4, PF5, SF6, HCl, HBr, HI and
// silicates.
var bindings = map[string]struct{ free, bound float64 }{
	"H": {52.10, -20}, "B": {135.0, -110}, "C": {171.29, -75}, "N": {112.97, -60},
	"O": {59.55, -75}, "F": {18.97, -65}, "Si": {107.6, -180},
	"P": {75.6, -200}, "S": {66.25, -180}, "Cl": {28.99, -35}, "Br": {26.74, -30},
	"I": {25.52, -25},
}

const (
	// kcal/mol, of two heavy atoms: below F2 (38), O–O in peroxides (34 to 51), N–N in hydrazines
	weakestBond = 30.0
	weakestXH   = 70.0 // kcal/mol, of a hydrogen: that of HI is 71, of NH 79, of CH 81
	// kcal/mol, to take an electron away: that of F is 402, of any molecule less
	ionisation = 400.0
	// kcal/mol, that an electron can bring: that of Cl, the largest of an atom, is 83
	affinity     = 85.0
	secondCharge = 200.0 // kcal/mol, that each electron beyond the first may cost
)

// Atoms are those of a SMILES.
type Atoms struct {
	atoms     []smilesAtom
	fragments int // parts that no bond joins, or more where a ring closure joins two over a dot
}

// ReadSMILES reads the atoms of a SMILES; an error where it can't be read here.
func ReadSMILES(smiles string) (Atoms, error) {
	atoms, err := parseSMILES(smiles)
	return Atoms{atoms, 1 + strings.Count(smiles, ".")}, err
}

// EnthalpyRange bounds the heat of formation of a molecule in the gas at 298.15 K, kcal/mol. It is
// above low, since its bonds can't be stronger than the strongest known ones. It is below high,
// since bonds that weak fall apart. It is wide (methane: -155 to 100) and meant for mistakes: a
// total energy, a wrong unit, a lost decimal point. ok is false for another element than H, B, C,
// N, O, F, Si, P, S, Cl, Br, I.
func (m Atoms) EnthalpyRange(charge int) (low, high float64, ok bool) {
	hydrogens, hydrogen := 0, bindings["H"]
	for _, a := range m.atoms {
		b, known := bindings[a.element.Symbol]
		if !known {
			return 0, 0, false
		}
		low, high = low+b.bound, high+b.free
		if a.element.Number > 1 {
			hydrogens += a.hydrogens
		}
		low, high = low+float64(a.hydrogens)*hydrogen.bound, high+float64(a.hydrogens)*hydrogen.free
	}
	high -= weakestXH*float64(hydrogens) + weakestBond*float64(max(0, m.Heavy()-m.fragments))
	if charge > 0 {
		high += ionisation * float64(charge)
	} else if charge < 0 {
		low -= affinity * float64(-charge)
		high += secondCharge * float64(-charge-1)
	}
	return math.Floor(low), math.Ceil(high), true
}

// Heavy counts the atoms but hydrogens.
func (m Atoms) Heavy() int {
	n := 0
	for _, a := range m.atoms {
		if a.element.Number > 1 {
			n++
		}
	}
	return n
}

// HeavyAtoms counts the atoms of a SMILES but hydrogens; nil when it can't be read here.
func HeavyAtoms(smiles string) *int {
	m, err := ReadSMILES(smiles)
	if err != nil {
		return nil
	}
	n := m.Heavy()
	return &n
}

// Charge is the sum of the charges.
func (m Atoms) Charge() int {
	charge := 0
	for _, a := range m.atoms {
		charge += a.charge
	}
	return charge
}

// Multiplicity is the lowest that the number of electrons allows, 1 or 2. For O=O, S=S and S=O it
// is 3, the multiplicity of their ground state.
func (m Atoms) Multiplicity() int {
	chalcogen := func(a smilesAtom) bool { return a.element.Number == 8 || a.element.Number == 16 }
	if len(m.atoms) == 2 && m.atoms[1].bond == 2 && m.Charge() == 0 && m.atoms[0].hydrogens == 0 &&
		m.atoms[1].hydrogens == 0 && chalcogen(m.atoms[0]) && chalcogen(m.atoms[1]) {
		return 3
	}
	return 1 + m.electrons(m.Charge())%2
}

// electrons counts the electrons, cores included, at a charge: that of the table, whatever the
// SMILES says.
func (m Atoms) electrons(charge int) int {
	n := -charge
	for _, a := range m.atoms {
		n += a.element.Number + a.hydrogens
	}
	return n
}
