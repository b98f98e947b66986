package pipeline

import (
	"fmt"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// context is what expressions see before there is a molecule.
func (p *Pipeline) context(more map[string]cty.Value) *hcl.EvalContext {
	vars := map[string]cty.Value{"var": p.vars, "local": p.static}
	maps.Copy(vars, more)
	return &hcl.EvalContext{Variables: vars, Functions: p.functions}
}

// unknownMol is mol during the check: nothing of a molecule is known, but its type.
func (p *Pipeline) unknownMol() cty.Value {
	if p.anyColumn {
		return cty.DynamicVal
	}
	mol := make(map[string]cty.Value, len(p.columns))
	for name := range p.columns {
		mol[name] = cty.UnknownVal(p.columnType(name))
	}
	return cty.ObjectVal(mol)
}

// checkContext is what a stage's expressions see during the check: everything of a molecule unknown, but of its type.
func (p *Pipeline) checkContext(s *Stage) *hcl.EvalContext {
	more := map[string]cty.Value{"attempt": cty.UnknownVal(cty.Number).RefineNotNull(), "salvaged": cty.UnknownVal(cty.List(cty.String)).RefineNotNull(), "mol": p.mol, "local": p.local}
	stages := map[string]cty.Value{}
	for _, name := range s.DependsOn {
		stages[name] = p.unknown[name]
	}
	more["stage"] = cty.ObjectVal(stages)
	out := map[string]cty.Value{}
	for name := range s.Outputs {
		out[name] = cty.UnknownVal(cty.String).RefineNotNull()
	}
	more["output"] = cty.ObjectVal(out)
	if s.ForEach {
		more["each"] = p.unknownEach(s, more)
	}
	return p.context(more)
}

// mergeContext is what the merge block sees during the check.
func (p *Pipeline) mergeContext() *hcl.EvalContext {
	return p.context(map[string]cty.Value{"mol": p.mol, "local": p.local, "stage": cty.ObjectVal(p.unknown)})
}

// unknownEach types each.value by what for_each is a list of.
func (p *Pipeline) unknownEach(s *Stage, more map[string]cty.Value) cty.Value {
	value := cty.DynamicVal
	if p.references(s.each, scope{vars: true, locals: true, mol: true, stages: true, stage: s}) == nil {
		if v, diags := p.value(s.each, p.context(more)); !diags.HasErrors() && v.Type().IsListType() {
			value = cty.UnknownVal(v.Type().ElementType())
		}
	}
	return cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.Number).RefineNotNull(), "value": value})
}

// resultType is the object that stage.NAME is, dynamic where the values' names are not known before the stage has run.
func (s *Stage) resultType() cty.Type {
	if !s.valueType.IsObjectType() {
		return cty.DynamicPseudoType
	}
	attrs := map[string]cty.Type{"status": cty.String, "seconds": cty.Number}
	for name, t := range s.valueType.AttributeTypes() {
		attrs[name] = t
	}
	for name := range s.Outputs {
		attrs[name] = cty.String
	}
	return cty.Object(attrs)
}

func (p *Pipeline) unknownResult(s *Stage) cty.Value {
	t := s.resultType()
	if s.off {
		return s.absent()
	}
	switch {
	case t == cty.DynamicPseudoType:
		return cty.DynamicVal
	case s.ForEach && t.HasDynamicTypes():
		return cty.DynamicVal
	case s.ForEach:
		return cty.UnknownVal(cty.List(t)).RefineNotNull()
	}
	attrs := map[string]cty.Value{}
	for name, at := range t.AttributeTypes() {
		attrs[name] = cty.UnknownVal(at)
		if _, ok := s.Outputs[name]; ok {
			attrs[name] = cty.UnknownVal(at).RefineNotNull()
		}
	}
	return cty.ObjectVal(attrs)
}

// turnedOff says whether a stage is off for every molecule, as by var.search == "crest" && stage.rdkit.nrotors > 0 with another search.
func (p *Pipeline) turnedOff(s *Stage) bool {
	if s.enabled == nil || p.references(s.enabled, scope{vars: true, locals: true, mol: true, stages: true, stage: s}) != nil {
		return false
	}
	v, diags := p.value(s.enabled, p.context(map[string]cty.Value{"local": p.local, "mol": p.mol, "stage": cty.DynamicVal}))
	return !diags.HasErrors() && v.Type() == cty.Bool && v.IsKnown() && !v.IsNull() && v.False()
}

// Off says whether the stage is turned off for every molecule. Its programs need not be there.
func (s *Stage) Off() bool { return s.off }

// absent is the object of a stage that has no result: every output and value null.
func (s *Stage) absent() cty.Value {
	t := s.resultType()
	switch {
	case s.ForEach && t.HasDynamicTypes():
		return cty.EmptyTupleVal
	case s.ForEach:
		return cty.ListValEmpty(t)
	}
	return cty.ObjectVal(s.absentOne())
}

// absentOne has the attributes of a target without a result.
func (s *Stage) absentOne() map[string]cty.Value {
	attrs := map[string]cty.Value{}
	if t := s.resultType(); t.IsObjectType() {
		for name, at := range t.AttributeTypes() {
			attrs[name] = cty.NullVal(at)
		}
	}
	for name := range s.Outputs {
		attrs[name] = cty.NullVal(cty.String)
	}
	attrs["seconds"] = cty.NullVal(cty.Number)
	attrs["status"] = cty.StringVal(StatusNone)
	return attrs
}

// result is the object of one target.
func (s *Stage) result(r Result) cty.Value {
	attrs := maps.Clone(s.noneOne)
	if s.valueType.IsObjectType() {
		for name, t := range s.valueType.AttributeTypes() {
			attrs[name] = asType(fromGo(r.Values[name]), t)
		}
	} else {
		for name, v := range r.Values {
			attrs[name] = fromGo(v)
		}
	}
	for name := range s.Outputs {
		if in, ok := r.Outputs[name]; ok {
			attrs[name] = cty.StringVal(in.Path)
		}
	}
	attrs["status"] = cty.StringVal(r.Status)
	if r.Status != StatusNone {
		attrs["seconds"] = number(r.Seconds)
	}
	return cty.ObjectVal(attrs)
}

// update tells the expressions what became of a stage.
func (m *Molecule) update(s *Stage) {
	if m.stages == nil {
		m.stages = m.p.noStages.AsValueMap()
	}
	m.stages[s.Name] = m.stageValue(s)
	m.root.Variables["stage"] = cty.ObjectVal(m.stages)
}

// context is what expressions see for this molecule.
func (m *Molecule) context(extra map[string]cty.Value) *hcl.EvalContext {
	if len(extra) == 0 {
		return m.root
	}
	ctx := m.root.NewChild()
	ctx.Variables = extra
	return ctx
}

func (m *Molecule) stageValue(s *Stage) cty.Value {
	results := m.results[s.Name]
	if len(results) == 0 || m.off[s.Name] {
		return s.none
	}
	if !s.ForEach {
		return s.result(results[0])
	}
	elems := make([]cty.Value, len(results))
	same := true
	results = s.namesOfAll(results)
	for i, r := range results {
		elems[i] = s.result(r)
		same = same && elems[i].Type().Equals(elems[0].Type())
	}
	if same {
		return cty.ListVal(elems)
	}
	return cty.TupleVal(elems)
}

// source is the content of a file beside pipeline.hcl, as it was when the pipeline was checked.
func (p *Pipeline) source(name string) ([]byte, error) {
	data, ok := p.sources[p.rooted(name)]
	if !ok {
		return nil, fmt.Errorf("%s: was not read when the pipeline was checked", name)
	}
	return data, nil
}
