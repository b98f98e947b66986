package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"grimperium/internal/command"
	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// programs are the executables that the stages run, and what identifies them. Each batch asks a
// script for its version, and asks again before a row says OK. The programs that a script starts
// may be replaced without a change of the script. A shim counts as a script.
type programs struct {
	index  *store.Index
	key    string           // changes with what identifies them
	mu     sync.Mutex       // of the rest, while the programs are found, and of trials
	found  map[string]Found // by name; built-ins, too, which have no path
	trials []trial
}

// Found is a program of a pipeline on this machine. Path and Identity, its version, are empty if
// the program is missing, and if no stage needs it.
type Found struct {
	*pipeline.Program // nil of a built-in
	Path, Identity    string
	Missing           error // why the program can't be used, and where to get it
	isScript          bool
	unmatched         bool // Identity is not what the version_pattern expects
}

// trial is a target that was computed by a script since the scripts were asked last.
type trial struct{ mol, target, fingerprint string }

func newPrograms(p *pipeline.Pipeline, index *store.Index) *programs {
	found := map[string]Found{}
	for name, prog := range p.Programs {
		found[name] = Found{Program: prog}
	}
	return &programs{index: index, found: found}
}

// findPrograms finds every program of the pipeline and its version, unless c has the versions. The
// error is the end of ctx.
func findPrograms(ctx context.Context, c Config) (*programs, error) {
	p := newPrograms(c.Pipeline, c.Index)
	for name, b := range c.Builtins {
		p.found[name] = Found{Identity: b.Version}
	}
	seen := map[string]bool{}
	var all sync.WaitGroup // those that have to be asked take up to a second each
	for _, s := range c.Pipeline.Stages {
		for _, name := range s.Programs {
			prog := c.Pipeline.Programs[name]
			switch {
			case s.Off() || seen[name]:
			case c.Identities != nil:
				p.found[name] = recorded(prog, c.Identities[name])
			default:
				all.Go(func() { p.find(ctx, prog) })
			}
			seen[name] = seen[name] || !s.Off()
		}
	}
	all.Wait()
	for _, f := range p.sorted() {
		if f.unmatched {
			c.warnings().Printf("the version of %s is not what its version_pattern %q expects. "+
				"All of %q counts.", f.Name, f.Pattern, f.Identity)
		}
	}
	// What is up to date without the missing ones was not compared with them.
	p.key = fmt.Sprint(p.identities(), len(p.missing()) > 0)
	return p, ctx.Err()
}

// recorded is a program as an earlier batch had it, "" for one that it could not use.
func recorded(prog *pipeline.Program, identity string) Found {
	f := Found{Program: prog, Identity: identity}
	if identity == "" {
		f.Missing = fmt.Errorf("the program %q could not be used when the tasks began", prog.Name)
	}
	return f
}

// identities are the identities of the programs by name, of built-ins, too.
func (p *programs) identities() map[string]string {
	out := map[string]string{}
	for name, f := range p.found {
		if f.Identity != "" {
			out[name] = f.Identity
		}
	}
	return out
}

// sorted are the programs in the order of their names.
func (p *programs) sorted() (out []Found) {
	for _, name := range slices.Sorted(maps.Keys(p.found)) {
		out = append(out, p.found[name])
	}
	return out
}

// missing are the programs that can't be used.
func (p *programs) missing() []Found {
	return slices.DeleteFunc(p.sorted(), func(f Found) bool { return f.Missing == nil })
}

// find looks for a program on this machine.
func (p *programs) find(ctx context.Context, prog *pipeline.Program) {
	f := p.choose(ctx, prog)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found[prog.Name] = f
}

// choose takes the first candidate that can be used, or notes why none can.
func (p *programs) choose(ctx context.Context, prog *pipeline.Program) Found {
	var tried []string
	install := true // is a way out
	for _, candidate := range prog.Candidates {
		path, err := runner.Find(candidate)
		if err != nil {
			tried = append(tried, err.Error())
			install = install && errors.Is(err, runner.ErrNotThere)
			continue
		}
		text, known := p.index.Program(cacheName(prog), path)
		head, _ := part(path, 0, 2)
		script := string(head) == "#!" || prog.Version != nil && isShim(path)
		if !known || text == "" || script {
			if text, err = p.askTwice(ctx, prog, path, text); err != nil {
				tried = append(tried, err.Error())
				install = install && !errors.As(err, new(notInstalling))
				continue
			}
		}
		id, matched := versionOf(prog, text)
		return Found{Program: prog, Path: path, Identity: id, isScript: script,
			unmatched: !matched}
	}
	tried = slices.Compact(tried) // "python3" may be /usr/bin/python3
	text := fmt.Sprintf("the program %q can't be used: %s", prog.Name, strings.Join(tried, "; "))
	if prog.Debian != "" && install {
		text += "\nTo get it on Debian or Ubuntu: " + command.Name + " setup"
	}
	if prog.Conda != "" && install {
		text += "\nTo get it with conda: conda install -c conda-forge " + prog.Conda
	}
	return Found{Program: prog, Missing: errors.New(text)}
}

// notInstalling is why a program can't be used that would be the same if it were installed again.
type notInstalling struct{ error }

// askTwice asks an executable for its version, and asks again if the answer differs from an earlier
// one. If the answer differed each time, every batch would compute everything again.
func (p *programs) askTwice(ctx context.Context, prog *pipeline.Program, path, earlier string) (
	text string, err error) {
	var was, is string
	for range 2 {
		text, err = p.ask(ctx, prog, path)
		was, _ = versionOf(prog, earlier)
		is, _ = versionOf(prog, text)
		if err != nil || is == was || prog.Version == nil {
			return text, err
		}
		earlier = text
	}
	err = fmt.Errorf("%s answers differently each time it is asked for its version: %q, then %q; "+
		"let version_pattern in the block program %q match the version alone", path, was, is,
		prog.Name)
	return "", cmp.Or(p.index.SetProgram(cacheName(prog), path, "", nil),
		error(notInstalling{err}))
}

// ask asks an executable for its version. The index gets the answer, "" if it can't be used.
func (p *programs) ask(ctx context.Context, prog *pipeline.Program, path string) (string, error) {
	text, watched, err := identify(ctx, prog, path)
	if err != nil {
		text = ""
		if !errors.As(err, new(notInstalling)) {
			err = fmt.Errorf("%s %w", path, err)
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return text, cmp.Or(err, p.index.SetProgram(cacheName(prog), path, text, watched))
}

// isShim reports whether a path is a link to a program of another name, as mise and rustup make
// them. Such a program starts the one that is meant, whose version may change.
func isShim(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && !strings.HasPrefix(filepath.Base(real), filepath.Base(path))
}

// cacheName is the index's name of a program that is asked for its version in a certain way.
func cacheName(p *pipeline.Program) string { return fmt.Sprintf("%s %q", p.Name, p.Version) }

// versionOf is the version in a program's answer: the part that its pattern means. Without a
// pattern it is the first line with "version" in it, or else the first line. matched is false if
// there is a pattern and the answer does not match it.
func versionOf(prog *pipeline.Program, text string) (id string, matched bool) {
	if prog.Pattern != nil {
		// The empty text is found in every version.
		if m := prog.Pattern.FindStringSubmatch(text); m != nil && m[0] != "" {
			return cmp.Or(m[min(1, len(m)-1)], m[0]), true
		}
	}
	lines := strings.Split(text, "\n")
	at := slices.IndexFunc(lines, func(l string) bool {
		return strings.Contains(strings.ToLower(l), "version")
	})
	return lines[max(at, 0)], prog.Pattern == nil
}

const maxAnswer = 1 << 20 // bytes of a program's answer about its version

// identify asks a program for its version: its answer, at most 1000 lines. Lines that are names of
// existing files name what is watched for changes beside the executable (a Python module). Without
// a version command the content of the executable counts.
func identify(ctx context.Context, prog *pipeline.Program, path string) (
	text string, watched []string, err error) {
	if prog.Version == nil {
		sum, err := hash(path)
		return "sha256 " + sum, nil, err
	}
	dir, err := tempDir("grimperium-version-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "version")
	res, err := runner.Run(ctx, runner.Command{Path: path, Args: prog.Version, Dir: dir,
		Env: environment(nil, 1), Stdout: out, Stderr: out, Timeout: time.Minute,
		MaxBytes: maxAnswer})
	if err != nil {
		return "", nil, err
	}
	data, err := part(out, 0, maxAnswer) // it was ended later than at its limit
	if err != nil {
		return "", nil, err
	}
	lines, last := []string{}, ""
	for l := range strings.Lines(strings.ToValidUTF8(string(data), "?")) {
		l = strings.Trim(l, " \t\r\n*|-=")
		info, err := os.Stat(l)
		if filepath.IsAbs(l) && err == nil && info.Mode().IsRegular() {
			watched = append(watched, l)
		} else if l != "" {
			lines, last = append(lines, l), ": "+l
		}
	}
	switch {
	case res.Stop == runner.TooLarge:
		err = fmt.Errorf("prints more than %d bytes when asked for its version", maxAnswer)
	case !res.OK():
		err = fmt.Errorf("%s when asked for its version%s", res, last)
	case len(lines) == 0:
		err = errors.New("prints nothing when asked for its version")
	}
	return strings.Join(lines[:min(len(lines), 1000)], "\n"), watched, err
}

// hash is the SHA-256 of a file.
func hash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return store.Hash(f)
}

// tempDir makes a folder for temporary files. It is an error if that has no room for any.
func tempDir(name string) (dir string, err error) {
	if dir, err = os.MkdirTemp("", name); err == nil {
		probe := filepath.Join(dir, "probe")
		if err = os.WriteFile(probe, make([]byte, 1<<12), 0o600); err == nil {
			return dir, os.Remove(probe)
		}
		os.RemoveAll(dir)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err // without the name of a folder that was never made
	}
	return "", notInstalling{fmt.Errorf("the folder for temporary files, %s, can't be used: %w; "+
		"let TMPDIR name another", os.TempDir(), err)}
}

// askAgain is an error if a program has another version now (replaced), or gives no answer.
func (p *programs) askAgain(ctx context.Context, f Found) (replaced bool, err error) {
	text, err := p.ask(ctx, f.Program, f.Path)
	if errors.As(err, new(notInstalling)) {
		return false, err
	}
	if err != nil {
		return false, fmt.Errorf("the program %q can't be used any more: %w; install it again, "+
			"then run again", f.Name, err)
	}
	if is, _ := versionOf(f.Program, text); is != f.Identity {
		return true, fmt.Errorf("the program %q was replaced while the batch ran: %q is %q now; "+
			"the results under way were dropped. Run again. If its answer differs each time, let "+
			"version_pattern match the version alone", f.Name, f.Identity, is)
	}
	return false, nil
}

// unchanged is an error if one of a target's programs was replaced since the batch began, or a file
// that its command names. The result may be of the new version. confirm asks scripts, for many
// targets together. If the target failed, they are asked at once: a program that they start may be
// gone.
func (p *programs) unchanged(ctx context.Context, mol string, g *target, failed bool) error {
	for _, in := range g.task.Watched {
		if err := p.asItWas(in); err != nil {
			return err
		}
	}
	scripts := false
	for _, name := range g.stage.Programs {
		f := p.found[name]
		scripts = scripts || f.isScript
		_, same := p.index.Program(cacheName(f.Program), f.Path)
		if same && !(failed && f.isScript) {
			continue
		}
		if _, err := p.askAgain(ctx, f); err != nil {
			return err
		}
	}
	if scripts {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.trials = append(p.trials, trial{mol, g.name, g.fingerprint})
	}
	return nil
}

// asItWas is an error if a file that a command names was changed since the batch began.
func (p *programs) asItWas(in pipeline.Input) error {
	const kind = "a file that a command names"
	sum, same := p.index.Program(kind, in.Path)
	if !same {
		var err error
		sum, err = hash(in.Path)
		if err = cmp.Or(err, p.index.SetProgram(kind, in.Path, sum, nil)); err != nil {
			return fmt.Errorf("a file of the command can't be read any more: %w; put it back, "+
				"then run again", err)
		}
	}
	if sum != in.SHA256 {
		return fmt.Errorf("%s, which the command names, was changed while the batch ran; the "+
			"results under way were dropped. Run again", in.Path)
	}
	return nil
}

// confirm asks the scripts for their versions again, if they computed something since the last
// confirm, before a row says OK. A script that gives no answer in five seconds has been removed,
// not replaced. One goroutine calls confirm.
func (p *programs) confirm() error {
	p.mu.Lock()
	trials := len(p.trials)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, f := range p.found {
		if !f.isScript || trials == 0 {
			continue
		}
		if replaced, err := p.askAgain(ctx, f); replaced {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trials = p.trials[trials:]
	return nil
}

// retract removes the results of the trials if a script was replaced. No visitor is at work.
func (p *programs) retract(s *store.Store) error {
	err := p.confirm()
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

// Programs looks for the programs of a pipeline on this machine. They are ordered by name.
func Programs(ctx context.Context, p *pipeline.Pipeline) ([]Found, error) {
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return nil, err
	}
	index := st.Index()
	index.ReadOnly = true
	programs, err := findPrograms(ctx, Config{Pipeline: p, Index: index, Warn: io.Discard})
	return programs.sorted(), err
}

// Missing returns the programs of a pipeline that can't be used on this machine.
func Missing(ctx context.Context, p *pipeline.Pipeline) ([]Found, error) {
	all, err := Programs(ctx, p)
	return slices.DeleteFunc(all, func(f Found) bool { return f.Missing == nil }), err
}
