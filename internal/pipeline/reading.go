package pipeline

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Read evaluates the values of a target from its outputs (name to path), as a JSON object, and
// checks what must hold of them. It returns the values also with an error of a check.
func (m *Molecule) Read(s *Stage, i int, outputs map[string]string) (values []byte, err error) {
	ev := m.reading(s, i, outputs)
	values = take(ev, s.values, func(v cty.Value) ([]byte, error) {
		if !isObject(v.Type()) {
			return nil, errors.New("values must be an object")
		}
		for name := range v.AsValueMap() {
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

// recipe is what decides how the values of a stage's targets are read, as far as the file says it:
// the expressions with their local values, the versions of their functions, the files that they
// read.
type recipe struct {
	text string
	uses map[string]hcl.Traversal // the molecule's values that they name, by their text
}

func (p *Pipeline) newRecipe(s *Stage) *recipe {
	r := &recipe{uses: map[string]hcl.Traversal{}}
	var b strings.Builder
	versions := map[string]int{}
	runs := func(e *expression) bool { return e.roots&outputRoot == 0 }
	for _, e := range p.withLocals(slices.DeleteFunc(slices.Clone(s.expressions), runs)...) {
		fmt.Fprintf(&b, "expression %q\n", p.tokens(e.Range()))
		visit(e.Expression, func(n hclsyntax.Node) {
			if f, ok := n.(*hclsyntax.FunctionCallExpr); ok && p.versions[f.Name] != 0 {
				versions[f.Name] = p.versions[f.Name]
			}
		})
		for _, t := range e.Variables() {
			if root := t.RootName(); root != "output" && root != "local" {
				r.uses[p.tokens(t.SourceRange())] = t
			}
		}
	}
	for _, name := range names(versions) {
		fmt.Fprintf(&b, "function %s %d\n", name, versions[name])
	}
	for _, path := range s.reads {
		fmt.Fprintf(&b, "file %s\n", p.files[path])
	}
	r.text = b.String()
	return r
}

// Reading describes how Read would evaluate: while it is the same text and the outputs are the
// same, so are the values.
func (m *Molecule) Reading(s *Stage, i int) string {
	var b strings.Builder
	b.WriteString(s.recipe.text)
	nothing := &expression{}
	ctx, _ := m.context(nothing, m.evaluation(s, i, 0).extra)
	for _, name := range names(s.recipe.uses) {
		v, diags := s.recipe.uses[name].TraverseAbs(ctx)
		data, err := toJSON(m.portable(v))
		if diags.HasErrors() || err != nil {
			data = []byte("none")
		}
		fmt.Fprintf(&b, "%q %s\n", name, data)
	}
	return hashOf([]byte(b.String()))
}

// portable is a value with the content of files instead of their places, and without the wall time
// of targets: no value depends on it but by name.
func (m *Molecule) portable(v cty.Value) cty.Value {
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if v.IsNull() || !v.IsKnown() {
			return v, nil
		}
		switch t := v.Type(); {
		case t == cty.String && strings.Contains(v.AsString(), "/"):
			return cty.StringVal(m.replaceInputs(v.AsString(),
				func(in Input) string { return in.SHA256 })), nil
		case isTarget(t):
			attrs := v.AsValueMap()
			attrs["seconds"] = cty.NullVal(t.AttributeType("seconds"))
			return cty.ObjectVal(attrs), nil
		}
		return v, nil
	})
	if err != nil {
		return cty.DynamicVal
	}
	return out
}

// cellText writes a value as a cell. A whole number keeps its digits. A fraction has twelve
// significant digits, which is more than any program here gives and hides the last bits of a
// difference.
func cellText(v cty.Value) (string, error) {
	if v.Type() != cty.Number {
		text, err := convertTo(v, cty.String)
		if err != nil {
			return "", err
		}
		valid := strings.ToValidUTF8(text.AsString(), "\uFFFD")
		return strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(valid), nil
	}
	if err := tooLarge(v); err != nil {
		return "", err
	}
	if allDigits(v) {
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
