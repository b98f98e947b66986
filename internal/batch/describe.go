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

// sameLines reports whether two descriptions differ at most in the order of files and programs.
func sameLines(a, b []string) bool {
	return len(a) == len(b) && slices.Equal(slices.Sorted(slices.Values(a)),
		slices.Sorted(slices.Values(b)))
}

// difference says what changed between two descriptions, a text for each change. inputs are the new
// description's, which name an input by its stage and output.
func difference(old, new []string, inputs []pipeline.Input) []string {
	was, oldWords := parse(old)
	is, newWords := parse(new)
	out := wordChanges(oldWords, newWords)
	names := map[string]string{}
	for _, in := range inputs {
		names["input "+in.Local] = "input " + in.Name
	}
	for _, line := range slices.Concat(new, old) {
		label, _, _ := strings.Cut(line, " = ")
		name := cmp.Or(names[label], label)
		o, before := was[label]
		v, now := is[label]
		switch {
		case o == v:
		case !before:
			out = append(out, fmt.Sprintf("%s is new: %s", name, v))
		case !now:
			out = append(out, fmt.Sprintf("%s is gone: %s", name, o))
		case strings.HasPrefix(label, "file ") || strings.HasPrefix(label, "input "):
			out = append(out, name+" changed")
		default:
			o, v = excerpt(o, v)
			out = append(out, fmt.Sprintf("%s: %s → %s", name, o, v))
		}
		delete(was, label) // in both descriptions, it is told once
		delete(is, label)
	}
	return slices.Compact(out)
}

const wordLabel = "word "

// parse returns the quoted values of a description by label, apart from the words of the command.
func parse(description []string) (values map[string]string, words []string) {
	values = map[string]string{}
	for _, line := range description {
		label, v, _ := strings.Cut(line, " = ")
		if strings.HasPrefix(label, wordLabel) {
			words = append(words, v)
		} else {
			values[label] = v
		}
	}
	return values, words
}

// wordChanges says which words of a command changed, each with the option before it. If the command
// has more or fewer words now, it says which ones were added or taken out.
func wordChanges(old, new []string) (out []string) {
	if len(old) != len(new) {
		old, new = changedWords(old, new, 0)
		gone, added := bare(old...), bare(new...)
		switch {
		case gone == "":
			return []string{"new in the command: " + added}
		case added == "":
			return []string{"gone from the command: " + gone}
		}
		return []string{fmt.Sprintf("the command: %s → %s", gone, added)}
	}
	for n := range new {
		o, v := excerpt(old[n], new[n])
		option, was, ok := strings.Cut(bare(o), "=")
		same, is, _ := strings.Cut(bare(v), "=")
		switch {
		case o == v:
		case ok && option == same && strings.HasPrefix(option, "-"):
			out = append(out, fmt.Sprintf("%s %s → %s", option, was, is))
		case n > 0 && old[n-1] == new[n-1] && strings.HasPrefix(bare(new[n-1]), "-"):
			out = append(out, fmt.Sprintf("%s %s → %s", bare(new[n-1]), bare(o), bare(v)))
		default:
			out = append(out, fmt.Sprintf("%s%d: %s → %s", wordLabel, n+1, o, v))
		}
	}
	return out
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

// bare are quoted words without their quotes where they are plain.
func bare(quoted ...string) string {
	words := slices.Clone(quoted)
	for n, q := range words {
		if word := strings.Trim(q, `"`); word != "" && !strings.ContainsAny(word, " \\\"") {
			words[n] = word
		}
	}
	return strings.Join(words, " ")
}
