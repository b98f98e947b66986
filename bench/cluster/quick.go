package main

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"time"

	"grimperium/bench/internal/measure"
	"grimperium/internal/cluster/slurmtest"
)

// quickPipeline has molecules that take a tenth of a second, on both nodes of slurmtest.
const quickPipeline = `pipeline {
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

const log = "slurm/slurmctld.log"

// taskLine finds in it when a task starts and when it has ended.
var taskLine = regexp.MustCompile(
	`\[(.+)\] .*(?:Started|Allocate|complete:) JobId=(\S+) (?:in|NodeList|done)`)

// quick measures a batch of n molecules on a real Slurm: how long the tasks work, and how long the
// batch takes beside that. So many as taught are computed here first, for the expected times.
func quick(n, taught int, store, wall string) {
	top, remove := measure.Compile()
	defer remove()
	slurm, err := slurmtest.Start(top.Path("slurm"))
	defer slurm.Stop()
	measure.Check(err)
	measure.Check(os.Setenv("SLURM_CONF", slurm.Config()))
	p := top.New("quick", fmt.Sprintf(quickPipeline, store, wall),
		measure.Pending(n+taught))
	if taught > 0 {
		local := measure.Run(p.Dir, p.Program, "batch", fmt.Sprint("-limit=", taught))
		fmt.Printf("%d molecules on two cores of this machine alone: %.1f s\n", taught, local.Wall)
	}
	cost := measure.Run(p.Dir, p.Program, "batch", "-on=slurm")

	began := map[string]float64{} // by task; all in seconds of the batch
	first, last, work := math.Inf(1), 0.0, 0.0
	for _, m := range taskLine.FindAllStringSubmatch(measure.Read(top.Path(log)), -1) {
		at := measure.Must(time.ParseInLocation("2006-01-02T15:04:05.000", m[1], time.Local))
		seconds, task := at.Sub(cost.Began).Seconds(), m[2]
		if start, ended := began[task]; ended {
			work, last = work+seconds-start, seconds
		} else {
			began[task], first = seconds, min(first, seconds)
		}
	}
	ideal := work / 2
	fmt.Printf("%d molecules in %d tasks on two nodes of two cores: %.1f s; the tasks took %.1f s "+
		"on each node, the sleeps alone take %.1f s\n", n, len(began), cost.Wall, ideal,
		float64(n)*0.1/4)
	fmt.Printf("overhead %.1f %% of the tasks' time: %.1f s before the first task, %.1f s after "+
		"the last, %.1f s between tasks\n", 100*(cost.Wall/ideal-1), first, cost.Wall-last,
		last-first-ideal)
	fmt.Printf("CPU time of the batch on the login node: %.1f s\n", cost.CPU)
}
