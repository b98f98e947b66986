package batch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// Answer is what the workers of a pipeline say of a row before anything is computed.
type Answer struct {
	Problem  string   // why the row can't be used, "" where it can
	Warnings []string // what a chemist should know of a row that can be used
	Molecule string   // the same text for the same molecule, "" where no worker told
}

const (
	answerTimeout = time.Minute // for one row; RDKit takes a thousandth of a second
	rowsEach      = 16          // rows that a worker gets at a time
	mostSilent    = 3           // workers that may end without any answer before no more are started
)

// Ask has the workers of the stages with a validate attribute look at rows of a table, on all
// cores. The answers are in the order of rows. unasked says why a stage could not be asked, as
// where its program is missing. done is told how many further rows of a stage have an answer, by
// several goroutines at once. Nothing is written in the artefacts folder.
func Ask(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table, rows []int,
	done func(s *pipeline.Stage, rows int)) (answers []Answer, unasked []error, err error) {
	answers = make([]Answer, len(rows))
	for _, s := range p.Stages {
		if !s.Validates() || len(rows) == 0 {
			continue
		}
		path, missing, err := program(ctx, p, s.Program)
		if s.Worker == nil {
			missing = errors.New("it has no worker to answer")
		}
		if err == nil && missing == nil {
			a := &asker{p: p, t: t, s: s, path: path, rows: rows, done: done}
			a.answers = make([]Answer, len(rows))
			if missing, err = a.all(ctx); missing == nil {
				for n := range answers {
					answers[n].add(a.answers[n])
				}
			}
		}
		if err != nil {
			return nil, nil, err
		}
		if missing != nil {
			unasked = append(unasked, fmt.Errorf("stage %q was not asked about the rows: %w", s.Name, missing))
		}
	}
	return answers, unasked, nil
}

// program finds one program; missing says why it can't be used.
func program(ctx context.Context, p *pipeline.Pipeline, name string) (
	path string, missing, err error) {
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return "", nil, err
	}
	index := st.Index()
	index.ReadOnly = true
	found := &programs{path: map[string]string{}, identity: map[string]string{}}
	missing, err = found.find(ctx, p.Programs[name], index)
	return found.path[name], missing, err
}

// asker asks the workers of one stage.
type asker struct {
	p       *pipeline.Pipeline
	t       *csvmerge.Table
	s       *pipeline.Stage
	path    string // of its program
	rows    []int
	answers []Answer
	done    func(*pipeline.Stage, int)

	next   atomic.Int64
	silent atomic.Int64 // workers that ended before their first answer
}

// all asks about all rows. missing says why no worker answers.
func (a *asker) all(ctx context.Context) (missing, err error) {
	dir, err := os.MkdirTemp("", "grimperium-validate-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var all sync.WaitGroup
	errs := make([]error, min(runtime.GOMAXPROCS(0), 1+len(a.rows)/rowsEach))
	for n := range errs {
		all.Go(func() { errs[n] = a.some(ctx, filepath.Join(dir, fmt.Sprint(n))) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if a.silent.Load() >= mostSilent {
		return errors.Join(errs...), nil
	}
	return nil, errors.Join(errs...)
}

// some asks one worker after the other, in a folder of its own, until no row is left.
func (a *asker) some(ctx context.Context, dir string) error {
	var w *runner.Worker
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	fresh := true
	for a.silent.Load() < mostSilent {
		from := int(a.next.Add(rowsEach)) - rowsEach
		if from >= len(a.rows) {
			return nil
		}
		to := min(from+rowsEach, len(a.rows))
		for n := from; n < to; n++ {
			q, err := a.ask(n)
			if q == nil || err != nil {
				a.note(n, reply{}, err)
				continue
			}
			if w == nil {
				if w, err = a.start(ctx, dir, q); err != nil {
					a.silent.Store(mostSilent)
					return err
				}
				fresh = true
			}
			var r reply
			if _, err = w.Call(ctx, answerTimeout, request{dir, q.Argv[1:]}, &r); err != nil {
				w = nil
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if fresh && a.silent.Add(1) >= mostSilent {
					return err
				}
			} else {
				fresh = false
			}
			a.note(n, r, err)
		}
		a.done(a.s, to-from)
	}
	return nil
}

// ask is what the stage asks about a row, nil where it is off for it.
func (a *asker) ask(n int) (*question, error) {
	m, err := a.p.Molecule(cells(a.t, a.rows[n], a.p.Columns))
	if err != nil {
		return nil, err
	}
	if on, err := m.Enabled(a.s); err == nil && !on {
		return nil, nil
	}
	task, err := m.Question(a.s)
	if err != nil {
		return nil, err
	}
	return &question{task, environment(m.Environ(task))}, nil
}

// question is a question with the environment of its worker.
type question struct {
	*pipeline.Task
	env []string
}

func (a *asker) start(ctx context.Context, dir string, q *question) (*runner.Worker, error) {
	for _, f := range q.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, f.Content, 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return runner.StartWorker(ctx, runner.Command{Path: a.path, Args: a.s.Worker[1:], Dir: dir,
		Env: q.env, Stderr: filepath.Join(dir, stderrName)})
}

// note keeps the answer about a row.
func (a *asker) note(n int, r reply, err error) {
	problem := r.Error
	switch {
	case err != nil:
		problem = err.Error()
	case r.Exit == 0:
		problem = ""
	case r.Error == "":
		problem = fmt.Sprintf("%s ended with exit code %d", a.s.Program, r.Exit)
	}
	a.answers[n] = Answer{problem, r.Warnings, r.Molecule}
}

// add takes in what the next stage says of the row.
func (a *Answer) add(next Answer) {
	if a.Problem == "" {
		a.Problem = next.Problem
	}
	a.Warnings = append(a.Warnings, next.Warnings...)
	if next.Molecule != "" {
		a.Molecule = next.Molecule
	}
}
