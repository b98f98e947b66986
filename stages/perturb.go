package stages

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Perturbed is a geometry made asymmetric. Every rotor of the molecule (ReadMolecule) is turned to
// one side or the other, every coordinate is moved, and the bonds get their lengths back. An
// optimisation can stay on a saddle point when it starts from a symmetric geometry. From this one
// it falls to a minimum. by says how far, as "0.15Å 20° 80° 100%". A coordinate is moved by up to
// the first. A rotor is turned by the second, or by its part of the third if that is less. The
// bonds get the fourth of their lengths. Turned by 20 degrees, ten rotors leave the conformer's
// minimum once in six times (nitrendipine). The same seed gives the same geometry. Its energy is
// nil.
func Perturbed(path string, f Frame, by string, seed int) (Frame, error) {
	var size [4]float64
	words := strings.Fields(by)
	fits := len(words) == len(size)
	for i, unit := range []string{"Å", "°", "°", "%"} {
		var err error
		if fits {
			size[i], err = quantity(words[i], unit)
		}
		fits = fits && err == nil
	}
	if !fits || size[0] > 1 || size[1] > 180 || size[3] < 50 || size[3] > 200 {
		return Frame{}, fmt.Errorf("a geometry is perturbed by \"0.15Å 20° 80° 100%%\" or the "+
			"like, at most 1Å, 180° and 50 to 200 %%, not by %q", by)
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
	angle := min(size[1], size[2]/float64(len(m.Rotors)))
	for _, rotor := range m.Rotors {
		out.turn(rotor, side(neighbours, rotor), angle*float64(2*random.IntN(2)-1))
	}
	for i := range out.Coords {
		out.Coords[i] += size[0] * (2*random.Float64() - 1)
	}
	lengths := make([]float64, len(m.Bonds))
	for n, b := range m.Bonds {
		lengths[n] = size[3] / 100 * f.distance(b[0], b[1])
	}
	// SHAKE (Ryckaert et al., J. Comput. Phys. 1977, 23, 327), the atoms of equal weight.
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
			f.Coords[3*atom+k] = f.Coords[3*axis[0]+k] + p[k]*cos + across[k]*sin +
				u[k]*along*(1-cos)
		}
	}
}
