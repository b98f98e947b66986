package pipeline

import (
	"fmt"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// decodeAtLeast reads how many targets of a for_each stage must succeed for the failed ones to be
// left out.
func (s *Stage) decodeAtLeast(a *hcl.Attribute) hcl.Diagnostics {
	v, d := constant(a, cty.Number)
	if d.HasErrors() {
		return d
	}
	n := toFloat(v)
	switch {
	case !s.ForEach:
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable at_least", fmt.Sprintf("Stage %q has no for_each, so it has one target, which must succeed.", s.Name))}
	case n < 1 || n > maxItems || n != float64(int(n)):
		return hcl.Diagnostics{wrong(a.Expr.Range(), "Unsuitable at_least", fmt.Sprintf("at_least is how many targets must succeed: a whole number from 1 to %d.", maxItems))}
	}
	s.AtLeast = int(n)
	return nil
}

// LeftOut reports whether a target has nothing to be made from: its element of for_each is null, or
// the result of a target that was left out.
func (m *Molecule) LeftOut(s *Stage, i int) bool {
	if !s.ForEach || i >= len(m.each[s.Name]) {
		return false
	}
	v := m.each[s.Name][i]
	if v.IsNull() {
		return true
	}
	t := v.Type()
	if !t.IsObjectType() || !t.HasAttribute("status") || !t.HasAttribute("seconds") {
		return false
	}
	status := v.GetAttr("status")
	return status.Type() == cty.String && !status.IsNull() && status.AsString() == StatusLeftOut
}

// namesOfAll gives results that were left out the values' names of the others, without values,
// where the names are not known before the stage has run: stage.NAME[*].value then is null for
// them, and no mistake.
func (s *Stage) namesOfAll(results []Result) []Result {
	if s.valueType.IsObjectType() {
		return results
	}
	none := map[string]any{}
	for _, r := range results {
		for name := range r.Values {
			none[name] = nil
		}
	}
	out := make([]Result, len(results))
	for i, r := range results {
		if out[i] = r; r.Status == StatusLeftOut {
			out[i].Values = maps.Clone(none)
		}
	}
	return out
}
