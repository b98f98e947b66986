package batch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// workers are the programs of stages with a worker attribute: started with the first target that wants one, used again by the
// next, one for each job at most.
type workers struct {
	mu      sync.Mutex
	idle    map[string][]*runner.Worker // by stage and environment
	started int
}

// take returns an idle worker, which is nobody else's then, or nil and the number of the one to be started.
func (w *workers) take(key string) (*runner.Worker, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if list := w.idle[key]; len(list) > 0 {
		last := list[len(list)-1]
		w.idle[key] = list[:len(list)-1]
		return last, 0
	}
	w.started++
	return nil, w.started
}

// put makes a worker idle.
func (w *workers) put(key string, worker *runner.Worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle == nil {
		w.idle = map[string][]*runner.Worker{}
	}
	w.idle[key] = append(w.idle[key], worker)
}

// request is a line to a worker: do what the stage's command with these words after the program's name would do, in this folder.
type request struct {
	Dir  string   `json:"dir"`
	Args []string `json:"args"`
}

// reply is a worker's line: how the command would have ended, what it would have said on standard error, and the CPU time that it took (seconds).
// Warnings and Molecule answer the words of a stage's validate attribute.
type reply struct {
	Exit     int      `json:"exit"`
	Error    string   `json:"error"`
	CPU      float64  `json:"cpu"`
	Warnings []string `json:"warnings"`
	Molecule string   `json:"molecule"` // as Answer has it
}

// serve has a target done by a worker. A worker that dies, hangs or talks nonsense is replaced for the next target; this one fails.
func (b *Batch) serve(ctx context.Context, s *pipeline.Stage, task *pipeline.Task, cmd runner.Command, rec *store.Record) (end ending, err error) {
	key := s.Name + "\x00" + strings.Join(task.Env, "\x00")
	w, err := b.worker(ctx, key, s, task, cmd)
	if err != nil {
		return ending{message: err.Error()}, nil
	}
	var r reply
	res, err := w.Call(ctx, task.Timeout, request{cmd.Dir, task.Argv[1:]}, &r)
	switch {
	case res.Interrupted:
		return end, nil
	case err != nil:
		if res.TimedOut {
			rec.Outcome = store.TimedOut
		}
		return ending{message: err.Error()}, nil
	}
	b.workers.put(key, w)
	rec.CPU, rec.ExitCode = r.CPU, r.Exit
	if r.Exit == 0 {
		return end, nil
	}
	ended := fmt.Sprintf("%s ended with exit code %d", s.Program, r.Exit)
	if r.Error == "" {
		return ending{message: ended}, nil
	}
	return ending{message: r.Error, how: ended + "; "}, os.WriteFile(cmd.Stderr, []byte(r.Error+"\n"), 0o644)
}

// worker returns an idle worker, or a new one in a folder of its own that has the stage's source files.
func (b *Batch) worker(ctx context.Context, key string, s *pipeline.Stage, task *pipeline.Task, cmd runner.Command) (*runner.Worker, error) {
	w, n := b.workers.take(key)
	if w != nil {
		return w, nil
	}
	dir, err := b.Store.Scratch(".worker", fmt.Sprintf("%s.%d", s.Name, n))
	if err != nil {
		return nil, err
	}
	for _, f := range task.Files {
		if !f.Keep {
			if err := b.writeFile(dir, f); err != nil {
				return nil, err
			}
		}
	}
	c := runner.Command{Path: b.programs.path[s.Program], Args: s.Worker[1:], Dir: dir, Env: cmd.Env, Stderr: filepath.Join(dir, stderrName)}
	return runner.StartWorker(ctx, c)
}

// writeFile writes a task's file in a scratch folder.
func (b *Batch) writeFile(dir string, f pipeline.TaskFile) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	to, err := b.Store.Create(path, 0o644)
	if err != nil {
		return err
	}
	_, err = to.Write(f.Content)
	return errors.Join(err, to.Close())
}

// closeWorkers ends all workers.
func (b *Batch) closeWorkers() {
	for _, list := range b.workers.idle {
		for _, w := range list {
			w.Close()
		}
	}
}
