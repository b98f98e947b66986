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

// Variable is a variable block and the value that it has in this run.
type Variable struct {
	Name, Description string
	Source            string // where the value comes from

	value  cty.Value
	want   cty.Type // dynamic where none is declared
	bad    bool     // what it was given last is no value for it
	checks []*expression
	rng    hcl.Range
}

// Text is the value for a person: a text as it is, a number as a cell has it, else JSON.
func (v *Variable) Text() string {
	if v.value.Type().IsPrimitiveType() && !v.value.IsNull() {
		if text, err := cellText(v.value); err == nil {
			return text
		}
	}
	data, _ := toJSON(v.value) // has been checked
	return string(data)
}

func (p *Pipeline) decodeVariable(b *hcl.Block) hcl.Diagnostics {
	v := &Variable{Name: b.Labels[0], rng: b.DefRange, want: cty.DynamicPseudoType,
		value: cty.DynamicVal}
	p.variables[v.Name] = v
	p.Variables = append(p.Variables, v)
	in := scope{what: "a validation", roots: varRoot}
	_, diags := readBody(b.Body, text("description", &v.Description),
		item{name: "type", attr: func(a *hcl.Attribute) hcl.Diagnostics {
			t, diags := typeexpr.TypeConstraint(a.Expr)
			if !diags.HasErrors() {
				v.want = t
			}
			return diags
		}},
		item{name: "default", attr: v.setDefault},
		in.conditions("validation", &v.checks), in.requirement(&v.checks))
	return diags
}

func (v *Variable) setDefault(a *hcl.Attribute) (diags hcl.Diagnostics) {
	e := a.Expr
	value, diags := e.Value(nil)
	if len(e.Variables()) > 0 {
		const form = "The default must be a plain value, such as true, 3 or \"text\". "
		hint := "Use a local value for what is computed."
		if word := wordInCapitals(e.Variables()[0].RootName()); word != "" {
			hint = fmt.Sprintf("Did you mean %s?", word)
		}
		diags = hcl.Diagnostics{wrong(e.Range(), "Default is not a constant", form+hint)}
	} else if c, err := convertTo(value, v.want); err != nil && !diags.HasErrors() {
		diags = hcl.Diagnostics{wrongf(e.Range(), "Unsuitable default",
			"The default of %q is not of its type: %s.", v.Name, err)}
	} else {
		v.value, v.Source = c, "default"
	}
	v.bad = diags.HasErrors()
	return diags
}

// setVariables gives every variable its value: default, environment, file of values, -set; the last
// one wins.
func (p *Pipeline) setVariables(o Options) (diags hcl.Diagnostics) {
	for _, kv := range o.Environ {
		name, text, _ := strings.Cut(kv, "=")
		name, ours := strings.CutPrefix(name, EnvPrefix)
		// Another pipeline's variable may be set for the whole shell.
		if v := p.variables[name]; ours && v != nil {
			diags = append(diags, p.setText(v, text, EnvPrefix+name)...)
		}
	}
	if o.VarFile != "" {
		diags = append(diags, p.readVarFile(o.VarFile)...)
	}
	if strings.TrimSpace(o.Set) != "" {
		diags = append(diags, p.readSet(o.Set)...)
	}
	for _, v := range p.Variables {
		if v.Source == "" && !v.bad {
			diags = append(diags, wrongf(v.rng, "Variable without a value",
				"The variable %q has no default; give it a value with -set='%s=...'.", v.Name,
				v.Name))
		}
		if v.Source == "" || v.bad {
			v.value = cty.DynamicVal // its own mistake is said
		} else if _, err := toJSON(v.value); err != nil {
			diags = append(diags, wrongf(v.rng, "Unsuitable value for a variable",
				"The variable %q (from %s): %s", v.Name, v.Source, sentence(err.Error())))
		}
	}
	return diags
}

// setText reads a list or an object as HCL, and everything else as the text that it is.
func (p *Pipeline) setText(v *Variable, text, source string) hcl.Diagnostics {
	if t := v.value.Type(); v.want.IsPrimitiveType() ||
		v.want == cty.DynamicPseudoType && !isList(t) && !isObject(t) {
		return v.set(cty.StringVal(text), source)
	}
	e, diags := p.parseExpression(text, "<"+source+">")
	if diags.HasErrors() {
		return diags
	}
	return p.assign(v.Name, e, source)
}

func (p *Pipeline) parseExpression(text, name string) (hclsyntax.Expression, hcl.Diagnostics) {
	p.texts[name] = &hcl.File{Bytes: []byte(text)}
	return parsed([]byte(text), name, hclsyntax.LexExpression, hclsyntax.ParseExpression)
}

func (p *Pipeline) readVarFile(name string) hcl.Diagnostics {
	src, err := readBounded(name, maxPipelineSize)
	if err != nil {
		return hcl.Diagnostics{nowheref("Unreadable file of values",
			"-varFile=%s can't be read. It must be a text file of lines like name = value.", name)}
	}
	file, diags := p.parse(name, plainText(src))
	if diags.HasErrors() {
		return diags
	}
	attrs, diags := file.Body.JustAttributes()
	for _, a := range inOrder(attrs) {
		diags = append(diags, p.assign(a.Name, a.Expr, "-varFile="+name)...)
	}
	return diags
}

// readSet reads "a=1, b=word, c=\"text\"".
func (p *Pipeline) readSet(set string) (diags hcl.Diagnostics) {
	text := "{" + set + "}"
	e, d := p.parseExpression(text, "<value of -set>")
	obj, ok := e.(*hclsyntax.ObjectConsExpr)
	if len(d) == 1 && d[0].Summary == "Nesting too deep" {
		return d
	}
	for i := 0; ok && !d.HasErrors() && i < len(obj.Items); i++ {
		key, value := obj.Items[i].KeyExpr, obj.Items[i].ValueExpr
		between := text[key.Range().End.Byte:value.Range().Start.Byte]
		if ok = hcl.ExprAsKeyword(key) != "" && strings.Contains(between, "="); ok {
			diags = append(diags, p.assign(hcl.ExprAsKeyword(key), value, "-set")...)
		}
	}
	if !ok || d.HasErrors() {
		return hcl.Diagnostics{nowheref("Unreadable -set", "-set=%q can't be read. Write "+
			"-set='name=value, name=\"a text\"'%s.", set, insteadOfColon(set))}
	}
	return diags
}

// assign gives a variable the value of an expression; a bare word is a text.
func (p *Pipeline) assign(name string, e hcl.Expression, source string) hcl.Diagnostics {
	v := p.variables[name]
	if v == nil {
		return hcl.Diagnostics{nowheref("Value for an undeclared variable",
			"%s sets %q, but no variable of that name is declared.%s", source, name,
			didYouMean(name, names(p.variables)))}
	}
	value, diags := e.Value(nil)
	if word := hcl.ExprAsKeyword(e); diags.HasErrors() && word != "" {
		value, diags = cty.StringVal(word), nil
	}
	if diags.HasErrors() {
		return diags
	}
	return v.set(value, source)
}

// set gives a variable a value of its type, or where it has none of its default's.
func (v *Variable) set(value cty.Value, source string) hcl.Diagnostics {
	want, t := v.want, v.value.Type()
	if want == cty.DynamicPseudoType && v.Source != "" && t.IsPrimitiveType() {
		want = t
	}
	c, err := convertTo(value, want)
	if of := c.Type(); err == nil && v.want == cty.DynamicPseudoType && !c.IsNull() &&
		(isList(t) && !isList(of) || isObject(t) && !isObject(of)) {
		err = fmt.Errorf("%s is needed here, not %s", aType(t), aType(of))
	}
	if err != nil {
		v.bad = true
		return hcl.Diagnostics{nowheref("Unsuitable value for a variable",
			"%s sets the variable %q to a value of another type: %s.", source, v.Name, err)}
	}
	v.value, v.Source, v.bad = c, source, false
	return nil
}

// checkVariables evaluates the validation blocks.
func (p *Pipeline) checkVariables() (diags hcl.Diagnostics) {
	m := p.unknownMolecule()
	for _, v := range p.Variables {
		for _, c := range v.checks {
			var d hcl.Diagnostics
			for _, e := range withMessages(c) {
				d = append(d, p.references(e)...)
			}
			if diags = append(diags, d...); d.HasErrors() || !v.value.IsWhollyKnown() {
				continue
			}
			err := (&evaluation{Molecule: m}).hold(c)
			switch {
			case err == nil:
			case v.Source != "default":
				diags = append(diags, nowheref("Invalid value for a variable",
					"%s sets the variable %q to a value that %s line %d refuses: %s", v.Source,
					v.Name, p.Path, c.at.Start.Line, sentence(err.Error())))
			default:
				diags = append(diags, wrongf(c.at, "Invalid value for a variable",
					"The variable %q (from %s): %s", v.Name, v.Source, sentence(err.Error())))
			}
		}
	}
	return diags
}

// insteadOfColon is how a variable is set by -set where somebody wrote name:value, or "".
func insteadOfColon(set string) string {
	name, value, found := strings.Cut(set, ":")
	if name = strings.TrimSpace(name); !found || !hclsyntax.ValidIdentifier(name) {
		return ""
	}
	return fmt.Sprintf(", here -set=%s=%s", name, strings.TrimSpace(value))
}
