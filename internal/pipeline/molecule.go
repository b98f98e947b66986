package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/gocty"
)

// What became of a target, as expressions see it.
const (
	StatusOK     = "ok"
	StatusFailed = "failed"
	StatusNone   = "none" // not attempted, or turned off
	// StatusLeftOut is of a failed target that the molecule goes on without, and of what would be
	// made from its result.
	StatusLeftOut = "left_out"
)

// Result is what a target left behind.
type Result struct {
	Status  string
	Outputs map[string]Input // by output name
	Values  []byte           // a JSON object, as Read gives it; nil for none
	Seconds float64
}

// Molecule evaluates the pipeline for one row of the table. One goroutine at a time may use it;
// molecules of one pipeline are independent of each other.
type Molecule struct {
	p           *Pipeline
	mol         cty.Value
	stages      map[string]cty.Value
	stageObject cty.Value            // of stages; NilVal after a change
	locals      map[string]cty.Value // as far as they were needed
	each        map[string][]cty.Value
	results     map[string][]Result
	inputs      []Input // every file of every finished target, longest path first
	functions   map[string]function.Function
	answers     map[call]cty.Value
	Blank       []string // why the last Merge left cells blank, of which a stage was left out
	elements    int      // of for expressions in the expression that is evaluated
}

// Molecule begins the evaluation for a row: cells by column, nil, string, int64 or float64. Columns
// that no expression names need not be there.
func (p *Pipeline) Molecule(cells map[string]any) (*Molecule, error) {
	m, err := p.rowOf(cells, p.Columns)
	if err == nil {
		m.remember()
	}
	return m, err
}

func (p *Pipeline) newMolecule(stages map[string]cty.Value) *Molecule {
	return &Molecule{p: p, stages: stages, locals: map[string]cty.Value{}, functions: p.functions,
		each: map[string][]cty.Value{}, results: map[string][]Result{}}
}

func (p *Pipeline) rowOf(cells map[string]any, columns []string) (*Molecule, error) {
	m := p.newMolecule(maps.Clone(p.absent))
	attrs := make(map[string]cty.Value, len(columns))
	for _, name := range columns {
		want := p.columnType(name)
		attrs[name] = cty.NullVal(want)
		if v := cells[name]; v != nil && v != "" {
			value, err := convertTo(fromCell(v), want)
			if err == nil && tooLarge(value) != nil {
				err = fmt.Errorf("a number is needed here, not %q", v)
			}
			if err != nil {
				return nil, fmt.Errorf("the cell %s of the row: %w", name, err)
			}
			attrs[name] = value
		}
	}
	m.mol = cty.ObjectVal(attrs)
	return m, nil
}

func (p *Pipeline) columnType(name string) cty.Type {
	if c, ok := p.columns[name]; ok {
		return c.typ
	}
	return cty.String
}

// Check evaluates the molecule block for a row, given the cells of the columns Checked, and returns
// what does not hold. The molecule is there to be asked for its size; it is nil where nothing can
// be said of it.
func (p *Pipeline) Check(cells map[string]any) (problems []string, m *Molecule) {
	if len(p.Checked) == 0 && len(p.molecule) == 0 {
		return nil, nil
	}
	m, err := p.rowOf(cells, p.Checked)
	if err != nil {
		return []string{err.Error()}, nil
	}
	for _, c := range p.molecule {
		if err := (&evaluation{Molecule: m}).hold(c); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems, m
}

// Size is how large the pipeline says that the molecule is: the numbers by which it takes its time.
// It is nil where one of them is not known, as for no molecule.
func (m *Molecule) Size() (out []float64) {
	if m == nil || m.p.size == nil {
		return nil
	}
	if v, err := m.nullable(m.p.size, nil); err == nil {
		out, _ = as[[]float64](v)
	}
	return out
}

// Set records what became of a stage; instances in order.
func (m *Molecule) Set(s *Stage, results []Result) {
	m.results[s.Name] = results
	m.setStage(s.Name, m.stageValue(s))
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
		return cmp.Or(len(b.Path)-len(a.Path), strings.Compare(a.Path, b.Path))
	})
}

// setStage tells the expressions what became of a stage.
func (m *Molecule) setStage(name string, v cty.Value) {
	m.stages[name], m.stageObject = v, cty.NilVal
	maps.DeleteFunc(m.locals, func(local string, _ cty.Value) bool {
		return slices.Contains(m.p.locals[local].stages, name) && !m.p.cyclic
	})
}

// context is what an expression sees.
func (m *Molecule) context(e *expression, extra map[string]cty.Value) (*hcl.EvalContext,
	hcl.Diagnostics) {
	if m.stageObject == cty.NilVal {
		m.stageObject = cty.ObjectVal(m.stages)
	}
	ctx := &hcl.EvalContext{Functions: m.functions, Variables: map[string]cty.Value{"var": m.p.vars,
		"mol": m.mol, "stage": m.stageObject}}
	maps.Copy(ctx.Variables, extra)
	locals := map[string]cty.Value{}
	for _, name := range e.locals {
		if _, known := m.locals[name]; !known {
			v, diags := m.evaluate(m.p.locals[name], nil)
			if diags.HasErrors() {
				return nil, diags
			}
			m.locals[name] = v
		}
		locals[name] = m.locals[name]
	}
	ctx.Variables["local"] = cty.ObjectVal(locals)
	return ctx, nil
}

// evaluate gives an expression's value as it is: it may be unknown, null, of any type.
func (m *Molecule) evaluate(e *expression, extra map[string]cty.Value) (cty.Value,
	hcl.Diagnostics) {
	ctx, diags := m.context(e, extra)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	m.elements = 0
	if m.p.watch != nil {
		m.p.watch.underway.Store(e)
	}
	v, diags := e.Value(ctx)
	if err := tooLarge(v); err != nil && !diags.HasErrors() {
		diags = append(diags, wrongf(e.Range(), "Number out of range", "%s", sentence(err.Error())))
	}
	return v, diags
}

// nullable evaluates an expression to a known value of its type, which may be null.
func (m *Molecule) nullable(e *expression, extra map[string]cty.Value) (cty.Value, error) {
	v, diags := m.evaluate(e, extra)
	if diags.HasErrors() {
		return v, m.p.plain(diags)
	}
	v, err := asDoubles(v)
	if err == nil {
		v, err = convertTo(v, e.want)
	}
	if err == nil && !v.IsWhollyKnown() {
		err = errors.New("the value is not known yet")
	}
	if err != nil {
		return v, m.p.at(e, err)
	}
	return v, nil
}

// evaluation evaluates expressions with some names beside the molecule's, up to the first error.
type evaluation struct {
	*Molecule
	extra map[string]cty.Value
	err   error
}

// take is what read makes of an expression's value; nothing without an expression.
func take[T any](ev *evaluation, e *expression, read func(cty.Value) (T, error)) (out T) {
	if e == nil || ev.err != nil {
		return out
	}
	v, err := ev.nullable(e, ev.extra)
	if ev.err = err; err != nil {
		return out
	}
	if v.IsNull() {
		err = errors.New("there is no value here (null): " + emptyHint)
	} else {
		out, err = read(v)
	}
	if err != nil {
		ev.err = ev.p.at(e, err)
		return *new(T)
	}
	return out
}

func truth(v cty.Value) (bool, error) { return v.True(), nil }

// Enabled says whether the stage runs for this molecule.
func (m *Molecule) Enabled(s *Stage) (bool, error) {
	ev := &evaluation{Molecule: m}
	on := s.enabled == nil || take(ev, s.enabled, truth)
	if !on && ev.err == nil {
		m.results[s.Name] = nil // it has an entry: the stage was reached
		m.setStage(s.Name, m.p.absent[s.Name])
	}
	return on, ev.err
}

// Instances evaluates for_each and returns how many targets the stage has: 1 without it.
func (m *Molecule) Instances(s *Stage) (int, error) {
	if !s.ForEach {
		return 1, nil
	}
	ev := &evaluation{Molecule: m}
	m.each[s.Name] = take(ev, s.each, elements)
	return len(m.each[s.Name]), ev.err
}

// LeftOut reports whether a target has nothing to be made from. Its element of for_each is null, or
// is the result of a target that was left out.
func (m *Molecule) LeftOut(s *Stage, i int) bool {
	if !s.ForEach || i >= len(m.each[s.Name]) {
		return false
	}
	v := m.each[s.Name][i]
	return v.IsNull() ||
		isTarget(v.Type()) && v.GetAttr("status").RawEquals(cty.StringVal(StatusLeftOut))
}

// without reports whether an expression names what the molecule goes on without.
func (m *Molecule) without(e *expression) bool {
	return slices.ContainsFunc(e.stages, func(name string) bool {
		return slices.ContainsFunc(m.results[name],
			func(r Result) bool { return r.Status == StatusLeftOut })
	})
}

// partial reports whether an expression uses results of a stage that failed or was not reached.
func (m *Molecule) partial(e *expression) bool {
	return slices.ContainsFunc(e.results, func(name string) bool {
		results, reached := m.results[name]
		return !reached || slices.ContainsFunc(results,
			func(r Result) bool { return r.Status == StatusFailed })
	})
}

// Merge evaluates the merge block to the texts of cells. A cell that can't be computed is an error;
// it is blank where the molecule failed, or a stage that it names was left out. Where the molecule
// failed, a cell that uses results of a stage that failed or was not reached is blank, too.
func (m *Molecule) Merge(failed bool) (map[string]string, error) {
	out := make(map[string]string, len(m.p.merge))
	m.Blank = nil
	for _, e := range m.p.merge {
		if out[e.name] = ""; failed && m.partial(e) {
			continue
		}
		v, err := m.nullable(e, nil)
		if err == nil && !v.IsNull() {
			if out[e.name], err = cellText(v); err != nil {
				err = m.p.at(e, err)
			}
		}
		switch {
		case err == nil || failed:
		case m.without(e):
			m.Blank = append(m.Blank, fmt.Sprintf("the column %s is blank: %v", e.name, err))
		default:
			return nil, err
		}
	}
	return out, nil
}

// Display evaluates the display block to the texts that are shown of a finished molecule. It leaves
// out what has no value.
func (m *Molecule) Display() (texts []string) {
	for _, e := range m.p.display {
		v, diags := m.evaluate(e, nil)
		if diags.HasErrors() || !v.IsKnown() || v.IsNull() {
			continue
		}
		if text, err := cellText(v); err == nil && text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// Export evaluates the export block into a struct like Options.Export; ok: there is such a block.
func (m *Molecule) Export(into any) (ok bool, err error) {
	if len(m.p.export) == 0 {
		return false, nil
	}
	attrs := map[string]cty.Value{}
	for name, t := range m.p.exports.AttributeTypes() {
		attrs[name] = cty.NullVal(t)
	}
	for _, e := range m.p.export {
		if attrs[e.name], err = m.nullable(e, nil); err != nil {
			return true, err
		}
	}
	return true, gocty.FromCtyValue(cty.ObjectVal(attrs), into)
}

// attributes are what a target has, as far as that is known before the stage has run.
func (s *Stage) attributes() map[string]cty.Type {
	attrs := map[string]cty.Type{"status": cty.String, "seconds": cty.Number}
	if s.valueType.IsObjectType() {
		maps.Copy(attrs, s.valueType.AttributeTypes())
	}
	for name := range s.Outputs {
		attrs[name] = cty.String
	}
	return attrs
}

// resultType is the object that a target is, dynamic before the names of its values are known.
func (s *Stage) resultType() cty.Type {
	if !s.valueType.IsObjectType() {
		return cty.DynamicPseudoType
	}
	return cty.Object(s.attributes())
}

// unknown is what stage.NAME is before anything has run.
func (s *Stage) unknown() cty.Value {
	t := s.resultType()
	switch {
	case t == cty.DynamicPseudoType || s.vague || s.ForEach && t.HasDynamicTypes():
		return cty.DynamicVal
	case s.ForEach:
		return cty.UnknownVal(cty.List(t)).RefineNotNull()
	}
	attrs := map[string]cty.Value{}
	for name, at := range t.AttributeTypes() {
		if attrs[name] = cty.UnknownVal(at); s.Outputs[name] != "" {
			attrs[name] = attrs[name].RefineNotNull()
		}
	}
	return cty.ObjectVal(attrs)
}

// absent is what stage.NAME is without a result: every output and value null.
func (s *Stage) absent() cty.Value {
	t := s.resultType()
	switch {
	case s.ForEach && t.HasDynamicTypes():
		return cty.EmptyTupleVal
	case s.ForEach:
		return cty.ListValEmpty(t)
	}
	return cty.ObjectVal(s.absentTarget())
}

// absentTarget has the attributes of a target without a result.
func (s *Stage) absentTarget() map[string]cty.Value {
	attrs := map[string]cty.Value{}
	for i := 0; i < len(s.asked) && !s.valueType.IsObjectType(); i++ {
		attrs[s.asked[i]] = cty.NullVal(cty.DynamicPseudoType) // what it is, a result would tell
	}
	for name, t := range s.attributes() {
		attrs[name] = cty.NullVal(t)
	}
	attrs["status"] = cty.StringVal(StatusNone)
	return attrs
}

// stageValue is what stage.NAME is with its results. Where the names of values are not known before
// the stage has run, a target that was left out has those of the others, null.
func (m *Molecule) stageValue(s *Stage) cty.Value {
	results := m.results[s.Name]
	if len(results) == 0 {
		return m.p.absent[s.Name]
	}
	blank, targets := map[string]cty.Value{}, make([]map[string]cty.Value, len(results))
	for i, r := range results {
		targets[i] = s.target(r)
		for name, v := range targets[i] {
			blank[name] = cty.NullVal(v.Type())
		}
	}
	elems := make([]cty.Value, len(results))
	for i, attrs := range targets {
		if results[i].Status == StatusLeftOut {
			attrs = maps.Clone(blank)
			maps.Copy(attrs, targets[i])
		}
		elems[i] = cty.ObjectVal(attrs)
	}
	switch {
	case !s.ForEach:
		return elems[0]
	case cty.CanListVal(elems):
		return cty.ListVal(elems)
	}
	return cty.TupleVal(elems)
}

// target has the attributes of one target.
func (s *Stage) target(r Result) map[string]cty.Value {
	attrs := maps.Clone(s.none)
	if r.Status == StatusOK { // it has the values that it has, and no others
		maps.DeleteFunc(attrs, func(_ string, v cty.Value) bool {
			return v.Type() == cty.DynamicPseudoType
		})
	}
	for name, v := range fromJSON(r.Values) {
		if !s.valueType.IsObjectType() {
			attrs[name] = v
		} else if s.valueType.HasAttribute(name) {
			attrs[name] = asType(v, s.valueType.AttributeType(name))
		}
	}
	for name := range s.Outputs {
		if in, ok := r.Outputs[name]; ok {
			attrs[name] = cty.StringVal(in.Path)
		}
	}
	if attrs["status"] = cty.StringVal(r.Status); r.Status != StatusNone {
		attrs["seconds"] = number(r.Seconds)
	}
	return attrs
}
