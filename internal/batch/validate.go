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
	maxSilent     = 3           // workers that may end before any answer: then no more are started
)

// asker asks the workers of one stage.
type asker struct {
	*Visitor
	t       *csvmerge.Table
	s       *pipeline.Stage
	rows    []int
	answers []Answer
	silent  atomic.Int64 // workers that ended before any answer; after an answer far below 0
}

// Ask has the workers of the stages with a validate attribute look at rows of a table, on all
// cores. The answers are in the order of rows. unasked says why a stage could not be asked, for
// example because its program is missing. Nothing is written in the artefacts folder.
func Ask(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table,
	rows []int) (answers []Answer, unasked []error, err error) {
	dir, err := os.MkdirTemp("", "grimperium-validate-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(p.Artefacts)
	scratch, scratchErr := store.Open(dir)
	if err = cmp.Or(err, scratchErr); err != nil {
		return nil, nil, err
	}
	v := &Visitor{Pipeline: p, Store: scratch, Programs: newPrograms(p, st.Index())}
	v.Programs.index.ReadOnly = true
	defer v.workers.close()
	answers = make([]Answer, len(rows))
	for _, s := range p.Stages {
		if !s.Validates() {
			continue
		}
		a := &asker{Visitor: v, t: t, s: s, rows: rows, answers: slices.Clone(answers)}
		switch err := a.askAll(ctx); {
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case err != nil:
			err = fmt.Errorf("stage %q was not asked about the rows: %w", s.Name, err)
			unasked = append(unasked, err)
		default:
			answers = a.answers
		}
	}
	return answers, unasked, nil
}

// askAll asks about all rows. The error says why no worker answers.
func (a *asker) askAll(ctx context.Context) error {
	if a.s.Worker == nil {
		return errors.New("it has no worker to answer")
	}
	a.Programs.find(ctx, a.Programs.declared[a.s.Program])
	if err := a.Programs.missing[a.s.Program]; err != nil {
		return err
	}
	dir, err := a.Store.Scratch(a.s.Name)
	if err != nil {
		return err
	}
	var all errgroup.Group
	all.SetLimit(min(runtime.GOMAXPROCS(0), 1+len(a.rows)/16))
	for n := range a.rows {
		all.Go(func() error {
			if ctx.Err() != nil || a.silent.Load() >= maxSilent {
				return nil
			}
			r, err := a.ask(ctx, a.rows[n], dir)
			if a.silent.Load() >= maxSilent {
				return err
			}
			to := &a.answers[n]
			if err != nil {
				to.Problem = cmp.Or(to.Problem, err.Error())
			}
			to.Warnings = append(to.Warnings, r.Warnings...)
			to.Molecule = cmp.Or(r.Molecule, to.Molecule)
			return nil
		})
	}
	return all.Wait()
}

// ask asks a worker about a row. A stage that is off for the row says nothing of it.
func (a *asker) ask(ctx context.Context, i int, dir string) (r reply, err error) {
	m, err := a.Pipeline.Molecule(cells(a.t, i, a.Pipeline.Columns))
	if err != nil {
		return r, err
	}
	if on, err := m.Enabled(a.s); err == nil && !on {
		return r, nil
	}
	task, err := m.Question(a.s)
	if err != nil {
		return r, err
	}
	x := &execution{stage: a.s, task: task, dir: dir, timeout: answerTimeout}
	_, err = a.serve(ctx, x)
	if err == nil || x.reply.Exit != 0 {
		a.silent.Store(-int64(len(a.rows)))
	} else {
		a.silent.Add(1)
	}
	return x.reply, err
}
