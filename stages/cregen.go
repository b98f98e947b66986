package stages

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// kcalPerHartree is the CODATA 2018 hartree, 4.3597447222071e-18 J, in kcal/mol of 4184 J.
const kcalPerHartree = 627.5094740631

// member is one geometry on its way through the search.
type member struct {
	Frame          // its Energy is xTB's, hartree, once it was optimised
	start   Frame  // before any optimisation
	number  int    // place among the starting conformers, from 1
	level   string // of the last optimisation
	same    int    // how many others became this one
	isomer  string // SMILES of its stereoisomer at the start
	dropped string // why it is no conformer, or ""
	shape   shape
}

// byEnergy sorts by energy. Equal ones stay in the order of the starting conformers.
func byEnergy(members []*member) {
	slices.SortStableFunc(members, func(a, b *member) int {
		return cmp.Or(cmp.Compare(*a.Energy, *b.Energy), a.number-b.number)
	})
}

// distinct sorts members by energy. Of members that are the same it keeps the lowest. It keeps none
// more than window (kcal/mol) above the lowest of all. Those dropped say why.
func (m *Matcher) distinct(members []*member, same criteria, window float64) []*member {
	byEnergy(members)
	var found []*member
	for _, x := range members {
		if kcalPerHartree*(*x.Energy-*members[0].Energy) > window {
			x.dropped = "above the window"
			continue
		}
		x.shape = m.shape(x.Frame)
		isSame := func(o *member) bool { return o.isomer == x.isomer && m.alike(o, x, same) }
		if at := slices.IndexFunc(found, isSame); at >= 0 {
			found[at].same += 1 + x.same
			x.dropped = "the same as member " + strconv.Itoa(found[at].number)
			continue
		}
		found = append(found, x)
	}
	return found
}

func (m *Matcher) alike(a, b *member, same criteria) bool {
	if kcalPerHartree*math.Abs(*a.Energy-*b.Energy) > same.energy {
		return false
	}
	for k := range 3 {
		// About the axis of a linear molecule it is 0; 0.01 u·Å² is the noise of an optimisation.
		x, y := a.shape.moments[k], b.shape.moments[k]
		if math.Abs(x-y) > same.rotation*max(x, y)+0.01 {
			return false
		}
	}
	return m.rmsd(a.shape, b.shape, same.rmsd) < same.rmsd
}

func (f Frame) vector(i, j int) [3]float64 {
	return [3]float64{f.Coords[3*j] - f.Coords[3*i], f.Coords[3*j+1] - f.Coords[3*i+1],
		f.Coords[3*j+2] - f.Coords[3*i+2]}
}

// volume is six times the signed volume of the tetrahedron of four atoms, Å³.
func (f Frame) volume(atoms []int) float64 {
	edge := func(k int) [3]float64 { return f.vector(atoms[0], atoms[k]) }
	return dot(edge(1), cross(edge(2), edge(3)))
}

// cosTorsion is the cosine of the torsion a-b-c-d. It is 0 where a, b, c or b, c, d lie nearly in a
// line, as in cumulenes. The sine is below 0.35 then (160°).
func (f Frame) cosTorsion(a, b, c, d int) float64 {
	ba, bc, dc := f.vector(b, a), f.vector(b, c), f.vector(d, c)
	p, q := cross(ba, bc), cross(bc, dc)
	length := math.Sqrt(dot(p, p) * dot(q, q))
	if dot(p, p) < 0.12*dot(ba, ba)*dot(bc, bc) || dot(q, q) < 0.12*dot(bc, bc)*dot(dc, dc) ||
		length == 0 {
		return 0
	}
	return dot(p, q) / length
}

func dot(a, b [3]float64) float64 { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }

func cross(a, b [3]float64) [3]float64 {
	return [3]float64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}
