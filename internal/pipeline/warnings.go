package pipeline

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
)

var errWarnings = errors.New("warnings must be a list of texts; null and empty ones say nothing")

// checkWarnings says why a value, which may be unknown, can't be a stage's warnings; nil if it can.
func checkWarnings(v cty.Value) error {
	t := v.Type()
	if t == cty.DynamicPseudoType {
		return nil
	}
	var elems []cty.Type
	switch {
	case t.IsTupleType():
		elems = t.TupleElementTypes()
	case t.IsListType() || t.IsSetType():
		elems = []cty.Type{t.ElementType()}
	default:
		return errWarnings
	}
	for _, e := range elems {
		if e != cty.DynamicPseudoType && !e.IsPrimitiveType() {
			return errWarnings
		}
	}
	return nil
}

// Warnings evaluates what the stage warns of, from its outputs (name to path), after Read.
func (m *Molecule) Warnings(s *Stage, i int, outputs map[string]string) ([]string, error) {
	if s.warnings == nil {
		return nil, nil
	}
	extra, err := m.outputScope(s, i, outputs)
	if err != nil {
		return nil, err
	}
	v, diags := s.warnings.Value(m.context(extra))
	if diags.HasErrors() {
		return nil, m.p.plain(diags)
	}
	if v.IsNull() {
		return nil, nil
	}
	if err := checkWarnings(v); err != nil || !v.IsWhollyKnown() {
		return nil, m.p.at(s.warnings, errWarnings)
	}
	var out []string
	for _, e := range v.AsValueSlice() {
		if e.IsNull() {
			continue
		}
		text, err := convertTo(e, cty.String)
		if err != nil {
			return nil, m.p.at(s.warnings, err)
		}
		if text.AsString() != "" {
			out = append(out, text.AsString())
		}
	}
	return out, nil
}
