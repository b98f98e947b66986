package web

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Conformers sums up the conformers of the molecules that have their results.
type Conformers struct {
	Molecules int     `json:"molecules"`
	Number    []Count `json:"number"` // of conformers
	Rank      []Count `json:"rank"`   // of the lowest, in the order of the search
	Several   int     `json:"several"`
	Compared  int     `json:"compared"` // molecules whose first conformer has a result
	// Of the molecules with several conformers: highest less lowest, kcal/mol.
	SpreadMedian float64 `json:"spread_median"`
	SpreadP95    float64 `json:"spread_p95"`
	SpreadMax    float64 `json:"spread_max"`
	// Of those compared whose lowest is not the first of the search: first less lowest, kcal/mol.
	Differ     int     `json:"differ"`
	DifferMean float64 `json:"differ_mean"`
	DifferMax  float64 `json:"differ_max"`
	// The deviation with the first conformer of the search, and with the lowest.
	First  Deviation `json:"first"`
	Lowest Deviation `json:"lowest"`
}

// conformers sums up. Results that differ by less than the tolerance are the same.
func conformers(molecules []Molecule, tolerance float64) (c Conformers) {
	number, rank := make(map[int]int), make(map[int]int)
	var spreads, gains, first, lowest []float64
	for i := range molecules {
		m := &molecules[i]
		if len(m.Conformers) == 0 || math.IsNaN(m.Result) {
			continue
		}
		known := numbers(m.Conformers)
		if len(known) == 0 {
			continue
		}
		least, leads := slices.Min(known), m.Conformers[0]
		c.Molecules++
		number[len(known)]++
		if len(known) > 1 {
			spreads = append(spreads, slices.Max(known)-least)
		}
		if math.IsNaN(leads) {
			continue
		}
		c.Compared++
		if leads-least > tolerance {
			gains = append(gains, leads-least)
			rank[slices.Index(m.Conformers, least)+1]++
		} else {
			rank[1]++
		}
		if !math.IsNaN(m.Reference) {
			first, lowest = append(first, leads-m.Reference), append(lowest, least-m.Reference)
		}
	}
	slices.Sort(spreads)
	c.Number, c.Rank, c.Several = counted(number), counted(rank), len(spreads)
	c.SpreadMedian, c.SpreadP95 = Quantile(spreads, 0.5), Quantile(spreads, 0.95)
	c.SpreadMax = Quantile(spreads, 1)
	if c.Differ = len(gains); c.Differ > 0 {
		for _, v := range gains {
			c.DifferMean += v / float64(len(gains))
		}
		c.DifferMax = slices.Max(gains)
	}
	c.First, c.Lowest = Summarise(first), Summarise(lowest)
	return c
}

// counted lists counts by number.
func counted(counts map[int]int) (out []Count) {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, Count{grouped(k), counts[k]})
	}
	return out
}

// Comparison is how the results of two tables differ, this one less the other, kcal/mol.
type Comparison struct {
	Table   string    `json:"table"`
	Common  int       `json:"common"` // molecules with a result in both
	Changed int       `json:"changed"`
	Mean    float64   `json:"mean"`
	MAE     float64   `json:"mae"`
	Max     float64   `json:"max"`
	Own     Deviation `json:"own"`   // from the reference, of the common molecules
	Other   Deviation `json:"other"` // the same, of the other table
	OnlyOwn int       `json:"only_own"`
	// OnlyOther is how many molecules of this table have a result in the other one only.
	OnlyOther int `json:"only_other"`
	// OtherMolecules is how many rows of the other table have the mol_id of another molecule. They
	// count nowhere else.
	OtherMolecules int       `json:"other_molecules"`
	Rows           []Changed `json:"rows"` // the largest changes first
}

// Changed is a molecule whose result differs.
type Changed struct {
	Row    int     `json:"-"`
	ID     string  `json:"mol_id"`
	SMILES string  `json:"smiles"`
	Result float64 `json:"result"`
	Other  float64 `json:"other"`
	Change float64 `json:"change"`
}

// compare compares with the other table.
func compare(d *Data) *Comparison {
	c := &Comparison{Table: d.Against, OtherMolecules: d.OtherMolecules}
	var own, other []float64
	for i := range d.Molecules {
		m := &d.Molecules[i]
		change := m.Result - m.Other
		if math.IsNaN(change) {
			if !math.IsNaN(m.Result) {
				c.OnlyOwn++
			} else if !math.IsNaN(m.Other) {
				c.OnlyOther++
			}
			continue
		}
		c.Common++
		c.Mean, c.MAE = c.Mean+change, c.MAE+math.Abs(change)
		c.Max = max(c.Max, math.Abs(change))
		if math.Abs(change) > d.Tolerance {
			c.Changed++
			c.Rows = append(c.Rows, Changed{i, m.ID, m.SMILES, m.Result, m.Other, change})
		}
		if !math.IsNaN(m.Reference) {
			own, other = append(own, m.Deviation()), append(other, m.Other-m.Reference)
		}
	}
	if c.Common > 0 {
		c.Mean, c.MAE = c.Mean/float64(c.Common), c.MAE/float64(c.Common)
	}
	c.Own, c.Other = Summarise(own), Summarise(other)
	slices.SortStableFunc(c.Rows, func(a, b Changed) int {
		return cmp.Compare(math.Abs(b.Change), math.Abs(a.Change))
	})
	c.Rows = c.Rows[:min(len(c.Rows), MostOutliers)]
	return c
}
