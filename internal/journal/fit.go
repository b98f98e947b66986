package journal

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

const (
	fewest   = 8    // times below which their sizes say nothing, and their mean is all there is
	mostKept = 2000 // times that are remembered, the newest
	shortest = 1e-3 // seconds; what took less counts as much, since nobody waits for it
)

// times are wall times in seconds, with the sizes of the molecules that they were for. The zero value is empty.
type times struct {
	seconds []float64
	sizes   [][]float64
	model   *fit // of the times when there were modelled of them
	newer   int  // times since
}

func (t *times) add(seconds float64, size []float64) {
	if len(t.seconds) >= mostKept {
		t.seconds, t.sizes = append(t.seconds[:0], t.seconds[mostKept/2:]...), append(t.sizes[:0], t.sizes[mostKept/2:]...)
	}
	t.seconds, t.sizes = append(t.seconds, max(seconds, shortest)), append(t.sizes, size)
	t.newer++
}

// fitted is the model of the times, at most a tenth of them out of date; nil while there are none.
func (t *times) fitted() *fit {
	if t == nil || len(t.seconds) == 0 {
		return nil
	}
	if t.model == nil || 10*t.newer > len(t.seconds) {
		t.model, t.newer = newFit(t.seconds, t.sizes), 0
	}
	return t.model
}

// fit says how long something takes a molecule of a size: exp(b₀ + Σ bᵢ xᵢ + Σ cᵢ log(1 + xᵢ)), which is an exponential where the number of conformers
// decides, a power where that of the orbitals does. The coefficients are those of a ridge regression of the logarithms (Hoerl and Kennard 1970), and
// the sum over the times that it was learnt from is theirs (Duan's smearing, 1983).
type fit struct {
	n             float64   // times that it was learnt from
	mean          float64   // seconds
	noise         float64   // what a time differs from its prediction, as a part of that
	most          []float64 // the largest of each of the sizes
	centre, scale []float64 // of the terms
	coefficients  *mat.VecDense
	covariance    *mat.SymDense // nil where the mean is all there is
	factor        float64
}

func newFit(seconds []float64, sizes [][]float64) *fit {
	f := &fit{n: float64(len(seconds)), mean: stat.Mean(seconds, nil)}
	if f.noise = 1; f.n > 1 {
		f.noise = max(stat.StdDev(seconds, nil)/f.mean, 1/f.n)
	}
	var known [][]float64
	var took []float64
	kind := 0 // of sizes; times from before the pipeline named as many are of no use
	for _, size := range sizes {
		if len(size) > 0 {
			kind = len(size)
		}
	}
	for i, size := range sizes {
		if kind > 0 && len(size) == kind {
			known, took = append(known, size), append(took, seconds[i])
		}
	}
	if len(took) < fewest {
		return f
	}
	f.most = append(f.most, known[0]...)
	x := mat.NewDense(len(took), 2*kind+1, nil)
	for i, size := range known {
		x.SetRow(i, terms(size))
		for k, s := range size {
			f.most[k] = max(f.most[k], s)
		}
	}
	f.standardise(x)
	return f.regress(x, took)
}

// terms are what the logarithm of a time is linear in.
func terms(size []float64) []float64 {
	out := append([]float64{1}, size...)
	for _, s := range size {
		out = append(out, math.Log1p(max(s, 0)))
	}
	return out
}

func (f *fit) standardise(x *mat.Dense) {
	n, terms := x.Dims()
	f.centre, f.scale = make([]float64, terms), make([]float64, terms)
	f.scale[0] = 1
	for k := 1; k < terms; k++ {
		column := mat.Col(nil, k, x)
		f.centre[k], f.scale[k] = stat.PopMeanStdDev(column, nil)
		if f.scale[k] == 0 {
			f.scale[k] = 1
		}
	}
	for i := range n {
		row := x.RawRowView(i)
		floats.Sub(row, f.centre)
		floats.Div(row, f.scale)
	}
}

// regress finds the coefficients, each but the constant held back as by one further time.
func (f *fit) regress(x *mat.Dense, took []float64) *fit {
	n, terms := x.Dims()
	y := mat.NewVecDense(n, nil)
	for i, s := range took {
		y.SetVec(i, math.Log(s))
	}
	var normal mat.SymDense
	normal.SymOuterK(1, x.T())
	for k := 1; k < terms; k++ {
		normal.SetSym(k, k, normal.At(k, k)+1)
	}
	var factors mat.Cholesky
	var right, said mat.VecDense
	right.MulVec(x.T(), y)
	f.coefficients, f.covariance = mat.NewVecDense(terms, nil), mat.NewSymDense(terms, nil)
	if !factors.Factorize(&normal) || factors.SolveVecTo(f.coefficients, &right) != nil || factors.InverseTo(f.covariance) != nil {
		f.covariance = nil
		return f
	}
	said.MulVec(x, f.coefficients)
	predicted := make([]float64, n)
	left := 0.0
	for i := range took {
		predicted[i] = math.Exp(said.AtVec(i))
		left += (y.AtVec(i) - said.AtVec(i)) * (y.AtVec(i) - said.AtVec(i))
	}
	f.covariance.ScaleSym(left/float64(max(n-terms, 1)), f.covariance)
	f.factor = floats.Sum(took) / floats.Sum(predicted)
	floats.Scale(f.factor, predicted)
	f.noise = floats.Distance(took, predicted, 2) / floats.Norm(predicted, 2)
	return f
}

// predict returns the seconds that a molecule of a size is expected to take, and the terms by which that is uncertain. A molecule that is larger than
// any that the model was learnt from counts as if it were of their size: an exponential that goes on where nobody has looked is soon a million.
func (f *fit) predict(size []float64) (seconds float64, by *mat.VecDense) {
	if f.covariance == nil || len(size) != len(f.most) {
		return f.mean, nil
	}
	inside := make([]float64, len(size))
	for k, s := range size {
		inside[k] = min(s, f.most[k])
	}
	row := terms(inside)
	floats.Sub(row, f.centre)
	floats.Div(row, f.scale)
	by = mat.NewVecDense(len(row), row)
	return f.factor * math.Exp(mat.Dot(by, f.coefficients)), by
}

// beyond says whether a size is larger than any that the model was learnt from.
func (f *fit) beyond(size []float64) bool {
	for k, s := range size {
		if k < len(f.most) && s > f.most[k] {
			return true
		}
	}
	return false
}
