package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

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
	maxSilent     = 3           // workers that may end without any answer before no more are started
)

// Ask has the workers of the stages with a validate attribute look at rows of a table, on all
// cores. The answers are in the order of rows. unasked says why a stage could not be asked, for
// example because its program is missing. done is told of each row that has an answer, by several
// goroutines at once. Nothing is written in the artefacts folder.
func Ask(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table, rows []int,
	done func(s *pipeline.Stage, rows int)) (answers []Answer, unasked []error, err error) {
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return nil, nil, err
	}
	found := newPrograms(p, st.Index())
	found.index.ReadOnly = true
	answers = make([]Answer, len(rows))
	for _, s := range p.Stages {
		if !s.Validates() || len(rows) == 0 {
			continue
		}
		a := &asker{p: p, t: t, s: s, rows: rows, answers: slices.Clone(answers), done: done}
		missing, err := a.all(ctx, found)
		switch {
		case err != nil:
			return nil, nil, err
		case missing != nil:
			missing = fmt.Errorf("stage %q was not asked about the rows: %w", s.Name, missing)
			unasked = append(unasked, missing)
		default:
			answers = a.answers
		}
	}
	return answers, unasked, nil
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
	silent  atomic.Int64 // workers that ended before their first answer
}

// all asks about all rows. missing says why no worker answers.
func (a *asker) all(ctx context.Context, found *programs) (missing, err error) {
	if a.s.Worker == nil {
		return errors.New("it has no worker to answer"), nil
	}
	if found.find(ctx, found.declared[a.s.Program]); ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if missing := found.missing[a.s.Program]; missing != nil {
		return missing, nil
	}
	a.path = found.path[a.s.Program]
	var all errgroup.Group
	workers := min(runtime.GOMAXPROCS(0), 1+len(a.rows)/16)
	for n := range workers {
		all.Go(func() error { return a.some(ctx, n, workers) })
	}
	switch err := all.Wait(); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case a.silent.Load() >= maxSilent:
		return err, nil
	default:
		return nil, err
	}
}

// some asks one worker after the other, in a folder of its own, about every step-th row from first.
func (a *asker) some(ctx context.Context, first, step int) error {
	dir, err := os.MkdirTemp("", "grimperium-validate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var w *runner.Worker
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	answered := false // by this worker
	for n := first; n < len(a.rows) && a.silent.Load() < maxSilent; n += step {
		var r reply
		x, err := a.question(n)
		if x != nil && w == nil {
			answered = false
			if w, err = startWorker(ctx, a.path, dir, x); err != nil {
				a.silent.Store(maxSilent)
				return err
			}
		}
		if x != nil {
			c := runner.Command{Dir: dir, Timeout: answerTimeout}
			if _, err = w.Call(ctx, c, request{dir, x.task.Argv[1:]}, &r); err != nil {
				w = nil
			}
			if ctx.Err() != nil || err != nil && !answered && a.silent.Add(1) >= maxSilent {
				return err
			}
			answered = err == nil
		}
		a.answers[n].add(a.s.Program, r, err)
		a.done(a.s, 1)
	}
	return nil
}

// question is what the stage asks about a row, nil where it is off for it.
func (a *asker) question(n int) (*execution, error) {
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
	return &execution{stage: a.s, task: task, env: m.Environ(task)}, nil
}

// add takes in what a program says of the row.
func (a *Answer) add(program string, r reply, err error) {
	if err = cmp.Or(err, r.failure(program)); err != nil {
		a.Problem = cmp.Or(a.Problem, err.Error())
	}
	a.Warnings = append(a.Warnings, r.Warnings...)
	a.Molecule = cmp.Or(r.Molecule, a.Molecule)
}
