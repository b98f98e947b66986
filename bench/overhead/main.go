// Overhead measures what a batch costs beside the chemistry: the 57 molecules of testdata/molecules.csv from nothing, with one job, with two, and
// without RDKit's worker; wall time against the CPU time of the programs, as the manifests have it.
//
//	go run ./bench/overhead
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

func main() {
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "grimperium-overhead-")
	check(err)
	defer os.RemoveAll(dir)
	mage := filepath.Join(dir, "mage")
	check(exec.Command("go", "tool", "mage", "-compile", mage).Run())
	shipped, err := os.ReadFile("pipeline.hcl")
	check(err)
	check(os.WriteFile("pipeline.without_worker.hcl", regexp.MustCompile(`(?m)^  worker .*$`).ReplaceAll(shipped, nil), 0o644))
	defer os.Remove("pipeline.without_worker.hcl")

	fmt.Println("| 57 molecules from nothing | wall, s | CPU of the programs, s | wall / CPU |")
	fmt.Println("|---|---|---|---|")
	for _, c := range []struct{ name, pipeline, jobs string }{
		{"one job", "pipeline.hcl", "1"}, {"two jobs", "pipeline.hcl", "2"}, {"one job, RDKit started for each molecule", "pipeline.without_worker.hcl", "1"},
	} {
		wall, cpu := batch(mage, filepath.Join(dir, c.name), c.pipeline, c.jobs)
		fmt.Printf("| %s | %.1f | %.1f | %.2f |\n", c.name, wall.Seconds(), cpu, wall.Seconds()/cpu)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// batch runs all molecules and returns the wall time and the CPU time of the programs in seconds.
func batch(mage, dir, pipeline, jobs string) (time.Duration, float64) {
	check(os.MkdirAll(dir, 0o755))
	data, err := os.ReadFile("testdata/molecules.csv")
	check(err)
	table := filepath.Join(dir, "table.csv")
	check(os.WriteFile(table, data, 0o644))
	start := time.Now()
	out, err := exec.Command(mage, "batch", "-pipeline="+pipeline, "-table="+table, "-artefacts="+dir+"/artefacts", "-jobs="+jobs).CombinedOutput()
	wall := time.Since(start)
	var failed *exec.ExitError // a molecule that is tried again by the next batch
	if err != nil && (!errors.As(err, &failed) || failed.ExitCode() != 1) {
		log.Fatalf("%v\n%s", err, out)
	}
	manifests, err := filepath.Glob(filepath.Join(dir, "artefacts/*/manifest.json"))
	check(err)
	cpu := 0.0
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
