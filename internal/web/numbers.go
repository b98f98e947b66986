package web

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Numbers are what a report says, for programs. Deviations are the result less the reference, in
// kcal/mol; times are in seconds. A field is not there where nothing is known.
type Numbers struct {
	Format     string      `json:"format"`
	Table      string      `json:"table"`
	Batch      string      `json:"batch,omitempty"`
	Made       time.Time   `json:"made"`
	Reference  string      `json:"reference"` // the column
	Result     string      `json:"result"`    // the column
	Method     string      `json:"method"`
	Search     string      `json:"search"` // the method that orders the conformers
	Sentence   string      `json:"sentence"`
	Molecules  int         `json:"molecules"`
	Results    int         `json:"results"` // molecules that have one
	Statuses   []Count     `json:"statuses"`
	Deviation  Deviation   `json:"deviation"`
	Rounds     int         `json:"bootstrap_rounds"`
	Classes    []ClassRow  `json:"classes"`
	Outliers   []Outlier   `json:"outliers"`
	Conformers Conformers  `json:"conformers"`
	Failures   []Failure   `json:"failures"`
	Cost       Cost        `json:"cost"`
	Against    *Comparison `json:"against,omitempty"`
	Settings   []Setting   `json:"settings"`
	Methods    []string    `json:"methods"`
	Works      []Work      `json:"works"`
}

// Count is how often something is there.
type Count struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// ClassRow is the deviation in a class of molecules.
type ClassRow struct {
	Kind      string    `json:"kind"`
	Name      string    `json:"name"`
	Deviation Deviation `json:"deviation"`
	RestMAE   float64   `json:"rest_mae"` // of the molecules that are not in the class
	Worse     bool      `json:"worse"`
}

// Outlier is one of the molecules with the largest deviations.
type Outlier struct {
	Molecule   *Molecule `json:"-"`
	Row        int       `json:"-"`
	ID         string    `json:"mol_id"`
	SMILES     string    `json:"smiles"`
	Reference  float64   `json:"reference"`
	Result     float64   `json:"result"`
	Deviation  float64   `json:"deviation"`
	Classes    []string  `json:"classes"`
	Conformers []float64 `json:"conformers"` // less the lowest, kcal/mol
}

// MostOutliers is how many molecules a report shows one by one.
const MostOutliers = 50

// Compute makes the numbers of a report.
func Compute(d *Data) *Numbers {
	n := &Numbers{Format: "grimperium report 1", Table: d.Title, Batch: d.Batch.ID, Made: d.Made,
		Reference: d.Reference, Result: d.Result, Method: d.Method, Search: d.Search,
		Molecules: len(d.Molecules), Failures: d.Failures,
		Settings: d.Settings, Methods: d.Methods, Works: d.Works}
	for i := range d.Molecules {
		if !math.IsNaN(d.Molecules[i].Result) {
			n.Results++
		}
	}
	signed := deviations(d.Molecules)
	n.Deviation, n.Rounds = Summarise(signed), Rounds(len(signed))
	n.Statuses = statuses(d.Molecules)
	n.Classes = classRows(d.Molecules)
	n.Outliers = outliers(d.Molecules)
	n.Conformers = conformers(d.Molecules, d.Tolerance)
	n.Cost = cost(d)
	if d.Against != "" {
		n.Against = compare(d)
	}
	n.Sentence = n.sentence()
	return n
}

// deviations are those that are known, in the order of the table.
func deviations(molecules []Molecule) (signed []float64) {
	for i := range molecules {
		if v := molecules[i].Deviation(); !math.IsNaN(v) {
			signed = append(signed, v)
		}
	}
	return signed
}

// sentence says the most important in words.
func (n *Numbers) sentence() string {
	have := "have"
	if n.Results == 1 {
		have = "has"
	}
	text := fmt.Sprintf("%s of %s %s a result", grouped(n.Results), molecules(n.Molecules), have)
	switch {
	case n.Deviation.N == 0:
		return text + "; none has a reference beside it."
	case n.Deviation.N < n.Results:
		text += fmt.Sprintf("; %s of them have a reference", grouped(n.Deviation.N))
	}
	return text + fmt.Sprintf("; %s deviates by %.1f kcal/mol on average.", n.Method,
		n.Deviation.MAE.Value)
}

// Deviations are the two lines that a batch ends with; none where no molecule has a deviation.
func Deviations(molecules []Molecule, result, reference string) []string {
	var signed []float64
	worst := &Molecule{}
	for i := range molecules {
		v := molecules[i].Deviation()
		if math.IsNaN(v) {
			continue
		}
		signed = append(signed, v)
		if len(signed) == 1 || math.Abs(v) > math.Abs(worst.Deviation()) {
			worst = &molecules[i]
		}
	}
	if len(signed) == 0 {
		return nil
	}
	v := newSample(signed).whole()
	return []string{
		fmt.Sprintf("%s less %s, kcal/mol: N %s, mean %+.2f, MAE %.2f", result, reference,
			grouped(len(signed)), v[0], v[1]),
		fmt.Sprintf("RMSE %.2f, P95 %.2f, largest %+.2f (%s)", v[2], v[3], worst.Deviation(),
			worst.ID),
	}
}

// statuses counts the molecules by status, in the order of a molecule's life.
func statuses(molecules []Molecule) (out []Count) {
	order := []string{"OK", "Rerun", "Skip", "Running", "Selected", "Pending"}
	counts := map[string]int{}
	for i := range molecules {
		counts[molecules[i].Status]++
	}
	for name, count := range counts {
		out = append(out, Count{name, count})
	}
	slices.SortFunc(out, func(a, b Count) int { // -1 is the largest uint
		i, j := uint(slices.Index(order, a.Name)), uint(slices.Index(order, b.Name))
		return cmp.Or(cmp.Compare(i, j), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// A class is worse than the rest if its MAE is larger by this factor and by so many standard errors
// of the difference. A class with fewer molecules is not judged.
const (
	worseFactor   = 1.25
	worseErrors   = 3
	worseSmallest = 10
)

// classRows returns the deviation in each class that has molecules with a deviation.
func classRows(molecules []Molecule) (out []ClassRow) {
	members := map[*Class][]float64{}
	total, totalSquares, n := 0.0, 0.0, 0
	for i := range molecules {
		v := molecules[i].Deviation()
		if math.IsNaN(v) {
			continue
		}
		total, totalSquares, n = total+math.Abs(v), totalSquares+v*v, n+1
		for _, c := range molecules[i].Classes {
			members[c] = append(members[c], v)
		}
	}
	byPlace := func(a, b *Class) int { return a.Place - b.Place }
	for _, c := range slices.SortedFunc(maps.Keys(members), byPlace) {
		row := ClassRow{Kind: c.Kind, Name: c.Name, Deviation: Summarise(members[c])}
		sum, squares := 0.0, 0.0
		for _, v := range members[c] {
			sum, squares = sum+math.Abs(v), squares+v*v
		}
		own, ownVariance := moments(sum, squares, len(members[c]))
		rest, restVariance := moments(total-sum, totalSquares-squares, n-len(members[c]))
		if n > len(members[c]) {
			row.RestMAE = rest
			row.Worse = len(members[c]) >= worseSmallest && own > worseFactor*rest &&
				own-rest > worseErrors*math.Sqrt(ownVariance+restVariance)
		}
		out = append(out, row)
	}
	return out
}

// Worst returns the rows of the molecules with the largest deviations, the largest first, at most
// MostOutliers. Compute makes outliers of them.
func Worst(molecules []Molecule) []int {
	rows := make([]int, 0, len(molecules))
	for i := range molecules {
		if !math.IsNaN(molecules[i].Deviation()) {
			rows = append(rows, i)
		}
	}
	slices.SortStableFunc(rows, func(a, b int) int {
		return cmp.Compare(math.Abs(molecules[b].Deviation()), math.Abs(molecules[a].Deviation()))
	})
	return rows[:min(len(rows), MostOutliers)]
}

// outliers returns the molecules with the largest deviations, the largest first.
func outliers(molecules []Molecule) (out []Outlier) {
	for _, i := range Worst(molecules) {
		m := &molecules[i]
		o := Outlier{Molecule: m, Row: i, ID: m.ID, SMILES: m.SMILES, Reference: m.Reference,
			Result: m.Result, Deviation: m.Deviation()}
		for _, c := range m.Classes {
			o.Classes = append(o.Classes, c.Kind+" "+c.Name)
		}
		known := numbers(m.Conformers)
		for _, v := range known {
			o.Conformers = append(o.Conformers, v-slices.Min(known))
		}
		out = append(out, o)
	}
	return out
}

// numbers returns the values that are known.
func numbers(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), math.IsNaN)
}

// grouped is a number as 29,568.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// molecules is a count of molecules, as "1 molecule".
func molecules(n int) string {
	if n == 1 {
		return "1 molecule"
	}
	return grouped(n) + " molecules"
}
