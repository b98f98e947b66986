package pipeline

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// EnvPrefix begins the environment variables that set a pipeline's variables.
const EnvPrefix = "GRIMPERIUM_VAR_"

// setVariables gives every variable its value: default, environment, file of values, -set; the last one wins.
func (p *Pipeline) setVariables(o Options) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, kv := range o.Environ {
		name, text, _ := strings.Cut(kv, "=")
		v := p.variables[strings.TrimPrefix(name, EnvPrefix)]
		if v == nil || !strings.HasPrefix(name, EnvPrefix) {
			continue // another pipeline's variable may be set for the whole shell
		}
		diags = append(diags, p.assign(v, cty.StringVal(text), name, hcl.Range{Filename: "<" + name + ">", Start: hcl.InitialPos, End: hcl.InitialPos})...)
	}
	if o.VarFile != "" {
		src, err := readBounded(o.VarFile, maxPipelineSize)
		if err != nil {
			return append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unreadable file of values", Detail: err.Error() + "."})
		}
		file, d := parse(o.VarFile, src)
		if diags = append(diags, d...); file != nil {
			diags = append(diags, p.assignAll(file.Body.(*hclsyntax.Body).Attributes, "-varFile="+o.VarFile)...)
		}
	}
	if strings.TrimSpace(o.Set) != "" {
		attrs, d := parseSet(o.Set)
		diags = append(diags, d...)
		diags = append(diags, p.assignAll(attrs, "-set")...)
	}
	for _, v := range p.Variables {
		if v.Source == "" && !diags.HasErrors() {
			diags = append(diags, wrong(v.rng, "Variable without a value", fmt.Sprintf("The variable %q has no default; give it a value with -set='%s=...'.", v.Name, v.Name)))
		}
		if g, err := toGo(v.value); err == nil {
			v.Value = g
		}
	}
	return diags
}

// parseSet reads "a=1, b=word, c=\"text\"": HCL, one assignment a line, with commas for the line breaks.
func parseSet(set string) (hclsyntax.Attributes, hcl.Diagnostics) {
	const name = "<value of -set>"
	e, diags := hclsyntax.ParseExpression([]byte("{"+set+"}"), name, hcl.Pos{Line: 1, Column: 0, Byte: -1})
	obj, ok := e.(*hclsyntax.ObjectConsExpr)
	if diags.HasErrors() || !ok {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unreadable -set",
			Detail: fmt.Sprintf("-set=%q can't be read. Write -set='name=value, name=\"a text\"'.", set)}}
	}
	attrs := hclsyntax.Attributes{}
	for _, item := range obj.Items {
		key := hcl.ExprAsKeyword(item.KeyExpr)
		if key == "" {
			return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unreadable -set", Detail: fmt.Sprintf("-set=%q: a variable's name must stand before each =.", set)}}
		}
		attrs[key] = &hclsyntax.Attribute{Name: key, Expr: item.ValueExpr, SrcRange: item.KeyExpr.Range(), NameRange: item.KeyExpr.Range()}
	}
	return attrs, nil
}

func (p *Pipeline) assignAll(attrs hclsyntax.Attributes, source string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, a := range inOrder(attrs) {
		v := p.variables[a.Name]
		if v == nil {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Value for an undeclared variable",
				Detail: fmt.Sprintf("%s sets %q, but no variable of that name is declared.%s", source, a.Name, didYouMean(a.Name, names(p.variables)))})
			continue
		}
		value, d := a.Expr.Value(nil)
		if word := hcl.ExprAsKeyword(a.Expr); d.HasErrors() && word != "" {
			value, d = cty.StringVal(word), nil // -set=search=crest: a bare word is a text
		}
		if diags = append(diags, d...); !d.HasErrors() {
			diags = append(diags, p.assign(v, value, source, a.Expr.Range())...)
		}
	}
	return diags
}

func (p *Pipeline) assign(v *Variable, value cty.Value, source string, rng hcl.Range) hcl.Diagnostics {
	want := v.want
	if want == cty.DynamicPseudoType && v.Source != "" && !v.value.IsNull() && v.value.Type().IsPrimitiveType() {
		want = v.value.Type()
	}
	c, err := convertTo(value, want)
	if err != nil {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unsuitable value for a variable",
			Detail: fmt.Sprintf("%s sets the variable %q to a value of another type: %s.", source, v.Name, err)}}
	}
	v.value, v.Source = c, source
	return nil
}

// checkVariables evaluates the validation blocks.
func (p *Pipeline) checkVariables() hcl.Diagnostics {
	var diags hcl.Diagnostics
	ctx := p.context(nil)
	for _, v := range p.Variables {
		for _, c := range v.checks {
			sc := scope{what: "a validation", vars: true}
			d := append(p.references(c.condition, sc), p.references(c.message, sc)...)
			if !d.HasErrors() {
				if msg, bad := evalCondition(c, ctx); bad.HasErrors() {
					d = bad
				} else if msg != "" {
					d = hcl.Diagnostics{wrong(c.rng, "Invalid value for a variable", fmt.Sprintf("The variable %q (from %s): %s", v.Name, v.Source, msg))}
				}
			}
			diags = append(diags, d...)
		}
	}
	return diags
}

// evalCondition returns the condition's message when it does not hold, "" when it holds or is not known yet.
func evalCondition(c *condition, ctx *hcl.EvalContext) (string, hcl.Diagnostics) {
	v, diags := c.condition.Value(ctx)
	if diags.HasErrors() {
		return "", diags
	}
	v, err := convertTo(v, cty.Bool)
	if err != nil {
		return "", hcl.Diagnostics{wrong(c.condition.Range(), "Unsuitable condition", "A condition must be true or false.")}
	}
	holds := v.IsKnown() && !v.IsNull() && v.True()
	msg, diags := c.message.Value(ctx)
	if holds {
		return "", nil
	}
	if diags.HasErrors() {
		return "", diags
	}
	if msg, err = convertTo(msg, cty.String); err != nil {
		return "", hcl.Diagnostics{wrong(c.message.Range(), "Unsuitable message", "An error_message must be a text.")}
	}
	switch {
	case !v.IsKnown():
		return "", nil
	case v.IsNull():
		return "", hcl.Diagnostics{wrong(c.condition.Range(), "Unsuitable condition", "The condition has no value (null).")}
	case !msg.IsKnown() || msg.IsNull() || msg.AsString() == "":
		return "the condition does not hold", nil
	}
	return msg.AsString(), nil
}
