// Overhead measures what a batch costs beside the chemistry: the 57 molecules of testdata/molecules.csv from nothing, with one job, with two, and
// without RDKit's worker; wall time against the CPU time of the programs, as the manifests have it. They take turns with the limit: the MOPAC decks of
// these molecules one after the other and two at a time, with nothing else around them.
//
//	go run ./bench/overhead -rounds 3
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 3, "how often")
	flag.Parse()
	dir, err := os.MkdirTemp("", "grimperium-overhead-")
	check(err)
	defer os.RemoveAll(dir)
	mage := filepath.Join(dir, "mage")
	check(exec.Command("go", "tool", "mage", "-compile", mage).Run())
	shipped, err := os.ReadFile("pipeline.hcl")
	check(err)
	check(os.WriteFile("pipeline.without_worker.hcl", regexp.MustCompile(`(?m)^  worker .*$`).ReplaceAll(shipped, nil), 0o644))
	defer os.Remove("pipeline.without_worker.hcl")

	cases := []struct{ name, pipeline, jobs string }{
		{"one job", "pipeline.hcl", "1"}, {"two jobs", "pipeline.hcl", "2"}, {"one job, RDKit started for each molecule", "pipeline.without_worker.hcl", "1"},
	}
	var starts []float64
	walls, ratios := make([][]float64, len(cases)), make([][]float64, len(cases))
	walls, ratios = append(walls, nil, nil), append(ratios, nil, nil)
	names := []string{"the limit: MOPAC alone", "the limit: MOPAC alone, two at a time"}
	var gains, perCPU, limits []float64
	for round := range *rounds {
		for n, c := range cases {
			wall, cpu, before := batch(mage, filepath.Join(dir, fmt.Sprint(c.name, round)), c.pipeline, c.jobs)
			starts = append(starts, before)
			walls[n], ratios[n] = append(walls[n], wall), append(ratios[n], wall/cpu)
		}
		decks, err := filepath.Glob(filepath.Join(dir, fmt.Sprint(cases[0].name, round), "artefacts/*/pm7/*/pm7.mop"))
		check(err)
		for n := range names {
			wall, cpu := alone(decks, n+1)
			walls[len(cases)+n], ratios[len(cases)+n] = append(walls[len(cases)+n], wall), append(ratios[len(cases)+n], wall/cpu)
		}
		gains = append(gains, walls[0][round]/walls[1][round])
		perCPU = append(perCPU, ratios[0][round]/ratios[1][round])
		limits = append(limits, walls[len(cases)][round]/walls[len(cases)+1][round])
	}
	fmt.Println("| 57 molecules from nothing, median (least to most) | wall, s | wall / CPU of the programs |")
	fmt.Println("|---|---|---|")
	for _, c := range slices.Backward(cases) {
		names = append([]string{c.name}, names...)
	}
	for n, name := range names {
		fmt.Printf("| %s | %s | %s |\n", name, spread("%.1f", walls[n]), spread("%.3f", ratios[n]))
	}
	fmt.Printf("\nTwo jobs have %s times the throughput of one, by the CPU time that the programs had in a second %s; MOPAC alone gains %s.\n",
		spread("%.2f", gains), spread("%.2f", perCPU), spread("%.2f", limits))
	fmt.Printf("Before the first target, mostly until all programs have told their versions (a python3 without RDKit among them), pass %s s.\n", spread("%.2f", starts))
}

// spread is the median of measurements, with the least and the most of them.
func spread(format string, x []float64) string {
	slices.Sort(x)
	return fmt.Sprintf(format+" ("+format+" to "+format+")", x[len(x)/2], x[0], x[len(x)-1])
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// batch runs all molecules and returns in seconds the wall time, the CPU time of the programs, and the wall time before the first of them.
func batch(mage, dir, pipeline, jobs string) (wall, cpu, before float64) {
	check(os.MkdirAll(dir, 0o755))
	data, err := os.ReadFile("testdata/molecules.csv")
	check(err)
	table := filepath.Join(dir, "table.csv")
	check(os.WriteFile(table, data, 0o644))
	syscall.Sync() // what the run before wrote must not be flushed by this one
	start := time.Now()
	out, err := exec.Command(mage, "batch", "-pipeline="+pipeline, "-table="+table, "-artefacts="+dir+"/artefacts", "-jobs="+jobs).CombinedOutput()
	wall = time.Since(start).Seconds()
	var failed *exec.ExitError // a molecule that is tried again by the next batch
	if err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
		log.Fatalf("%v\n%s", err, out)
	}
	manifests, err := filepath.Glob(filepath.Join(dir, "artefacts/*/manifest.json"))
	check(err)
	for _, path := range manifests {
		var m struct {
			Targets map[string]struct {
				CPU float64 `json:"cpu_seconds"`
			} `json:"targets"`
		}
		data, err := os.ReadFile(path)
		check(err)
		check(json.Unmarshal(data, &m))
		for _, t := range m.Targets {
			cpu += t.CPU
		}
	}
	journal, err := os.Open(filepath.Join(dir, "artefacts/journal.jsonl"))
	check(err)
	defer journal.Close()
	var first struct{ Time time.Time }
	check(json.NewDecoder(journal).Decode(&first))
	return wall, cpu, first.Time.Sub(start).Seconds()
}

// alone runs MOPAC on decks, so many at a time, and returns the wall time and the CPU time in seconds.
func alone(decks []string, atATime int) (wall, cpu float64) {
	dir, err := os.MkdirTemp("", "grimperium-mopac-")
	check(err)
	defer os.RemoveAll(dir)
	for n, deck := range decks {
		data, err := os.ReadFile(deck)
		check(err)
		check(os.Mkdir(filepath.Join(dir, fmt.Sprint(n)), 0o755))
		check(os.WriteFile(filepath.Join(dir, fmt.Sprint(n), "pm7.mop"), data, 0o644))
	}
	var took atomic.Int64
	var group errgroup.Group
	group.SetLimit(atATime)
	start := time.Now()
	for n := range decks {
		group.Go(func() error {
			c := exec.Command("mopac", "pm7.mop")
			c.Dir = filepath.Join(dir, fmt.Sprint(n))
			c.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
			err := c.Run()
			took.Add(int64(c.ProcessState.UserTime() + c.ProcessState.SystemTime()))
			return err
		})
	}
	check(group.Wait())
	return time.Since(start).Seconds(), time.Duration(took.Load()).Seconds()
}
