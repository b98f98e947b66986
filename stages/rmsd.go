package stages

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Matcher compares geometries of one molecule, whose equivalent atoms may change places.
type Matcher struct {
	masses     []float64 // u
	neighbours [][]int
	class      []int // atoms of one class are equivalent as far as the bonds can tell
	// the atoms as the search takes them: heavy ones first, each after a neighbour of it
	order []int
}

// NewMatcher takes the elements and the bonds of a molecule, whose atoms are in the order of every
// geometry compared. The bonds must name atoms that exist, as ReadMolecule sees to.
func NewMatcher(symbols []string, bonds []Bond) *Matcher {
	m := &Matcher{neighbours: Molecule{Symbols: symbols, Bonds: bonds}.neighbours()}
	for _, symbol := range symbols {
		element, _ := ElementBySymbol(symbol)
		m.masses = append(m.masses, element.Mass)
		m.class = append(m.class, element.Number)
	}
	m.refine()
	m.arrange()
	return m
}

// refine splits the classes of atoms by the classes of their neighbours until nothing splits any
// more (Morgan's idea, J. Chem. Doc. 1965, 5, 107).
func (m *Matcher) refine() {
	for kinds := 0; ; {
		names := make([][]int, len(m.class))
		for i, near := range m.neighbours {
			for _, j := range near {
				names[i] = append(names[i], m.class[j])
			}
			slices.Sort(names[i])
			names[i] = append([]int{m.class[i]}, names[i]...)
		}
		sorted := slices.Clone(names)
		slices.SortFunc(sorted, slices.Compare)
		sorted = slices.CompactFunc(sorted, slices.Equal)
		for i := range names {
			m.class[i], _ = slices.BinarySearchFunc(sorted, names[i], slices.Compare)
		}
		if len(sorted) == kinds {
			return
		}
		kinds = len(sorted)
	}
}

// arrange orders the atoms from the heavy one with the fewest equivalents on, hydrogens last.
func (m *Matcher) arrange() {
	size := map[int]int{}
	for _, c := range m.class {
		size[c]++
	}
	heavy := func(i int) bool { return m.masses[i] > 2 }
	taken := make([]bool, len(m.class))
	for len(m.order) < len(m.class) {
		best, bestRank := -1, [3]int{}
		for i := range m.class {
			if taken[i] {
				continue
			}
			rank := [3]int{1, 1, size[m.class[i]]}
			if heavy(i) {
				rank[0] = 0
			}
			if slices.ContainsFunc(m.neighbours[i], func(j int) bool { return taken[j] }) {
				rank[1] = 0
			}
			if best < 0 || slices.Compare(rank[:], bestRank[:]) < 0 {
				best, bestRank = i, rank
			}
		}
		taken[best] = true
		m.order = append(m.order, best)
	}
}

// shape is a geometry as the comparison needs it.
type shape struct {
	coords    []float64 // Å, its centre at the origin
	distances []float64 // Å, n times n
	moments   [3]float64
	size      float64 // sum of the squares of coords, Å²
}

func (m *Matcher) shape(f Frame) shape {
	n := len(m.masses)
	s := shape{coords: slices.Clone(f.Coords), distances: make([]float64, n*n),
		moments: f.moments(m.masses)}
	var centre [3]float64
	for i, x := range s.coords {
		centre[i%3] += x / float64(n)
	}
	for i := range s.coords {
		s.coords[i] -= centre[i%3]
		s.size += s.coords[i] * s.coords[i]
	}
	for i := range n {
		for j := range i {
			d := f.distance(i, j)
			s.distances[i*n+j], s.distances[j*n+i] = d, d
		}
	}
	return s
}

// moments are the principal moments of inertia, u·Å², smallest first; the rotational constants are
// their inverses but for a factor.
func (f Frame) moments(masses []float64) [3]float64 {
	var total float64
	var centre [3]float64
	for i, w := range masses {
		total += w
		for k := range 3 {
			centre[k] += w * f.Coords[3*i+k]
		}
	}
	tensor := mat.NewSymDense(3, nil)
	for i, w := range masses {
		var p [3]float64
		for k := range 3 {
			p[k] = f.Coords[3*i+k] - centre[k]/total
		}
		r2 := p[0]*p[0] + p[1]*p[1] + p[2]*p[2]
		for k := range 3 {
			tensor.SetSym(k, k, tensor.At(k, k)+w*(r2-p[k]*p[k]))
			for l := range k {
				tensor.SetSym(k, l, tensor.At(k, l)-w*p[k]*p[l])
			}
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(tensor, false) {
		return [3]float64{}
	}
	return [3]float64(eigen.Values(nil))
}

// RMSD is the root mean square distance of the atoms of two geometries, Å. Rotation, reflection and
// the exchange of equivalent atoms bring them as near to each other as they can. It looks no
// further when it is below limit. It is infinite where no exchange of atoms keeps every distance
// within four times limit.
func (m *Matcher) RMSD(a, b Frame, limit float64) float64 {
	return m.rmsd(m.shape(a), m.shape(b), limit)
}

// maxSteps bounds the search for geometries of many near-equal atoms; beyond it they are different.
const maxSteps = 500_000

func (m *Matcher) rmsd(a, b shape, limit float64) float64 {
	s := search{Matcher: m, a: a, b: b, limit: limit, best: math.Inf(1),
		image: make([]int, len(m.order)), used: make([]bool, len(m.order))}
	s.place(0)
	return s.best
}

// search finds the images in b of the atoms of a.
type search struct {
	*Matcher
	a, b  shape
	limit float64
	best  float64
	image []int
	used  []bool
	steps int
}

// place tries each image of the k-th atom that fits the earlier ones. It reports whether to stop.
func (s *search) place(k int) bool {
	n := len(s.order)
	if k == n {
		s.best = min(s.best, s.overlay())
		return s.best < s.limit
	}
	atom := s.order[k]
	for to := range n {
		if s.used[to] || s.class[to] != s.class[atom] || !s.fits(k, to) {
			continue
		}
		s.steps++
		if s.steps > maxSteps {
			return true
		}
		s.image[atom], s.used[to] = to, true
		stop := s.place(k + 1)
		s.used[to] = false
		if stop {
			return true
		}
	}
	return false
}

// fits reports whether to may be the k-th atom's image: with its bonds and nearly its distances to
// earlier atoms.
func (s *search) fits(k, to int) bool {
	n, atom := len(s.order), s.order[k]
	bonded := func(i, j int) bool { return slices.Contains(s.neighbours[i], j) }
	for _, earlier := range s.order[:k] {
		image := s.image[earlier]
		if math.Abs(s.a.distances[atom*n+earlier]-s.b.distances[to*n+image]) > 4*s.limit ||
			bonded(atom, earlier) != bonded(to, image) {
			return false
		}
	}
	return true
}

// overlay is the RMSD for the images found, by Kabsch's method (Acta Cryst. A 1976, 32, 922). With
// a reflection allowed, all three singular values of the correlation count in full.
func (s *search) overlay() float64 {
	correlation := mat.NewDense(3, 3, nil)
	for i, to := range s.image {
		for k := range 3 {
			for l := range 3 {
				correlation.Set(k, l, correlation.At(k, l)+s.a.coords[3*i+k]*s.b.coords[3*to+l])
			}
		}
	}
	var svd mat.SVD
	if !svd.Factorize(correlation, mat.SVDNone) {
		return math.Inf(1)
	}
	v := svd.Values(nil)
	return math.Sqrt(max(0, s.a.size+s.b.size-2*(v[0]+v[1]+v[2])) / float64(len(s.image)))
}
