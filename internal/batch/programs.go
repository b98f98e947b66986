package batch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// programs are the executables that the stages run, and what identifies them.
type programs struct {
	index    *store.Index
	declared map[string]*pipeline.Program
	key      string
	mu       sync.Mutex // of the rest, while the programs are found, and of took and trials
	path     map[string]string
	identity map[string]string
	missing  map[string]error
	warnings []string
	took     time.Duration // to answer, last time
	trials   []trial       // by scripts, since they were asked for their versions last
}

func newPrograms(p *pipeline.Pipeline, index *store.Index) *programs {
	return &programs{index: index, declared: p.Programs, path: map[string]string{},
		identity: map[string]string{}, missing: map[string]error{}}
}

// findPrograms finds every program of the pipeline and its version. The error is the end of ctx.
func findPrograms(ctx context.Context, c Config) (*programs, error) {
	p := newPrograms(c.Pipeline, c.Index)
	var needed []string
	for _, s := range c.Pipeline.Stages {
		if !s.Off() {
			needed = append(needed, s.Programs...)
		}
	}
	slices.Sort(needed)
	needed = slices.Compact(needed)
	var all sync.WaitGroup // those that have to be asked take up to a second each
	for _, name := range needed {
		all.Go(func() { p.find(ctx, p.declared[name]) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, text := range slices.Sorted(slices.Values(p.warnings)) {
		fmt.Fprintln(c.Warn, text)
	}
	var key []string
	for _, name := range needed {
		key = append(key, name, p.identity[name])
	}
	if len(p.missing) > 0 {
		key = append(key, "missing") // what is up to date without them was not compared with them
	}
	for _, name := range slices.Sorted(maps.Keys(c.Builtins)) {
		key = append(key, name, c.Builtins[name].Version)
	}
	p.key = strings.Join(key, "\x00")
	return p, nil
}

// find takes the first candidate that can be used, or notes why none can.
func (p *programs) find(ctx context.Context, prog *pipeline.Program) {
	var asked, tried []string
	for _, candidate := range prog.Candidates {
		path := runner.Find(candidate)
		if path == "" {
			tried = append(tried, candidate+" is not there")
			continue
		}
		if slices.Contains(asked, path) { // "python3" may be /usr/bin/python3
			continue
		}
		asked = append(asked, path)
		text, known := p.index.Program(cacheName(prog), path)
		if !known || text == "" || script(path) {
			var err error
			if text, err = p.ask(ctx, prog, path); err != nil {
				tried = append(tried, err.Error())
				continue
			}
		}
		id, matched := versionOf(prog, text)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.path[prog.Name], p.identity[prog.Name] = path, id
		if !matched {
			p.warnings = append(p.warnings, fmt.Sprintf("Warning: the version of %s is not what its "+
				"version_pattern %q expects. All of %q counts.", prog.Name, prog.Pattern, id))
		}
		return
	}
	text := fmt.Sprintf("the program %q can't be used: %s", prog.Name, strings.Join(tried, "; "))
	if prog.Debian != "" {
		text += "\nTo get it on Debian or Ubuntu: mage setup"
	}
	if prog.Conda != "" {
		text += "\nTo get it with conda: conda install -c conda-forge " + prog.Conda
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missing[prog.Name] = errors.New(text)
}

// ask asks an executable for its version. The index gets the answer, "" if it can't be used.
func (p *programs) ask(ctx context.Context, prog *pipeline.Program, path string) (string, error) {
	begin := time.Now()
	text, watched, why := identify(ctx, prog, path)
	p.mu.Lock()
	p.took = time.Since(begin)
	p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case why != nil:
		text, why = "", fmt.Errorf("%s %w", path, why)
	}
	return text, cmp.Or(why, p.index.SetProgram(cacheName(prog), path, text, watched))
}

// script reports whether an executable is a script. The file of a wrapper tells nothing of the
// program behind it.
func script(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 2)
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == "#!"
}

// cacheName is the index's name of a program that is asked for its version in a certain way.
func cacheName(p *pipeline.Program) string { return fmt.Sprintf("%s %q", p.Name, p.Version) }

// versionOf is the version in a program's answer: the part that its pattern means; without that,
// the first line with "version" in it, or the first line. matched: the pattern, if any, is met.
func versionOf(prog *pipeline.Program, text string) (id string, matched bool) {
	if prog.Pattern != nil {
		if m := prog.Pattern.FindStringSubmatch(text); m != nil {
			return cmp.Or(m[min(1, len(m)-1)], m[0]), true
		}
	}
	lines := strings.Split(text, "\n")
	at := slices.IndexFunc(lines, func(l string) bool {
		return strings.Contains(strings.ToLower(l), "version")
	})
	return lines[max(at, 0)], prog.Pattern == nil
}

// identify asks a program for its version: its answer, at most 1000 lines. Lines that are names of
// existing files name what is watched for changes beside the executable (a Python module). Without
// a version command the content of the executable counts.
func identify(ctx context.Context, prog *pipeline.Program, path string) (
	text string, watched []string, err error) {
	if prog.Version == nil {
		f, err := os.Open(path)
		if err != nil {
			return "", nil, err
		}
		defer f.Close()
		sum, err := store.Hash(f)
		return "sha256 " + sum, nil, err
	}
	dir, err := os.MkdirTemp("", "grimperium-version-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "version")
	res, err := runner.Run(ctx, runner.Command{Path: path, Args: prog.Version, Dir: dir,
		Env: environment([]string{"TMPDIR=" + dir}), Stdout: out, Stderr: out,
		Timeout: time.Minute, MaxBytes: 1 << 20})
	data, readErr := os.ReadFile(out)
	if err = cmp.Or(err, readErr); err != nil {
		return "", nil, err
	}
	var lines []string
	for l := range bytes.Lines(data) {
		l := strings.ToValidUTF8(strings.Trim(string(l), " \t\r\n*|-="), "?")
		if info, err := os.Stat(l); err == nil && info.Mode().IsRegular() && filepath.IsAbs(l) {
			watched = append(watched, l)
		} else if l != "" {
			lines = append(lines, l)
		}
	}
	switch {
	case !res.OK() && len(lines) > 0:
		return "", nil, fmt.Errorf("%s when asked for its version: %s", res, lines[len(lines)-1])
	case !res.OK():
		return "", nil, fmt.Errorf("%s when asked for its version", res)
	case len(lines) == 0:
		return "", nil, errors.New("prints nothing when asked for its version")
	}
	return strings.Join(lines[:min(len(lines), 1000)], "\n"), watched, nil
}

// Missing returns the programs of a pipeline that can't be used on this machine.
func Missing(ctx context.Context, p *pipeline.Pipeline) ([]*pipeline.Program, error) {
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return nil, err
	}
	index := st.Index()
	index.ReadOnly = true
	found, err := findPrograms(ctx, Config{Pipeline: p, Index: index, Warn: io.Discard})
	if err != nil {
		return nil, err
	}
	var out []*pipeline.Program
	for _, name := range slices.Sorted(maps.Keys(found.missing)) {
		out = append(out, p.Programs[name])
	}
	return out, nil
}
