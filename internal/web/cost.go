package web

import (
	"cmp"
	"slices"
)

// Cost is what the results took. Times are of the results that are in use, over all batches.
type Cost struct {
	CPUHours  float64     `json:"cpu_hours"`
	WallHours float64     `json:"wall_hours"` // of all targets, one after the other
	Stages    []StageCost `json:"stages"`
	Sizes     []SizeCost  `json:"sizes"`
	Longest   []LongCost  `json:"longest"`
	Batch     *BatchCost  `json:"batch,omitempty"` // the last batch
}

// StageCost is what a stage took.
type StageCost struct {
	Stage    string  `json:"stage"`
	Title    string  `json:"title"`
	Program  string  `json:"program,omitempty"` // "" for a stage of values alone
	Runs     int     `json:"runs"`
	Median   float64 `json:"median"`
	P95      float64 `json:"p95"`
	Max      float64 `json:"max"`
	Seconds  float64 `json:"seconds"`
	CPUHours float64 `json:"cpu_hours"`
	Share    float64 `json:"share"` // of all wall time, 0 to 1
}

// SizeCost is what molecules of a size took.
type SizeCost struct {
	From      int       `json:"from"` // heavy atoms
	To        int       `json:"to"`
	Molecules int       `json:"molecules"`
	Median    float64   `json:"median"`
	P95       float64   `json:"p95"`
	Seconds   float64   `json:"seconds"`
	Stages    []float64 `json:"stages"` // the mean a molecule, in the order of Cost.Stages
}

// LongCost is a molecule that took long.
type LongCost struct {
	Row     int     `json:"-"`
	ID      string  `json:"mol_id"`
	SMILES  string  `json:"smiles"`
	Size    int     `json:"heavy_atoms"`
	Seconds float64 `json:"seconds"`
	Stage   string  `json:"stage"` // that took most of it
}

// BatchCost is how the last batch used the machine.
type BatchCost struct {
	ID        string    `json:"batch"`
	Host      string    `json:"host"`
	Jobs      int       `json:"jobs"`
	Seconds   float64   `json:"seconds"`
	Molecules int       `json:"molecules"`
	PerHour   float64   `json:"molecules_per_hour"`
	Width     float64   `json:"step_seconds"`
	Cores     []float64 `json:"cores"` // in use on average in each step
}

const (
	mostLong = 10
	steps    = 120 // of the time of a batch
)

// sizeBounds are the largest sizes of the rows by size; larger molecules have one more row.
var sizeBounds = []int{3, 6, 9, 12, 15, 20, 25, 30, 40, 60}

func cost(d *Data) (c Cost) {
	place := map[string]int{}
	for _, s := range d.Stages {
		place[s.Name] = len(c.Stages)
		c.Stages = append(c.Stages, StageCost{Stage: s.Name, Title: cmp.Or(s.Title, s.Name),
			Program: s.Runs})
	}
	times := make([][]float64, len(c.Stages))
	for i := range d.Molecules {
		for _, t := range d.Molecules[i].Targets {
			at, ok := place[t.Stage]
			if !ok {
				continue
			}
			times[at] = append(times[at], t.Seconds)
			c.Stages[at].Seconds += t.Seconds
			c.Stages[at].CPUHours += t.CPU / 3600
			c.WallHours += t.Seconds / 3600
			c.CPUHours += t.CPU / 3600
		}
	}
	for at := range c.Stages {
		s, all := &c.Stages[at], times[at]
		slices.Sort(all)
		s.Runs, s.Median, s.P95 = len(all), Quantile(all, 0.5), Quantile(all, 0.95)
		s.Max = Quantile(all, 1)
		if c.WallHours > 0 {
			s.Share = s.Seconds / 3600 / c.WallHours
		}
	}
	c.Sizes = sizeCosts(d, place)
	c.Longest = longest(d.Molecules)
	c.Batch = batchCost(d.Batch)
	return c
}

// sizeCosts returns what molecules took by their number of heavy atoms.
func sizeCosts(d *Data, place map[string]int) (out []SizeCost) {
	rows := make([]SizeCost, len(sizeBounds)+1)
	times := make([][]float64, len(rows))
	for i := range d.Molecules {
		m := &d.Molecules[i]
		if m.Size == 0 || len(m.Targets) == 0 {
			continue
		}
		at, _ := slices.BinarySearch(sizeBounds, m.Size)
		row := &rows[at]
		if row.Molecules == 0 {
			row.From, row.To, row.Stages = m.Size, m.Size, make([]float64, len(place))
		}
		row.Molecules++
		row.From, row.To = min(row.From, m.Size), max(row.To, m.Size)
		times[at] = append(times[at], m.seconds())
		for _, t := range m.Targets {
			if k, ok := place[t.Stage]; ok {
				row.Stages[k] += t.Seconds
			}
		}
	}
	for at, row := range rows {
		if row.Molecules == 0 {
			continue
		}
		slices.Sort(times[at])
		row.Median, row.P95 = Quantile(times[at], 0.5), Quantile(times[at], 0.95)
		for k := range row.Stages {
			row.Seconds += row.Stages[k]
			row.Stages[k] /= float64(row.Molecules)
		}
		out = append(out, row)
	}
	return out
}

// seconds is the wall time of all results of a molecule.
func (m *Molecule) seconds() (sum float64) {
	for _, t := range m.Targets {
		sum += t.Seconds
	}
	return sum
}

// longest returns the molecules that took longest.
func longest(molecules []Molecule) (out []LongCost) {
	for i := range molecules {
		m := &molecules[i]
		if len(m.Targets) == 0 {
			continue
		}
		out = append(out, LongCost{Row: i, ID: m.ID, SMILES: m.SMILES, Size: m.Size,
			Seconds: m.seconds()})
	}
	slices.SortStableFunc(out, func(a, b LongCost) int { return cmp.Compare(b.Seconds, a.Seconds) })
	out = slices.Clone(out[:min(len(out), mostLong)])
	for k := range out {
		most, byStage := 0.0, map[string]float64{}
		for _, t := range molecules[out[k].Row].Targets {
			byStage[t.Stage] += t.Seconds
			if byStage[t.Stage] > most {
				most, out[k].Stage = byStage[t.Stage], t.Stage
			}
		}
	}
	return out
}

// batchCost spreads the targets of a batch over steps of equal length.
func batchCost(b Batch) *BatchCost {
	if b.Seconds <= 0 || len(b.Spans) == 0 {
		return nil
	}
	c := &BatchCost{ID: b.ID, Host: b.Host, Jobs: b.Jobs, Seconds: b.Seconds, Molecules: b.Rows,
		PerHour: float64(b.Rows) / b.Seconds * 3600, Width: b.Seconds / steps,
		Cores: make([]float64, steps)}
	for _, s := range b.Spans {
		from, to := max(0, s.From/c.Width), min(steps, s.To/c.Width)
		for at := int(from); at < steps && float64(at) < to; at++ {
			part := min(to, float64(at+1)) - max(from, float64(at))
			c.Cores[at] += part * float64(max(1, s.Cores))
		}
	}
	return c
}
