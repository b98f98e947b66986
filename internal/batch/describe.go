package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// describe is everything that decides a target's result, as labelled lines in a fixed order. The fingerprint is the hash of
// these lines, and what is said of a stale target is the difference of the old lines and the new: they can't drift apart.
//
// Not in it, on purpose: timeouts, titles, limits, this program's own version.
func (b *Batch) describe(s *pipeline.Stage, t *pipeline.Task, last *store.Record) []string {
	lines := []string{"target = 1"}
	add := func(label, value string) { lines = append(lines, fmt.Sprintf("%s = %q", label, value)) }
	for i, w := range t.HashedWords {
		if i == 0 {
			add("program", path.Base(w))
		} else {
			add(fmt.Sprintf("word %d", i), w)
		}
	}
	for _, f := range t.Files {
		add("file "+f.Name, f.SHA256)
	}
	for _, kv := range t.HashedEnv {
		name, value, _ := strings.Cut(kv, "=")
		add("environment "+name, value)
	}
	for _, in := range t.Inputs {
		add("input "+in.Name, in.SHA256)
	}
	var names []string
	for name := range s.Outputs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		add("output "+name, s.Outputs[name])
	}
	if s.Builtin {
		add("version of "+s.Program, b.Builtins[s.Program].Version)
	}
	for _, name := range t.Programs {
		version := b.programs.identity[name]
		if last != nil && b.programs.missing[name] != nil {
			version = last.Programs[name] // what a missing program made is not stale for that
		}
		add("version of "+name, version)
	}
	return lines
}

func fingerprint(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// Difference tells what changed between two descriptions, one sentence a label.
func Difference(old, new []string) []string {
	value := func(lines []string) map[string]string {
		m := map[string]string{}
		for _, l := range lines {
			label, v, _ := strings.Cut(l, " = ")
			m[label] = v
		}
		return m
	}
	was, is := value(old), value(new)
	var out []string
	for _, l := range new {
		label, v, _ := strings.Cut(l, " = ")
		o, ok := was[label]
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s is new: %s", label, v))
		case o != v && (strings.HasPrefix(label, "file ") || strings.HasPrefix(label, "input ")):
			out = append(out, label+" changed")
		case o != v:
			out = append(out, fmt.Sprintf("%s: %s → %s", label, o, v))
		}
	}
	for _, l := range old {
		label, v, _ := strings.Cut(l, " = ")
		if _, ok := is[label]; !ok {
			out = append(out, fmt.Sprintf("%s is gone: %s", label, v))
		}
	}
	return out
}
