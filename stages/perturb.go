package stages

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Perturbed is a geometry made asymmetric: every rotor of the molecule (ReadMolecule) is turned by
// angle degrees to one side or the other, every coordinate is moved by at most distance Å, and the
// bonds get their lengths back. An optimisation can stay on a saddle point when it starts from a
// symmetric geometry; from this one it falls to a minimum. More than four rotors are turned by less,
// 4 angle / n, since turned by 20 degrees ten of them leave the conformer's minimum once in six times
// (nitrendipine). The same seed gives the same geometry. Its energy is nil.
//
// Two carbon atoms between 1.23 and 1.31 Å are put 1.31 Å apart. GFN2-xTB has the bonds of some
// cumulenes below 1.27 Å and PM7 above, and MOPAC before 23.2 counts them by the geometry that it
// starts from (see TripleBonds).
func Perturbed(path string, f Frame, distance, angle float64, seed int) (Frame, error) {
	if !(distance >= 0 && distance <= 1) || !(angle >= 0 && angle <= 180) {
		return Frame{}, fmt.Errorf("a geometry is perturbed by 0 to 1 Å and 0 to 180 degrees, not by %g Å "+
			"and %g degrees", distance, angle)
	}
	m, err := ReadMolecule(path)
	if err != nil {
		return Frame{}, err
	}
	if err := m.fits(f); err != nil {
		return Frame{}, fmt.Errorf("%s: %w", path, err)
	}
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	out := f
	out.Coords, out.Energy = slices.Clone(f.Coords), nil
	neighbours := m.neighbours()
	angle *= min(1, fullyTurned/float64(len(m.Rotors)))
	for _, rotor := range m.Rotors {
		out.turn(rotor, side(neighbours, rotor), angle*float64(2*random.IntN(2)-1))
	}
	for i := range out.Coords {
		out.Coords[i] += distance * (2*random.Float64() - 1)
	}
	lengths := make([]float64, len(m.Bonds))
	for n, b := range m.Bonds {
		lengths[n] = f.distance(b[0], b[1])
		if m.Symbols[b[0]] == "C" && m.Symbols[b[1]] == "C" && lengths[n] > tripleCarbons {
			lengths[n] = max(lengths[n], doubleCarbons)
		}
	}
	// SHAKE (Ryckaert, Ciccotti, Berendsen, J. Comput. Phys. 1977, 23, 327), the atoms of equal weight.
	for range 200 {
		for n, b := range m.Bonds {
			d := out.distance(b[0], b[1])
			for k, along := range out.vector(b[0], b[1]) {
				shift := along * (d - lengths[n]) / (2 * d)
				out.Coords[3*b[0]+k] += shift
				out.Coords[3*b[1]+k] -= shift
			}
		}
	}
	if err := out.check(); err != nil {
		return Frame{}, fmt.Errorf("the perturbed geometry is none: %w", err)
	}
	return out, nil
}

// fullyTurned is how many rotors are turned by the whole angle.
const fullyTurned = 4.0

// The longest triple and the shortest double bonds of two carbon atoms by PM7, Å.
const tripleCarbons, doubleCarbons = 1.23, 1.31

// side lists the atoms that hang on the second atom of a bond outside rings.
func side(neighbours [][]int, bond Bond) []int {
	found := []int{bond[1]}
	for at := 0; at < len(found); at++ {
		for _, next := range neighbours[found[at]] {
			if next != bond[0] && !slices.Contains(found, next) {
				found = append(found, next)
			}
		}
	}
	return found
}

// turn rotates atoms about the axis of a bond by so many degrees (Rodrigues' formula).
func (f Frame) turn(axis Bond, atoms []int, degrees float64) {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	u := f.vector(axis[0], axis[1])
	length := math.Sqrt(dot(u, u))
	for k := range u {
		u[k] /= length
	}
	for _, atom := range atoms {
		p := f.vector(axis[0], atom)
		across, along := cross(u, p), dot(u, p)
		for k := range 3 {
			f.Coords[3*atom+k] = f.Coords[3*axis[0]+k] + p[k]*cos + across[k]*sin + u[k]*along*(1-cos)
		}
	}
}
