// Overhead measures what a batch costs beside the chemistry: the 57 molecules of
// testdata/molecules.csv from nothing, with one job, with two, and without RDKit's worker. It
// compares wall time with the CPU time of the programs, as the logs have it. The batches take turns
// with the limit. The limit is MOPAC alone on the input files of these molecules, one after the
// other and two at a time.
//
//	go run ./bench/overhead -rounds 3
package main

import (
	"flag"
	"fmt"
	"path/filepath"

	"grimperium/bench/internal/measure"
)

// series are the measurements of one way to compute the molecules.
type series struct {
	name        string
	measure     func(dir string) (wall, cpu float64) // seconds
	wall, ratio []float64                            // by round
}

func main() {
	rounds := flag.Int("rounds", 3, "how often")
	flag.Parse()
	top, remove := measure.Compile()
	defer remove()
	table := measure.Read("testdata/molecules.csv")
	var starts []float64 // seconds before the first target
	var inputs []string  // of MOPAC
	batches := func(jobs string, edits ...string) func(string) (float64, float64) {
		return func(dir string) (wall, cpu float64) {
			p := top.New(dir, measure.Shipped(edits...), table)
			cost := p.Batch(jobs)
			for _, seconds := range p.Seconds() {
				cpu += seconds
			}
			starts = append(starts, p.Started().Sub(cost.Began).Seconds())
			inputs = measure.Must(filepath.Glob(p.Path("artefacts/*/pm7/*/pm7.mop")))
			return cost.Wall, cpu
		}
	}
	mopac := func(atATime int) func(string) (float64, float64) {
		return func(dir string) (wall, cpu float64) { return alone(top.In(dir), inputs, atATime) }
	}
	all := []*series{
		{name: "one job", measure: batches("-jobs=1")},
		{name: "two jobs", measure: batches("-jobs=2")},
		{name: "one job, RDKit started for each molecule",
			measure: batches("-jobs=1", measure.Worker, "")},
		{name: "the limit: MOPAC alone", measure: mopac(1)},
		{name: "the limit: MOPAC alone, two at a time", measure: mopac(2)},
	}
	for round := range *rounds {
		for n, s := range all {
			wall, cpu := s.measure(fmt.Sprint(n, "-", round))
			s.wall, s.ratio = append(s.wall, wall), append(s.ratio, wall/cpu)
		}
	}
	divided := func(a, b []float64) string {
		var ratios []float64
		for n := range a {
			ratios = append(ratios, a[n]/b[n])
		}
		return measure.Spread("%.2f", ratios)
	}
	gains, perCPU := divided(all[0].wall, all[1].wall), divided(all[0].ratio, all[1].ratio)
	limit := divided(all[3].wall, all[4].wall)
	measure.Head("57 molecules from nothing, median (least to most)", "wall, s",
		"wall / CPU of the programs")
	for _, s := range all {
		fmt.Printf("| %s | %s | %s |\n", s.name, measure.Spread("%.1f", s.wall),
			measure.Spread("%.3f", s.ratio))
	}
	fmt.Printf("\nTwo jobs have %s times the throughput of one, by the CPU time that the "+
		"programs had in a second %s; MOPAC alone gains %s.\n", gains, perCPU, limit)
	fmt.Printf("Before the first target, mostly until all programs told their versions, pass %s "+
		"s.\n", measure.Spread("%.2f", starts))
}

// alone runs MOPAC on input files, so many at a time.
func alone(top measure.Project, inputs []string, atATime int) (wall, cpu float64) {
	for n, input := range inputs {
		measure.Write(top.Path(fmt.Sprint(n, "/pm7.mop")), measure.Read(input))
	}
	cost := measure.Run(top.Dir, "sh", "-c", "ls | xargs -P $0 -I FOLDER env -C FOLDER "+
		"OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 mopac pm7.mop", fmt.Sprint(atATime))
	return cost.Wall, cost.CPU
}
