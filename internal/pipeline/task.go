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
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
)

// inputFolder is the folder of a stage's scratch folder that has the files of other targets. Its
// name is in, or another one if a file of the stage itself has that name.
func (s *Stage) inputFolder() string {
	folder := "in"
	own := func(name string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }
	for slices.ContainsFunc(s.FileNames(), own) {
		folder += "puts"
	}
	return folder
}

// evaluation is for the expressions of a target at an attempt.
func (m *Molecule) evaluation(s *Stage, i, attempt int) *evaluation {
	extra := map[string]cty.Value{"attempt": cty.NumberIntVal(int64(attempt)),
		"salvaged": cty.ListValEmpty(cty.String)}
	if s.ForEach && i < len(m.each[s.Name]) {
		extra["each"] = cty.ObjectVal(map[string]cty.Value{"key": cty.NumberIntVal(int64(i)),
			"value": m.each[s.Name][i]})
	}
	return &evaluation{Molecule: m, extra: extra}
}

// Task evaluates what a target does at an attempt, 0 for the first; salvaged are the files that the
// last attempt left for it. With an error Own alone is known of the task.
func (m *Molecule) Task(s *Stage, i, attempt int, salvaged ...string) (*Task, error) {
	t := &Task{Programs: s.Programs, Watched: s.watched, folder: s.inputFolder()}
	ev := m.evaluation(s, i, attempt)
	if len(salvaged) > 0 {
		var err error
		ev.extra["salvaged"], err = gocty.ToCtyValue(salvaged, cty.List(cty.String))
		if err != nil {
			return nil, err
		}
	}
	t.Timeout = take(ev, s.timeout, duration)
	for _, f := range s.files {
		t.Files = append(t.Files, ev.file(t, f))
	}
	ev.setEnv(t, s)
	for _, w := range take(ev, s.command, words) {
		w = m.linked(t, w)
		t.Argv, t.HashedArgv = append(t.Argv, unmarked(w)), append(t.HashedArgv, hashed(w))
	}
	if ev.err != nil {
		return &Task{Own: t.Own}, ev.err
	}
	return t, nil
}

func textOf(v cty.Value) (string, error) { return v.AsString(), nil }

// words are the words of a command; what ignore_changes gave is marked in them.
func words(v cty.Value) (out []string, err error) {
	for n, w := range v.AsValueSlice() {
		if w.IsNull() {
			return nil, fmt.Errorf("word %d of the command has no value: %s", n+1, emptyHint)
		}
		if strings.ContainsRune(unmarked(w.AsString()), 0) {
			return nil, fmt.Errorf("word %d of the command has a NUL character", n+1)
		}
		out = append(out, w.AsString())
	}
	return out, nil
}

// setEnv sets the environment: the pipeline's, and over it the stage's.
func (ev *evaluation) setEnv(t *Task, s *Stage) {
	env := map[string]string{}
	maps.Copy(env, ev.p.Env)
	maps.Copy(env, take(ev, s.env, environment))
	for _, name := range names(env) {
		text := name + "=" + ev.linked(t, env[name])
		t.Env, t.HashedEnv = append(t.Env, unmarked(text)), append(t.HashedEnv, hashed(text))
	}
}

func (ev *evaluation) file(t *Task, f *file) TaskFile {
	if f.source != nil {
		name := take(ev, f.source, textOf)
		path := ev.p.rooted(name)
		data, ok := ev.p.sources[path]
		sum := ev.p.files[path]
		if !ok && ev.err == nil {
			t.Own = true
			data, ev.err = readSource(path, name)
			sum = hashOf(data)
		}
		return TaskFile{f.name, data, sum, false}
	}
	text := ev.linked(t, take(ev, f.content, textOf))
	return TaskFile{f.name, []byte(unmarked(text)), hashOf([]byte(hashed(text))), true}
}

// Read evaluates the values of a target from its outputs (name to path), as a JSON object, and
// checks what must hold of them. It returns the values also with an error of a check.
func (m *Molecule) Read(s *Stage, i int, outputs map[string]string) (values []byte, err error) {
	ev := m.reading(s, i, outputs)
	values = take(ev, s.values, func(v cty.Value) ([]byte, error) {
		if !isObject(v.Type()) {
			return nil, errors.New("values must be an object")
		}
		for _, name := range names(v.AsValueMap()) {
			if err := s.clash(name); err != nil {
				return nil, err
			}
		}
		return toJSON(v)
	})
	return values, ev.hold(s.post...)
}

// reading is evaluation with the target's outputs (name to path).
func (m *Molecule) reading(s *Stage, i int, outputs map[string]string) *evaluation {
	ev, paths := m.evaluation(s, i, 0), make(map[string]cty.Value, len(outputs))
	for name, path := range outputs {
		if paths[name] = cty.StringVal(path); paths[name].AsString() != path {
			ev.err = fmt.Errorf("%s: an accent in this path is stored as a letter of its own, "+
				"which pipeline.hcl can't write; rename the folder or the molecule", path)
		}
	}
	ev.extra["output"] = cty.ObjectVal(paths)
	return ev
}

var errWarnings = errors.New("warnings must be a list of texts; null and empty ones say nothing")

// acceptWarnings says why a value, which may be unknown, can't be a stage's warnings.
func acceptWarnings(v cty.Value) error {
	if _, err := convert.Convert(cty.UnknownVal(v.Type()), cty.List(cty.String)); err != nil {
		return errWarnings
	}
	return nil
}

// Warnings evaluates what the stage warns of, from its outputs (name to path), after Read.
func (m *Molecule) Warnings(s *Stage, i int, outputs map[string]string) (out []string, err error) {
	ev := m.reading(s, i, outputs)
	if s.warnings == nil || ev.err != nil {
		return nil, ev.err
	}
	v, err := m.nullable(s.warnings, ev.extra)
	if err != nil || v.IsNull() {
		return nil, err
	}
	texts, ok := as[[]*string](v)
	if !ok {
		return nil, m.p.at(s.warnings, errWarnings)
	}
	for _, text := range texts {
		if text != nil && *text != "" {
			out = append(out, *text)
		}
	}
	return out, nil
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

// Precheck evaluates the preconditions; an error is the message of the first that doesn't hold.
func (m *Molecule) Precheck(s *Stage, i, attempt int) error {
	return m.evaluation(s, i, attempt).hold(s.pre...)
}

// Validates reports whether the stage's worker says, before a batch, what is wrong with a row.
func (s *Stage) Validates() bool { return s.validate != nil }

// Question evaluates what the stage's worker is asked about the row: the words of validate, the
// stage's source files, its environment. It is no part of a target: an edit makes nothing stale.
func (m *Molecule) Question(s *Stage) (*Task, error) {
	t, ev := &Task{folder: s.inputFolder()}, m.evaluation(s, 0, 0)
	for _, f := range s.files {
		if f.source != nil {
			t.Files = append(t.Files, ev.file(t, f))
		}
	}
	ev.setEnv(t, s)
	t.Argv = take(ev, s.validate, words)
	return t, ev.err
}

// elements are those of for_each, as far as they are known.
func elements(v cty.Value) ([]cty.Value, error) {
	t := v.Type()
	if v.IsNull() || t != cty.DynamicPseudoType && !t.IsListType() && !t.IsTupleType() {
		return nil, fmt.Errorf("for_each needs a list, not %s: the stage runs once for each "+
			"element", orNull(v))
	}
	if !v.IsKnown() {
		return nil, nil
	}
	return v.AsValueSlice(), nil
}

// duration is that of a timeout; 0 where it is not known.
func duration(v cty.Value) (time.Duration, error) {
	const form = `a timeout is a text like "90s", "10m" or "2h30m"`
	if t := v.Type(); !v.IsKnown() && (t == cty.String || t == cty.DynamicPseudoType) {
		return 0, nil
	} else if v.IsNull() || t != cty.String {
		return 0, fmt.Errorf("%s, not %s", form, orNull(v))
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
	out := map[string]string{}
	switch t := v.Type(); {
	case v.IsNull() || t != cty.DynamicPseudoType && !isObject(t):
		return nil, errors.New("env must be an object of names and values")
	case !v.IsKnown():
		return nil, nil
	}
	values := v.AsValueMap()
	for _, k := range names(values) {
		if values[k].IsNull() {
			continue
		}
		s, err := convertTo(values[k], cty.String)
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
