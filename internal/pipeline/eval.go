package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// What became of a target, as expressions see it.
const (
	StatusOK     = "ok"
	StatusFailed = "failed"
	StatusNone   = "none" // not attempted, or turned off
)

// Result is what a target left behind.
type Result struct {
	Status  string
	Outputs map[string]Input // by output name
	Values  map[string]any
	Seconds float64
}

// Molecule evaluates the pipeline for one row of the table.
type Molecule struct {
	p       *Pipeline
	vars    map[string]cty.Value // var, local, mol
	each    map[string][]cty.Value
	results map[string][]Result
	off     map[string]bool // stages that are turned off for this molecule
	inputs  []Input         // every file of every finished target, longest path first
}

// Molecule begins the evaluation for a row: cells by column, nil, string, int64 or float64. Columns that no
// expression names need not be there.
func (p *Pipeline) Molecule(cells map[string]any) (*Molecule, error) {
	m := &Molecule{p: p, vars: map[string]cty.Value{"var": p.base["var"]}, each: map[string][]cty.Value{}, results: map[string][]Result{}, off: map[string]bool{}}
	attrs := map[string]cty.Value{}
	for _, name := range p.Columns {
		want := p.columnType(name)
		attrs[name] = cty.NullVal(want)
		if v := cells[name]; v != nil {
			attrs[name] = asType(fromGo(v), want)
		}
	}
	m.vars["mol"] = cty.ObjectVal(attrs)
	local := p.base["local"].AsValueMap()
	if local == nil {
		local = map[string]cty.Value{}
	}
	for _, name := range p.localOrder {
		if l := p.locals[name]; l.perMol {
			m.vars["local"] = cty.ObjectVal(local)
			v, diags := l.attr.Expr.Value(m.context(nil))
			if diags.HasErrors() {
				return nil, p.plain(diags)
			}
			local[name] = v
		}
	}
	m.vars["local"] = cty.ObjectVal(local)
	return m, nil
}

func (p *Pipeline) columnType(name string) cty.Type {
	if p.columns[name].Number {
		return cty.Number
	}
	return cty.String
}

// Check evaluates the molecule block's preconditions and returns what does not hold.
func (m *Molecule) Check() []string {
	var out []string
	for _, c := range m.p.conds {
		msg, diags := evalCondition(c, m.context(nil))
		if diags.HasErrors() {
			msg = m.p.plain(diags).Error()
		}
		if msg != "" {
			out = append(out, msg)
		}
	}
	return out
}

// Set records what became of a stage; instances in order.
func (m *Molecule) Set(s *Stage, results []Result) {
	m.results[s.Name] = results
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
		return 0, m.p.at(s.each, fmt.Errorf("for_each needs a list, not a %s", t.FriendlyName()))
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
	v, err := convertTo(v, want)
	switch {
	case err != nil:
		return v, m.p.at(e, err)
	case !v.IsWhollyKnown():
		return v, m.p.at(e, errors.New("the value is not known yet"))
	case v.IsNull():
		return v, m.p.at(e, errors.New("there is no value here (null): an empty cell, or a stage that is turned off"))
	}
	return v, nil
}

func (m *Molecule) scope(s *Stage, i, attempt int) map[string]cty.Value {
	extra := map[string]cty.Value{"attempt": cty.NumberIntVal(int64(attempt))}
	if s.ForEach && i < len(m.each[s.Name]) {
		extra["each"] = cty.ObjectVal(map[string]cty.Value{"key": cty.NumberIntVal(int64(i)), "value": m.each[s.Name][i]})
	}
	return extra
}

// Task evaluates what a target does at an attempt, 0 for the first.
func (m *Molecule) Task(s *Stage, i, attempt int) (*Task, error) {
	t := &Task{Programs: s.Programs}
	extra := m.scope(s, i, attempt)
	used := map[string]Input{}
	if s.timeout != nil {
		v, err := m.value(s.timeout, extra, cty.DynamicPseudoType)
		if err != nil {
			return nil, err
		}
		if t.Timeout, err = duration(v); err != nil {
			return nil, m.p.at(s.timeout, err)
		}
	}
	for _, f := range s.files {
		tf, err := m.file(f, extra, used)
		if err != nil {
			return nil, err
		}
		t.Files = append(t.Files, tf)
	}
	env := map[string]string{}
	for k, v := range m.p.env {
		env[k] = v
	}
	if s.env != nil {
		v, err := m.value(s.env, extra, cty.DynamicPseudoType)
		if err != nil {
			return nil, err
		}
		own, err := environment(v)
		if err != nil {
			return nil, m.p.at(s.env, err)
		}
		for k, e := range own {
			env[k] = e
		}
	}
	for _, k := range names(env) {
		t.Env = append(t.Env, k+"="+m.label(env[k], used))
	}
	if s.command != nil {
		v, err := m.value(s.command, extra, cty.List(cty.String))
		if err != nil {
			return nil, err
		}
		for n, w := range v.AsValueSlice() {
			if w.IsNull() {
				return nil, m.p.at(s.command, fmt.Errorf("word %d of the command has no value: an empty cell, or a stage that is turned off", n+1))
			}
			if strings.ContainsRune(w.AsString(), 0) {
				return nil, m.p.at(s.command, fmt.Errorf("word %d of the command has a NUL character", n+1))
			}
			t.Argv = append(t.Argv, w.AsString())
			t.Words = append(t.Words, m.label(w.AsString(), used))
		}
	}
	for _, name := range names(used) {
		t.Inputs = append(t.Inputs, used[name])
	}
	return t, nil
}

// Environ returns the environment of the task as the program gets it; Task.Env has inputs by name.
func (m *Molecule) Environ(t *Task) []string {
	out := slices.Clone(t.Env)
	for i := range out {
		for _, in := range t.Inputs {
			out[i] = strings.ReplaceAll(out[i], "${"+in.Name+"}", in.Path)
		}
	}
	return out
}

func (m *Molecule) file(f *file, extra map[string]cty.Value, used map[string]Input) (TaskFile, error) {
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
	return TaskFile{f.name, []byte(text), hashOf([]byte(m.label(text, used))), true}, nil
}

// label replaces the path of every finished target's file in a text by ${stage.output}, and notes which there were.
func (m *Molecule) label(text string, used map[string]Input) string {
	if !strings.ContainsRune(text, filepath.Separator) {
		return text
	}
	for _, in := range m.inputs {
		if strings.Contains(text, in.Path) {
			text = strings.ReplaceAll(text, in.Path, "${"+in.Name+"}")
			used[in.Name] = in
		}
	}
	return text
}

// Precheck evaluates the stage's preconditions; an error is the message of the first that doesn't hold.
func (m *Molecule) Precheck(s *Stage, i, attempt int) error {
	return m.hold(s.pre, m.scope(s, i, attempt))
}

func (m *Molecule) hold(conds []*condition, extra map[string]cty.Value) error {
	for _, c := range conds {
		msg, diags := evalCondition(c, m.context(extra))
		if diags.HasErrors() {
			return m.p.plain(diags)
		}
		if msg != "" {
			return errors.New(msg)
		}
	}
	return nil
}

// Read evaluates the values of a target from its outputs (name to path) and checks its postconditions.
func (m *Molecule) Read(s *Stage, i int, outputs map[string]string) (map[string]any, error) {
	extra := m.scope(s, i, 0)
	paths := map[string]cty.Value{}
	for name, path := range outputs {
		paths[name] = cty.StringVal(path)
	}
	extra["output"] = cty.ObjectVal(paths)
	var values map[string]any
	if s.values != nil {
		v, diags := s.values.Value(m.context(extra))
		if diags.HasErrors() {
			return nil, m.p.plain(diags)
		}
		g, err := toGo(v)
		if err != nil {
			return nil, m.p.at(s.values, err)
		}
		var ok bool
		if values, ok = g.(map[string]any); !ok {
			return nil, m.p.at(s.values, errors.New("values must be an object"))
		}
	}
	return values, m.hold(s.post, extra)
}

// Reading describes how Read would evaluate: while it is the same text and the outputs are the same, so are the values.
func (m *Molecule) Reading(s *Stage, i int) string {
	var b strings.Builder
	_, exprs := s.expressions()
	ctx := m.context(m.scope(s, i, 0))
	seen := map[string]bool{}
	for _, e := range exprs {
		fmt.Fprintf(&b, "expression %q\n", m.p.tokens(e.Range()))
		for _, name := range functionsIn(e) {
			if v := m.p.versions[name]; v != 0 && !seen[name] {
				seen[name] = true
				fmt.Fprintf(&b, "function %s %d\n", name, v)
			}
		}
		splats := stageSplats(e)
		for _, t := range e.Variables() {
			name := m.p.tokens(t.SourceRange())
			value := func() (cty.Value, hcl.Diagnostics) { return t.TraverseAbs(ctx) }
			if s := splats[t.SourceRange()]; s != nil { // of stage.pm7[*].hof only the hof matters
				name, value = m.p.tokens(s.Range()), func() (cty.Value, hcl.Diagnostics) { return s.Value(ctx) }
			}
			if t.RootName() == "output" || seen[name] {
				continue
			}
			seen[name] = true
			v, diags := value()
			m.describe(&b, name, v, diags)
		}
	}
	return hashOf([]byte(b.String()))
}

// describe writes a value, and the hashes of the files that it names.
func (m *Molecule) describe(b *strings.Builder, name string, v cty.Value, diags hcl.Diagnostics) {
	if diags.HasErrors() {
		fmt.Fprintf(b, "%s: none\n", name)
		return
	}
	g, _ := toGo(v)
	data, _ := json.Marshal(withoutTimes(g))
	used := map[string]Input{}
	fmt.Fprintf(b, "%s %q\n", name, m.label(string(data), used))
	for _, n := range names(used) {
		fmt.Fprintf(b, "input %s %s\n", n, used[n].SHA256)
	}
}

// stageSplats finds the expressions stage.NAME[*].VALUE, by the place of their stage.NAME.
func stageSplats(e hcl.Expression) map[hcl.Range]*hclsyntax.SplatExpr {
	out := map[hcl.Range]*hclsyntax.SplatExpr{}
	if node, ok := e.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			if s, ok := n.(*hclsyntax.SplatExpr); ok {
				src, ok := s.Source.(*hclsyntax.ScopeTraversalExpr)
				if _, attr := s.Each.(*hclsyntax.RelativeTraversalExpr); ok && attr && src.Traversal.RootName() == "stage" {
					out[src.Traversal.SourceRange()] = s
				}
			}
			return nil
		})
	}
	return out
}

// withoutTimes drops the wall time of a stage that is named as a whole: no value depends on it.
func withoutTimes(v any) any {
	switch x := v.(type) {
	case map[string]any:
		if _, ok := x["status"]; ok {
			delete(x, "seconds")
		}
	case []any:
		for i := range x {
			x[i] = withoutTimes(x[i])
		}
	}
	return v
}

func functionsIn(e hcl.Expression) []string {
	set := map[string]bool{}
	if node, ok := e.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			if f, ok := n.(*hclsyntax.FunctionCallExpr); ok {
				set[f.Name] = true
			}
			return nil
		})
	}
	return names(set)
}

// Merge evaluates the merge block to the texts of cells. Where the molecule failed, a cell that can't be computed is
// blank; else that is an error.
func (m *Molecule) Merge(failed bool) (map[string]string, error) {
	out := make(map[string]string, len(m.p.merge))
	ctx := m.context(nil)
	for _, a := range m.p.merge {
		v, diags := a.Expr.Value(ctx)
		switch {
		case diags.HasErrors() && !failed:
			return nil, m.p.plain(diags)
		case diags.HasErrors() || v.IsNull() || !v.IsKnown():
			out[a.Name] = ""
		default:
			text, err := cellText(v)
			if err != nil {
				return nil, m.p.at(a.Expr, err)
			}
			out[a.Name] = text
		}
	}
	return out, nil
}

// cellText writes a value as a cell: numbers with at most twelve significant digits, which is more than any program
// here gives and hides the last bits of a difference.
func cellText(v cty.Value) (string, error) {
	if v.Type() == cty.Number {
		f := toFloat(v)
		if math.IsInf(f, 0) {
			return "", errors.New("the number is infinite")
		}
		short, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 12, 64), 64)
		if short == 0 {
			short = 0 // not -0
		}
		return strconv.FormatFloat(short, 'f', -1, 64), err
	}
	text, err := convertTo(v, cty.String)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(text.AsString()), nil
}

func duration(v cty.Value) (time.Duration, error) {
	const form = `a timeout is a text like "90s", "10m" or "2h30m"`
	if v.IsNull() {
		return 0, fmt.Errorf("%s, and this has no value", form)
	}
	if v.Type() != cty.String {
		return 0, fmt.Errorf("%s, not a %s", form, v.Type().FriendlyName())
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
	for k, e := range v.AsValueMap() {
		if e.IsKnown() && e.IsNull() {
			continue
		}
		s, err := convertTo(e, cty.String)
		if err != nil || strings.ContainsAny(k, "=\x00") || k == "" {
			return nil, fmt.Errorf("%q can't be an environment variable: a name and a text are needed", k)
		}
		if s.IsKnown() {
			out[k] = s.AsString()
		}
	}
	return out, nil
}
