package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// What became of a target, as expressions see it.
const (
	StatusOK     = "ok"
	StatusFailed = "failed"
	StatusNone   = "none" // not attempted, or turned off
	// StatusLeftOut is of a failed target that the molecule goes on without, and of what would be made from its result.
	StatusLeftOut = "left_out"
)

// Result is what a target left behind.
type Result struct {
	Status  string
	Outputs map[string]Input // by output name
	Values  map[string]any
	Seconds float64
}

// Molecule evaluates the pipeline for one row of the table. One goroutine at a time may use it; molecules of one pipeline are
// independent of each other.
type Molecule struct {
	p       *Pipeline
	root    *hcl.EvalContext // var, local, mol, stage
	stages  map[string]cty.Value
	each    map[string][]cty.Value
	results map[string][]Result
	off     map[string]bool // stages that are turned off for this molecule
	inputs  []Input         // every file of every finished target, longest path first
	answers map[call]answer // of the readers
}

// Molecule begins the evaluation for a row: cells by column, nil, string, int64 or float64. Columns that no
// expression names need not be there.
func (p *Pipeline) Molecule(cells map[string]any) (*Molecule, error) {
	m, err := p.molecule(cells, p.Columns)
	if err == nil {
		m.remember()
	}
	return m, err
}

func (p *Pipeline) molecule(cells map[string]any, columns []string) (*Molecule, error) {
	m := &Molecule{p: p, each: map[string][]cty.Value{}, results: map[string][]Result{}, off: map[string]bool{}}
	attrs := make(map[string]cty.Value, len(columns))
	for _, name := range columns {
		want := p.columnType(name)
		attrs[name] = cty.NullVal(want)
		if v := cells[name]; v != nil {
			attrs[name] = asType(fromGo(v), want)
		}
	}
	m.root = &hcl.EvalContext{Functions: p.functions, Variables: map[string]cty.Value{"var": p.vars, "mol": cty.ObjectVal(attrs), "stage": p.noStages}}
	locals := make(map[string]cty.Value, len(p.localOrder))
	for _, name := range p.localOrder {
		l := p.locals[name]
		if l.value != cty.NilVal {
			locals[name] = l.value
			continue
		}
		m.root.Variables["local"] = l.scope(locals)
		v, diags := l.attr.Expr.Value(m.root)
		if diags.HasErrors() {
			return nil, p.plain(diags)
		}
		v, err := asDouble(v)
		if err != nil {
			return nil, p.at(l.attr.Expr, err)
		}
		locals[name] = v
	}
	m.root.Variables["local"] = cty.ObjectVal(locals)
	return m, nil
}

// scope is the object that local is for a local value's own expression: what that uses, and no more.
func (l *local) scope(known map[string]cty.Value) cty.Value {
	attrs := make(map[string]cty.Value, len(l.uses))
	for _, name := range l.uses {
		attrs[name] = known[name]
	}
	return cty.ObjectVal(attrs)
}

func (p *Pipeline) columnType(name string) cty.Type {
	if p.columns[name].Number {
		return cty.Number
	}
	return cty.String
}

// Check evaluates the molecule block's preconditions for a row, given the cells of the columns Checked, and returns what does not hold. The molecule is there
// to be asked for its size; it is nil where nothing can be said of it.
func (p *Pipeline) Check(cells map[string]any) ([]string, *Molecule) {
	if len(p.Checked) == 0 && len(p.conds) == 0 {
		return nil, nil
	}
	m, err := p.molecule(cells, p.Checked)
	if err != nil {
		return []string{err.Error()}, nil
	}
	var out []string
	for _, c := range p.conds {
		msg, diags := evalCondition(c, m.eval(nil))
		if diags.HasErrors() {
			msg = p.plain(diags).Error()
		}
		if msg != "" {
			out = append(out, msg)
		}
	}
	return out, m
}

// Set records what became of a stage; instances in order.
func (m *Molecule) Set(s *Stage, results []Result) {
	m.results[s.Name] = results
	m.update(s)
	for i, r := range results {
		for name, in := range r.Outputs {
			in.Name = s.Name + "." + name
			if s.ForEach {
				in.Name = fmt.Sprintf("%s[%d].%s", s.Name, i, name)
			}
			m.inputs = append(m.inputs, in)
		}
	}
	slices.SortFunc(m.inputs, func(a, b Input) int {
		if d := len(b.Path) - len(a.Path); d != 0 {
			return d
		}
		return strings.Compare(a.Path, b.Path)
	})
}

// Enabled says whether the stage runs for this molecule.
func (m *Molecule) Enabled(s *Stage) (bool, error) {
	if s.enabled == nil {
		return true, nil
	}
	v, err := m.value(s.enabled, nil, cty.Bool)
	if err != nil {
		return false, err
	}
	m.off[s.Name] = !v.True()
	m.update(s)
	return v.True(), nil
}

// Instances evaluates for_each and returns how many targets the stage has; 1 for a stage without it.
func (m *Molecule) Instances(s *Stage) (int, error) {
	if !s.ForEach {
		return 1, nil
	}
	v, err := m.value(s.each, nil, cty.DynamicPseudoType)
	if err != nil {
		return 0, err
	}
	if t := v.Type(); !t.IsListType() && !t.IsTupleType() {
		return 0, m.p.at(s.each, fmt.Errorf("for_each needs a list, not %s", aType(t)))
	}
	m.each[s.Name] = v.AsValueSlice()
	return len(m.each[s.Name]), nil
}

// value evaluates an expression to a known, non-null value of a type.
func (m *Molecule) value(e hcl.Expression, extra map[string]cty.Value, want cty.Type) (cty.Value, error) {
	v, diags := e.Value(m.context(extra))
	if diags.HasErrors() {
		return v, m.p.plain(diags)
	}
	v, err := asDoubles(v)
	if err == nil {
		v, err = convertTo(v, want)
	}
	switch {
	case err != nil:
		return v, m.p.at(e, err)
	case !v.IsWhollyKnown():
		return v, m.p.at(e, errors.New("the value is not known yet"))
	case v.IsNull():
		return v, m.p.at(e, errors.New("there is no value here (null): "+emptyHint))
	}
	return v, nil
}

func (m *Molecule) scope(s *Stage, i, attempt int) map[string]cty.Value {
	extra := map[string]cty.Value{"attempt": cty.NumberIntVal(int64(attempt)), "salvaged": cty.ListValEmpty(cty.String)}
	if s.ForEach && i < len(m.each[s.Name]) {
		extra["each"] = cty.ObjectVal(map[string]cty.Value{"key": cty.NumberIntVal(int64(i)), "value": m.each[s.Name][i]})
	}
	return extra
}

// Task evaluates what a target does at an attempt, 0 for the first; salvaged are the files that the last attempt left for it.
func (m *Molecule) Task(s *Stage, i, attempt int, salvaged ...string) (*Task, error) {
	t := &Task{Programs: s.Programs}
	extra := m.scope(s, i, attempt)
	if len(salvaged) > 0 {
		extra["salvaged"] = fromGo(salvaged)
	}
	used := &uses{}
	if err := m.timeout(t, s, extra); err != nil {
		return nil, err
	}
	for _, f := range s.files {
		tf, err := m.file(f, extra, used)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, tf)
	}
	if err := m.env(t, s, extra, used); err != nil {
		return nil, err
	}
	if s.command != nil {
		v, err := m.value(s.command, extra, cty.List(cty.String))
		if err != nil {
			return nil, err
		}
		words, err := m.words(s.command, v)
		if err != nil {
			return nil, err
		}
		for _, w := range words {
			t.Argv = append(t.Argv, unmarked(w))
			t.Words = append(t.Words, m.label(unmarked(w), used, false))
			t.HashedWords = append(t.HashedWords, m.label(hashed(w), used, true))
		}
	}
	t.Inputs = used.inputs
	return t, nil
}

// words are the words of a command, each of which must have a value; what ignore_changes gave is marked in them.
func (m *Molecule) words(e hcl.Expression, v cty.Value) (out []string, err error) {
	for n, w := range v.AsValueSlice() {
		if w.IsNull() {
			return nil, m.p.at(e, fmt.Errorf("word %d of the command has no value: %s", n+1, emptyHint))
		}
		if strings.ContainsRune(unmarked(w.AsString()), 0) {
			return nil, m.p.at(e, fmt.Errorf("word %d of the command has a NUL character", n+1))
		}
		out = append(out, w.AsString())
	}
	return out, nil
}

func (m *Molecule) timeout(t *Task, s *Stage, extra map[string]cty.Value) error {
	if s.timeout == nil {
		return nil
	}
	v, err := m.value(s.timeout, extra, cty.DynamicPseudoType)
	if err == nil {
		if t.Timeout, err = duration(v); err != nil {
			err = m.p.at(s.timeout, err)
		}
	}
	return err
}

// env sets the environment: the pipeline's, and over it the stage's.
func (m *Molecule) env(t *Task, s *Stage, extra map[string]cty.Value, used *uses) error {
	env := maps.Clone(m.p.env)
	if s.env != nil {
		v, err := m.value(s.env, extra, cty.DynamicPseudoType)
		if err != nil {
			return err
		}
		own, err := environment(v)
		if err != nil {
			return m.p.at(s.env, err)
		}
		maps.Copy(env, own)
	}
	for _, k := range names(env) {
		t.environ = append(t.environ, k+"="+unmarked(env[k]))
		t.Env = append(t.Env, k+"="+m.label(unmarked(env[k]), used, false))
		t.HashedEnv = append(t.HashedEnv, k+"="+m.label(hashed(env[k]), used, true))
	}
	return nil
}

// Environ returns the environment of the task as the program gets it; Task.Env has inputs by name.
func (m *Molecule) Environ(t *Task) []string { return slices.Clone(t.environ) }

func (m *Molecule) file(f *file, extra map[string]cty.Value, used *uses) (TaskFile, error) {
	if f.source != nil {
		v, err := m.value(f.source, extra, cty.String)
		if err != nil {
			return TaskFile{}, err
		}
		data, err := m.p.source(v.AsString())
		return TaskFile{f.name, data, m.p.files[m.p.rooted(v.AsString())], false}, err
	}
	v, err := m.value(f.content, extra, cty.String)
	if err != nil {
		return TaskFile{}, err
	}
	text := v.AsString()
	return TaskFile{f.name, []byte(unmarked(text)), hashOf([]byte(m.label(hashed(text), used, true))), true}, nil
}

// uses are the files of other targets that a task names, in the order in which it names them first.
type uses struct{ inputs []Input }

// number is the place of an input among them, from 1.
func (u *uses) number(in Input) int {
	at := slices.IndexFunc(u.inputs, func(o Input) bool { return o.Name == in.Name })
	if at < 0 {
		at = len(u.inputs)
		u.inputs = append(u.inputs, in)
	}
	return at + 1
}

// label replaces the path of every finished target's file in a text by ${stage.output}, and notes
// which there were; numbered, by ${number}: a fingerprint must not change with a stage's name.
func (m *Molecule) label(text string, used *uses, numbered bool) string {
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
		name := first.Name
		if n := used.number(first); numbered {
			name = fmt.Sprint(n)
		}
		out.WriteString(text[:at] + "${" + name + "}")
		text = text[at+len(first.Path):]
	}
	if out.Len() == 0 {
		return text
	}
	return out.String() + text
}

// Precheck evaluates the stage's preconditions; an error is the message of the first that doesn't hold.
func (m *Molecule) Precheck(s *Stage, i, attempt int) error {
	return m.hold(s.pre, m.scope(s, i, attempt))
}

func (m *Molecule) eval(extra map[string]cty.Value) func(hcl.Expression) (cty.Value, hcl.Diagnostics) {
	ctx := m.context(extra)
	return func(e hcl.Expression) (cty.Value, hcl.Diagnostics) { return e.Value(ctx) }
}

func (m *Molecule) hold(conds []*condition, extra map[string]cty.Value) error {
	for _, c := range conds {
		msg, diags := evalCondition(c, m.eval(extra))
		if diags.HasErrors() {
			return m.p.plain(diags)
		}
		if msg != "" {
			return errors.New(msg)
		}
	}
	return nil
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
		return 0, fmt.Errorf("%q is not longer than nothing: %s", v.AsString(), form)
	}
	return d, nil
}

func environment(v cty.Value) (map[string]string, error) {
	out := map[string]string{}
	if v.IsNull() || !v.CanIterateElements() || !(v.Type().IsObjectType() || v.Type().IsMapType()) {
		return nil, errors.New("env must be an object of names and values")
	}
	values := v.AsValueMap()
	for _, k := range names(values) {
		e := values[k]
		if e.IsKnown() && e.IsNull() {
			continue
		}
		e, err := asDouble(e)
		if err != nil {
			return nil, err
		}
		s, err := convertTo(e, cty.String)
		if err != nil || strings.ContainsAny(k, "=\x00") || k == "" || (s.IsKnown() && strings.ContainsRune(unmarked(s.AsString()), 0)) {
			return nil, fmt.Errorf("%q can't be an environment variable: a name and a text are needed", k)
		}
		if s.IsKnown() {
			out[k] = s.AsString()
		}
	}
	return out, nil
}
