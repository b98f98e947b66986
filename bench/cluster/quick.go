package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/internal/cluster/slurmtest"
)

// quickPipeline has molecules that take a tenth of a second, on both nodes of slurmtest.
const quickPipeline = `pipeline {
  table = "table.csv"
  jobs  = 2
  store = %q
}
program "sh" {}
stage "quick" {
  command = ["sh", "-c", "echo 3; exec sleep 0.1", mol.mol_id]
  outputs = { out = "stdout" }
  values  = { x = tonumber(trimspace(file(output.out))) }
}
merge { x = stage.quick.x }
cluster "slurm" {
  cores = 2
  tasks = 2
  time  = %q
}
`

const slots = 4.0 // cores of the two nodes

// worked is what a task said of its beginning and its end.
type worked struct {
	Start *struct {
		Node string
		Time time.Time
	}
	End *struct{ Time time.Time }
}

// quick measures a batch of n molecules on a real Slurm: how long the tasks work, and how long the
// batch takes beside that. So many as taught are computed here first, for the expected times.
func quick(n, taught int, store, wall string) {
	dir, program, remove := measure.Compile()
	defer remove()
	slurm, err := slurmtest.Start(filepath.Join(dir, "slurm"))
	defer slurm.Stop()
	measure.Check(err)
	measure.Check(os.Setenv("SLURM_CONF", slurm.Config()))
	measure.Pending(filepath.Join(dir, "table.csv"), n+taught, func(int) string { return "C" })
	measure.Write(filepath.Join(dir, "pipeline.hcl"), fmt.Sprintf(quickPipeline, store, wall))
	if taught > 0 {
		local := measure.Run(dir, program, "batch", fmt.Sprint("-limit=", taught))
		fmt.Printf("%d molecules on two cores of this machine alone: %.1f s\n", taught, local.Wall)
	}
	cmd := exec.Command(program, "batch", "-on=slurm")
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	begin, ended := time.Now(), make(chan error, 1)
	measure.Check(cmd.Start())
	go func() { ended <- cmd.Wait() }()
	tasks := map[string][2]time.Time{}
	for err, over := error(nil), false; !over; {
		select {
		case err = <-ended:
			if over = true; err != nil {
				fmt.Println(out.String())
				measure.Check(err)
			}
		case <-time.After(50 * time.Millisecond): // the folder is removed at the end
			look(dir, tasks)
		}
	}
	report(tasks, begin, time.Now(), n)
	fmt.Printf("CPU time of the batch on the login node: %.1f s\n", measure.CPU(cmd))
}

// look reads what the tasks have said so far.
func look(dir string, tasks map[string][2]time.Time) {
	files, _ := filepath.Glob(filepath.Join(dir, "artefacts/.cluster/*/*.outcomes"))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		span := tasks[file]
		for line := range strings.Lines(string(data)) {
			var w worked
			switch err := json.Unmarshal([]byte(line), &w); {
			case err != nil:
			case w.Start != nil:
				span[0] = w.Start.Time
			case w.End != nil:
				span[1] = w.End.Time
			}
		}
		tasks[file] = span
	}
}

func report(tasks map[string][2]time.Time, begin, end time.Time, n int) {
	var spans [][2]time.Time
	work := 0.0
	for _, span := range tasks {
		if span[1].IsZero() { // its last line was not seen before the folder went
			span[1] = end
		}
		spans, work = append(spans, span), work+span[1].Sub(span[0]).Seconds()
	}
	slices.SortFunc(spans, func(a, b [2]time.Time) int { return a[0].Compare(b[0]) })
	last := begin
	for _, span := range spans {
		if span[1].After(last) {
			last = span[1]
		}
	}
	wall, ideal := end.Sub(begin).Seconds(), work*2/slots
	fmt.Printf(
		"%d molecules in %d tasks on two nodes of two cores: %.1f s; the tasks worked %.1f s on "+
			"each node, the sleeps alone take %.1f s\n", n, len(tasks), wall, ideal,
		float64(n)*0.1/slots)
	fmt.Printf(
		"overhead %.1f %% of the tasks' time: %.1f s before the first task, %.1f s after the "+
			"last, %.1f s between tasks\n", 100*(wall/ideal-1), spans[0][0].Sub(begin).Seconds(),
		end.Sub(last).Seconds(), last.Sub(spans[0][0]).Seconds()-ideal)
}
