package pipeline

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Functions that instrument puts into the expressions: no identifiers, so that nobody can call them.
const (
	elementName = "for"
	textName    = "${}"
)

// instrument makes every for expression of the file count its elements, because a few short ones in each other are endless; and every
// template write numbers as doubles.
func (p *Pipeline) instrument(n hclsyntax.Node) {
	call := func(name string, e hclsyntax.Expression) hclsyntax.Expression {
		if e == nil {
			return nil
		}
		return &hclsyntax.FunctionCallExpr{Name: name, Args: []hclsyntax.Expression{e}, NameRange: e.Range(), OpenParenRange: e.Range(), CloseParenRange: e.Range()}
	}
	_ = hclsyntax.VisitAll(n, func(n hclsyntax.Node) hcl.Diagnostics {
		switch x := n.(type) {
		case *hclsyntax.ForExpr:
			x.ValExpr, x.CondExpr = call(elementName, x.ValExpr), call(elementName, x.CondExpr)
		case *hclsyntax.TemplateExpr:
			for i, part := range x.Parts {
				if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
					x.Parts[i] = call(textName, part)
				}
			}
		}
		return nil
	})
}

// through is a function that hands its argument on, after a look at it.
func through(look func(cty.Value) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return look(args[0]) },
	})
}

// countElement is what a for expression does to each of its elements.
func (p *Pipeline) countElement(v cty.Value) (cty.Value, error) {
	return v, p.spend(elementCost + p.cost([]cty.Value{v}))
}

// asDouble makes a number the decimal number that its double is written as: computed with 512 bits, 0.1 * 3 would be a text of 150 digits.
func asDouble(v cty.Value) (cty.Value, error) {
	if v.Type() != cty.Number || !v.IsKnown() || v.IsNull() {
		return v, nil
	}
	if !finite(v) {
		return v, errInfinite
	}
	if v.AsBigFloat().IsInt() {
		return v, nil
	}
	return number(toFloat(v)), nil
}

// asDoubles is asDouble for a value or the elements of a list.
func asDoubles(v cty.Value) (cty.Value, error) {
	if !v.Type().IsTupleType() || !v.IsKnown() || v.IsNull() {
		return asDouble(v)
	}
	elems := v.AsValueSlice()
	for i, e := range elems {
		var err error
		if elems[i], err = asDouble(e); err != nil {
			return v, err
		}
	}
	return cty.TupleVal(elems), nil
}
