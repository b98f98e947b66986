// Overhead measures what a batch costs beside the chemistry: the 57 molecules of testdata/molecules.csv from nothing, with one job, with two, and
// without RDKit's worker; wall time against the CPU time of the programs, as the manifests have it. The three take turns.
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
	"time"
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
	walls, ratios := make([][]float64, len(cases)), make([][]float64, len(cases))
	var gains []float64
	for round := range *rounds {
		for n, c := range cases {
			wall, cpu := batch(mage, filepath.Join(dir, fmt.Sprint(c.name, round)), c.pipeline, c.jobs)
			walls[n], ratios[n] = append(walls[n], wall), append(ratios[n], wall/cpu)
		}
		gains = append(gains, walls[0][round]/walls[1][round])
	}
	fmt.Println("| 57 molecules from nothing, median (least to most) | wall, s | wall / CPU of the programs |")
	fmt.Println("|---|---|---|")
	for n, c := range cases {
		fmt.Printf("| %s | %s | %s |\n", c.name, spread("%.1f", walls[n]), spread("%.2f", ratios[n]))
	}
	fmt.Printf("\nTwo jobs have %s times the throughput of one.\n", spread("%.2f", gains))
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

// batch runs all molecules and returns the wall time and the CPU time of the programs in seconds.
func batch(mage, dir, pipeline, jobs string) (wall, cpu float64) {
	check(os.MkdirAll(dir, 0o755))
	data, err := os.ReadFile("testdata/molecules.csv")
	check(err)
	table := filepath.Join(dir, "table.csv")
	check(os.WriteFile(table, data, 0o644))
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
	return wall, cpu
}
