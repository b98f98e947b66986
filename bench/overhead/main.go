// Overhead measures what a batch costs beside the chemistry: the 57 molecules of
// testdata/molecules.csv from nothing, with one job, with two, and without RDKit's worker. It
// compares wall time with the CPU time of the programs, as the logs have it. The batches take turns
// with the limit. The limit is MOPAC alone on the input files of these molecules, one after the
// other and two at a time.
//
//	go run ./bench/overhead -rounds 3
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"grimperium/bench/internal/measure"
	"grimperium/internal/journal"
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
	dir, program, remove := measure.Compile()
	defer remove()
	const withoutWorker = "pipeline.without_worker.hcl" // beside the files that pipeline.hcl names
	shipped := measure.Must(os.ReadFile("pipeline.hcl"))
	text := regexp.MustCompile(`(?m)^  worker .*$`).ReplaceAll(shipped, nil)
	measure.Check(os.WriteFile(withoutWorker, text, 0o644))
	defer os.Remove(withoutWorker)

	var starts []float64
	batches := func(pipeline, jobs string) func(string) (float64, float64) {
		return func(dir string) (wall, cpu float64) {
			wall, cpu, before := batch(program, dir, pipeline, jobs)
			starts = append(starts, before)
			return wall, cpu
		}
	}
	var inputs []string // of MOPAC
	all := []*series{
		{name: "one job", measure: batches("pipeline.hcl", "1")},
		{name: "two jobs", measure: batches("pipeline.hcl", "2")},
		{name: "one job, RDKit started for each molecule", measure: batches(withoutWorker, "1")},
		{name: "the limit: MOPAC alone",
			measure: func(string) (float64, float64) { return alone(inputs, 1) }},
		{name: "the limit: MOPAC alone, two at a time",
			measure: func(string) (float64, float64) { return alone(inputs, 2) }},
	}
	for round := range *rounds {
		for n, s := range all {
			work := filepath.Join(dir, fmt.Sprint(n, "-", round))
			wall, cpu := s.measure(work)
			s.wall, s.ratio = append(s.wall, wall), append(s.ratio, wall/cpu)
			if n == 0 {
				inputs = measure.Must(filepath.Glob(filepath.Join(work,
					"artefacts/*/pm7/*/pm7.mop")))
			}
		}
	}
	report(all, starts)
}

func report(all []*series, starts []float64) {
	divided := func(a, b []float64) (out []float64) {
		for n := range a {
			out = append(out, a[n]/b[n])
		}
		return out
	}
	gains := measure.Spread("%.2f", divided(all[0].wall, all[1].wall))
	perCPU := measure.Spread("%.2f", divided(all[0].ratio, all[1].ratio))
	limit := measure.Spread("%.2f", divided(all[3].wall, all[4].wall))
	fmt.Println("| 57 molecules from nothing, median (least to most) | wall, s | wall / CPU of " +
		"the programs |\n|---|---|---|")
	for _, s := range all {
		wall, ratio := measure.Spread("%.1f", s.wall), measure.Spread("%.3f", s.ratio)
		fmt.Printf("| %s | %s | %s |\n", s.name, wall, ratio)
	}
	fmt.Printf("\nTwo jobs have %s times the throughput of one, by the CPU time that the "+
		"programs had in a second %s; MOPAC alone gains %s.\n", gains, perCPU, limit)
	fmt.Printf("Before the first target, mostly until all programs told their versions, pass %s "+
		"s.\n", measure.Spread("%.2f", starts))
}

// batch runs all molecules. It returns in seconds the wall time, the CPU time of the programs, and
// the wall time before the first program.
func batch(program, dir, pipeline, jobs string) (wall, cpu, before float64) {
	table := filepath.Join(dir, "table.csv")
	measure.Write(table, string(measure.Must(os.ReadFile("testdata/molecules.csv"))))
	syscall.Sync() // what the run before wrote must not be flushed by this one
	start := time.Now()
	out, err := exec.Command(program, "batch", "-pipeline="+pipeline, "-table="+table,
		"-artefacts="+dir+"/artefacts", "-jobs="+jobs).CombinedOutput()
	wall = time.Since(start).Seconds()
	var failed *exec.ExitError // a molecule that is tried again by the next batch
	if err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
		log.Fatalf("%v\n%s", err, out)
	}
	for _, seconds := range measure.Programs(dir + "/artefacts") {
		cpu += seconds
	}
	measure.Check(journal.Open(dir + "/artefacts/journal.jsonl").Each(func(e journal.Event) {
		if e.Event == journal.BatchStart {
			before = e.Time.Sub(start).Seconds()
		}
	}))
	return wall, cpu, before
}

// alone runs MOPAC on input files, so many at a time, and returns the wall time and the CPU time in
// seconds.
func alone(inputs []string, atATime int) (wall, cpu float64) {
	dir := measure.Must(os.MkdirTemp("", "grimperium-mopac-"))
	defer os.RemoveAll(dir)
	commands := make([]*exec.Cmd, len(inputs))
	for n, input := range inputs {
		folder := filepath.Join(dir, fmt.Sprint(n))
		measure.Write(filepath.Join(folder, "pm7.mop"), string(measure.Must(os.ReadFile(input))))
		commands[n] = exec.Command("mopac", "pm7.mop")
		commands[n].Dir = folder
		commands[n].Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
	}
	var group errgroup.Group
	group.SetLimit(atATime)
	start := time.Now()
	for _, c := range commands {
		group.Go(c.Run)
	}
	measure.Check(group.Wait())
	wall = time.Since(start).Seconds()
	for _, c := range commands {
		cpu += measure.CPU(c)
	}
	return wall, cpu
}
