package main

import (
	"fmt"
	"math"
	"os"
	"slices"

	"grimperium/bench/internal/measure"
	"grimperium/internal/cluster/slurmtest"
	"grimperium/internal/journal"
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

// pause is how long a node has no molecule, at least, between two tasks, seconds.
const pause = 0.5

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

	targets := map[string][]journal.Event{} // by node
	measure.Check(journal.Each(p.Journal(), func(e journal.Event) {
		if e.Event == journal.TargetEnd && e.Time.After(cost.Began) {
			targets[e.Host] = append(targets[e.Host], e)
		}
	}))
	first, last, work := math.Inf(1), 0.0, 0.0 // seconds of the batch
	for _, events := range targets {
		slices.SortFunc(events, func(a, b journal.Event) int { return a.Time.Compare(b.Time) })
		since := math.Inf(-1)
		for _, e := range events {
			end := e.Time.Sub(cost.Began).Seconds()
			if begin := end - e.Seconds; begin > since+pause {
				first, since = min(first, begin), begin
			}
			work, since = work+end-since, end
		}
		last = max(last, since)
	}
	ideal := work / float64(len(targets))
	fmt.Printf("%d molecules on %d nodes of two cores: %.1f s; the tasks worked %.1f s on each "+
		"node, the sleeps alone take %.1f s\n", n, len(targets), cost.Wall, ideal,
		float64(n)*0.1/float64(2*len(targets)))
	fmt.Printf("overhead %.1f %% of the tasks' time: %.1f s before the first molecule, %.1f s "+
		"after the last, %.1f s between tasks\n", 100*(cost.Wall/ideal-1), first, cost.Wall-last,
		last-first-ideal)
	fmt.Printf("CPU time of the batch on the login node: %.1f s\n", cost.CPU)
}
