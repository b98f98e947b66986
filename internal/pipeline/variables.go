package pipeline

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// EnvPrefix begins the environment variables that set a pipeline's variables.
const EnvPrefix = "GRIMPERIUM_VAR_"

func (p *Pipeline) decodeVariable(b *hcl.Block) hcl.Diagnostics {
	content, diags := b.Body.Content(variableSchema)
	v := &Variable{Name: b.Labels[0], rng: b.DefRange, want: cty.DynamicPseudoType, value: cty.DynamicVal}
	if a := content.Attributes["description"]; a != nil {
		d, bad := constant(a, cty.String)
		if diags = append(diags, bad...); !bad.HasErrors() {
			v.Description = d.AsString()
		}
	}
	if a := content.Attributes["type"]; a != nil {
		t, bad := typeexpr.TypeConstraint(a.Expr)
		if diags = append(diags, bad...); !bad.HasErrors() {
			v.want = t
		}
	}
	if a := content.Attributes["default"]; a != nil {
		d, bad := a.Expr.Value(nil)
		if bad.HasErrors() && len(a.Expr.Variables()) > 0 {
			bad = hcl.Diagnostics{wrong(a.Expr.Range(), "Default is not a constant", "A variable's default may name nothing. Use a local value for what is computed from others.")}
		}
		if diags = append(diags, bad...); bad.HasErrors() {
			v.bad = true
		} else if c, err := convertTo(d, v.want); err != nil {
			v.bad = true
			diags = append(diags, wrong(a.Expr.Range(), "Unsuitable default", fmt.Sprintf("The default of %q is not of its type: %s.", v.Name, err)))
		} else {
			v.value, v.Source = c, "default"
		}
	}
	v.checks, diags = withConditions(diags, content.Blocks, "validation")
	p.variables[v.Name] = v
	p.Variables = append(p.Variables, v)
	return diags
}

// setVariables gives every variable its value: default, environment, file of values, -set; the last one wins.
func (p *Pipeline) setVariables(o Options) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, kv := range o.Environ {
		name, text, _ := strings.Cut(kv, "=")
		v := p.variables[strings.TrimPrefix(name, EnvPrefix)]
		if v == nil || !strings.HasPrefix(name, EnvPrefix) {
			continue // another pipeline's variable may be set for the whole shell
		}
		value, d := p.environmentValue(v, text, name)
		if diags = append(diags, d...); !d.HasErrors() {
			diags = append(diags, assign(v, value, name)...)
		}
	}
	if o.VarFile != "" {
		diags = append(diags, p.readVarFile(o.VarFile)...)
	}
	if strings.TrimSpace(o.Set) != "" {
		attrs, d := p.parseSet(o.Set)
		diags = append(diags, d...)
		diags = append(diags, p.assignAll(attrs, "-set")...)
	}
	for _, v := range p.Variables {
		if v.Source == "" && !v.bad {
			diags = append(diags, wrong(v.rng, "Variable without a value", fmt.Sprintf("The variable %q has no default; give it a value with -set='%s=...'.", v.Name, v.Name)))
		}
		if v.Source == "" || v.bad {
			v.value = cty.DynamicVal // its own mistake is said
			continue
		}
		var err error
		v.weight = weight(v.value, maxValue)
		if v.Value, err = toGo(v.value); err != nil {
			diags = append(diags, wrong(v.rng, "Unsuitable value for a variable", fmt.Sprintf("The variable %q (from %s): %s", v.Name, v.Source, sentence(err.Error()))))
		}
	}
	return diags
}

// Text is the value for a person: a number as a cell has it.
func (v *Variable) Text() string {
	if v.value.Type() == cty.Number && !v.value.IsNull() {
		if text, err := cellText(v.value); err == nil {
			return text
		}
	}
	return fmt.Sprint(v.Value)
}

func (p *Pipeline) readVarFile(name string) hcl.Diagnostics {
	src, err := readBounded(name, maxPipelineSize)
	if err != nil {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unreadable file of values", Detail: fmt.Sprintf("-varFile=%s can't be read. It must be a text file of lines like name = value.", name)}}
	}
	file, diags := p.parse(name, src)
	if diags.HasErrors() {
		return diags
	}
	body := file.Body.(*hclsyntax.Body)
	for _, b := range body.Blocks {
		diags = append(diags, wrong(b.DefRange(), "Unknown block", "A file of values has lines like name = value alone."))
	}
	return append(diags, p.assignAll(body.Attributes, "-varFile="+name)...)
}

// parseSet reads "a=1, b=word, c=\"text\"": HCL, one assignment a line, with commas for the line breaks.
func (p *Pipeline) parseSet(set string) (hclsyntax.Attributes, hcl.Diagnostics) {
	const name = "<value of -set>"
	p.texts[name] = &hcl.File{Bytes: []byte(set)}
	if d := checkNesting([]byte(set), name); d != nil {
		return nil, hcl.Diagnostics{d}
	}
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
		if diags = append(diags, soften(d)...); !d.HasErrors() {
			diags = append(diags, assign(v, value, source)...)
		}
	}
	return diags
}

// environmentValue reads a list or an object as HCL, and everything else as the text that it is.
func (p *Pipeline) environmentValue(v *Variable, text, name string) (cty.Value, hcl.Diagnostics) {
	t := v.want
	if t == cty.DynamicPseudoType && v.Source != "" {
		t = v.value.Type()
	}
	if t == cty.DynamicPseudoType || t.IsPrimitiveType() {
		return cty.StringVal(text), nil
	}
	file := "<" + name + ">"
	p.texts[file] = &hcl.File{Bytes: []byte(text)}
	if d := checkNesting([]byte(text), file); d != nil {
		return cty.NilVal, hcl.Diagnostics{d}
	}
	e, diags := hclsyntax.ParseExpression([]byte(text), file, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	value, diags := e.Value(nil)
	return value, soften(diags)
}

// assign gives a variable a value of its type, or where it has none of its default's.
func assign(v *Variable, value cty.Value, source string) hcl.Diagnostics {
	want, list, object := v.want, isList(v.value.Type()), isObject(v.value.Type())
	if want == cty.DynamicPseudoType && v.Source != "" && v.value.Type().IsPrimitiveType() {
		want = v.value.Type()
	}
	c, err := convertTo(value, want)
	switch t := c.Type(); {
	case err != nil || c.IsNull() || v.want != cty.DynamicPseudoType:
	case list && !isList(t):
		err = fmt.Errorf("a list is needed here, not %s", aType(t))
	case object && !isObject(t):
		err = fmt.Errorf("an object is needed here, not %s", aType(t))
	}
	if err != nil {
		v.bad = true
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Unsuitable value for a variable",
			Detail: fmt.Sprintf("%s sets the variable %q to a value of another type: %s.", source, v.Name, err)}}
	}
	v.value, v.Source, v.bad = c, source, false
	return nil
}

func isList(t cty.Type) bool   { return t.IsListType() || t.IsTupleType() || t.IsSetType() }
func isObject(t cty.Type) bool { return t.IsObjectType() || t.IsMapType() }

// checkVariables evaluates the validation blocks.
func (p *Pipeline) checkVariables() hcl.Diagnostics {
	var diags hcl.Diagnostics
	sc := scope{what: "a validation", vars: true}
	ctx := p.context(nil)
	for _, v := range p.Variables {
		for _, c := range v.checks {
			d := append(p.references(c.condition, sc), p.references(c.message, sc)...)
			if !d.HasErrors() {
				msg, bad := evalCondition(c, func(e hcl.Expression) (cty.Value, hcl.Diagnostics) { return p.value(e, ctx) })
				if d = bad; msg != "" {
					d = append(d, wrong(c.rng, "Invalid value for a variable", fmt.Sprintf("The variable %q (from %s): %s", v.Name, v.Source, msg)))
				}
			}
			diags = append(diags, d...)
		}
	}
	return diags
}

// evalCondition returns the condition's message when it does not hold, "" when it holds or is not known yet.
func evalCondition(c *condition, eval func(hcl.Expression) (cty.Value, hcl.Diagnostics)) (string, hcl.Diagnostics) {
	v, diags := eval(c.condition)
	if diags.HasErrors() {
		return "", diags
	}
	v, err := convertTo(v, cty.Bool)
	if err != nil {
		return "", hcl.Diagnostics{wrong(c.condition.Range(), "Unsuitable condition", "A condition must be true or false.")}
	}
	if v.IsKnown() && v.IsNull() {
		return "", hcl.Diagnostics{wrong(c.condition.Range(), "Unsuitable condition", "The condition has no value (null): "+emptyHint+".")}
	}
	if v.IsKnown() && v.True() {
		return "", nil
	}
	msg, diags := eval(c.message)
	if diags.HasErrors() {
		return "", diags
	}
	if msg, err = convertTo(msg, cty.String); err != nil {
		return "", hcl.Diagnostics{wrong(c.message.Range(), "Unsuitable message", "An error_message must be a text.")}
	}
	switch {
	case !v.IsKnown():
		return "", nil
	case !msg.IsKnown() || msg.IsNull() || msg.AsString() == "":
		return "the condition does not hold", nil
	}
	return msg.AsString(), nil
}
