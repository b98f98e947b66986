package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"grimperium/internal/store"
)

// trial is a target that was computed by a script. What a script starts may be replaced without a
// change of the script: its version is known only when it is asked again.
type trial struct {
	mol, target, fingerprint string
	programs                 []string
}

// replacedError says that a program has another version than the batch recorded.
type replacedError struct{ name, was, is string }

func (e *replacedError) Error() string {
	return fmt.Sprintf("the program %q was replaced while the batch ran: %q is %q now; "+
		"the results under way were dropped, run again", e.name, e.was, e.is)
}

// unchanged is an error if one of a target's programs was replaced by another version since the
// batch began: the result at hand may be of the new one. Scripts are asked by confirm, for many
// targets at once, but at once if the target failed: what they start may be gone.
func (p *programs) unchanged(ctx context.Context, t trial, failed bool) error {
	scripts := false
	for _, name := range t.programs {
		path := p.path[name]
		isScript := path != "" && script(path)
		scripts = scripts || isScript
		_, same := p.index.Program(cacheName(p.declared[name]), path)
		if path == "" || same && !(failed && isScript) {
			continue
		}
		if err := p.askAgain(ctx, name); err != nil {
			return err
		}
	}
	if scripts {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.trials = append(p.trials, t)
	}
	return nil
}

// askAgain is an error if a program has another version now.
func (p *programs) askAgain(ctx context.Context, name string) error {
	text, err := p.ask(ctx, p.declared[name], p.path[name])
	if err != nil {
		return fmt.Errorf("the program %q can't be used any more: %w; install it again, then run again",
			name, err)
	}
	if is, _ := versionOf(p.declared[name], text); is != p.identity[name] {
		return &replacedError{name, p.identity[name], is}
	}
	return nil
}

// pause is how long rows wait for each other, so that asking scripts takes a twentieth of the time.
func (p *programs) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.trials) == 0 {
		return 0
	}
	return 20 * p.took
}

// confirm asks the scripts that computed something since the last confirm for their versions again,
// before a row says OK. A script that gives no answer in five seconds has been removed, not
// replaced. The error is a *replacedError.
func (p *programs) confirm(ctx context.Context) error {
	p.mu.Lock()
	trials := p.trials
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	asked := map[string]bool{}
	for _, t := range trials {
		for _, name := range t.programs {
			if asked[name] || !script(p.path[name]) {
				continue
			}
			asked[name] = true
			err := p.askAgain(ctx, name)
			if _, replaced := errors.AsType[*replacedError](err); replaced {
				return err
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trials = p.trials[len(trials):]
	return nil
}

// retract ends the trials: if a script was replaced, their results are removed. No visitor is at
// work.
func (p *programs) retract(ctx context.Context, s *store.Store) error {
	err := p.confirm(ctx)
	if err == nil {
		return nil
	}
	for _, t := range p.trials {
		if m, openErr := s.Molecule(t.mol); openErr == nil { // else the next visit says so
			err = errors.Join(err, m.Void(t.target, t.fingerprint))
		}
	}
	return err
}
