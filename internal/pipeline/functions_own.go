package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"grimperium/internal/packed"
)

const (
	fileName            = "file"
	fileDescription     = "The text of a file: an output, or a file beside pipeline.hcl (its content then decides, too, what is stale)."
	fileExample         = `file(output.log)`
	templateName        = "templatefile"
	templateDescription = "The text of a file beside pipeline.hcl with its ${...} filled in from an object."
	templateExample     = `templatefile("stages/deck.tmpl", { charge = mol.charge })`
)

func (p *Pipeline) fileFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			data, err := p.read(args[0].AsString())
			return cty.StringVal(string(data)), err
		},
	})
}

// read gives the content of a file that an expression names, and notes it where it is the user's own (not an
// artefact), because the pipeline then depends on it.
func (p *Pipeline) read(name string) ([]byte, error) {
	path := p.rooted(name)
	own := !filepath.IsAbs(name)
	if own && p.checking {
		p.reads = append(p.reads, path)
	}
	if data, ok := p.sources[path]; ok {
		return data, nil // as it was when the pipeline was checked: a batch sees one version of it
	}
	if own && !p.checking {
		return nil, &callError{fmt.Errorf("%s: the name depends on the molecule, so that a change of the file would go unseen; name the file itself", name)}
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
		p.files[path], p.sources[path] = hashOf(data), data
	}
	return data, nil
}

var roundFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "number", Type: cty.Number}, {Name: "decimals", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		d := toFloat(args[1])
		if d < 0 || d > 15 || d != float64(int(d)) {
			return cty.NilVal, function.NewArgErrorf(1, "must be a whole number from 0 to 15")
		}
		return cty.ParseNumberVal(strings.TrimPrefix(args[0].AsBigFloat().Text('f', int(d)), "+"))
	},
})

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.Zero
		if !allKnown(args) {
			return cty.UnknownVal(cty.Number), nil
		}
		for _, e := range args[0].AsValueSlice() {
			if e.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "has an element without a value")
			}
			total = total.Add(e)
		}
		return total, nil
	},
})

var firstFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "count", Type: cty.Number}, {Name: "list", Type: cty.DynamicPseudoType, AllowMarked: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		switch t := args[1].Type(); {
		case t.IsListType():
			return t, nil
		case t.IsTupleType() && args[0].IsKnown():
			n, err := firstCount(args)
			return cty.Tuple(t.TupleElementTypes()[:n]), err
		case t == cty.DynamicPseudoType || t.IsTupleType():
			return cty.DynamicPseudoType, nil
		default:
			return cty.NilType, function.NewArgErrorf(1, "must be a list, not %s", aType(t))
		}
	},
	Impl: func(args []cty.Value, ret cty.Type) (cty.Value, error) {
		n, err := firstCount(args)
		elems := args[1].AsValueSlice()
		if err != nil || n == len(elems) {
			return args[1], err
		}
		if ret.IsTupleType() {
			return cty.TupleVal(elems[:n]), nil
		}
		if n == 0 {
			return cty.ListValEmpty(ret.ElementType()), nil
		}
		return cty.ListVal(elems[:n]), nil
	},
})

func firstCount(args []cty.Value) (int, error) {
	n := toFloat(args[0])
	if n < 0 || n != float64(int(n)) {
		return 0, function.NewArgErrorf(0, "must be a whole number, 0 or more")
	}
	return min(int(n), args[1].LengthInt()), nil
}

var statusFunc = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "stage", Type: cty.DynamicPseudoType, AllowNull: true, AllowMarked: true}},
	VarParam: &function.Parameter{Name: "ok", Type: cty.String},
	Type:     ofStage(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !allKnown(args) {
			return cty.UnknownVal(cty.String), nil
		}
		ok := "OK"
		if len(args) > 1 {
			ok = args[1].AsString()
		}
		states := eachResult(args[0], "status")
		if len(states) == 0 {
			return cty.StringVal("NOT_ATTEMPTED"), nil
		}
		word, left := ok, 0
		for _, s := range states {
			switch s.AsString() {
			case StatusFailed:
				return cty.StringVal("FAILED"), nil
			case StatusNone:
				word = "NOT_ATTEMPTED"
			case StatusLeftOut:
				left++
			}
		}
		if left == len(states) {
			word = "NOT_ATTEMPTED"
		}
		return cty.StringVal(word), nil
	},
})

var secondsFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "stage", Type: cty.DynamicPseudoType, AllowNull: true, AllowMarked: true}},
	Type:   ofStage(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !allKnown(args) {
			return cty.UnknownVal(cty.Number), nil
		}
		total, any := cty.Zero, false
		for _, t := range eachResult(args[0], "seconds") {
			if !t.IsNull() {
				total, any = total.Add(t), true
			}
		}
		if !any {
			return cty.NullVal(cty.Number), nil
		}
		return total, nil
	},
})

// ofStage is the type function of what takes a stage and gives a value of one type.
func ofStage(result cty.Type) function.TypeFunc {
	return func(args []cty.Value) (cty.Type, error) {
		var is func(cty.Type) bool
		is = func(t cty.Type) bool {
			switch {
			case t == cty.DynamicPseudoType && !args[0].IsKnown():
				return true
			case t.IsListType():
				return is(t.ElementType())
			case t.IsTupleType():
				for _, e := range t.TupleElementTypes() {
					if !is(e) {
						return false
					}
				}
				return true
			}
			return t.IsObjectType() && t.HasAttribute("status") && t.HasAttribute("seconds")
		}
		if !is(args[0].Type()) || (args[0].IsKnown() && args[0].IsNull()) {
			return cty.NilType, function.NewArgErrorf(0, "must be a stage, like stage.pm7")
		}
		return result, nil
	}
}

// eachResult returns an attribute of a stage's object, or of each object of a for_each stage.
func eachResult(stage cty.Value, attr string) []cty.Value {
	if t := stage.Type(); !t.IsListType() && !t.IsTupleType() {
		return []cty.Value{stage.GetAttr(attr)}
	}
	var out []cty.Value
	for _, e := range stage.AsValueSlice() {
		out = append(out, e.GetAttr(attr))
	}
	return out
}

func (p *Pipeline) templateFunc(table map[string]function.Function) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			data, err := p.read(name)
			if err != nil {
				return cty.NilVal, err
			}
			if t := args[1].Type(); !t.IsObjectType() && !t.IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "must be an object of names and values")
			}
			e, diags := p.template(data, name)
			if diags.HasErrors() {
				return cty.NilVal, &callError{p.plain(diags)}
			}
			v, diags := e.Value(&hcl.EvalContext{Variables: args[1].AsValueMap(), Functions: table})
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
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Template too large", Detail: fmt.Sprintf("%s has more than %d bytes.", name, maxPipelineSize)}}
	}
	tokens, _ := hclsyntax.LexTemplate(data, name, hcl.InitialPos)
	if d := nesting(tokens); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	e, diags := hclsyntax.ParseTemplate(data, name, hcl.InitialPos)
	if e != nil {
		p.instrument(e)
	}
	return e, diags
}

// tryFunc and canFunc take their arguments unevaluated. They say nothing of their result's type before that: to find it, they would have to
// evaluate everything twice, and 2^n times where n of them stand in each other.
var tryFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "expressions", Type: customdecode.ExpressionClosureType},
	Type:     function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		last := "there are none"
		for _, a := range args {
			v, diags := customdecode.ExpressionClosureFromVal(a).Value()
			switch {
			case diags.HasErrors():
				d := soften(diags)[0]
				last = strings.TrimSuffix(d.Summary+": "+d.Detail, ".")
			case !v.IsWhollyKnown():
				return cty.DynamicVal, nil // it may fail yet, once it is known
			default:
				return v, nil
			}
		}
		return cty.NilVal, fmt.Errorf("none of its arguments can be evaluated; the last: %s", last)
	},
})

var canFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "expression", Type: customdecode.ExpressionClosureType}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, diags := customdecode.ExpressionClosureFromVal(args[0]).Value()
		if !diags.HasErrors() && !v.IsWhollyKnown() {
			return cty.UnknownVal(cty.Bool), nil
		}
		return cty.BoolVal(!diags.HasErrors()), nil
	},
})
