package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
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

// Ask has the workers of the stages with a validate attribute look at rows of a table, on all
// cores. The answers are in the order of rows. unasked says why a stage could not be asked, for
// example because its program is missing. Nothing is written in the artefacts folder.
func Ask(ctx context.Context, p *pipeline.Pipeline, t *csvmerge.Table, rows []int) (
	answers []Answer, unasked []error, err error) {
	dir, err := tempDir("grimperium-validate-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(p.Artefacts)
	scratch, scratchErr := store.Open(dir)
	if err = cmp.Or(err, scratchErr); err != nil {
		return nil, nil, err
	}
	v := &Visitor{Pipeline: p, Store: scratch, Programs: newPrograms(p, st.Index()),
		Jobs: int64(runtime.GOMAXPROCS(0))}
	v.Programs.index.ReadOnly = true
	defer v.workers.close()
	answers = make([]Answer, len(rows))
	for _, s := range p.Stages {
		if !s.Validates() {
			continue
		}
		replies, err := v.ask(ctx, s, t, rows)
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("stage %q was not asked about the rows: %w", s.Name, err)
			unasked = append(unasked, err)
			continue
		}
		for n, r := range replies {
			to := &answers[n]
			to.Problem, to.Molecule = cmp.Or(to.Problem, r.Error), cmp.Or(r.Molecule, to.Molecule)
			to.Warnings = append(to.Warnings, r.Warnings...)
		}
	}
	return answers, unasked, nil
}

// ask asks the workers of a stage about all rows. The Error of a reply is what is wrong with the
// row. A stage that is off for a row says nothing of it. The error says why no worker answers.
func (v *Visitor) ask(ctx context.Context, s *pipeline.Stage, t *csvmerge.Table, rows []int) (
	[]reply, error) {
	if s.Worker == nil {
		return nil, errors.New("it has no worker to answer")
	}
	v.Programs.find(ctx, v.Pipeline.Programs[s.Program])
	if err := v.Programs.found[s.Program].Missing; err != nil {
		return nil, err
	}
	dir, err := v.Store.Scratch(s.Name)
	if err != nil {
		return nil, err
	}
	replies := make([]reply, len(rows))
	var silent atomic.Int64 // workers that ended before any answer; after an answer far below 0
	var all errgroup.Group
	all.SetLimit(min(int(v.Jobs), 1+len(rows)/16))
	for n, i := range rows {
		all.Go(func() error {
			if ctx.Err() != nil || silent.Load() >= maxSilent {
				return nil
			}
			g, err := v.question(s, cells(t, i, v.Pipeline.Columns), dir)
			if g != nil {
				_, err = v.serve(ctx, g)
				replies[n] = g.reply
				if err == nil || g.reply.Exit != 0 {
					silent.Store(-int64(len(rows)))
				} else if silent.Add(1) >= maxSilent {
					return err
				}
			}
			replies[n].Error = ""
			if err != nil { // else it is what the program wrote to stderr
				replies[n].Error = err.Error()
			}
			return nil
		})
	}
	return replies, all.Wait()
}

// question is what a stage's worker is asked about a row, nil for nothing.
func (v *Visitor) question(s *pipeline.Stage, row map[string]any, dir string) (*target, error) {
	m, err := v.Pipeline.Molecule(row)
	if err != nil {
		return nil, err
	}
	if on, err := m.Enabled(s); err == nil && !on {
		return nil, nil
	}
	task, err := m.Question(s)
	if err != nil {
		return nil, err
	}
	return &target{stage: s, task: task, dir: dir, limit: answerTimeout}, nil
}
