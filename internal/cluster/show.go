package cluster

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
)

// shown is how many tasks a dry run lists.
const shown = 5

// Show prints what a batch would submit, and writes nothing.
func (w *Watcher) Show(out io.Writer, j batch.Job) error {
	old, err := Find(w.Pipeline.Artefacts)
	if err != nil {
		return err
	}
	if old != nil {
		fmt.Fprintf(out, "The cluster run %s is under way; the batch goes on with it.\n", old.ID)
		return nil
	}
	w.run = &Run{ID: "grimperium-ID", dir: w.Pipeline.Artefacts + "/" + Folder + "/ID"}
	w.newPlan()
	for _, row := range j.Rows {
		w.plan.Add(w.piece(row))
	}
	long, core := w.plan.tooLong(), w.plan.Seconds()/3600
	chunks, err := w.plan.Deal()
	if err != nil || len(chunks) == 0 {
		return err
	}
	spec := w.Pipeline.Cluster
	fmt.Fprintf(out, "On %s: %s of %s and %v, at most %d at once; about %.1f core hours.\n",
		spec.Scheduler, batch.Count(len(chunks), "task"), batch.Count(chunks[0].Cores, "core"),
		spec.Time, spec.Tasks, core)
	if long != "" {
		fmt.Fprintln(out, long)
	}
	if len(w.plan.unassigned) > 0 {
		fmt.Fprintf(out, "%s follow when these have ended.\n",
			batch.Count(len(w.plan.unassigned), "molecule"))
	}
	for n, c := range chunks {
		if n == shown {
			fmt.Fprintf(out, "  ... and %d more\n", len(chunks)-n)
			break
		}
		sum := 0.0
		for _, piece := range c.Pieces {
			sum += piece.Seconds
		}
		busy := time.Duration(sum / float64(c.Cores) * float64(time.Second))
		fmt.Fprintf(out, "  task %d: %s, about %v\n", n, batch.Count(len(c.Pieces), "molecule"),
			busy.Round(time.Second))
	}
	words := []string{"sbatch"}
	for _, word := range w.call(chunks) {
		words = append(words, batch.Quoted(word))
	}
	_, err = fmt.Fprintf(out, "%s\n%s:\n%s", strings.Join(words, " "), scriptName, w.run.script())
	return err
}

// Describe prints how the run stands that is under way in an artefacts folder, by its files alone.
func Describe(out io.Writer, artefacts string) error {
	run, err := Find(artefacts)
	if run == nil || err != nil {
		return err
	}
	chunks, err := run.chunks()
	if err != nil {
		return err
	}
	plan := NewPlan(pipeline.Cluster{}, 0, 1)
	for _, c := range chunks {
		plan.Restore(c)
	}
	all, left, running := len(plan.at), 0, 0
	processes := map[string]*process{}
	if err := run.processes(processes); err != nil {
		return err
	}
	for _, p := range processes {
		if err := p.read(func(out batch.Outcome) { plan.Take(out) }); err != nil &&
			!os.IsNotExist(err) {
			return err
		}
	}
	for _, c := range plan.Open() {
		left += len(c.left)
		who, _, err := run.claim(c.Number)
		if p := processes[run.path(who)]; err == nil && p != nil && p.end == nil {
			running++
		}
	}
	_, err = fmt.Fprintf(out,
		"Cluster run %s, submitted on %s at %s: %d of %s finished; %s with work left, of which "+
			"%d have begun; about %.1f core hours left.\n", run.ID, run.Host,
		run.Created.Local().Format(time.DateTime), all-left, batch.Count(all, "molecule"),
		batch.Count(len(plan.Open()), "task"), running, plan.Seconds()/3600)
	return err
}
