package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// inputFolder is the folder of a stage's scratch folder that has the files of other targets: in, or
// another name if a file of the stage's own has that one.
func (s *Stage) inputFolder() string {
	folder := "in"
	own := func(name string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
	for slices.ContainsFunc(s.FileNames(), own) {
		folder += "puts"
	}
	return folder
}

func (m *Molecule) scope(s *Stage, i, attempt int) map[string]cty.Value {
	extra := map[string]cty.Value{"attempt": cty.NumberIntVal(int64(attempt)),
		"salvaged": cty.ListValEmpty(cty.String)}
	if s.ForEach && i < len(m.each[s.Name]) {
		extra["each"] = cty.ObjectVal(map[string]cty.Value{"key": cty.NumberIntVal(int64(i)),
			"value": m.each[s.Name][i]})
	}
	return extra
}

// Task evaluates what a target does at an attempt, 0 for the first; salvaged are the files that the
// last attempt left for it.
func (m *Molecule) Task(s *Stage, i, attempt int, salvaged ...string) (*Task, error) {
	t := &Task{Programs: s.Programs, Watched: s.watched, folder: s.inputFolder()}
	extra := m.scope(s, i, attempt)
	if len(salvaged) > 0 {
		var names []cty.Value
		for _, name := range salvaged {
			names = append(names, cty.StringVal(name))
		}
		extra["salvaged"] = cty.ListVal(names)
	}
	if s.timeout != nil {
		v, err := m.value(s.timeout, extra)
		if err != nil {
			return nil, err
		}
		if t.Timeout, err = duration(v); err != nil {
			return nil, m.p.at(s.timeout, err)
		}
	}
	for _, f := range s.files {
		tf, err := m.file(t, f, extra)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, tf)
	}
	if err := m.setEnv(t, s, extra); err != nil || s.command == nil {
		return t, err
	}
	words, err := m.words(s.command, extra)
	for _, w := range words {
		w = m.linked(t, w)
		t.Argv, t.HashedArgv = append(t.Argv, unmarked(w)), append(t.HashedArgv, hashed(w))
	}
	return t, err
}

// words are the words of a command, each of which must have a value; what ignore_changes gave is
// marked in them.
func (m *Molecule) words(e *expression, extra map[string]cty.Value) (out []string, err error) {
	v, err := m.value(e, extra)
	if err != nil {
		return nil, err
	}
	for n, w := range v.AsValueSlice() {
		if w.IsNull() {
			return nil, m.p.at(e, fmt.Errorf("word %d of the command has no value: %s", n+1,
				emptyHint))
		}
		if strings.ContainsRune(unmarked(w.AsString()), 0) {
			return nil, m.p.at(e, fmt.Errorf("word %d of the command has a NUL character", n+1))
		}
		out = append(out, w.AsString())
	}
	return out, nil
}

// setEnv sets the environment: the pipeline's, and over it the stage's.
func (m *Molecule) setEnv(t *Task, s *Stage, extra map[string]cty.Value) error {
	env := maps.Clone(m.p.Env)
	if s.env != nil {
		v, err := m.value(s.env, extra)
		if err != nil {
			return err
		}
		own, err := environment(v)
		if err != nil {
			return m.p.at(s.env, err)
		}
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, own)
	}
	for _, name := range names(env) {
		text := name + "=" + m.linked(t, env[name])
		t.Env, t.HashedEnv = append(t.Env, unmarked(text)), append(t.HashedEnv, hashed(text))
	}
	return nil
}

func (m *Molecule) file(t *Task, f *file, extra map[string]cty.Value) (TaskFile, error) {
	if f.source != nil {
		v, err := m.value(f.source, extra)
		if err != nil {
			return TaskFile{}, err
		}
		name := m.p.rooted(v.AsString())
		return TaskFile{f.name, m.p.sources[name], m.p.files[name], false}, nil
	}
	v, err := m.value(f.content, extra)
	if err != nil {
		return TaskFile{}, err
	}
	text := m.linked(t, v.AsString())
	return TaskFile{f.name, []byte(unmarked(text)), hashOf([]byte(hashed(text))), true}, nil
}

// linked is a text with the names that inputs have in the scratch folder, and notes which there
// are. The names are those of the files and no stages', so that a renamed stage keeps its results.
func (m *Molecule) linked(t *Task, text string) string {
	return m.replaceInputs(text, func(in Input) string {
		at := slices.IndexFunc(t.Inputs, func(o Input) bool { return o.Name == in.Name })
		if at >= 0 {
			return t.Inputs[at].Local
		}
		base := path.Base(filepath.ToSlash(in.Path))
		for n := 1; ; n++ {
			if in.Local = path.Join(t.folder, base); n > 1 {
				ext := path.Ext(base)
				in.Local = fmt.Sprintf("%s/%s-%d%s", t.folder, strings.TrimSuffix(base, ext), n,
					ext)
			}
			if !slices.ContainsFunc(t.Inputs, func(o Input) bool { return o.Local == in.Local }) {
				t.Inputs = append(t.Inputs, in)
				return in.Local
			}
		}
	})
}

// replaceInputs replaces the path of every finished target's file in a text.
func (m *Molecule) replaceInputs(text string, by func(Input) string) string {
	var out strings.Builder
	for strings.ContainsRune(text, filepath.Separator) {
		at, first := -1, Input{}
		for _, in := range m.inputs { // the longest first
			if i := strings.Index(text, in.Path); i >= 0 && (at < 0 || i < at) {
				at, first = i, in
			}
		}
		if at < 0 {
			break
		}
		out.WriteString(text[:at] + by(first))
		text = text[at+len(first.Path):]
	}
	return out.String() + text
}

// Precheck evaluates the stage's preconditions; an error is the message of the first that doesn't
// hold.
func (m *Molecule) Precheck(s *Stage, i, attempt int) error {
	return m.hold(s.pre, m.scope(s, i, attempt))
}

// Validates reports whether the stage has a validate attribute: its worker says, before a batch,
// what is wrong with a row.
func (s *Stage) Validates() bool { return s.validate != nil }

// Question evaluates what the stage's worker is asked about the row: the words of validate, the
// stage's source files, its environment. It is no part of a target: an edit makes nothing stale.
func (m *Molecule) Question(s *Stage) (*Task, error) {
	t := &Task{folder: s.inputFolder()}
	for _, f := range s.files {
		if f.source == nil {
			continue
		}
		tf, err := m.file(t, f, nil)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, tf)
	}
	if err := m.setEnv(t, s, m.scope(s, 0, 0)); err != nil {
		return nil, err
	}
	words, err := m.words(s.validate, nil)
	t.Argv = words
	return t, err
}

func duration(v cty.Value) (time.Duration, error) {
	const form = `a timeout is a text like "90s", "10m" or "2h30m"`
	if v.IsNull() {
		return 0, fmt.Errorf("%s, and this has no value", form)
	}
	if v.Type() != cty.String {
		return 0, fmt.Errorf("%s, not %s", form, aType(v.Type()))
	}
	d, err := time.ParseDuration(v.AsString())
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no duration: %s", v.AsString(), form)
	case d <= 0:
		return 0, fmt.Errorf("the timeout %q must be greater than 0", v.AsString())
	}
	return d, nil
}

// environment is an object of names and values as far as they are known; null is left out.
func environment(v cty.Value) (map[string]string, error) {
	if !v.IsKnown() {
		return nil, nil
	}
	out := map[string]string{}
	if v.IsNull() || !isObject(v.Type()) {
		return nil, errors.New("env must be an object of names and values")
	}
	values := v.AsValueMap()
	for _, k := range names(values) {
		if e := values[k]; e.IsKnown() && e.IsNull() {
			continue
		}
		e, err := asDouble(values[k])
		if err != nil {
			return nil, err
		}
		s, err := convertTo(e, cty.String)
		if err != nil || !variableName(k) || s.IsKnown() &&
			strings.ContainsRune(unmarked(s.AsString()), 0) {
			return nil, fmt.Errorf("%q can't be an environment variable: a name and a text are "+
				"needed", k)
		}
		if s.IsKnown() {
			out[k] = s.AsString()
		}
	}
	return out, nil
}
