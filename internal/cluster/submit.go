package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/durable"
	"grimperium/internal/pipeline"
)

// begin makes the folder of a new run.
func (w *Watcher) begin() error {
	id := idPrefix + strings.ToLower(rand.Text()[:12])
	host, _ := os.Hostname()
	w.run = &Run{Format: formatName, ID: id, Batch: w.job.Batch, Created: time.Now(), Host: host,
		Pipeline: w.Pipeline.Snapshot(), Programs: w.job.Programs,
		dir: filepath.Join(w.Pipeline.Artefacts, Folder, id)}
	if strings.Contains(w.run.dir, `\`) {
		return fmt.Errorf("%s: Slurm writes no output to a path with \\: give the folder another "+
			"name", w.run.dir)
	}
	sweep(w.Pipeline.Artefacts)
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.Open(exe)
	if err != nil {
		return err
	}
	defer program.Close()
	path := w.run.path(programName)
	err = durable.WriteFile(durable.File{Path: path, Write: func(to io.Writer) error {
		_, err := io.Copy(to, program)
		return err
	}, Ready: func(temp *os.File) error { return temp.Chmod(0o755) }})
	if err == nil {
		err = writeText(w.run.path(scriptName), w.run.script())
	}
	if err == nil { // from here on the run is there
		err = writeJSON(w.run.path(runName), w.run)
	}
	return err
}

// script is what a task runs. Its argument is the number of the first chunk of its array.
func (r *Run) script() string {
	return fmt.Sprintf("#!/bin/sh\n# A task of an array: it works on one chunk.\nchunk=$(printf "+
		"%%06d $(($1 + SLURM_ARRAY_TASK_ID)))\nexec %s %s %s/$chunk%s\n",
		batch.Quoted(r.path(programName)), TaskCommand, batch.Quoted(r.dir), chunkSuffix)
}

// TaskCommand is the first word of a call of the program as a task; the chunk's file follows.
const TaskCommand = "cluster-task"

// options are the words of sbatch for a submission.
func (w *Watcher) options(spec pipeline.Cluster, name string, cores int) []string {
	minutes := (spec.Time + time.Minute - 1) / time.Minute
	words := append(slices.Clone(spec.Options), "--job-name="+name, "--open-mode=append",
		"--nodes=1", "--ntasks=1", fmt.Sprintf("--cpus-per-task=%d", cores),
		fmt.Sprintf("--time=%d", minutes))
	if spec.Memory != "" {
		words = append(words, "--mem="+spec.Memory)
	}
	if excluded := w.plan.Excluded; len(excluded) > 0 { // of two lists the last one would count
		for _, word := range spec.Options {
			if list, ok := strings.CutPrefix(word, "--exclude="); ok {
				excluded = append([]string{list}, w.plan.Excluded...)
			}
		}
		words = append(words, "--exclude="+strings.Join(excluded, ","))
	}
	return words
}

// call is the call of sbatch for chunks.
func (w *Watcher) call(chunks []*Chunk) []string {
	first := chunks[0].First
	array := fmt.Sprintf("--array=0-%d%%%d", len(chunks)-1, w.Pipeline.Cluster.Tasks)
	log := output(w.run.path(fmt.Sprintf("task-%d.", first))) + "%a.log"
	return append(w.options(*w.Pipeline.Cluster, w.run.submission(first), chunks[0].Cores), array,
		log, w.run.path(scriptName), fmt.Sprint(first))
}

// forLast is what the last job of -detach asks for instead of what a task has.
func forLast(spec pipeline.Cluster) pipeline.Cluster {
	const most = "4G" // a table of a million rows has 0.2
	if m := spec.Memory; m != "" && kilobytes(m) > kilobytes(most) {
		spec.Memory = most
	}
	spec.Time = min(spec.Time, time.Hour)
	spec.Options = slices.DeleteFunc(slices.Clone(spec.Options), func(word string) bool {
		return strings.HasPrefix(word, "--exclusive")
	})
	return spec
}

// kilobytes reads a memory of the cluster block.
func kilobytes(memory string) int64 {
	last := len(memory) - 1
	n, _ := strconv.ParseInt(memory[:last], 10, 64) // the block was checked
	return n << (10 * strings.IndexByte("KMGT", memory[last]))
}

// output is the option of sbatch for a path, in which % has a meaning.
func output(path string) string { return "--output=" + strings.ReplaceAll(path, "%", "%%") }

// submit writes chunks and submits a task for each.
func (w *Watcher) submit(ctx context.Context, chunks []*Chunk) error {
	for _, c := range chunks {
		c.Timeouts = w.Timeouts
		if err := writeJSON(w.run.path(chunkName(c.Number)+chunkSuffix), c); err != nil {
			return err
		}
	}
	name, most := w.run.submission(chunks[0].First), w.Pipeline.Cluster.Tasks
	job, err := submit(ctx, w.call(chunks))
	var unknown error
	if _, never := errors.AsType[missing](err); err != nil && !never { // or its answer was lost
		var all []slurmTask
		if all, unknown = queue(ctx, []string{name}); unknown == nil && len(all) > 0 {
			job, _, _ = strings.Cut(all[0].job, "_")
			err = nil
		}
	}
	switch {
	case err == nil:
		w.Note = "Slurm has the molecules: job " + job + ". " + way
		w.note(fmt.Sprintf("submitted %s as Slurm's job %s (%s)",
			batch.Count(len(chunks), "task"), job, name))
	case unknown != nil && chunks[0].Number == 0:
		return fmt.Errorf("%w; %w: it is not known whether Slurm has the tasks. Start the same "+
			"command again, which finds out", err, unknown)
	case len(chunks) > most:
		return w.submitFirst(ctx, chunks, most, err)
	case chunks[0].Number == 0: // nothing runs
		if _, refused := errors.AsType[refusal](err); refused {
			err = fmt.Errorf("%w; correct the cluster block of pipeline.hcl. If Slurm limits the "+
				"number of jobs, lower tasks", err)
		}
		return cmp.Or(w.run.remove(), fmt.Errorf("nothing was submitted. %w", err))
	default:
		w.plan.cause = cmp.Or(w.plan.cause, err.Error())
		w.note(err.Error() + "; tried again later") // as the chunks of tasks that are gone
	}
	return nil
}

// submitFirst submits the first chunks of an array that Slurm did not accept, as it may be longer
// than MaxArraySize or MaxSubmitJobs. The other molecules follow later.
func (w *Watcher) submitFirst(ctx context.Context, chunks []*Chunk, n int, refused error) error {
	w.note(fmt.Sprintf("%v; tried again with %s", refused, batch.Count(n, "task")))
	w.plan.Withdraw(chunks[n:])
	for _, c := range chunks[n:] {
		if err := durable.Remove(w.run.path(chunkName(c.Number) + chunkSuffix)); err != nil {
			return err
		}
	}
	return w.submit(ctx, chunks[:n])
}

// LastJob is the environment variable that the job has which -detach submits last. A stop from
// before it began is for its tasks and for itself: it merges, and submits nothing.
const LastJob = "GRIMPERIUM_LAST_JOB"

// detach submits a small job that goes on with the run when its tasks have ended.
func (w *Watcher) detach(ctx context.Context) error {
	if w.Mode != Detach || w.plan.Done() {
		return nil
	}
	w.Note = cmp.Or(w.Note, "Slurm has the molecules. "+way)
	name := w.run.merging()
	waiting, err := queue(ctx, append(w.submissions(), name))
	if err != nil {
		return err
	}
	var after []string
	for _, l := range waiting {
		state, _, _ := stateOf(l.state)
		job, _, _ := strings.Cut(l.job, "_")
		switch {
		case state == Over:
		case l.submission == name && state == Waiting:
			return nil
		case l.submission != name && !slices.Contains(after, job):
			after = append(after, job)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	script := fmt.Sprintf("#!/bin/sh\n# When the tasks have ended: merge, submit what is "+
		"left.\ncd %s && exec env %s=1 %s", batch.Quoted(dir), LastJob,
		batch.Quoted(w.run.path(programName)))
	for _, word := range w.Again {
		script += " " + batch.Quoted(word)
	}
	args := append(w.options(forLast(*w.Pipeline.Cluster), name, 1),
		output(filepath.Join(filepath.Dir(w.run.dir), mergeLog)))
	if len(after) > 0 {
		args = append(args, "--dependency=afterany:"+strings.Join(after, ":"))
	}
	if err = writeText(w.run.path(mergeName), script+"\n"); err == nil {
		_, err = submit(ctx, append(args, w.run.path(mergeName)))
	}
	return err
}

// End ends the tasks of the run that is under way. What they have finished is not touched.
func (w *Watcher) End(ctx context.Context) (err error) {
	w.newPlan()
	if w.run, err = Find(w.Pipeline.Artefacts); err != nil {
		return err
	}
	chunks, err := w.run.chunks()
	for _, c := range chunks {
		w.plan.Restore(c)
	}
	if err = cmp.Or(err, w.cancel(ctx)); err == nil {
		w.Note = "The tasks are ended. What they have finished is not merged yet. Correct the " +
			"error, and give the same command again."
	}
	return err
}

// cancel ends all tasks, and waits until none gives a sign of life.
func (w *Watcher) cancel(ctx context.Context) error {
	names := append(w.submissions(), w.run.merging())
	for _, name := range names {
		if err := cancel(ctx, name); err != nil {
			return err
		}
	}
	for begin := time.Now(); ; time.Sleep(w.poll() / 30) {
		all, err := queue(ctx, names)
		alive := slices.ContainsFunc(all, func(l slurmTask) bool {
			state, _, _ := stateOf(l.state)
			return state != Over
		})
		if err != nil {
			now, nowErr := w.run.now()
			works := func(c *Chunk) bool { return w.works(c, now) }
			alive = nowErr != nil || slices.ContainsFunc(w.plan.Open(), works)
		}
		if !alive {
			return nil
		}
		if time.Since(begin) > max(4*w.poll(), 2*time.Second) {
			return fmt.Errorf("%w; try -cancel again",
				cmp.Or(err, errors.New("the tasks have not ended yet")))
		}
	}
}

// works says whether a chunk's process gives signs of life, by its files alone.
func (w *Watcher) works(c *Chunk, now time.Time) bool {
	who, beat, err := w.run.claim(c.Number)
	p := &process{path: w.run.path(who)}
	_ = p.read(func(batch.Outcome) {}) // there is none where no process has the chunk
	isSilent := p.end != nil || who == closed || now.Sub(beat) >= beats*beatEvery
	return err != nil || !isSilent
}

// close ends a run of which nothing is left. That of a batch which ends before stays.
func (w *Watcher) close(ctx context.Context) error {
	switch {
	case w.Mode == Cancel:
		w.Note = "The cluster run is cancelled. What was finished is merged."
		return w.run.remove()
	case w.plan.Done():
		w.Note = ""
		if w.Mode == Follow { // one that waits for the tasks of an earlier -detach
			_ = cancel(ctx, w.run.merging(), "PENDING")
		}
		return w.run.remove()
	}
	return nil
}
