package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"grimperium/internal/packed"
)

// Names of functions that other code knows.
const (
	fileName, jsonName, templateName, ignoreName = "file", "json", "templatefile", "ignore_changes"
)

// dynamic is a function whose type is that of its value.
func dynamic(params []function.Parameter,
	value func([]cty.Value) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{Params: params,
		Type: func(args []cty.Value) (cty.Type, error) {
			v, err := value(args)
			return v.Type(), err
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return value(args) },
	})
}

// jsonFunc decodes the JSON text that its argument is, or names.
func jsonFunc(param string, text func(string) ([]byte, error)) function.Function {
	params := []function.Parameter{{Name: param, Type: cty.String}}
	return dynamic(params, func(args []cty.Value) (cty.Value, error) {
		if !args[0].IsKnown() {
			return cty.DynamicVal, nil
		}
		data, err := text(args[0].AsString())
		if err == nil && !json.Valid(data) { // which bounds the depth, too
			err = &callError{fmt.Errorf("%.60q is not JSON", args[0].AsString())}
		}
		if err != nil {
			return cty.DynamicVal, err
		}
		return stdlib.JSONDecode(cty.StringVal(string(data)))
	})
}

// read gives the content of a file that an expression names. If the file is the user's own, and no
// artefact, read notes it, because the pipeline then depends on it. No artefact has a name before
// the pipeline is checked.
func (p *Pipeline) read(name string) ([]byte, error) {
	path := p.rooted(name)
	own := !filepath.IsAbs(name) || p.watch != nil
	if own && p.watch != nil {
		if e := p.watch.underway.Load(); e != nil {
			e.reads = append(e.reads, path)
		}
	}
	if data, ok := p.sources[path]; ok {
		return data, nil // as it was when the pipeline was checked: a batch sees one version of it
	}
	if own && p.watch == nil {
		return nil, &callError{dependent(name)}
	}
	read := readBounded
	if !own && packed.Stored(path) != path {
		read = packed.ReadFile
	}
	data, err := read(path, maxFileSize)
	if err != nil {
		if own && errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: no such file (names start in the folder of pipeline.hcl)", name)
		}
		return nil, &callError{err}
	}
	if own {
		data = withoutCR(data)
		p.files[path], p.sources[path] = hashOf(data), data
	}
	return data, nil
}

func round(x float64, decimals int) (float64, error) {
	if decimals < 0 || decimals > 15 {
		return 0, errors.New("the decimals must be a whole number from 0 to 15")
	}
	return strconv.ParseFloat(strconv.FormatFloat(x, 'f', decimals, 64), 64)
}

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.Zero
		for _, e := range args[0].AsValueSlice() {
			if e.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "has an element without a value")
			}
			total = total.Add(e)
		}
		return total, nil
	},
})

// upTo makes a function of a list and a number by one of stdlib's. The number is at most the length
// of the list minus less. order puts the arguments into the order of stdlib's function.
func upTo(list, number int, less int64, f function.Function,
	order func(list, n cty.Value) []cty.Value) function.Function {
	params := make([]function.Parameter, 2)
	params[list] = function.Parameter{Name: "list", Type: cty.DynamicPseudoType}
	params[number] = function.Parameter{Name: "number", Type: cty.Number}
	return prepared(f, &function.Spec{Params: params}, func(args []cty.Value) ([]cty.Value, error) {
		l, n := args[list], args[number]
		if t := l.Type(); !isList(t) && t != cty.DynamicPseudoType {
			return nil, function.NewArgErrorf(list, "must be a list, not %s", aType(t))
		}
		if n.IsKnown() && !(toFloat(n) >= 0 && n.AsBigFloat().IsInt()) {
			return nil, function.NewArgErrorf(number, "must be a whole number, 0 or more")
		}
		if l.IsKnown() && n.IsKnown() && isList(l.Type()) {
			n = cty.NumberIntVal(min(int64(toFloat(n)), int64(l.LengthInt())-less))
		}
		return order(l, n), nil
	})
}

var (
	firstFunc = upTo(1, 0, 0, stdlib.SliceFunc, func(list, n cty.Value) []cty.Value {
		return []cty.Value{list, cty.Zero, n}
	})
	stepFunc = upTo(0, 1, 1, stdlib.ElementFunc, func(list, n cty.Value) []cty.Value {
		return []cty.Value{list, n}
	})
)

// isStage reports whether a type is that of stage.NAME.
func isStage(t cty.Type) bool {
	switch {
	case t.IsListType():
		return isTarget(t.ElementType())
	case t.IsTupleType():
		return each(isTarget)(t.TupleElementTypes())
	}
	return isTarget(t)
}

// isTarget reports whether a type is that of one target of a stage.
func isTarget(t cty.Type) bool {
	return t.IsObjectType() && t.HasAttribute("status") && t.HasAttribute("seconds")
}

// ofStages is a function of an attribute of each target of stages. A last text is handed on.
func ofStages(attr string, result cty.Type,
	fold func(stages [][]cty.Value, text cty.Value) cty.Value) function.Function {
	call := func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		text := cty.StringVal("OK")
		if n := len(args) - 1; n > 0 && result == cty.String && args[n].Type() == cty.String {
			args, text = args[:n], args[n]
		}
		if len(args) == 0 {
			return cty.NilVal, errors.New("at least one stage is needed, like stage.pm7")
		}
		values, known := make([][]cty.Value, len(args)), text.IsKnown()
		for i, s := range args {
			dynamic := s.Type() == cty.DynamicPseudoType && !s.IsKnown()
			if !dynamic && (!isStage(s.Type()) || s.IsNull()) {
				return cty.NilVal, function.NewArgErrorf(i, "must be a stage, like stage.pm7")
			}
			if known = known && s.IsWhollyKnown(); !known {
				continue
			}
			targets := []cty.Value{s}
			if isList(s.Type()) {
				targets = s.AsValueSlice()
			}
			for _, t := range targets {
				values[i] = append(values[i], t.GetAttr(attr))
			}
		}
		if !known {
			return cty.UnknownVal(result), nil
		}
		return fold(values, text), nil
	}
	return function.New(&function.Spec{Type: function.StaticReturnType(result), Impl: call,
		VarParam: &function.Parameter{Name: "stage", Type: cty.DynamicPseudoType, AllowNull: true,
			AllowUnknown: true, AllowDynamicType: true}})
}

var statusFunc = ofStages("status", cty.String, func(stages [][]cty.Value, ok cty.Value) cty.Value {
	is := func(status string) func(cty.Value) bool {
		return func(v cty.Value) bool { return v.AsString() == status }
	}
	switch {
	case slices.ContainsFunc(slices.Concat(stages...), is(StatusFailed)):
		return cty.StringVal("FAILED")
	case slices.ContainsFunc(stages[0], is(StatusNone)), each(is(StatusLeftOut))(stages[0]):
		return cty.StringVal("NOT_ATTEMPTED") // also of no target
	}
	return ok
})

var secondsFunc = ofStages("seconds", cty.Number, func(of [][]cty.Value, _ cty.Value) cty.Value {
	total := cty.NullVal(cty.Number)
	for _, t := range slices.Concat(of...) {
		switch {
		case total.IsNull():
			total = t
		case !t.IsNull():
			total = total.Add(t)
		}
	}
	return total
})

func (p *Pipeline) templateFunc(table map[string]function.Function) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars",
			Type: cty.DynamicPseudoType}},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			data, err := p.read(name)
			if err != nil {
				return cty.NilVal, err
			}
			if !isObject(args[1].Type()) {
				return cty.NilVal, function.NewArgErrorf(1, "must be an object of names and values")
			}
			e, diags := p.template(data, name)
			var v cty.Value
			if !diags.HasErrors() {
				vars := args[1].AsValueMap()
				v, diags = e.Value(&hcl.EvalContext{Variables: vars, Functions: table})
			}
			if diags.HasErrors() {
				return cty.NilVal, &callError{p.plain(diags)}
			}
			return convertTo(v, cty.String)
		},
	})
}

// template reads the text of a template, within the bounds of pipeline.hcl itself.
func (p *Pipeline) template(data []byte, name string) (hclsyntax.Expression, hcl.Diagnostics) {
	if len(data) > maxPipelineSize {
		return nil, hcl.Diagnostics{wrongf(atLine(name, 1), "Template too large",
			"It has more than %d bytes.", maxPipelineSize)}
	}
	data = plainText(data)
	e, diags := parsed(data, name, hclsyntax.LexTemplate, hclsyntax.ParseTemplate)
	if e != nil {
		p.instrument(e)
	}
	return e, diags
}
