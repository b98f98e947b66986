package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"grimperium/internal/pipeline"
	"grimperium/internal/runner"
	"grimperium/internal/store"
)

// programs are the executables that the stages run, and what identifies them.
type programs struct {
	mu       sync.Mutex // while they are found
	path     map[string]string
	identity map[string]string
	missing  map[string]error
	key      string
	// unmatched are the programs whose version_pattern is not in their answer.
	unmatched []string
}

// findPrograms finds every program of the pipeline and asks each for its version, unless the index still knows it.
func findPrograms(ctx context.Context, c Config) (*programs, error) {
	p := &programs{path: map[string]string{}, identity: map[string]string{}, missing: map[string]error{}}
	needed := map[string]bool{}
	for _, s := range c.Pipeline.Stages {
		if s.Off() {
			continue
		}
		for _, name := range s.Programs {
			needed[name] = true
		}
	}
	var all errgroup.Group // those that have to be asked take up to a second each
	for name := range needed {
		all.Go(func() error {
			missing, err := p.find(ctx, c.Pipeline.Programs[name], c.Index)
			if missing != nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.missing[name] = missing
			}
			return err
		})
	}
	if err := cmp.Or(all.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(slices.Values(p.unmatched)) {
		if c.Warn != nil {
			fmt.Fprintf(c.Warn, "Warning: the version of %s is not what its version_pattern %q expects. All of %q counts.\n", name, c.Pipeline.Programs[name].Pattern, p.identity[name])
		}
	}
	var key []string
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		key = append(key, name, p.identity[name])
	}
	if len(p.missing) > 0 {
		key = append(key, "missing") // what is fresh without them is not remembered as compared with them
	}
	for _, name := range slices.Sorted(maps.Keys(c.Builtins)) {
		key = append(key, name, c.Builtins[name].Version)
	}
	p.key = strings.Join(key, "\x00")
	return p, nil
}

// find takes the first candidate that can be used. One that couldn't, when it was last asked, is not asked again while
// its file is the same, unless there is no other. missing says why none can be used; err is of the index, or the batch was stopped.
func (p *programs) find(ctx context.Context, prog *pipeline.Program, index *store.Index) (missing, err error) {
	var tried, hopeful, refused []string
	for _, candidate := range prog.Candidates {
		path, err := runner.Find([]string{candidate})
		if err != nil {
			tried = append(tried, candidate+" is not there")
			continue
		}
		id, known := index.Program(cacheName(prog), path)
		switch {
		case slices.Contains(hopeful, path) || slices.Contains(refused, path): // "python3" may be /usr/bin/python3
		case known && id == "":
			refused = append(refused, path)
		default:
			hopeful = append(hopeful, path)
		}
		if known && id != "" {
			break
		}
	}
	for _, paths := range [][]string{hopeful, refused} {
		answers, err := ask(ctx, prog, paths, index)
		if err != nil {
			return nil, err
		}
		for n, a := range answers {
			if a.why == "" {
				p.mu.Lock()
				defer p.mu.Unlock()
				id, matched := versionOf(prog, a.text)
				p.path[prog.Name], p.identity[prog.Name] = paths[n], id
				if !matched {
					p.unmatched = append(p.unmatched, prog.Name)
				}
				return nil, nil
			}
			tried = append(tried, a.why)
		}
	}
	missing = fmt.Errorf("the program %q can't be used: %s", prog.Name, strings.Join(tried, "; "))
	if prog.Debian != "" {
		missing = fmt.Errorf("%w\nTo get it on Debian or Ubuntu: mage setup", missing)
	}
	if prog.Conda != "" {
		missing = fmt.Errorf("%w\nTo get it with conda: conda install -c conda-forge %s", missing, prog.Conda)
	}
	return missing, nil
}

// cacheName is the index's name of a program that is asked for its version in a certain way.
func cacheName(prog *pipeline.Program) string {
	if prog.Pattern != nil {
		return fmt.Sprintf("%s %q whole", prog.Name, prog.Version)
	}
	return fmt.Sprintf("%s %q", prog.Name, prog.Version)
}

// version is what an executable tells of itself, or why it can't be used.
type version struct{ text, why string }

// versionOf is a program's version in what it told: the part that its pattern means, where there is one. matched is false where that part is not there.
func versionOf(prog *pipeline.Program, text string) (id string, matched bool) {
	if prog.Pattern == nil {
		return text, true
	}
	if m := prog.Pattern.FindStringSubmatch(text); m != nil {
		return cmp.Or(m[min(1, len(m)-1)], m[0]), true
	}
	return versionLine(strings.Split(text, "\n")), false
}

// versionLine is the first line with "version" in it, else the first line.
func versionLine(lines []string) string {
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(strings.ToLower(l), "version") }); i >= 0 {
		return lines[i]
	}
	return lines[0]
}

// ask gives the version of each of the executables, from the index where that has it. The others are asked at the same time: a Python
// takes a while to find out that it lacks a module.
func ask(ctx context.Context, prog *pipeline.Program, paths []string, index *store.Index) ([]version, error) {
	answers := make([]version, len(paths))
	var all errgroup.Group
	for n, path := range paths {
		all.Go(func() error {
			a := &answers[n]
			if id, known := index.Program(cacheName(prog), path); known && id != "" {
				a.text = id
				return nil
			}
			id, watched, err := identify(ctx, prog, path)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				id, a.why = "", fmt.Sprintf("%s %v", path, err)
			}
			a.text = id
			return index.SetProgram(cacheName(prog), path, id, watched)
		})
	}
	return answers, all.Wait()
}

// identify asks a program for its version: the first line of its output that has "version" in it, else the first line; all lines where a pattern finds it. Further lines that are names of
// existing files name what is watched for changes beside the executable (a Python module). Without a version
// command the content of the executable is its identity.
func identify(ctx context.Context, prog *pipeline.Program, path string) (text string, watched []string, err error) {
	if prog.Version == nil {
		sum, err := hashExecutable(path)
		return "sha256 " + sum, nil, err
	}
	dir, err := os.MkdirTemp("", "grimperium-version-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "version")
	res, err := runner.Run(ctx, runner.Command{Path: path, Args: prog.Version, Dir: dir, Env: environment(nil), Stdout: out, Stderr: out, Timeout: time.Minute, MaxBytes: 1 << 20})
	if err != nil {
		return "", nil, err
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return "", nil, err
	}
	var lines []string
	for l := range strings.Lines(string(data)) {
		if l = strings.Trim(l, " \t\r\n*|-="); l != "" {
			lines = append(lines, strings.ToValidUTF8(l, "?"))
		}
	}
	if !res.OK() {
		last := ""
		if len(lines) > 0 {
			last = ": " + lines[len(lines)-1]
		}
		return "", nil, fmt.Errorf("%s when asked for its version%s", res, last)
	}
	lines = slices.DeleteFunc(lines, func(l string) bool {
		info, err := os.Stat(l)
		isFile := err == nil && info.Mode().IsRegular() && filepath.IsAbs(l)
		if isFile {
			watched = append(watched, l)
		}
		return isFile
	})
	switch {
	case len(lines) == 0:
		return "", nil, errors.New("prints nothing when asked for its version")
	case prog.Pattern != nil:
		return strings.Join(lines[:min(len(lines), 1000)], "\n"), watched, nil
	}
	return versionLine(lines), watched, nil
}

func hashExecutable(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return store.Hash(f)
}

// environment is the batch's own with one thread for every library that starts threads, unless set says otherwise: what the
// user's shell happens to hold must not change a result.
func environment(set []string) []string {
	own := append([]string{"OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"}, set...)
	var out []string
	name := func(kv string) string { n, _, _ := strings.Cut(kv, "="); return n }
	for _, kv := range os.Environ() {
		if !slices.ContainsFunc(own, func(o string) bool { return name(o) == name(kv) }) {
			out = append(out, kv)
		}
	}
	for i, kv := range own {
		if !slices.ContainsFunc(own[i+1:], func(o string) bool { return name(o) == name(kv) }) {
			out = append(out, kv)
		}
	}
	return out
}

// Missing returns the programs of a pipeline that can't be used on this machine.
func Missing(ctx context.Context, p *pipeline.Pipeline) ([]*pipeline.Program, error) {
	st, err := store.Open(p.Artefacts)
	if err != nil {
		return nil, err
	}
	index := st.Index()
	index.ReadOnly = true
	found, err := findPrograms(ctx, Config{Pipeline: p, Index: index})
	if err != nil {
		return nil, err
	}
	var out []*pipeline.Program
	for _, name := range sortedNames(found.missing) {
		out = append(out, p.Programs[name])
	}
	return out, nil
}
