package batch

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// describe writes everything that decides a target's result as labelled lines in a fixed order. The
// fingerprint is the hash of these lines, and difference compares them, so that the two can't drift
// apart. last is the target's record: a result is not stale because its program is missing now.
//
// Timeouts, titles, limits, the names of stages and this program's own version are not in it.
func (v *Visitor) describe(s *pipeline.Stage, t *pipeline.Task, last *store.Record) []string {
	lines := []string{"target = 2"}
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
	for n, in := range t.Inputs {
		add(fmt.Sprintf("input %d", n+1), in.SHA256)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		add("output "+name, s.Outputs[name])
	}
	if s.Builtin {
		add("version of "+s.Program, v.Builtins[s.Program].Version)
	}
	for _, name := range t.Programs {
		version := v.Programs.identity[name]
		if last != nil && v.Programs.missing[name] != nil {
			version = last.Programs[name]
		}
		add("version of "+name, version)
	}
	return lines
}

func fingerprint(lines []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// difference says what changed between two descriptions, a text for each change. inputs are the new
// description's. A word of a command is shown with the option before it.
func difference(old, new []string, inputs []pipeline.Input) (out []string) {
	was, is := labelled(old), labelled(new)
	for _, l := range new {
		label, v, _ := strings.Cut(l, " = ")
		o, ok := was[label]
		name := labelName(label, was, is, inputs)
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s is new: %s", name, v))
		case o == v:
		case strings.HasPrefix(label, "file ") || strings.HasPrefix(label, "input "):
			out = append(out, name+" changed")
		case strings.HasPrefix(name, "-"):
			out = append(out, fmt.Sprintf("%s %s → %s", name, bare(o), bare(v)))
		default:
			out = append(out, fmt.Sprintf("%s: %s → %s", name, o, v))
		}
	}
	for _, l := range old {
		label, v, _ := strings.Cut(l, " = ")
		if _, ok := is[label]; !ok {
			out = append(out, fmt.Sprintf("%s is gone: %s", labelName(label, was, is, nil), v))
		}
	}
	return out
}

func labelled(lines []string) map[string]string {
	m := map[string]string{}
	for _, l := range lines {
		label, v, _ := strings.Cut(l, " = ")
		m[label] = v
	}
	return m
}

// labelName is a label as a person reads it: an input by its stage and output, a word by the option
// that stands before it in both commands.
func labelName(label string, was, is map[string]string, inputs []pipeline.Input) string {
	var n int
	if _, err := fmt.Sscanf(label, "input %d", &n); err == nil && n <= len(inputs) {
		return "input " + inputs[n-1].Name
	}
	if _, err := fmt.Sscanf(label, "word %d", &n); err == nil {
		before := fmt.Sprintf("word %d", n-1)
		if option := bare(is[before]); strings.HasPrefix(option, "-") && is[before] == was[before] {
			return option
		}
	}
	return label
}

// bare is a quoted value without its quotes where it is one plain word.
func bare(quoted string) string {
	if word := strings.Trim(quoted, `"`); word != "" && !strings.ContainsAny(word, " \\\"") {
		return word
	}
	return quoted
}
