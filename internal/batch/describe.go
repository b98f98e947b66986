package batch

import (
	"cmp"
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
	lines := []string{"target = 3"}
	add := func(label, value string) { lines = append(lines, fmt.Sprintf("%s = %q", label, value)) }
	for i, w := range t.HashedArgv {
		if i == 0 {
			add("program", path.Base(w))
		} else {
			add(fmt.Sprint(wordLabel, i), w)
		}
	}
	for _, f := range t.Files {
		add("file "+f.Name, f.SHA256)
	}
	for _, kv := range t.HashedEnv {
		name, value, _ := strings.Cut(kv, "=")
		add("environment "+name, value)
	}
	for _, in := range slices.Concat(t.Inputs, t.Watched) {
		add("input "+cmp.Or(in.Local, in.Name), in.SHA256)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		add("output "+name, s.Outputs[name])
	}
	if s.Builtin {
		add("version of "+s.Program, v.Programs.found[s.Program].Identity)
	}
	for _, name := range s.Programs {
		f := v.Programs.found[name]
		if last != nil && f.Missing != nil {
			f.Identity = last.Programs[name]
		}
		add("version of "+name, f.Identity)
	}
	return lines
}

func fingerprint(lines []string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// difference says what changed between two descriptions, a text for each change. inputs are the new
// description's. A word of a command is shown with the option before it.
func difference(old, new []string, inputs []pipeline.Input) (out []string) {
	was, is := byLabel(old), byLabel(new)
	moved := wordChange(commandWords(was), commandWords(is))
	if moved != "" {
		out = append(out, moved)
	}
	for _, line := range slices.Concat(new, old) {
		label, _, _ := strings.Cut(line, " = ")
		o, before := was[label]
		v, now := is[label]
		if o == v || moved != "" && strings.HasPrefix(label, wordLabel) {
			continue
		}
		name := labelName(label, was, is, inputs)
		if before && now {
			o, v = excerpt(o, v)
		}
		text := fmt.Sprintf("%s: %s → %s", name, o, v)
		switch {
		case !before:
			text = fmt.Sprintf("%s is new: %s", name, v)
		case !now:
			text = fmt.Sprintf("%s is gone: %s", name, o)
		case strings.HasPrefix(label, "file ") || strings.HasPrefix(label, "input "):
			text = name + " changed"
		case strings.HasPrefix(name, "-"):
			text = fmt.Sprintf("%s %s → %s", name, bare(o), bare(v))
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

const wordLabel = "word "

// commandWords are the words of a command, without the program.
func commandWords(values map[string]string) (words []string) {
	for n := 1; values[fmt.Sprint(wordLabel, n)] != ""; n++ {
		words = append(words, bare(values[fmt.Sprint(wordLabel, n)]))
	}
	return words
}

// wordChange says which words were added or taken out, "" if the commands have as many words.
func wordChange(old, new []string) string {
	if len(old) == len(new) || len(old) == 0 || len(new) == 0 {
		return ""
	}
	old, new = changedWords(old, new, 0)
	gone, added := strings.Join(old, " "), strings.Join(new, " ")
	switch {
	case gone == "":
		return "new in the command: " + added
	case added == "":
		return "gone from the command: " + gone
	}
	return fmt.Sprintf("the command: %s → %s", gone, added)
}

// changedWords leaves out the words with which both texts begin and end. If only one of them has
// more words then, some of the words before these stay.
func changedWords(old, new []string, before int) (gone, added []string) {
	begin, end := 0, 0
	for begin < min(len(old), len(new)) && old[begin] == new[begin] {
		begin++
	}
	for end < min(len(old), len(new))-begin && old[len(old)-1-end] == new[len(new)-1-end] {
		end++
	}
	if min(len(old), len(new)) == begin+end {
		begin = max(0, begin-before)
	}
	return old[begin : len(old)-end], new[begin : len(new)-end]
}

// excerpt shows of two long values the words in which they differ.
func excerpt(old, new string) (string, string) {
	const short = 60 // characters that are read at a glance
	if max(len(old), len(new)) <= short {
		return old, new
	}
	gone, added := changedWords(strings.Split(old, " "), strings.Split(new, " "), 1)
	return ellipsis(old, gone), ellipsis(new, added)
}

func ellipsis(whole string, words []string) string {
	text := strings.Join(words, " ")
	begin, end := "… ", " …"
	if strings.HasPrefix(whole, text) {
		begin = ""
	}
	if strings.HasSuffix(whole, text) {
		end = ""
	}
	return begin + text + end
}

func byLabel(lines []string) map[string]string {
	m := map[string]string{}
	for _, l := range lines {
		label, v, _ := strings.Cut(l, " = ")
		m[label] = v
	}
	return m
}

// labelName is a label as a person reads it. An input is named by its stage and output. A word of
// the command is named by the option before it, if that is the same in both commands.
func labelName(label string, was, is map[string]string, inputs []pipeline.Input) string {
	var n int
	for _, in := range inputs {
		if label == "input "+in.Local {
			return "input " + in.Name
		}
	}
	if _, err := fmt.Sscanf(label, wordLabel+"%d", &n); err == nil {
		before := fmt.Sprint(wordLabel, n-1)
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
