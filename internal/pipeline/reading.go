package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Read evaluates the values of a target from its outputs (name to path) and checks its postconditions.
func (m *Molecule) Read(s *Stage, i int, outputs map[string]string) (map[string]any, error) {
	m.forget(outputs)
	extra, err := m.outputScope(s, i, outputs)
	if err != nil {
		return nil, err
	}
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
		for name := range values {
			if clash := s.clash(name); clash != nil {
				return nil, m.p.at(s.values, clash)
			}
		}
	}
	return values, m.hold(s.post, extra)
}

// outputScope is scope with the target's outputs (name to path).
func (m *Molecule) outputScope(s *Stage, i int, outputs map[string]string) (map[string]cty.Value, error) {
	extra := m.scope(s, i, 0)
	paths := make(map[string]cty.Value, len(outputs))
	for name, path := range outputs {
		paths[name] = cty.StringVal(path)
		if paths[name].AsString() != path {
			return nil, fmt.Errorf("%s: an accent in this path is stored as a letter of its own, which pipeline.hcl can't write; rename the folder or the molecule", path)
		}
	}
	extra["output"] = cty.ObjectVal(paths)
	return extra, nil
}

// Reading describes how Read would evaluate: while it is the same text and the outputs are the same, so are the values.
func (m *Molecule) Reading(s *Stage, i int) string {
	var b strings.Builder
	b.WriteString(s.reading.text)
	ctx := m.context(m.scope(s, i, 0))
	for _, u := range s.reading.uses {
		v, diags := u.value(ctx)
		m.describe(&b, u.name, v, diags)
	}
	return hashOf([]byte(b.String()))
}

// describe writes a value, and the hashes of the files that it names.
func (m *Molecule) describe(b *strings.Builder, name string, v cty.Value, diags hcl.Diagnostics) {
	g, err := toGo(v)
	if diags.HasErrors() || err != nil {
		fmt.Fprintf(b, "%q: none\n", name)
		return
	}
	used := &uses{}
	data, _ := json.Marshal(m.withoutPlaces(g, used)) // of what toGo gives, all can be written
	fmt.Fprintf(b, "%q %s\n", name, data)
	for n, in := range used.inputs {
		fmt.Fprintf(b, "input %d %s\n", n+1, in.SHA256)
	}
}

// withoutPlaces writes files of other targets by number, and drops the wall time of a stage that is named as a whole: no
// value depends on it.
func (m *Molecule) withoutPlaces(v any, used *uses) any {
	switch x := v.(type) {
	case string:
		return m.label(x, used, true)
	case map[string]any:
		if _, ok := x["status"]; ok {
			delete(x, "seconds")
		}
		for _, k := range names(x) { // in order: numbers are given in it
			x[k] = m.withoutPlaces(x[k], used)
		}
	case []any:
		for i := range x {
			x[i] = m.withoutPlaces(x[i], used)
		}
	}
	return v
}

// Merge evaluates the merge block to the texts of cells. Where the molecule failed, a cell that can't be computed is
// blank; else that is an error.
func (m *Molecule) Merge(failed bool) (map[string]string, error) {
	out := make(map[string]string, len(m.p.merge))
	ctx := m.context(nil)
	for _, a := range m.p.merge {
		v, diags := a.Expr.Value(ctx)
		err := m.p.plain(diags)
		if err == nil && !v.IsNull() && v.IsKnown() {
			if out[a.Name], err = cellText(v); err != nil {
				err = m.p.at(a.Expr, err)
			}
		}
		if err != nil && !failed {
			return nil, err
		}
		if err != nil || v.IsNull() || !v.IsKnown() {
			out[a.Name] = ""
		}
	}
	return out, nil
}

// cellText writes a value as a cell. A whole number keeps its digits. A fraction has twelve significant
// digits, which is more than any program here gives and hides the last bits of a difference.
func cellText(v cty.Value) (string, error) {
	if v.Type() != cty.Number {
		text, err := convertTo(v, cty.String)
		if err != nil {
			return "", err
		}
		return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(strings.ToValidUTF8(text.AsString(), "\uFFFD")), nil
	}
	if !finite(v) {
		return "", errInfinite
	}
	if whole(v) {
		return v.AsBigFloat().Text('f', 0), nil
	}
	digits := 12
	if size := math.Abs(toFloat(v)); size >= 1e12 && size < 1e21 {
		digits = 17 // else digits before the point would change
		if size < 1e15 {
			digits = 15
		}
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(toFloat(v), 'g', digits, 64), 64)
	if err != nil {
		return "", errInfinite
	}
	form := byte('f')
	if size := math.Abs(short); size >= 1e21 || (size < 1e-9 && size > 0) {
		form = 'e'
	}
	return strconv.FormatFloat(short+0, form, -1, 64), nil // + 0: there is no -0
}
